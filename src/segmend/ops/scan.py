"""Linear propagation over an image: the scan of spatial propagation networks (SPN eq. 9 and 10).

Registered with PyTorch as ``torch.ops.segmend.scan``. It runs in the native library on a CPU (`scan_native`), in
Triton on a GPU (`scan_triton`), and elsewhere as its formula in plain PyTorch (`scan_reference`).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

from segmend.ops import native, scan_native, scan_reference
from segmend.ops.operation import operation
from segmend.ops.scan_reference import DOWN, LEFT, RIGHT, UP

__all__ = ["DOWN", "LEFT", "RIGHT", "UP", "normalize_gates", "scan", "scan4", "spread"]

Direction = Literal[0, 1, 2, 3]
"""`RIGHT`, `LEFT`, `DOWN` or `UP`."""


def normalize_gates(raw: Tensor, dim: int = -3) -> Tensor:
    """Gates whose absolute values sum to at most 1 over the neighbours, so that a scan is stable (Theorem 3).

    Divides by ``max(1, sum_k |p_k|)``.

    Args:
        raw: gates, ``[..., K, H, W]`` by default.
        dim: dimension of the neighbours.

    >>> normalize_gates(torch.tensor([2.0, 1.0, 1.0]).view(3, 1, 1)).flatten()
    tensor([0.5000, 0.2500, 0.2500])
    """
    return raw / raw.abs().sum(dim, keepdim=True).clamp_min(1)


def scan(x: Tensor, gates: Tensor, direction: Direction) -> Tensor:
    """Propagate along one direction (eq. 9): ``h[0] = x[0]``, and for every line t after the first

        ``h[i, t] = (1 - sum_k p_k[i, t]) x[i, t] + sum_k p_k[i, t] h[i + k, t - 1]``

    over the neighbours k = -1, 0, 1 (or only 0) in the line before. Neighbours outside the image are left out of
    both sums.

    Args:
        x: ``[B, C, H, W]``, floats. Half precision is computed in float32.
        gates: ``[B, G, K, H, W]``, G = C or 1 (shared by the channels), K = 3 or 1; see `normalize_gates`.
        direction: `RIGHT`, `LEFT`, `DOWN` or `UP` (0 to 3).

    Returns:
        h, of the shape and dtype of x.

    Raises:
        ValueError: shapes that do not fit.

    >>> x, gates = torch.tensor([[[[8.0, 0.0, 0.0]]]]), torch.full((1, 1, 1, 1, 3), 0.5)
    >>> scan(x, gates, RIGHT)
    tensor([[[[8., 4., 2.]]]])
    """
    if direction not in range(4):
        raise ValueError(f"expected a direction 0..3, found {direction}")
    return _checked(x, gates.unsqueeze(1), [direction])


def scan4(x: Tensor, gates: Tensor, pooled: Literal["max", "sum"] = "max") -> Tensor:
    """The maximum or the sum of the scans in four directions at each pixel, without a map for each direction in
    memory.

    The gradient of a maximum goes to the first direction that has the largest value.

    Args:
        x: ``[B, C, H, W]``, floats.
        gates: ``[B, 4, G, K, H, W]`` for right, left, down, up.
        pooled: how the directions are combined.

    Raises:
        ValueError: shapes that do not fit.

    >>> x, gates = torch.tensor([[[[8.0, 0.0, 0.0]]]]), torch.full((1, 4, 1, 1, 1, 3), 0.5)
    >>> scan4(x, gates)
    tensor([[[[8., 4., 2.]]]])
    >>> scan4(x, gates, pooled="sum")  # to the left, up and down as well
    tensor([[[[28.,  4.,  2.]]]])
    """
    return _checked(x, gates, [RIGHT, LEFT, DOWN, UP], pooled == "sum")


def spread(values: Tensor, evidence: Tensor, gates: Tensor, rounds: int = 1) -> tuple[Tensor, Tensor]:
    """Propagate sparse values along gates: each pixel gets the mean of the values that reach it.

    ``sum_d scan_d(evidence values) / sum_d scan_d(evidence)`` over the four directions, `rounds` times; the mean
    of the scanned evidence is the evidence of the next round. Values may be anything: colours, depths, scores.

    Args:
        values: ``[B, C, H, W]``, floats; ignored where the evidence is 0.
        evidence: the weight of each pixel's value, at least 0, ``[B, 1, H, W]``.
        gates: ``[B, 4, 1, K, H, W]`` for right, left, down, up, at least 0, with a sum below 1 over K: the
            difference to 1 is the weight of a pixel's own evidence.
        rounds: number of repetitions.

    Returns:
        The values, and the evidence that reached each pixel; where none did, values are 0.

    >>> values, evidence = torch.tensor([[[[9.0, 0.0, 0.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]])
    >>> spread(values, evidence, torch.full((1, 4, 1, 1, 1, 3), 0.5))
    (tensor([[[[9., 9., 9.]]]]), tensor([[[[0.8750, 0.1250, 0.0625]]]]))
    """
    for _ in range(rounds):
        scanned = scan4(torch.cat((evidence * values, evidence), dim=1), gates, "sum")
        total = scanned[:, -1:].clamp_min(0)
        values = scanned[:, :-1] / total.clamp_min(torch.finfo(total.dtype).tiny)
        evidence = total / 4
    return values, evidence


def _checked(x: Tensor, gates: Tensor, directions: list[int], summed: bool = False) -> Tensor:
    fits = (
        x.ndim == 4
        and gates.ndim == 6
        and gates.shape[:2] == (x.shape[0], len(directions))
        and gates.shape[2] in (1, x.shape[1])
        and gates.shape[3] in (1, 3)
        and gates.shape[4:] == x.shape[2:]
    )
    if not fits:
        raise ValueError(f"gates {list(gates.shape)} do not fit a map {list(x.shape)}")
    if 0 in x.shape:
        raise ValueError(f"expected a map with pixels, found {list(x.shape)}")
    if torch.compiler.is_compiling() or has_kernel(x.device.type):  # has_kernel cannot be compiled
        result: Tensor = torch.ops.segmend.scan(x, gates, directions, summed)
        return result
    precise_x, precise_gates = _prepared(x, gates)
    return scan_reference.forward(precise_x, precise_gates, directions, summed).to(x.dtype)


def has_kernel(device: str) -> bool:
    """Whether there is a kernel for a type of device here; elsewhere autograd runs through the reference."""
    return backend(device) is not scan_reference


def backend(device: str) -> ModuleType:
    """The module that scans on a type of device."""
    if device == "cpu" and native.library() is not None:
        return scan_native
    if device == "cuda":
        try:
            from segmend.ops import scan_triton
        except ImportError:
            return scan_reference
        return scan_triton
    return scan_reference


@operation("scan")
def _scan(x: Tensor, gates: Tensor, directions: Sequence[int], summed: bool) -> Tensor:
    found: Tensor = backend(x.device.type).forward(*_prepared(x, gates), directions, summed)
    return found.to(x.dtype).contiguous()


@operation("scan_backward")
def _scan_backward(
    x: Tensor, gates: Tensor, grad: Tensor, directions: Sequence[int], summed: bool
) -> tuple[Tensor, Tensor]:
    dx, dgates = backend(x.device.type).backward(*_prepared(x, gates, grad), directions, summed)
    return dx.to(x.dtype).contiguous(), dgates.to(gates.dtype).contiguous()


def _prepared(*maps: Tensor) -> list[Tensor]:
    """Contiguous, and in float64 or float32."""
    dtype = torch.float64 if maps[0].dtype == torch.float64 else torch.float32
    return [map_.to(dtype).contiguous() for map_ in maps]


@_scan.register_fake
def _(x: Tensor, gates: Tensor, directions: Sequence[int], summed: bool) -> Tensor:
    return x.new_empty(x.shape)


@_scan_backward.register_fake
def _(x: Tensor, gates: Tensor, grad: Tensor, directions: Sequence[int], summed: bool) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), gates.new_empty(gates.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, gates, *ctx.how = inputs
    ctx.save_for_backward(x, gates)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*torch.ops.segmend.scan_backward(*ctx.saved_tensors, grad, *ctx.how), None, None)


_scan.register_autograd(_gradients, setup_context=_save)
_scan.computes_in_float32()
