"""How torn label maps are: their connected components, beside those of the truth."""

from __future__ import annotations

import numpy as np

from segmend.metrics.overlap import LabelMap, RatioOfCounts, images, label_pair
from segmend.ops.blobs import label_components


def sparsity(prediction: LabelMap, truth: LabelMap, num_classes: int) -> int:
    """``|cc(prediction) - cc(truth)|``: the difference in the number of components (SVC, section 4.2).

    Components are 8-connected areas of one class, background included; pixels that are void in either map are in
    none.

    Args:
        prediction, truth: label maps ``[H, W]`` of one image.

    Raises:
        InvalidInput: different shapes, or ids that are neither a class nor void.
    """
    predicted, true = label_pair(prediction, truth, num_classes)
    predicted[true == num_classes] = num_classes
    return abs(_count(predicted, num_classes) - _count(true, num_classes))


class Sparsity(RatioOfCounts):
    """Mean of `sparsity` over all images seen, ``float64 []``; NaN without any."""

    def update(self, prediction: LabelMap, truth: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        for predicted, true in images(prediction, truth):
            self.add(sparsity(predicted, true, self.num_classes), 1)


def _count(labels: np.ndarray, void: int) -> int:
    return int(label_components(labels, void).max(initial=0))
