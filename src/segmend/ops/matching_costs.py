"""How unlike two images are at small offsets: a cost volume."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops import native
from segmend.ops.operation import operation


def matching_costs(target: Tensor, source: Tensor, radius: int) -> Tensor:
    """How unlike each pixel of one image is to the pixels of another one around the same place.

    The mean absolute difference over the channels, blurred over 3 x 3 pixels, at half the resolution. Beyond the
    border the nearest pixel counts. No gradients.

    Args:
        target, source: ``float32 [B, C, H, W]``.
        radius: of the offsets in pixels, to all sides.

    Returns:
        ``float32 [B, (2 radius + 1)^2, ceil(H / 2), ceil(W / 2)]``: element ``(dy + radius) (2 radius + 1) + dx +
        radius`` compares ``target(x, y)`` with ``source(x + dx, y + dy)``.

    Raises:
        ValueError: shapes that do not fit.

    >>> target = torch.arange(8.0).expand(1, 1, 8, 8)
    >>> matching_costs(target, target + 1, radius=1)[0, :, 2, 2]  # the pixel to the left is the same
    tensor([0., 1., 2., 0., 1., 2., 0., 1., 2.])
    """
    if target.shape != source.shape or target.ndim != 4 or radius < 0:
        raise ValueError(
            f"expected two images [B, C, H, W] and a radius of at least 0, found {list(target.shape)}, "
            f"{list(source.shape)} and {radius}"
        )
    costs: Tensor = torch.ops.segmend.matching_costs(target.detach(), source.detach(), radius)
    return costs


@operation("matching_costs")
def _matching_costs(target: Tensor, source: Tensor, radius: int) -> Tensor:
    target, source = target.float(), source.float()
    if target.device.type == "cpu" and native.library() is not None and target.numel():
        return _by_library(target.contiguous(), source.contiguous(), radius)
    return matching_costs_reference(target, source, radius)


@_matching_costs.register_fake
def _(target: Tensor, source: Tensor, radius: int) -> Tensor:
    images, _, height, width = target.shape
    shape = images, (2 * radius + 1) ** 2, (height + 1) // 2, (width + 1) // 2
    return target.new_empty(shape, dtype=torch.float32)


def matching_costs_reference(target: Tensor, source: Tensor, radius: int) -> Tensor:
    """`matching_costs` in plain PyTorch."""
    height, width = target.shape[2:]
    padded = F.pad(source, (radius,) * 4, mode="replicate")
    costs = [
        (target - padded[:, :, y : y + height, x : x + width]).abs().mean(dim=1, keepdim=True)
        for y in range(2 * radius + 1)
        for x in range(2 * radius + 1)
    ]
    costs_map = F.pad(torch.cat(costs, dim=1), (0, width % 2, 0, height % 2), mode="replicate")
    blurred = F.avg_pool2d(F.pad(costs_map, (1,) * 4, mode="replicate"), 3, stride=1)
    return F.avg_pool2d(blurred, 2)


def _by_library(target: Tensor, source: Tensor, radius: int) -> Tensor:
    kernel = native.function("segmend_matching_costs", "f32")
    images, channels, height, width = target.shape
    rows = (height + 1) // 2
    out = native.empty((images, (2 * radius + 1) ** 2, rows, (width + 1) // 2))

    def call(image: int, first: int, last: int) -> int:
        return kernel(target[image], source[image], out[image], first, last, channels, height, width, radius)

    bands = native.shares(images, rows)
    native.run_all(partial(call, image, *band) for image in range(images) for band in bands)
    return out
