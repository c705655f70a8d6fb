"""Blobs: areas of a label map that belong together (SVC section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cc3d
import numpy as np
import torch
from torch import Tensor

from segmend.labels import VOID
from segmend.ops import native
from segmend.ops.operation import operation


@dataclass(frozen=True)
class Blobs:
    """Areas of one class each in a batch of label maps.

    Attributes:
        ids: ``int64 [B, H, W]``, the number of a pixel's blob, counted over the batch from 0; -1 in no blob.
        labels: ``int64 [M]``, the class of each blob.
        images: ``int64 [M]``, the image of each blob.
        sizes: ``int64 [M]``, the number of pixels of each blob.

    >>> found = find_blobs(torch.tensor([[[0, 0, 1, 255]]]))
    >>> len(found), found.labels.tolist(), found.sizes.tolist()
    (2, [0, 1], [2, 1])
    """

    ids: Tensor
    labels: Tensor
    images: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Blobs:
        """The same blobs on another device."""
        return Blobs(*(value.to(device) for value in (self.ids, self.labels, self.images, self.sizes)))


def components(map_: np.ndarray) -> np.ndarray:
    """Number the 8-connected areas of equal values in a mask or an integer map ``[H, W]`` from 1, ``int32``.

    Pixels that are 0 stay 0.

    >>> components(np.array([[5, 5, 0, 5, 7]]))
    array([[1, 1, 0, 2, 3]], dtype=int32)
    """
    return cc3d.connected_components(map_, connectivity=8).astype(np.int32)


def label_components(labels: np.ndarray, void: int) -> np.ndarray:
    """Number the 8-connected areas of each class in a label map ``[H, W]`` from 1, ``int32``; void pixels are 0.

    >>> label_components(np.array([[0, 0, 1, 255, 0]]), void=255)
    array([[1, 1, 2, 0, 3]], dtype=int32)
    """
    return components(np.where(labels == void, 0, labels.astype(np.uint32) + 1))


def find_blobs(labels: Tensor, ignore_index: int = VOID, by_class: bool = False) -> Blobs:
    """The 8-connected areas of each class in label maps.

    Args:
        labels: integers ``[B, H, W]``.
        ignore_index: pixels with this label are in no blob.
        by_class: all pixels of a class in an image are one blob, in however many areas.

    >>> find_blobs(torch.tensor([[[0, 1, 0, 255]]])).ids
    tensor([[[ 0,  1,  2, -1]]])
    >>> find_blobs(torch.tensor([[[0, 1, 0, 255]]]), by_class=True).ids
    tensor([[[ 0,  1,  0, -1]]])
    """
    maps = labels.cpu().numpy()
    numbers = maps if by_class else (label_components(map_, ignore_index) for map_ in maps)
    return _blobs_of(numbers, labels, ignore_index)


def numbered_blobs(numbers: Tensor, labels: Tensor, ignore_index: int = VOID) -> Blobs:
    """Blobs of given numbers, such as superpixels: the pixels of an image that have the same number.

    Args:
        numbers: integers from 0, ``[B, H, W]``.
        labels, ignore_index: as of `find_blobs`.

    Raises:
        ValueError: sizes that differ, a negative number, or a blob with two labels.

    >>> numbered_blobs(torch.tensor([[[7, 7, 3, 3]]]), torch.tensor([[[1, 1, 0, 255]]])).ids
    tensor([[[ 1,  1,  0, -1]]])
    """
    if numbers.shape != labels.shape:
        raise ValueError(f"expected numbers of the labels' size {list(labels.shape)}, found {list(numbers.shape)}")
    return _blobs_of(numbers.cpu().numpy(), labels, ignore_index)


def label_of_numbers(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label of each number 0..N, ``int64 [N + 1]``; -1 for numbers that do not occur.

    Args:
        numbers, labels: of the same pixels, integers of any one shape.

    Raises:
        ValueError: a negative number, or one with two labels.

    >>> label_of_numbers(np.array([2, 0, 2]), np.array([5, 4, 5]))
    array([ 4, -1,  5])
    """
    if numbers.min(initial=0) < 0:
        raise ValueError(f"expected numbers of blobs from 0, found {numbers.min()}")
    label_of = np.full(int(numbers.max()) + 1 if numbers.size else 0, -1, np.int64)
    label_of[numbers] = labels
    mixed = label_of[numbers] != labels
    if mixed.any():
        number, label = numbers[mixed][0], labels[mixed][0]
        raise ValueError(f"expected one label in each blob, found {label} and {label_of[number]} in blob {number}")
    return label_of


def _blobs_of(numbers: Iterable[np.ndarray], labels: Tensor, ignore_index: int) -> Blobs:
    """A blob for each number in each image, of its valid pixels."""
    ids = np.full(labels.shape, -1, np.int64)
    classes, images, sizes = [], [], []
    count = 0
    for image, (numbers_here, labels_here) in enumerate(zip(numbers, labels.cpu().numpy(), strict=True)):
        valid = labels_here != ignore_index
        found = numbers_here[valid]
        label_of = label_of_numbers(found, labels_here[valid])
        occurs = label_of >= 0
        ids[image][valid] = (count + np.cumsum(occurs) - 1)[found]
        classes.append(label_of[occurs])
        sizes.append(np.bincount(found, minlength=len(label_of))[occurs])
        images.append(np.full(int(occurs.sum()), image))
        count += int(occurs.sum())
    parts = (np.concatenate(part).astype(np.int64) for part in (classes, images, sizes))
    return Blobs(torch.from_numpy(ids), *(torch.from_numpy(part) for part in parts)).to(labels.device)


def blob_sums(values: Tensor, blobs: Blobs) -> Tensor:
    """Sums of a map ``[B, C, H, W]`` over each blob, ``[M, C]``; differentiable.

    >>> blobs = find_blobs(torch.tensor([[[0, 0, 1]]]))
    >>> blob_sums(torch.tensor([[[[1.0, 2.0, 3.0]]]]), blobs)
    tensor([[3.],
            [3.]])
    """
    flat, index = _inside(values, blobs)
    return flat.new_zeros(len(blobs), values.shape[1]).index_add(0, index, flat)


def blob_log_means(log_values: Tensor, blobs: Blobs) -> Tensor:
    """Logarithms of the means over each blob, computed in log space, ``[M, C]``; differentiable.

    ``log mean_s exp(x_s) = logsumexp_s x_s - log n``: finite where the mean itself would underflow.

    Args:
        log_values: the logarithms x of what is averaged, ``[B, C, H, W]``.
        blobs: M of them.

    >>> blobs = find_blobs(torch.tensor([[[0, 0, 1]]]))
    >>> blob_log_means(torch.tensor([[[[-800.0, -800.0, 0.0]]]]), blobs)
    tensor([[-800.],
            [   0.]])
    """
    flat, index = _inside(log_values, blobs)
    shape = len(blobs), log_values.shape[1]
    lowest = flat.new_full(shape, -torch.inf)
    most = lowest.scatter_reduce(0, index.unsqueeze(1).expand_as(flat), flat.detach(), "amax")
    sums = flat.new_zeros(shape).index_add(0, index, (flat - most[index]).exp())
    return sums.log() + most - blobs.sizes.to(flat.dtype).log().unsqueeze(1)


def blob_softmax_sums(logits: Tensor, blobs: Blobs) -> tuple[Tensor, Tensor]:
    """Sums over each blob of the softmax and of the log-softmax of logits, ``[M, C]`` each; differentiable.

    On a CPU the native library computes them in float32 without a probability map in memory. A probability below
    1e-38 counts as 0 in the first sum (see `blob_log_means`).

    Args:
        logits: ``[B, C, H, W]``; half precision is computed in float32, float64 in PyTorch.
        blobs: M of them.

    >>> blobs = find_blobs(torch.tensor([[[0, 0, 1]]]))
    >>> blob_softmax_sums(torch.zeros(1, 2, 1, 3), blobs)[0]
    tensor([[1.0000, 1.0000],
            [0.5000, 0.5000]])
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
    # Each band has sums of its own, which are added in order: the same result every time.
    sums = torch.zeros(len(bands), count, 2, classes, dtype=torch.float64)
    values, blobs = logits.float().contiguous(), ids.contiguous()
    kernel = native.function("segmend_blob_sums", "f32")

    def call(image: int, band: int) -> int:
        maps = values[image], blobs[image], sums[band]
        return kernel(*maps, *bands[band], classes, height, width)

    native.run_all(partial(call, p, b) for p in range(images) for b in range(len(bands)))
    return sums.sum(0).float()


@operation("blob_softmax_sums_backward")
def _softmax_sums_backward(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    images, classes, height, width = logits.shape
    values, blobs, factors = logits.float().contiguous(), ids.contiguous(), weights.float().contiguous()
    grad = native.empty(values.shape).zero_()
    kernel = native.function("segmend_blob_sums_back", "f32")

    def call(image: int, first: int, last: int) -> int:
        maps = values[image], blobs[image], factors, grad[image]
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


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    logits, ids, _ = inputs
    ctx.save_for_backward(logits, ids)


def _gradients(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
    return torch.ops.segmend.blob_softmax_sums_backward(*ctx.saved_tensors, weights), None, None


_softmax_sums.register_autograd(_gradients, setup_context=_save)
_softmax_sums.computes_in_float32()


def _inside(values: Tensor, blobs: Blobs) -> tuple[Tensor, Tensor]:
    """The pixels in blobs, ``[N, C]``, and their blobs ``[N]``."""
    index = blobs.ids.flatten()
    inside = index >= 0
    return values.movedim(1, -1).reshape(-1, values.shape[1])[inside], index[inside]
