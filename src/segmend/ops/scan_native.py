"""The scan by the native library (`csrc/scan_lines.h`), on ranges of channels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from segmend.ops import native


def forward(x: Tensor, gates: Tensor, directions: Sequence[int], summed: bool = False) -> Tensor:
    """The maximum over the scans along `directions` (one, or all four), or their sum.

    Args:
        x: ``[B, C, H, W]``, float32 or float64, contiguous.
        gates: ``[B, len(directions), G, K, H, W]``, contiguous, of the same dtype.
    """
    kernel = native.function("segmend_scan" if len(directions) == 1 else "segmend_scan4", _suffix(x))
    how = [int(summed)] if len(directions) > 1 else []
    out = native.empty(x.shape, x.dtype)

    def call(image: int, start: int, stop: int) -> int:
        maps = x[image, start], _first(gates, image, start), out[image, start]
        return kernel(*maps, *_sizes(gates, stop - start, directions), *how)

    native.run_all(partial(call, p, *r) for p in range(len(x)) for r in native.shares(*x.shape[:2]))
    return out


def backward(
    x: Tensor, gates: Tensor, grad: Tensor, directions: Sequence[int], summed: bool = False
) -> tuple[Tensor, Tensor]:
    """Gradients of `forward`; a maximum's go to the first direction that is largest."""
    kernel = native.function("segmend_scan_back" if len(directions) == 1 else "segmend_scan4_back", _suffix(x))
    how = [int(summed)] if len(directions) > 1 else []
    ranges = native.shares(*x.shape[:2])
    dx = native.empty(x.shape, x.dtype).zero_()
    # Ranges of channels that share gates have gate gradients of their own, which are summed at the end.
    shared = gates.shape[2] == 1
    dgates = native.empty((len(ranges) if shared else 1, *gates.shape), x.dtype).zero_()

    def call(image: int, index: int) -> int:
        start, stop = ranges[index]
        inputs = x[image, start], _first(gates, image, start), grad[image, start]
        outputs = dx[image, start], _first(dgates[index if shared else 0], image, start)
        return kernel(*inputs, *outputs, *_sizes(gates, stop - start, directions), *how)

    native.run_all(partial(call, p, i) for p in range(len(x)) for i in range(len(ranges)))
    return dx, dgates.sum(0) if len(dgates) > 1 else dgates[0]


def _suffix(x: Tensor) -> str:
    return "f64" if x.dtype == torch.float64 else "f32"


def _first(gates: Tensor, image: int, channel: int) -> Tensor:
    return gates[image, 0, channel if gates.shape[2] > 1 else 0]


def _sizes(gates: Tensor, planes: int, directions: Sequence[int]) -> list[int]:
    """The arguments of a kernel after its maps."""
    _, _, groups, neighbours, height, width = gates.shape
    stride = neighbours * height * width
    sizes = [planes, stride if groups > 1 else 0]
    if len(directions) == 1:
        return [*sizes, height, width, neighbours, *directions]
    return [*sizes, groups * stride, height, width, neighbours]
