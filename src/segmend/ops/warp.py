"""Warp maps and label maps with a displacement field (ECN eq. 2 and 3, VPLR eq. 1 and 2)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.labels import void_of
from segmend.ops import native
from segmend.ops.operation import operation


def warp(map_: Tensor, displacement: Tensor, outside: Literal["border", "zero"] = "border") -> Tensor:
    """Sample a map at the origin of each displacement: ``out(x, y) = map(x - dx, y - dy)``, bilinear.

    Differentiable. `inside` says which pixels come from inside the image.

    Args:
        map_: ``[B, C, H, W]``, floats.
        displacement: ``[B, 2, H, W]``, (dx, dy) in pixels; x to the right, y down.
        outside: what lies outside the image: the nearest value of its ``border``, so that a probability map
            remains one, or ``zero``.

    Returns:
        ``[B, C, H, W]`` in the dtype of `map_`.

    Raises:
        ValueError: shapes that do not fit.

    >>> displacement = torch.zeros(1, 2, 1, 3)
    >>> displacement[:, 0] = 0.5  # half a pixel to the right
    >>> warp(torch.tensor([[[[0.0, 4.0, 8.0]]]]), displacement)
    tensor([[[[0., 2., 6.]]]])
    """
    if map_.ndim != 4 or displacement.shape != (map_.shape[0], 2, *map_.shape[2:]):
        raise ValueError(
            f"expected [B, C, H, W] and [B, 2, H, W], found {list(map_.shape)} and {list(displacement.shape)}"
        )
    height, width = map_.shape[2:]
    # Coordinates stay in float32: bfloat16 cannot represent pixel 301 and a fraction.
    x, y = _sources(displacement.to(torch.promote_types(displacement.dtype, torch.float32)))
    # align_corners=True puts -1 and 1 on the centres of the outermost pixels; a single line is at 0.
    source = torch.stack((x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), dim=-1)
    padding = "zeros" if outside == "zero" else "border"
    with torch.autocast(map_.device.type, enabled=False):
        warped = F.grid_sample(
            map_.to(source.dtype), source, mode="bilinear", padding_mode=padding, align_corners=True
        )
    return warped.to(map_.dtype)


def inside(displacement: Tensor) -> Tensor:
    """Which pixels come from inside the image: the validity mask of `warp`.

    The area of the image ends half a pixel beyond the centres of its outermost pixels.

    Args:
        displacement: ``[B, 2, H, W]``, (dx, dy) in pixels.

    Returns:
        ``bool [B, H, W]``.

    >>> displacement = torch.zeros(1, 2, 1, 4)
    >>> displacement[:, 0] = 1.5
    >>> inside(displacement)
    tensor([[[False,  True,  True,  True]]])
    """
    height, width = displacement.shape[2:]
    x, y = _sources(displacement.float())
    return (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The displacement of one after the other: ``out(p) = second(p) + first(p - second(p))``.

    A map that is warped by it is warped once, so it loses no sharpness twice.

    Args:
        first, second: ``[B, 2, H, W]``, (dx, dy) in pixels; `first` comes first.

    Returns:
        ``[B, 2, H, W]``. Where a pixel comes from outside the image by `second`, it continues as the border does.

    >>> displacement = torch.ones(1, 2, 2, 2)
    >>> compose(displacement, 2 * displacement)[0, 0]
    tensor([[3., 3.],
            [3., 3.]])
    """
    return second + warp(first, second)


def _sources(displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from: x and y, ``[B, H, W]``."""
    height, width = displacement.shape[2:]
    options: dict[str, Any] = {"device": displacement.device, "dtype": displacement.dtype}
    x = torch.arange(width, **options).view(1, 1, width) - displacement[:, 0]
    y = torch.arange(height, **options).view(1, height, 1) - displacement[:, 1]
    return x, y


def warp_labels(labels: Tensor, displacement: Tensor, outside: Literal["border", "void"] = "void") -> Tensor:
    """Warp label maps: each pixel gets the label with the largest bilinear weight at ``(x - dx, y - dy)``.

    The result is that of warping one-hot planes and taking the largest, without the planes. Void is a label like
    the others here; of labels with the same weight, the smaller id is taken.

    Args:
        labels: ``uint8`` or ``int32 [B, H, W]``.
        displacement: ``[B, 2, H, W]``, (dx, dy) in pixels.
        outside: what lies outside the image (see `inside`): ``void`` (255 or 65535), or the nearest label of its
            ``border``.

    Returns:
        Label maps of the dtype of `labels`.

    Raises:
        ValueError: shapes or dtypes that do not fit.

    >>> displacement = torch.zeros(1, 2, 1, 4)
    >>> displacement[:, 0] = 1  # a pixel to the right
    >>> warp_labels(torch.tensor([[[1, 2, 3, 3]]], dtype=torch.uint8), displacement)
    tensor([[[255,   1,   2,   3]]], dtype=torch.uint8)
    """
    if labels.ndim != 3 or displacement.shape != (labels.shape[0], 2, *labels.shape[1:]):
        raise ValueError(
            f"expected [B, H, W] and [B, 2, H, W], found {list(labels.shape)} and {list(displacement.shape)}"
        )
    if labels.dtype not in (torch.uint8, torch.int32):
        raise ValueError(f"expected labels in uint8 or int32, found {labels.dtype}")
    moved: Tensor = torch.ops.segmend.warp_labels(labels, displacement, outside == "void")
    return moved


@operation("warp_labels")
def _warp_labels(labels: Tensor, displacement: Tensor, void_outside: bool) -> Tensor:
    displacement = displacement.float()
    if labels.device.type == "cpu" and native.library() is not None:
        return _by_library(labels.contiguous(), displacement.contiguous(), void_outside)
    return warp_labels_reference(labels, displacement, "void" if void_outside else "border")


@_warp_labels.register_fake
def _(labels: Tensor, displacement: Tensor, void_outside: bool) -> Tensor:
    return labels.new_empty(labels.shape)


def warp_labels_reference(
    labels: Tensor, displacement: Tensor, outside: Literal["border", "void"] = "void"
) -> Tensor:
    """`warp_labels` in plain PyTorch: of the four neighbours' labels, the one with the largest sum of weights."""
    height, width = labels.shape[1:]
    x, y = _sources(displacement)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.long(), y.long()
    right, below = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
    fx, fy = x - left, y - top
    corners = [(top, left), (top, right), (below, left), (below, right)]
    flat = labels.flatten(1).long()
    found = torch.stack([flat.gather(1, (r * width + c).flatten(1)).view_as(r) for r, c in corners])
    weights = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    totals = torch.stack([sum((found[j] == found[i]) * weights[j] for j in range(4)) for i in range(4)])  # type: ignore[misc]
    ties = totals == totals.amax(0)
    best = torch.where(ties, found, torch.iinfo(torch.int64).max).amin(0)
    if outside == "void":
        best = torch.where(inside(displacement), best, void_of(labels))
    return best.to(labels.dtype)


def _by_library(labels: Tensor, displacement: Tensor, void_outside: bool) -> Tensor:
    kernel = native.function("segmend_warp_labels", "u8" if labels.dtype == torch.uint8 else "i32")
    images, height, width = labels.shape
    out = torch.empty_like(labels)
    outside = void_of(labels) if void_outside else -1

    def call(image: int, first: int, last: int) -> int:
        maps = labels[image], displacement[image, 0], displacement[image, 1], out[image]
        return kernel(*maps, first, last, height, width, outside)

    bands = native.shares(images, height)
    native.run_all(partial(call, image, *band) for image in range(images) for band in bands)
    return out
