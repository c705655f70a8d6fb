"""The formula of the scan in plain PyTorch: the reference for the other backends, and the fallback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

RIGHT: Final = 0
LEFT: Final = 1
DOWN: Final = 2
UP: Final = 3
"""The directions, in the order in which `scan4` takes their gates."""


def scan(x: Tensor, gates: Tensor, direction: int) -> Tensor:
    """One direction (see `segmend.ops.scan.scan`)."""
    x, gates = _downwards(x, direction), _downwards(_without_outside(gates, direction), direction)
    neighbours = gates.shape[2]
    lines = [x[:, :, 0]]
    for t in range(1, x.shape[2]):
        before = F.pad(lines[-1], (neighbours // 2, neighbours // 2)).unfold(2, neighbours, 1)
        p = gates[:, :, :, t].transpose(2, 3)
        lines.append((1 - p.sum(3)) * x[:, :, t] + (p * before).sum(3))
    return _downwards(torch.stack(lines, dim=2), direction, back=True)


def forward(x: Tensor, gates: Tensor, directions: Sequence[int], summed: bool = False) -> Tensor:
    """The maximum over the scans along `directions`, or their sum (gates: ``[B, directions, G, K, H, W]``)."""
    scans = torch.stack([scan(x, gates[:, i], d) for i, d in enumerate(directions)])
    return scans.sum(dim=0) if summed else scans.max(dim=0).values


def backward(
    x: Tensor, gates: Tensor, grad: Tensor, directions: Sequence[int], summed: bool = False
) -> tuple[Tensor, Tensor]:
    """Gradients of `forward`, by autograd."""
    with torch.enable_grad():
        leaves = x.detach().requires_grad_(), gates.detach().requires_grad_()
        dx, dgates = torch.autograd.grad(
            forward(*leaves, directions, summed), leaves, grad, materialize_grads=True
        )
    return dx, dgates


def _without_outside(gates: Tensor, direction: int) -> Tensor:
    """Gates of neighbours outside the image are 0."""
    if gates.shape[2] == 1:
        return gates
    left, middle, right = gates.unbind(2)
    if direction in (RIGHT, LEFT):
        left = F.pad(left[:, :, 1:], (0, 0, 1, 0))
        right = F.pad(right[:, :, :-1], (0, 0, 0, 1))
    else:
        left = F.pad(left[..., 1:], (1, 0))
        right = F.pad(right[..., :-1], (0, 1))
    return torch.stack((left, middle, right), dim=2)


def _downwards(map_: Tensor, direction: int, back: bool = False) -> Tensor:
    """Turn a map so that the direction is down, or back again."""
    if direction in (RIGHT, LEFT) and not back:
        map_ = map_.transpose(-1, -2)
    if direction in (LEFT, UP):
        map_ = map_.flip(-2)
    if direction in (RIGHT, LEFT) and back:
        map_ = map_.transpose(-1, -2)
    return map_
