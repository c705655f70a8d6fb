"""The scan on a GPU, as Triton kernels: one program a plane, the pixels of a line side by side.

Along a direction, line t is at ``start + t * step`` of a plane and its pixels `apart` from each other, so that one
kernel serves all four. Neighbours come from the line before, which stays in registers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNKS = 8
"""Channels that share gates are split into so many parts, each with gate gradients of its own: a sum of parts is
the same every time, atomic additions are not."""


@triton.jit
def _from_before(line, index, shift: tl.constexpr, size):  # type: ignore[no-untyped-def]
    """Values of the neighbours at `shift`, and whether they are inside."""
    source = index + shift
    inside = (source >= 0) & (source < size)
    return tl.gather(line, tl.where(inside, source, index), 0), inside & (index < size)


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    x_ptr, gates_ptr, h_ptr, winner_ptr, channels, lines, size, start, step, apart,
    direction, picture_gates, channel_gates,
    NEIGHBOURS: tl.constexpr, FOLD: tl.constexpr, SUM: tl.constexpr, WINNER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Scan one plane; with FOLD into the maximum that `h_ptr` holds, or the SUM; WINNER: noting where it won."""
    plane = tl.program_id(0).to(tl.int64)
    area = lines.to(tl.int64) * size
    index = tl.arange(0, BLOCK)
    mask = index < size
    x_ptr += plane * area
    h_ptr += plane * area
    winner_ptr += plane * area
    gates_ptr += (plane // channels) * picture_gates + (plane % channels) * channel_gates
    line = tl.zeros([BLOCK], dtype=h_ptr.dtype.element_ty)
    for t in range(lines):
        at = start + t * step + index * apart
        x = tl.load(x_ptr + at, mask, 0.0)
        h = x
        if t > 0:
            if NEIGHBOURS == 1:
                h += tl.load(gates_ptr + at, mask, 0.0) * (line - x)
            else:
                for k in tl.static_range(3):
                    before, inside = _from_before(line, index, k - 1, size)
                    h += tl.load(gates_ptr + k * area + at, inside, 0.0) * (before - x)
        line = h
        if FOLD:
            held = tl.load(h_ptr + at, mask, 0.0)
            larger = h > held
            tl.store(h_ptr + at, held + h if SUM else tl.where(larger, h, held), mask)
            if WINNER:
                tl.store(winner_ptr + at, direction.to(tl.int8), mask & larger)
        else:
            tl.store(h_ptr + at, h, mask)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    x_ptr, gates_ptr, h_ptr, grad_ptr, winner_ptr, dx_ptr, dgates_ptr, channels, lines, size, start, step, apart,
    direction, picture_gates, channel_gates, per_chunk, chunk_gates,
    NEIGHBOURS: tl.constexpr, WINNER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The adjoint of a scan over a chunk of channels; dx and dgates are added to."""
    picture = tl.program_id(0).to(tl.int64)
    chunk = tl.program_id(1)
    area = lines.to(tl.int64) * size
    index = tl.arange(0, BLOCK)
    mask = index < size
    for c in range(chunk * per_chunk, tl.minimum((chunk + 1) * per_chunk, channels)):
        plane = (picture * channels + c) * area
        gates_at = picture * picture_gates + c * channel_gates
        gates = gates_ptr + gates_at
        dgates = dgates_ptr + chunk * chunk_gates + gates_at
        carried = tl.zeros([BLOCK], dtype=dx_ptr.dtype.element_ty)
        for back in range(lines):
            t = lines - 1 - back
            at = start + t * step + index * apart
            grad = tl.load(grad_ptr + plane + at, mask, 0.0)
            if WINNER:
                grad = tl.where(tl.load(winner_ptr + plane + at, mask, 0) == direction, grad, 0.0)
            total = grad + carried
            dx = total
            carried = tl.zeros_like(total)
            if t > 0:
                x = tl.load(x_ptr + plane + at, mask, 0.0)
                for k in tl.static_range(NEIGHBOURS):
                    shift: tl.constexpr = k - NEIGHBOURS // 2
                    inside = mask & (index + shift >= 0) & (index + shift < size)
                    before = tl.load(h_ptr + plane + at - step + shift * apart, inside, 0.0)
                    p = tl.load(gates + k * area + at, inside, 0.0)
                    held = tl.load(dgates + k * area + at, inside, 0.0)
                    tl.store(dgates + k * area + at, held + total * (before - x), inside)
                    dx -= total * p
                    given, there = _from_before(tl.where(inside, total * p, 0.0), index, -shift, size)
                    carried += tl.where(there, given, 0.0)
            held = tl.load(dx_ptr + plane + at, mask, 0.0)
            tl.store(dx_ptr + plane + at, held + dx, mask)


def _path(direction: int, height: int, width: int) -> tuple[int, int, int, int, int]:
    """Number of lines, pixels of one, and start, step and distance of pixels in a plane."""
    lines, size, step, apart = (width, height, 1, width) if direction < 2 else (height, width, width, 1)
    backwards = direction % 2 == 1
    return lines, size, (lines - 1) * step if backwards else 0, -step if backwards else step, apart


def _gate_strides(gates: Tensor) -> tuple[int, int]:
    """Numbers from a picture's gates to the next one's, and from a channel's (0: shared)."""
    _, directions, groups, neighbours, height, width = gates.shape
    own = neighbours * height * width
    return directions * groups * own, own if groups > 1 else 0


def _scan_into(
    out: Tensor,
    x: Tensor,
    gates: Tensor,
    direction: int,
    first: int,
    fold: bool = False,
    summed: bool = False,
    winner: Tensor | None = None,
) -> None:
    """Scan along `direction`, whose gates are the ones at `first` in `gates` ``[B, 4 or 1, G, K, H, W]``."""
    pictures, channels, height, width = x.shape
    lines, size, start, step, apart = _path(direction, height, width)
    picture, channel = _gate_strides(gates)
    _forward[(pictures * channels,)](
        x, gates[:, first:], out, out if winner is None else winner, channels, lines, size, start, step, apart,
        direction, picture, channel,
        NEIGHBOURS=gates.shape[3], FOLD=fold, SUM=summed, WINNER=winner is not None,
        BLOCK=triton.next_power_of_2(size),
    )  # fmt: skip


def forward(
    x: Tensor, gates: Tensor, directions: Sequence[int], summed: bool = False, winner: Tensor | None = None
) -> Tensor:
    """The maximum over the scans along `directions`, or their sum.

    Args:
        x: ``[B, C, H, W]``, contiguous.
        gates: ``[B, len(directions), G, K, H, W]``, contiguous, of the same dtype.
        winner: ``int8 [B, C, H, W]`` of zeros, set to the first direction that is largest.
    """
    out = torch.empty_like(x)
    for place, direction in enumerate(directions):
        _scan_into(out, x, gates, direction, place, place > 0, summed, winner if place else None)
    return out


def backward(
    x: Tensor, gates: Tensor, grad: Tensor, directions: Sequence[int], summed: bool = False
) -> tuple[Tensor, Tensor]:
    """Gradients of `forward`; a maximum's go to the first direction that is largest."""
    pictures, channels, height, width = x.shape
    neighbours = gates.shape[3]
    winner = torch.zeros(x.shape, dtype=torch.int8, device=x.device)
    won_by_one = len(directions) > 1 and not summed
    if won_by_one:
        forward(x, gates, directions, winner=winner)
    picture, channel = _gate_strides(gates)
    chunks = channels if channel else min(CHUNKS, channels)
    per_chunk = triton.cdiv(channels, chunks)
    dx = torch.zeros_like(x)
    dgates = torch.zeros((1 if channel else chunks, *gates.shape), dtype=x.dtype, device=x.device)
    h = torch.empty_like(x)
    for place, direction in enumerate(directions):
        _scan_into(h, x, gates, direction, place)
        lines, size, start, step, apart = _path(direction, height, width)
        _backward[(pictures, chunks)](
            x, gates[:, place:], h, grad, winner, dx, dgates[:, :, place:],
            channels, lines, size, start, step, apart, direction, picture, channel,
            per_chunk, 0 if channel else gates.numel(),
            NEIGHBOURS=neighbours, WINNER=won_by_one, BLOCK=triton.next_power_of_2(size),
        )  # fmt: skip
    return dx, dgates.sum(0)
