"""Moving a map by a field of displacements (ECN eq. 2 and 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(map_: Tensor, displacement: Tensor) -> Tensor:
    """Sample a map where the displacement comes from: ``out(x, y) = map(x - dx, y - dy)``, bilinear.

    Outside the picture the border value holds, so a probability map stays one.

    Args:
        map_: ``[B, C, H, W]``, floats.
        displacement: ``[B, 2, H, W]``, (dx, dy) in pixels; x to the right, y down.

    Returns:
        ``[B, C, H, W]`` in the dtype of `map_`.
    """
    if map_.ndim != 4 or displacement.shape != (map_.shape[0], 2, *map_.shape[2:]):
        raise ValueError(
            f"expected [B, C, H, W] and [B, 2, H, W], found {list(map_.shape)} and {list(displacement.shape)}"
        )
    height, width = map_.shape[2:]
    # Coordinates stay in full precision: bfloat16 has no room for pixel 301 and a fraction.
    displacement = displacement.to(torch.promote_types(displacement.dtype, torch.float32))
    y = torch.arange(height, device=map_.device, dtype=displacement.dtype).view(1, height, 1)
    x = torch.arange(width, device=map_.device, dtype=displacement.dtype).view(1, 1, width)
    # align_corners=True puts -1 and 1 on the centres of the outermost pixels; a single line is at 0.
    source = torch.stack(
        (
            (x - displacement[:, 0]) * (2 / max(width - 1, 1)) - 1,
            (y - displacement[:, 1]) * (2 / max(height - 1, 1)) - 1,
        ),
        dim=-1,
    )
    with torch.autocast(map_.device.type, enabled=False):
        warped = F.grid_sample(
            map_.to(source.dtype), source, mode="bilinear", padding_mode="border", align_corners=True
        )
    return warped.to(map_.dtype)
