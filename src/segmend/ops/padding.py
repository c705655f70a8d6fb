"""Padding of maps to sides that a network can halve often enough.

An export traces it as ``torch.ops.segmend.pad_to_stride``, whose result has sides that are multiples of the stride
whatever the size of the map: from ``height + (-height % 32)`` no exporter concludes that it can be halved.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.operation import operation


def pad_to_stride(map_: Tensor, stride: int) -> Tensor:
    """The map with its last row and column repeated until both sides are multiples of `stride`.

    Args:
        map_: ``[B, C, H, W]``.

    >>> pad_to_stride(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 2)
    tensor([[[[1., 2., 3., 3.],
              [1., 2., 3., 3.]]]])
    """
    if torch.compiler.is_exporting():
        padded: Tensor = torch.ops.segmend.pad_to_stride(map_, stride)
        return padded
    height, width = map_.shape[2:]
    if height % stride == width % stride == 0:
        return map_
    return F.pad(map_, (0, -width % stride, 0, -height % stride), mode="replicate")


def cropped(map_: Tensor, height: int, width: int) -> Tensor:
    """The first `height` rows and `width` columns of a map ``[..., H, W]`` that was padded.

    Slices would do, but an exporter has to prove that they have all these rows.

    >>> cropped(torch.arange(6).view(2, 3), 1, 2)
    tensor([[0, 1]])
    """
    return map_.narrow(-2, 0, height).narrow(-1, 0, width)


@operation("pad_to_stride")
def _pad_to_stride(map_: Tensor, stride: int) -> Tensor:
    height, width = map_.shape[2:]
    return F.pad(map_, (0, -width % stride, 0, -height % stride), mode="replicate")


@_pad_to_stride.register_fake
def _(map_: Tensor, stride: int) -> Tensor:
    sides = []
    for side in map_.shape[2:]:
        padded = stride * torch.library.get_ctx().new_dynamic_size(min=1)
        torch._check(padded >= side)
        sides.append(padded)
    return map_.new_empty((*map_.shape[:2], *sides))
