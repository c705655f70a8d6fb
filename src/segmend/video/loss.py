"""Self-supervised loss of motion: how well a frame, moved, gives the next one (VPLR, section 3.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.warp import compose, inside, warp

CENSUS, SMOOTHNESS = 0.3, 0.05
"""Weights beside the differences of colours and of their gradients, which have 1."""


def motion_loss(displacement: Tensor, source: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """How far ``warp(source, displacement)`` is from `target`, and how rough the displacement is.

    The sum of four terms: L1 of the colours and of their gradients (in Charbonnier's smooth form), census
    differences, which do not depend on brightness, and differences between neighbouring displacements where the
    image has no edge.

    Args:
        displacement: ``[B, 2, H, W]`` in pixels, from `source` to `target`.
        source, target: ``[B, 3, H, W]`` in 0..1.
        visible: ``float [B, 1, H, W]``, 1 where a target pixel can be seen in the source (see `agreement`).

    Returns:
        A scalar.
    """
    visible = visible * inside(displacement.detach())[:, None]
    moved = warp(source, displacement)
    difference = moved - target
    colours = _mean(_charbonnier(difference), visible)
    across, down = difference.diff(dim=3), difference.diff(dim=2)
    gradients = _mean(_charbonnier(across), visible[..., 1:]) + _mean(_charbonnier(down), visible[..., 1:, :])
    census = _mean(_census_difference(moved, target), visible)
    return colours + gradients + CENSUS * census + SMOOTHNESS * roughness(displacement, target)


def roughness(displacement: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring displacements, with less weight across edges of the image."""
    total = displacement.new_zeros(())
    for axis in (2, 3):
        edges = image.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (_charbonnier(displacement.diff(dim=axis)) * (-10 * edges).exp()).mean()
    return total


def agreement(forward: Tensor, backward: Tensor) -> Tensor:
    """1 where two opposite displacements cancel, so that a pixel is visible in both frames (Sundaram et al. 2010).

    Args:
        forward: ``[B, 2, H, W]``, from the source to the target; the result is at the pixels of the target.
        backward: ``[B, 2, H, W]``, from the target to the source.

    Returns:
        ``float [B, 1, H, W]``, 0 or 1.
    """
    left = compose(backward, forward).square().sum(dim=1, keepdim=True)
    lengths = forward.square().sum(dim=1, keepdim=True) + warp(backward, forward).square().sum(dim=1, keepdim=True)
    return (left < 0.01 * lengths + 0.5).to(forward.dtype)


def _charbonnier(values: Tensor) -> Tensor:
    return (values.square() + 1e-6).sqrt()


def _census_difference(first: Tensor, second: Tensor) -> Tensor:
    signs = [_census(image) for image in (first, second)]
    squared = (signs[0] - signs[1]).square()
    return (squared / (0.1 + squared)).mean(dim=1, keepdim=True)


def _census(image: Tensor) -> Tensor:
    """Soft signs of the differences of the eight neighbours from each pixel in grey: ``[B, 8, H, W]`` in -1..1."""
    grey = 255 * image.mean(dim=1, keepdim=True)
    height, width = grey.shape[2:]
    padded = F.pad(grey, (1,) * 4, mode="replicate")
    neighbours = [
        padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3) if (y, x) != (1, 1)
    ]
    differences = torch.cat(neighbours, dim=1) - grey
    return differences / (9 + differences.square()).sqrt()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / (weights.sum() * values.shape[1]).clamp_min(1)
