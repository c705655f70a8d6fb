"""How torn label maps are: their connected components, beside those of the truth."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segmend.metrics.overlap import LabelMap, label_pair, pictures, share


def sparsity(prediction: LabelMap, truth: LabelMap, num_classes: int) -> int:
    """``|cc(prediction) - cc(truth)|``: the difference in the number of components (SVC, section 4.2).

    Components are 8-connected areas of one class, background included; pixels that are void in either map are in
    none.

    Args:
        prediction, truth: label maps ``[H, W]`` of one picture.

    Raises:
        InvalidInput: different shapes, or ids that are neither a class nor void.
    """
    predicted, true = label_pair(prediction, truth, num_classes)
    predicted[true == num_classes] = num_classes
    return abs(_components(predicted, num_classes) - _components(true, num_classes))


class Sparsity(Metric):
    """Mean of `sparsity` over all pictures seen, ``float64 []``; NaN without any.

    Args:
        num_classes: C.
        options: those of `torchmetrics.Metric`.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: LabelMap, truth: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        for predicted, true in pictures(prediction, truth):
            off = sparsity(predicted, true, self.num_classes)
            self.counts += torch.tensor((off, 1), device=self.counts.device)

    def compute(self) -> Tensor:
        off, seen = self.counts.tolist()
        return torch.as_tensor(share(off, seen))


def _components(labels: np.ndarray, void: int) -> int:
    shifted = np.where(labels == void, 0, labels.astype(np.uint32) + 1)  # to cc3d, 0 is in no component
    _, count = cc3d.connected_components(shifted, connectivity=8, return_N=True)
    return int(count)
