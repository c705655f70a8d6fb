"""Distances between the features of neighbouring pixels, and the similarity gates that follow from them."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops import native
from segmend.ops.operation import operation
from segmend.ops.scan import normalize_gates


def neighbour_distances(features: Tensor, connections: Literal[1, 3]) -> Tensor:
    """Squared distances of each pixel's features to those of its neighbours in the line before; differentiable.

    Args:
        features: ``[B, E, H, W]``; half precision is computed in float32.
        connections: K = 3 or 1 neighbours.

    Returns:
        ``[B, 4, K, H, W]`` for right, left, down, up; infinite where the neighbour lies outside the image.

    Raises:
        ValueError: another number of neighbours, or features of another shape.

    >>> row = torch.tensor([[[[0.0, 2.0, 5.0]]]])
    >>> neighbour_distances(row, connections=1)[0, 0, 0]  # a scan to the right comes from the left
    tensor([[inf, 4., 9.]])
    """
    if connections not in (1, 3):
        raise ValueError(f"expected 1 or 3 connections, found {connections}")
    if features.ndim != 4:
        raise ValueError(f"expected features [B, E, H, W], found {list(features.shape)}")
    if native.serves(features.device.type) and features.dtype != torch.float64:
        found: Tensor = torch.ops.segmend.neighbour_distances(features, connections)
        return found
    precise = features if features.dtype == torch.float64 else features.float()
    return neighbour_distances_reference(precise, connections)


def similarity_gates(features: Tensor, limit: Tensor, connections: Literal[1, 3]) -> Tensor:
    """Gates that are large between similar neighbours: ``limit exp(-distance)``, normalised over the neighbours.

    Args:
        features: ``[B, E, H, W]``.
        limit: the largest sum of the gates of a direction over the neighbours, at least 0, ``[B, 4, H, W]``.
        connections: K = 3 or 1 neighbours.

    Returns:
        ``[B, 4, 1, K, H, W]`` for `segmend.ops.scan4`, shared by all channels.

    >>> row = torch.tensor([[[[0.0, 0.0, 5.0]]]])
    >>> similarity_gates(row, torch.full((1, 4, 1, 3), 0.9), connections=1)[0, 0, 0, 0]
    tensor([[0.0000e+00, 9.0000e-01, 1.2499e-11]])
    """
    if native.serves(features.device.type) and features.dtype == torch.float32 and not torch.is_grad_enabled():
        found: Tensor = torch.ops.segmend.similarity_gates(features, limit, connections)
        return found
    gates = normalize_gates(torch.exp(-neighbour_distances(features, connections)))
    return (gates * limit[:, :, None]).unsqueeze(2)


def neighbour_distances_reference(features: Tensor, connections: int) -> Tensor:
    """`neighbour_distances` in plain PyTorch."""
    height, width = features.shape[2:]
    padded = F.pad(features, (1, 1, 1, 1))
    inside = F.pad(torch.ones(height, width, dtype=torch.bool, device=features.device), (1, 1, 1, 1))

    def distance(dy: int, dx: int) -> Tensor:
        rows, columns = slice(1 + dy, 1 + dy + height), slice(1 + dx, 1 + dx + width)
        squared = (features - padded[:, :, rows, columns]).square().sum(dim=1)
        return squared.masked_fill(~inside[rows, columns], torch.inf)

    across = (-1, 0, 1) if connections == 3 else (0,)
    directions = [
        [distance(k, -1) for k in across],
        [distance(k, 1) for k in across],
        [distance(-1, k) for k in across],
        [distance(1, k) for k in across],
    ]
    return torch.stack([torch.stack(neighbours, dim=1) for neighbours in directions], dim=1)


@operation("neighbour_distances")
def _distances(features: Tensor, connections: int) -> Tensor:
    images, _, height, width = features.shape
    out = native.empty((images, 4, connections, height, width))
    _run("segmend_distances", (features.float().contiguous(), out), features, connections)
    return out


@operation("similarity_gates")
def _similarity(features: Tensor, limit: Tensor, connections: int) -> Tensor:
    images, _, height, width = features.shape
    out = native.empty((images, 4, 1, connections, height, width))
    _run("segmend_similarity", (features.contiguous(), limit.contiguous(), out), features, connections)
    return out


@_similarity.register_fake
def _(features: Tensor, limit: Tensor, connections: int) -> Tensor:
    images, _, height, width = features.shape
    return features.new_empty((images, 4, 1, connections, height, width))


@operation("neighbour_distances_backward")
def _distances_backward(features: Tensor, grad: Tensor, connections: int) -> Tensor:
    inputs = features.float().contiguous()
    out = native.empty(inputs.shape).zero_()
    _run("segmend_distances_back", (inputs, grad.contiguous(), out), features, connections)
    return out.to(features.dtype)


def _run(name: str, maps: tuple[Tensor, ...], features: Tensor, connections: int) -> None:
    """Call a kernel on bands of rows."""
    kernel = native.function(name, "f32")
    images, channels, height, width = features.shape

    def call(image: int, first: int, last: int) -> int:
        return kernel(*(m[image] for m in maps), first, last, channels, height, width, connections)

    bands = native.shares(images, height)
    native.run_all(partial(call, image, *band) for image in range(images) for band in bands)


@_distances.register_fake
def _(features: Tensor, connections: int) -> Tensor:
    images, _, height, width = features.shape
    return features.new_empty((images, 4, connections, height, width), dtype=torch.float32)


@_distances_backward.register_fake
def _(features: Tensor, grad: Tensor, connections: int) -> Tensor:
    return torch.empty_like(features, memory_format=torch.contiguous_format)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    features, ctx.connections = inputs
    ctx.save_for_backward(features)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    backward = torch.ops.segmend.neighbour_distances_backward
    return backward(*ctx.saved_tensors, grad, ctx.connections), None


_distances.register_autograd(_gradients, setup_context=_save)
_distances.computes_in_float32()
