"""Means of values with Gaussian weights, as in the appearance term of a dense CRF."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops import native
from segmend.ops.operation import operation


def gaussian_means(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Means of the keys' values for each query, weighted by ``exp(-|query - key|^2 / 2)``. No gradients.

    Args:
        queries: points ``[B, D, N]``.
        keys: points ``[B, D, M]``.
        values: of the keys, ``[B, C, M]``.

    Returns:
        ``float32 [B, C, N]``. Where all weights underflow, the values of the nearest key.

    Raises:
        ValueError: shapes that do not fit.

    >>> queries, keys = torch.tensor([[[0.0, 1.0, 900.0]]]), torch.tensor([[[0.0, 2.0]]])
    >>> gaussian_means(queries, keys, torch.tensor([[[10.0, 20.0]]]))
    tensor([[[11.1920, 15.0000, 20.0000]]])
    """
    fits = (
        queries.ndim == keys.ndim == values.ndim == 3
        and queries.shape[:2] == keys.shape[:2]
        and values.shape[::2] == keys.shape[::2]
        and values.shape[2] > 0
    )
    if not fits:
        found = ", ".join(str(list(m.shape)) for m in (queries, keys, values))
        raise ValueError(f"expected points [B, D, N] and [B, D, M], and values [B, C, M], found {found}")
    centre = keys.float().mean(dim=2, keepdim=True)  # for precision: weights depend on differences only
    queries, keys, values = queries.detach() - centre, keys.detach() - centre, values.detach().float()
    if native.serves(queries.device.type):
        means: Tensor = torch.ops.segmend.gaussian_means(queries, keys, values)
        return means
    return gaussian_means_reference(queries, keys, values)


def gaussian_means_reference(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """`gaussian_means` in plain PyTorch, by its fused attention: points ``[B, D, ...]`` whose mean is near 0."""
    squares = -0.5 * keys.square().sum(dim=1, keepdim=True)
    key = torch.cat((keys, squares), dim=1)
    query = torch.cat((queries, torch.ones_like(queries[:, :1])), dim=1)
    if torch.compiler.is_exporting():  # other runtimes have no such kernel
        return values @ (key.transpose(1, 2) @ query).softmax(dim=1)
    # The fused kernel, 7 times faster on a CPU, needs one width for all three, a multiple of 8.
    width = -(-max(query.shape[1], values.shape[1]) // 8) * 8
    query, key, value = (
        F.pad(m.transpose(1, 2), (0, width - m.shape[1])).unsqueeze(1) for m in (query, key, values)
    )
    with torch.autocast(values.device.type, enabled=False):
        found = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return found.squeeze(1)[..., : values.shape[1]].transpose(1, 2)


@operation("gaussian_means")
def _gaussian_means(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    images, dims, points = queries.shape
    channels, count = values.shape[1:]
    squares = -0.5 * keys.square().sum(dim=1, keepdim=True)
    with_squares = torch.cat((keys, squares), dim=1).transpose(1, 2).contiguous()
    queries, held = queries.contiguous(), values.transpose(1, 2).contiguous()
    out = native.empty((images, channels, points))
    kernel = native.function("segmend_gaussian_means", "f32")

    def call(image: int, first: int, last: int) -> int:
        maps = queries[image], with_squares[image], held[image], out[image]
        return kernel(*maps, first, last, points, count, dims, channels)

    parts = native.shares(images, points)
    native.run_all(partial(call, image, *part) for image in range(images) for part in parts)
    return out


@_gaussian_means.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return queries.new_empty(queries.shape[0], values.shape[1], queries.shape[2])
