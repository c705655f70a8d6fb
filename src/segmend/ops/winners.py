"""The class with the largest value at each pixel."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from segmend.ops import native
from segmend.ops.operation import operation


def winners(map_: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value over the classes, and its class; of equal values, that of the smaller id.

    The result of ``map_.max(dim=-3)``, many times faster on a CPU. No gradients.

    Args:
        map_: ``[..., C, H, W]``.

    Returns:
        Values ``[..., H, W]`` of the dtype of the map, and classes ``int64 [..., H, W]``.

    >>> winners(torch.tensor([0.1, 0.7, 0.2]).view(3, 1, 1))
    (tensor([[0.7000]]), tensor([[1]]))
    """
    if native.serves(map_.device.type) and map_.dtype == torch.float32 and map_.numel():
        values, classes = torch.ops.segmend.winners(map_.detach())
        return values, classes.long()
    found = map_.detach().max(dim=-3)
    return found.values, found.indices


def present(map_: Tensor) -> Tensor:
    """The classes that are the largest at some pixel of a batch ``[B, C, H, W]``: ``int64 [K]``, in ascending
    order.

    >>> present(torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]]).view(2, 3, 1, 1))
    tensor([0, 1])
    """
    return winners(map_)[1].flatten().bincount().nonzero().squeeze(1)


@operation("winners")
def _winners(map_: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*map_.shape[:-3], *map_.shape[-2:])
    planes = map_.reshape(-1, *map_.shape[-3:])
    images, count, height, width = planes.shape
    if planes.stride()[2:] != (width, 1):  # planes may have any stride, as those of a band of rows have
        planes = planes.contiguous()
    pixels = height * width
    values, classes = native.empty((images, pixels)), native.empty((images, pixels), torch.int32)
    kernel = native.function("segmend_winners", "f32")

    def call(image: int, first: int, last: int) -> int:
        return kernel(planes[image], values[image], classes[image], first, last, count, planes.stride(1))

    parts = native.shares(images, pixels)
    native.run_all(partial(call, image, *part) for image in range(images) for part in parts)
    return values.view(shape), classes.view(shape)


@_winners.register_fake
def _(map_: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*map_.shape[:-3], *map_.shape[-2:])
    return map_.new_empty(shape), map_.new_empty(shape, dtype=torch.int32)
