"""How unlike neighbours are: what similarity gates are made of."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops import native
from segmend.ops.operation import operation
from segmend.ops.scan import normalize_gates


def neighbour_distances(features: Tensor, connections: int) -> Tensor:
    """Squared distances of each pixel's features to those of its neighbours in the line before.

    Args:
        features: ``[B, E, H, W]``; half precision is computed in float32.
        connections: 3 or 1 neighbours.

    Returns:
        ``[B, 4, K, H, W]`` for right, left, down, up; infinite where the neighbour lies outside.

    Raises:
        ValueError: another number of neighbours, or features of another shape.
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


def similarity_gates(features: Tensor, kept: Tensor, connections: int) -> Tensor:
    """Gates that are large between neighbours alike: ``kept exp(-distance)``, normalised over the neighbours.

    Args:
        features: ``[B, E, H, W]``.
        kept: ``[B, 4, H, W]``, at least 0: most that gates of a direction sum to.
        connections: 3 or 1 neighbours.

    Returns:
        ``[B, 4, 1, K, H, W]``, shared by the channels of what is scanned (see `segmend.ops.scan.scan4`).
    """
    if native.serves(features.device.type) and features.dtype == torch.float32 and not torch.is_grad_enabled():
        found: Tensor = torch.ops.segmend.similarity_gates(features, kept, connections)
        return found
    gates = normalize_gates(torch.exp(-neighbour_distances(features, connections)))
    return (gates * kept[:, :, None]).unsqueeze(2)


def neighbour_distances_reference(features: Tensor, connections: int) -> Tensor:
    """`neighbour_distances` in plain PyTorch."""
    height, width = features.shape[2:]
    framed = F.pad(features, (1, 1, 1, 1))
    inside = F.pad(torch.ones(height, width, dtype=torch.bool, device=features.device), (1, 1, 1, 1))

    def distance(dy: int, dx: int) -> Tensor:
        rows, columns = slice(1 + dy, 1 + dy + height), slice(1 + dx, 1 + dx + width)
        apart = (features - framed[:, :, rows, columns]).square().sum(dim=1)
        return apart.masked_fill(~inside[rows, columns], torch.inf)

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
def _similarity(features: Tensor, kept: Tensor, connections: int) -> Tensor:
    images, _, height, width = features.shape
    out = native.empty((images, 4, 1, connections, height, width))
    _run("segmend_similarity", (features.contiguous(), kept.contiguous(), out), features, connections)
    return out


@_similarity.register_fake
def _(features: Tensor, kept: Tensor, connections: int) -> Tensor:
    images, _, height, width = features.shape
    return features.new_empty((images, 4, 1, connections, height, width))


@operation("neighbour_distances_backward")
def _distances_backward(features: Tensor, grad: Tensor, connections: int) -> Tensor:
    given = features.float().contiguous()
    out = native.empty(given.shape).zero_()
    _run("segmend_distances_back", (given, grad.contiguous(), out), features, connections)
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


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    features, ctx.connections = inputs
    ctx.save_for_backward(features)


def _gradients(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
    backward = torch.ops.segmend.neighbour_distances_backward
    return backward(*ctx.saved_tensors, grad, ctx.connections), None


_distances.register_autograd(_gradients, setup_context=_keep)
_distances.computes_in_float32()
