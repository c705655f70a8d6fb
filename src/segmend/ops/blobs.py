"""Blobs: areas of a label map that belong together (SVC section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import cc3d
import numpy as np
import torch
from torch import Tensor

from segmend.labels import void_of
from segmend.ops import native
from segmend.ops.operation import operation


@dataclass(frozen=True)
class Blobs:
    """Areas of one class each in a batch of label maps.

    Attributes:
        ids: ``int64 [B, H, W]``, the number of a pixel's blob, counted over the batch from 0; -1 in no blob.
        labels: ``int64 [M]``, the class of each blob.
        images: ``int64 [M]``, the image of each blob.
        sizes: ``int64 [M]``, its pixels.
    """

    ids: Tensor
    labels: Tensor
    images: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Blobs:
        """The same on another device."""
        return Blobs(*(value.to(device) for value in (self.ids, self.labels, self.images, self.sizes)))


def components(map_: np.ndarray) -> np.ndarray:
    """The 8-connected areas of equal values in a mask or an integer map ``[H, W]``, numbered from 1, ``int32``.

    Where the map is 0 there is no area, and 0.
    """
    return cc3d.connected_components(map_, connectivity=8).astype(np.int32)


def label_components(labels: np.ndarray, void: int) -> np.ndarray:
    """The 8-connected areas of each class in a label map ``[H, W]``, numbered from 1, ``int32``; 0 for void."""
    return components(np.where(labels == void, 0, labels.astype(np.uint32) + 1))


def find_blobs(labels: Tensor, void: int | None = None, by_class: bool = False) -> Blobs:
    """The 8-connected areas of each class in label maps; pixels of void are in no blob.

    Args:
        labels: integers ``[B, H, W]``.
        void: its id (None: 255, or 65535 of 32-bit maps).
        by_class: all pixels of a class in an image are one blob, in however many areas.
    """
    void = void_of(labels) if void is None else void
    maps = labels.cpu().numpy()
    return _gathered(maps if by_class else (label_components(map_, void) for map_ in maps), labels, void)


def numbered_blobs(numbers: Tensor, labels: Tensor, void: int | None = None) -> Blobs:
    """Blobs that have numbers already: the pixels of an image that share one; pixels of void are in none.

    Args:
        numbers: integers from 0, ``[B, H, W]``.
        labels, void: as of `find_blobs`.

    Raises:
        ValueError: sizes that differ, a negative number, or a blob with two labels.
    """
    if numbers.shape != labels.shape:
        raise ValueError(f"expected numbers of the labels' size {list(labels.shape)}, found {list(numbers.shape)}")
    return _gathered(numbers.cpu().numpy(), labels, void_of(labels) if void is None else void)


def label_of_numbers(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label of each number 0..N among those of pixels, ``int64 [N + 1]``; -1 where it does not occur.

    Args:
        numbers, labels: of the same pixels, integers of any one shape.

    Raises:
        ValueError: a negative number, or one with two labels.
    """
    if numbers.min(initial=0) < 0:
        raise ValueError(f"expected numbers of blobs from 0, found {numbers.min()}")
    owner = np.full(int(numbers.max()) + 1 if numbers.size else 0, -1, np.int64)
    owner[numbers] = labels
    torn = owner[numbers] != labels
    if torn.any():
        number, label = numbers[torn][0], labels[torn][0]
        raise ValueError(f"expected one label in each blob, found {label} and {owner[number]} in blob {number}")
    return owner


def _gathered(numbers: Iterable[np.ndarray], labels: Tensor, void: int) -> Blobs:
    """A blob for each number in each image, where its labels are known."""
    ids = np.full(labels.shape, -1, np.int64)
    classes, images, sizes = [], [], []
    count = 0
    for image, (own, map_) in enumerate(zip(numbers, labels.cpu().numpy(), strict=True)):
        known = map_ != void
        found = own[known]
        owner = label_of_numbers(found, map_[known])
        there = owner >= 0
        ids[image][known] = (count + np.cumsum(there) - 1)[found]
        classes.append(owner[there])
        sizes.append(np.bincount(found, minlength=len(owner))[there])
        images.append(np.full(int(there.sum()), image))
        count += int(there.sum())
    parts = (np.concatenate(part).astype(np.int64) for part in (classes, images, sizes))
    return Blobs(torch.from_numpy(ids), *(torch.from_numpy(part) for part in parts)).to(labels.device)


def blob_sums(values: Tensor, blobs: Blobs) -> Tensor:
    """Sums of a map over each blob: values ``[B, C, H, W]`` to ``[M, C]``; gradients flow."""
    flat, index = _inside(values, blobs)
    return flat.new_zeros(len(blobs), values.shape[1]).index_add(0, index, flat)


def blob_log_means(log_values: Tensor, blobs: Blobs) -> Tensor:
    """Logarithms of the means over each blob of what has these logarithms, ``[M, C]``, in log space.

    ``log mean_s exp(x_s) = logsumexp_s x_s - log n``, finite where the mean itself would underflow.
    """
    flat, index = _inside(log_values, blobs)
    shape = len(blobs), log_values.shape[1]
    lowest = flat.new_full(shape, -torch.inf)
    most = lowest.scatter_reduce(0, index.unsqueeze(1).expand_as(flat), flat.detach(), "amax")
    sums = flat.new_zeros(shape).index_add(0, index, (flat - most[index]).exp())
    return sums.log() + most - blobs.sizes.to(flat.dtype).log().unsqueeze(1)


def blob_softmax_sums(logits: Tensor, blobs: Blobs) -> tuple[Tensor, Tensor]:
    """Sums over each blob of the softmax and of the log-softmax of logits, ``[M, C]`` each; gradients flow.

    In float32, by the native library on a CPU, which never holds a probability map. A probability below 1e-38
    counts as 0 in the first sum (see `blob_log_means`).

    Args:
        logits: ``[B, C, H, W]``; half precision is computed in float32, and float64 in PyTorch.
    """
    if native.serves(logits.device.type) and logits.dtype != torch.float64:
        sums = torch.ops.segmend.blob_softmax_sums(logits, blobs.ids, len(blobs))
        return sums[:, 0], sums[:, 1]
    precise = logits if logits.dtype == torch.float64 else logits.float()
    log_p = precise.log_softmax(dim=1)
    return blob_sums(log_p.exp(), blobs), blob_sums(log_p, blobs)


@operation("blob_softmax_sums")
def _softmax_sums(logits: Tensor, ids: Tensor, count: int) -> Tensor:
    images, classes, height, width = logits.shape
    bands = native.shares(images, height)
    # Bands add up apart, and are summed in their order: the same result every time.
    sums = torch.zeros(len(bands), count, 2, classes, dtype=torch.float64)
    given, blobs = logits.float().contiguous(), ids.contiguous()
    kernel = native.function("segmend_blob_sums", "f32")

    def call(image: int, band: int) -> int:
        maps = given[image], blobs[image], sums[band]
        return kernel(*maps, *bands[band], classes, height, width)

    native.run_all(partial(call, p, b) for p in range(images) for b in range(len(bands)))
    return sums.sum(0).float()


@operation("blob_softmax_sums_backward")
def _softmax_sums_backward(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    images, classes, height, width = logits.shape
    given, blobs, known = logits.float().contiguous(), ids.contiguous(), weights.float().contiguous()
    grad = native.empty(given.shape).zero_()
    kernel = native.function("segmend_blob_sums_back", "f32")

    def call(image: int, first: int, last: int) -> int:
        maps = given[image], blobs[image], known, grad[image]
        return kernel(*maps, first, last, classes, height, width)

    bands = native.shares(images, height)
    native.run_all(partial(call, p, *band) for p in range(images) for band in bands)
    return grad.to(logits.dtype)


@_softmax_sums.register_fake
def _(logits: Tensor, ids: Tensor, count: int) -> Tensor:
    return logits.new_empty((count, 2, logits.shape[1]), dtype=torch.float32)


@_softmax_sums_backward.register_fake
def _(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    logits, ids, _ = inputs
    ctx.save_for_backward(logits, ids)


def _gradients(ctx, weights: Tensor):  # type: ignore[no-untyped-def]
    return torch.ops.segmend.blob_softmax_sums_backward(*ctx.saved_tensors, weights), None, None


_softmax_sums.register_autograd(_gradients, setup_context=_keep)
_softmax_sums.computes_in_float32()


def _inside(values: Tensor, blobs: Blobs) -> tuple[Tensor, Tensor]:
    """The pixels in blobs, ``[N, C]``, and their blobs ``[N]``."""
    index = blobs.ids.flatten()
    inside = index >= 0
    return values.movedim(1, -1).reshape(-1, values.shape[1])[inside], index[inside]
