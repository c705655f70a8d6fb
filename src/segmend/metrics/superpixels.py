"""Accuracy over superpixels, where the ground truth is a class for each superpixel (LFW Part Labels)."""

from __future__ import annotations

import numpy as np

from segmend.labels import InvalidInput, check_same_size
from segmend.metrics.overlap import LabelMap, RatioOfCounts, with_void_last


def superpixel_counts(
    preds: LabelMap, target: LabelMap, superpixels: np.ndarray, num_classes: int
) -> tuple[int, int]:
    """The number of superpixels whose most frequent predicted class is right, and of all that have a valid label.

    Where two classes are as frequent, the smaller id counts. A superpixel is wrong that has no pixels, or whose
    pixels are all predicted as void.

    Args:
        preds: label map ``[H, W]``.
        target: class of each superpixel, integers ``[S]``; void ones do not count.
        superpixels: number of each pixel's superpixel, 0..S - 1, integers ``[H, W]``.
        num_classes: C.

    Raises:
        InvalidInput: different sizes, ids that are neither a class nor void, or a superpixel without a label.

    >>> preds, superpixels = np.array([[0, 1, 1, 0]], np.uint8), np.array([[0, 0, 0, 1]])
    >>> superpixel_counts(preds, np.array([1, 1], np.uint8), superpixels, num_classes=2)
    (1, 2)
    """
    check_same_size(preds=preds, superpixels=superpixels)
    predicted, true = with_void_last(preds, num_classes), with_void_last(target, num_classes)
    if superpixels.size and not (superpixels.min() >= 0 and superpixels.max() < len(target)):
        raise InvalidInput(
            f"expected superpixels 0..{len(target) - 1}, as there are {len(target)} labels; "
            f"found {superpixels.min()}..{superpixels.max()}"
        )
    valid = predicted < num_classes
    pairs = superpixels[valid].astype(np.int64) * num_classes + predicted[valid]
    counts = np.bincount(pairs, minlength=len(target) * num_classes).reshape(-1, num_classes)
    right = (counts.argmax(axis=1) == true) & counts.any(axis=1)
    return int(right.sum()), int((true < num_classes).sum())


class SuperpixelAccuracy(RatioOfCounts):
    """Share of right superpixels (`superpixel_counts`) over all images seen, ``float64 []``; NaN without any.

    >>> metric = SuperpixelAccuracy(num_classes=2)
    >>> preds, superpixels = np.array([[0, 1, 1, 0]], np.uint8), np.array([[0, 0, 0, 1]])
    >>> metric.update(preds, np.array([1, 1], np.uint8), superpixels)
    >>> metric.compute().item()
    0.5
    """

    higher_is_better = True

    def update(self, preds: LabelMap, target: LabelMap, superpixels: np.ndarray) -> None:
        """Add one image."""
        self.add(*superpixel_counts(preds, target, superpixels, self.num_classes))
