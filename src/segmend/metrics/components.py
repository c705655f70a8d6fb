"""How fragmented label maps are: the number of their connected components against that of the ground truth."""

from __future__ import annotations

import numpy as np

from segmend.metrics.overlap import LabelMap, RatioOfCounts, each_image, label_pair
from segmend.ops.blobs import label_components


def sparsity(preds: LabelMap, target: LabelMap, num_classes: int) -> int:
    """``|cc(preds) - cc(target)|``: the difference in the number of components (SVC, section 4.2).

    Components are 8-connected areas of one class, background included; pixels that are void in either map are in
    none.

    Args:
        preds, target: label maps ``[H, W]`` of one image.
        num_classes: C.

    Raises:
        InvalidInput: different shapes, or ids that are neither a class nor void.

    >>> sparsity(np.array([[0, 1, 0, 1]]), np.array([[0, 0, 1, 1]]), num_classes=2)
    2
    """
    predicted, true = label_pair(preds, target, num_classes)
    predicted[true == num_classes] = num_classes
    return abs(_count(predicted, num_classes) - _count(true, num_classes))


class Sparsity(RatioOfCounts):
    """Mean of `sparsity` over all images seen, ``float64 []``; NaN without any.

    >>> metric = Sparsity(num_classes=2)
    >>> metric.update(np.array([[0, 1, 0, 1]]), np.array([[0, 0, 1, 1]]))
    >>> metric.compute().item()
    2.0
    """

    higher_is_better = False

    def update(self, preds: LabelMap, target: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        for predicted, true in each_image(preds, target):
            self.add(sparsity(predicted, true, self.num_classes), 1)


def _count(labels: np.ndarray, void: int) -> int:
    return int(label_components(labels, void).max(initial=0))
