"""Overlap in which every instance counts alike, whatever its size (Cityscapes' iIoU)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segmend.labels import InvalidInput
from segmend.metrics.overlap import LabelMap, label_pair, share

Groups = Sequence[Sequence[int]]
"""Class ids of each group."""


def instance_iou_counts(
    prediction: LabelMap,
    truth: LabelMap,
    instances: np.ndarray,
    num_classes: int,
    typical: Mapping[int, float],
    groups: Groups | None = None,
) -> np.ndarray:
    """What one image adds to `instance_iou`: ``float64 [G, 3]``, right, missed and wrongly claimed pixels.

    Right and missed pixels of an instance are weighted by its class's typical size over its own; pixels that are
    wrongly claimed count as they are.

    Args:
        prediction, truth: label maps ``[H, W]``.
        instances: a number for each instance of a class in `typical`; 0 where there is none. Integers ``[H, W]``.
        typical: mean number of pixels of an instance, by class, of the classes that have instances.
        groups: classes that may be taken for each other (Cityscapes' categories); None: each class is a group.

    Raises:
        InvalidInput: different shapes, ids that are neither a class nor void, an instance of two classes or of one
            that has no typical size.
    """
    predicted, true = label_pair(prediction, truth, num_classes)
    if instances.shape != true.shape:
        raise InvalidInput(f"expected instances of shape {true.shape}, found {instances.shape}")
    groups = [[c] for c in range(num_classes)] if groups is None else groups
    group_of = np.full(num_classes + 1, -1)
    for number, group in enumerate(groups):
        group_of[list(group)] = number
    counts = np.zeros((len(groups), 3))
    claimed, theirs = group_of[predicted], group_of[true]
    inside = instances != 0
    names, first, own = np.unique(instances[inside], return_index=True, return_inverse=True)
    classes, group = true[inside][first], theirs[inside][first]
    if (true[inside] != classes[own]).any():
        raise InvalidInput("expected instances of one class each; one has two classes in the truth")
    sizes = np.bincount(own, minlength=len(names))
    right = np.bincount(own, claimed[inside] == theirs[inside], minlength=len(names))
    try:
        weights = np.array([typical[int(c)] for c in classes]) / sizes
    except KeyError as error:
        raise InvalidInput(f"class {error} has instances, but no typical size") from None
    chosen = group >= 0
    np.add.at(counts[:, 0], group[chosen], (weights * right)[chosen])
    np.add.at(counts[:, 1], group[chosen], (weights * (sizes - right))[chosen])
    wrong = (true < num_classes) & (claimed != theirs) & (claimed >= 0)
    counts[:, 2] = np.bincount(claimed[wrong], minlength=len(groups))
    return counts


def instance_iou(counts: np.ndarray, typical: Mapping[int, float], groups: Groups | None = None) -> np.ndarray:
    """``iTP / (iTP + iFN + FP)`` of each group ``float64 [G]`` (0..1).

    NaN for groups that hold a class without instances, and where nothing was there nor claimed.

    Args:
        counts: `instance_iou_counts`, also summed over images.
        typical, groups: as there.
    """
    groups = [[c] for c in range(len(counts))] if groups is None else groups
    scores = share(counts[:, 0], counts.sum(axis=1))
    scores[[not all(c in typical for c in group) for group in groups]] = np.nan
    return scores


class InstanceIoU(Metric):
    """`instance_iou` over all images seen, ``float64 [G]``; arguments as of `instance_iou_counts`."""

    full_state_update = False
    counts: Tensor

    def __init__(
        self, num_classes: int, typical: Mapping[int, float], groups: Groups | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.num_classes, self.typical, self.groups = num_classes, typical, groups
        size = num_classes if groups is None else len(groups)
        self.add_state("counts", torch.zeros(size, 3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: LabelMap, truth: LabelMap, instances: np.ndarray) -> None:
        """Add one image."""
        new = instance_iou_counts(prediction, truth, instances, self.num_classes, self.typical, self.groups)
        self.counts += torch.from_numpy(new).to(self.counts.device)

    def compute(self) -> Tensor:
        return torch.as_tensor(instance_iou(self.counts.cpu().numpy(), self.typical, self.groups))
