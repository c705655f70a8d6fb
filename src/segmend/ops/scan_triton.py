"""The scan on a GPU, as Triton kernels: one program for each plane, the pixels of a line in parallel.

Lines are read in tiles of `TILE` at once, which hides the latency of memory; where lines are columns, reading one
alone would fetch eight times the bytes that it needs. The line before stays in registers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNKS = 8
"""Number of parts into which channels that share gates are split, each with gate gradients of its own: their sum
is deterministic, atomic additions are not."""

TILE = 8
"""Lines that are read at once: where lines are columns, 32 bytes of a row, the memory's smallest transaction."""


@triton.jit
def _tile(number, index, lines, size, ACROSS: tl.constexpr, BACKWARDS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Pixels of a tile ``[TILE, BLOCK]``: offsets in a plane, those inside, those with a line before theirs."""
    tiles = tl.cdiv(lines, TILE)
    t = (tiles - 1 - number if BACKWARDS else number) * TILE + tl.arange(0, TILE)[:, None]
    at = index[None, :] * lines + t if ACROSS else t * size + index[None, :]
    inside = (index[None, :] < size) & (t < lines)
    return at, inside, inside & (t != (lines - 1 if BACKWARDS else 0))


@triton.jit
def _gates(gates_ptr, at, inside, follows, index, area, size, NEIGHBOURS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Gates of a tile to the previous, the same and the next pixel of the line before; 0 where it is outside.

    The zeros are set after loading: loads vectorise where a mask is the same for 16 bytes.
    """
    same = tl.where(follows, tl.load(gates_ptr + (NEIGHBOURS // 2) * area + at, inside, 0.0), 0.0)
    if NEIGHBOURS == 1:
        return same, same, same
    before = tl.load(gates_ptr + at, inside, 0.0)
    after = tl.load(gates_ptr + 2 * area + at, inside, 0.0)
    before = tl.where(follows & (index[None, :] > 0), before, 0.0)
    return before, same, tl.where(follows & (index[None, :] + 1 < size), after, 0.0)


@triton.jit
def _line(tile, number, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """One line of a tile, whose lines are in registers."""
    return tl.sum(tl.where(tl.arange(0, TILE)[:, None] == number, tile, 0.0), 0)


@triton.jit
def _neighbours(line, index, shift: tl.constexpr, size):  # type: ignore[no-untyped-def]
    """Values at the pixels `shift` further; at the ends an arbitrary value of the line."""
    return tl.gather(line, tl.minimum(tl.maximum(index + shift, 0), size - 1), 0)


@triton.jit
def _propagate(line, h, x, before, same, after, number, index, size, NEIGHBOURS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Equation 9 for one line of a tile: that line, and the tile `h` with it."""
    own = _line(x, number, TILE)
    new = own + _line(same, number, TILE) * (line - own)
    if NEIGHBOURS == 3:
        new += _line(before, number, TILE) * (_neighbours(line, index, -1, size) - own)
        new += _line(after, number, TILE) * (_neighbours(line, index, 1, size) - own)
    return new, tl.where(tl.arange(0, TILE)[:, None] == number, new[None, :], h)


@triton.jit(
    do_not_specialize_on_alignment=["winner_ptr"]
)  # its alignment would change how pixels are assigned to threads
def _forward(  # type: ignore[no-untyped-def]
    x_ptr, gates_ptr, h_ptr, winner_ptr, channels, lines, size, direction, image_gates, channel_gates,
    ACROSS: tl.constexpr, BACKWARDS: tl.constexpr, NEIGHBOURS: tl.constexpr, FOLD: tl.constexpr, SUM: tl.constexpr,
    WINNER: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Scan one plane; FOLD: into the maximum or SUM in `h_ptr`; WINNER: record where this direction is largest."""
    plane = tl.program_id(0).to(tl.int64)
    area = lines * size
    x_ptr += plane * area
    h_ptr += plane * area
    winner_ptr += plane * area
    gates_ptr += (plane // channels) * image_gates + (plane % channels) * channel_gates
    index = tl.arange(0, BLOCK)
    line = tl.zeros([BLOCK], dtype=h_ptr.dtype.element_ty)
    for number in range(tl.cdiv(lines, TILE)):
        at, inside, follows = _tile(number, index, lines, size, ACROSS, BACKWARDS, TILE)
        x = tl.load(x_ptr + at, inside, 0.0)
        before, same, after = _gates(gates_ptr, at, inside, follows, index, area, size, NEIGHBOURS)
        if FOLD:
            held = tl.load(h_ptr + at, inside, 0.0)
        h = x
        for i in tl.static_range(TILE):
            line, h = _propagate(
                line, h, x, before, same, after, TILE - 1 - i if BACKWARDS else i, index, size, NEIGHBOURS, TILE
            )
        if FOLD:
            larger = h > held
            tl.store(h_ptr + at, held + h if SUM else tl.where(larger, h, held), inside)
            if WINNER:
                tl.store(winner_ptr + at, direction + tl.zeros_like(h).to(tl.int8), inside & larger)
        else:
            tl.store(h_ptr + at, h, inside)


@triton.jit
def _return(  # type: ignore[no-untyped-def]
    carried, totals, dx, grad, before, same, after, number, index, size,
    NEIGHBOURS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The adjoint of `_propagate`: the gradients of the line before, of this line in total, and of x."""
    total = _line(grad, number, TILE) + carried
    given = total * _line(same, number, TILE)
    kept = total - given
    if NEIGHBOURS == 3:
        to_before = total * _line(before, number, TILE)
        to_after = total * _line(after, number, TILE)
        kept -= to_before + to_after
        given += tl.where(index + 1 < size, _neighbours(to_before, index, 1, size), 0.0)
        given += tl.where(index > 0, _neighbours(to_after, index, -1, size), 0.0)
    here = tl.arange(0, TILE)[:, None] == number
    return given, tl.where(here, total[None, :], totals), tl.where(here, kept[None, :], dx)


@triton.jit(
    do_not_specialize_on_alignment=["winner_ptr"]
)  # its alignment would change how pixels are assigned to threads
def _backward(  # type: ignore[no-untyped-def]
    x_ptr, gates_ptr, h_ptr, grad_ptr, winner_ptr, dx_ptr, dgates_ptr, channels, lines, size, direction,
    image_gates, channel_gates, per_chunk, chunk_gates,
    ACROSS: tl.constexpr, BACKWARDS: tl.constexpr, NEIGHBOURS: tl.constexpr, FOLD: tl.constexpr,
    WINNER: tl.constexpr, SHARED: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The adjoint of a scan over a chunk of channels; dx (with FOLD) and dgates (if SHARED) are added to."""
    image = tl.program_id(0).to(tl.int64)
    chunk = tl.program_id(1)
    area = lines * size
    back = (1 if ACROSS else size) * (1 if BACKWARDS else -1)
    index = tl.arange(0, BLOCK)
    tiles = tl.cdiv(lines, TILE)
    for c in range(chunk * per_chunk, tl.minimum((chunk + 1) * per_chunk, channels)):
        plane = (image * channels + c) * area
        gates_at = image * image_gates + c * channel_gates
        dgates = dgates_ptr + chunk * chunk_gates + gates_at
        carried = tl.zeros([BLOCK], dtype=dx_ptr.dtype.element_ty)
        for undone in range(tiles):
            at, inside, follows = _tile(tiles - 1 - undone, index, lines, size, ACROSS, BACKWARDS, TILE)
            grad = tl.load(grad_ptr + plane + at, inside, 0.0)
            if WINNER:
                grad = tl.where(tl.load(winner_ptr + plane + at, inside, 0) == direction, grad, 0.0)
            x = tl.load(x_ptr + plane + at, inside, 0.0)
            before, same, after = _gates(gates_ptr + gates_at, at, inside, follows, index, area, size, NEIGHBOURS)
            totals = grad
            dx = grad
            for i in tl.static_range(TILE):
                carried, totals, dx = _return(
                    carried, totals, dx, grad, before, same, after, i if BACKWARDS else TILE - 1 - i, index, size,
                    NEIGHBOURS, TILE,
                )  # fmt: skip
            for k in tl.static_range(NEIGHBOURS):
                beside = index[None, :] + k - NEIGHBOURS // 2
                there = follows & (beside >= 0) & (beside < size)
                step = (k - NEIGHBOURS // 2) * (lines if ACROSS else 1)
                h = tl.load(h_ptr + plane + at + back + step, there, 0.0)
                dgate = tl.where(there, totals * (h - x), 0.0)
                if SHARED:
                    dgate += tl.load(dgates + k * area + at, inside, 0.0)
                tl.store(dgates + k * area + at, dgate, inside)
            if FOLD:
                dx += tl.load(dx_ptr + plane + at, inside, 0.0)
            tl.store(dx_ptr + plane + at, dx, inside)


def _along(x: Tensor, direction: int) -> tuple[int, int, dict[str, bool | int]]:
    """Number of lines, pixels of a line, and the constants that a kernel is compiled with."""
    height, width = x.shape[2:]
    lines, size = (width, height) if direction < 2 else (height, width)
    block = triton.next_power_of_2(size)
    how = {"ACROSS": direction < 2, "BACKWARDS": direction % 2 == 1, "BLOCK": block, "TILE": TILE}
    return lines, size, {**how, "num_warps": min(max(block // 128, 1), 16)}


def _gate_strides(gates: Tensor) -> tuple[int, int]:
    """Strides of the gates from image to image, and from channel to channel (0: shared)."""
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
    images, channels = x.shape[:2]
    lines, size, along = _along(x, direction)
    image, channel = _gate_strides(gates)
    _forward[(images * channels,)](
        x, gates[:, first:], out, out if winner is None else winner, channels, lines, size, direction,
        image, channel, NEIGHBOURS=gates.shape[3], FOLD=fold, SUM=summed, WINNER=winner is not None, **along,
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
    for i, direction in enumerate(directions):
        _scan_into(out, x, gates, direction, i, i > 0, summed, winner if i else None)
    return out


def backward(
    x: Tensor, gates: Tensor, grad: Tensor, directions: Sequence[int], summed: bool = False
) -> tuple[Tensor, Tensor]:
    """Gradients of `forward`; a maximum's go to the first direction that is largest."""
    images, channels = x.shape[:2]
    winner = torch.zeros(x.shape, dtype=torch.int8, device=x.device)
    won_by_one = len(directions) > 1 and not summed
    if won_by_one:
        forward(x, gates, directions, winner=winner)
    image, channel = _gate_strides(gates)
    chunks = channels if channel else min(CHUNKS, channels)
    per_chunk = triton.cdiv(channels, chunks)
    dx = torch.empty_like(x)
    make = torch.empty if channel else torch.zeros
    dgates = make((1 if channel else chunks, *gates.shape), dtype=x.dtype, device=x.device)
    h = torch.empty_like(x)
    for i, direction in enumerate(directions):
        _scan_into(h, x, gates, direction, i)
        lines, size, along = _along(x, direction)
        _backward[(images, chunks)](
            x, gates[:, i:], h, grad, winner, dx, dgates[:, :, i:],
            channels, lines, size, direction, image, channel, per_chunk, 0 if channel else gates.numel(),
            NEIGHBOURS=gates.shape[3], FOLD=i > 0, WINNER=won_by_one, SHARED=not channel, **along,
        )  # fmt: skip
    return dx, dgates[0] if channel else dgates.sum(0)
