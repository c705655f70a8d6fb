"""Accuracy over superpixels, where the truth is one label each (LFW Part Labels)."""

from __future__ import annotations

import numpy as np

from segmend.labels import InvalidInput, as_tensor, check_ids, check_same_size, void_of
from segmend.metrics.overlap import LabelMap, RatioOfCounts


def superpixel_counts(
    prediction: LabelMap, superpixels: np.ndarray, labels: np.ndarray, num_classes: int
) -> tuple[int, int]:
    """Superpixels whose most frequent predicted class is their true one, and all that have a true one.

    Of classes as frequent the first counts; a superpixel without pixels, or predicted as void alone, is wrong.

    Args:
        prediction: label map ``[H, W]``.
        superpixels: number of each pixel's superpixel, 0..S - 1, integers ``[H, W]``.
        labels: true class of each superpixel, ``uint8`` or ``int32`` ``[S]``; void ones do not count.

    Raises:
        InvalidInput: different sizes, ids that are neither a class nor void, or a superpixel without a label.
    """
    check_same_size(prediction=prediction, superpixels=superpixels)
    for map_ in (prediction, labels):
        check_ids(map_, num_classes)
    predicted, void = as_tensor(prediction).cpu().numpy(), void_of(prediction)
    if superpixels.size and not (superpixels.min() >= 0 and superpixels.max() < len(labels)):
        raise InvalidInput(
            f"expected superpixels 0..{len(labels) - 1}, as there are {len(labels)} labels; "
            f"found {superpixels.min()}..{superpixels.max()}"
        )
    known = predicted != void
    pairs = superpixels[known].astype(np.int64) * num_classes + predicted[known]
    counts = np.bincount(pairs, minlength=len(labels) * num_classes).reshape(-1, num_classes)
    right = (counts.argmax(axis=1) == labels) & counts.any(axis=1)
    return int(right.sum()), int((labels != void_of(labels)).sum())


class SuperpixelAccuracy(RatioOfCounts):
    """Share of right superpixels (`superpixel_counts`) over all images seen, ``float64 []``; NaN without any."""

    def update(self, prediction: LabelMap, superpixels: np.ndarray, labels: np.ndarray) -> None:
        """Add one image."""
        self.add(*superpixel_counts(prediction, superpixels, labels, self.num_classes))
