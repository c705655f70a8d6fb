"""Overlap in which all instances have the same weight, whatever their size (Cityscapes' iIoU)."""

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
    preds: LabelMap,
    target: LabelMap,
    instances: np.ndarray,
    num_classes: int,
    typical: Mapping[int, float],
    groups: Groups | None = None,
) -> np.ndarray:
    """The counts of one image for `instance_iou`: ``float64 [G, 3]``, iTP, iFN and FP.

    True positives and false negatives of an instance are weighted by the typical size of its class over its own
    size; false positives are not weighted.

    Args:
        preds, target: label maps ``[H, W]``.
        instances: a number for each instance of a class in `typical`; 0 where there is none. Integers ``[H, W]``.
        num_classes: C.
        typical: mean number of pixels of an instance, by class, of the classes that have instances.
        groups: class ids of each group, whose classes may be predicted for each other (Cityscapes' categories);
            None: each class is a group.

    Raises:
        InvalidInput: different shapes, ids that are neither a class nor void, an instance of two classes or of one
            that has no typical size.

    >>> target, preds = np.array([[0, 1, 1, 0]]), np.array([[0, 1, 0, 1]])
    >>> instance_iou_counts(preds, target, instances=target, num_classes=2, typical={1: 4})
    array([[0., 0., 1.],
           [2., 2., 1.]])
    """
    predicted, true = label_pair(preds, target, num_classes)
    if instances.shape != true.shape:
        raise InvalidInput(f"expected instances of shape {true.shape}, found {instances.shape}")
    groups = [[c] for c in range(num_classes)] if groups is None else groups
    group_of = np.full(num_classes + 1, -1)
    for number, group in enumerate(groups):
        group_of[list(group)] = number
    counts = np.zeros((len(groups), 3))
    predicted_group, true_group = group_of[predicted], group_of[true]
    inside = instances != 0
    numbers, first, index = np.unique(instances[inside], return_index=True, return_inverse=True)
    classes, group = true[inside][first], true_group[inside][first]
    if (true[inside] != classes[index]).any():
        raise InvalidInput("expected instances of one class each; one has two classes in the target")
    sizes = np.bincount(index, minlength=len(numbers))
    found = np.bincount(index, predicted_group[inside] == true_group[inside], minlength=len(numbers))
    try:
        weights = np.array([typical[int(c)] for c in classes]) / sizes
    except KeyError as error:
        raise InvalidInput(f"class {error} has instances, but no typical size") from None
    chosen = group >= 0
    np.add.at(counts[:, 0], group[chosen], (weights * found)[chosen])
    np.add.at(counts[:, 1], group[chosen], (weights * (sizes - found))[chosen])
    wrong = (true < num_classes) & (predicted_group != true_group) & (predicted_group >= 0)
    counts[:, 2] = np.bincount(predicted_group[wrong], minlength=len(groups))
    return counts


def instance_iou(counts: np.ndarray, typical: Mapping[int, float], groups: Groups | None = None) -> np.ndarray:
    """``iTP / (iTP + iFN + FP)`` of each group ``float64 [G]`` (0..1).

    NaN for groups that hold a class without instances, and for groups in neither target nor prediction.

    Args:
        counts: `instance_iou_counts`, of one image or summed over several.
        typical, groups: as there.

    >>> instance_iou(np.array([[0, 0, 1], [2, 2, 1]]), typical={1: 4})
    array([nan, 0.4])
    """
    groups = [[c] for c in range(len(counts))] if groups is None else groups
    scores = share(counts[:, 0], counts.sum(axis=1))
    scores[[not all(c in typical for c in group) for group in groups]] = np.nan
    return scores


class InstanceIoU(Metric):
    """`instance_iou` over all images seen, ``float64 [G]``; arguments as of `instance_iou_counts`.

    >>> metric = InstanceIoU(num_classes=2, typical={1: 4})
    >>> target, preds = np.array([[0, 1, 1, 0]]), np.array([[0, 1, 0, 1]])
    >>> metric.update(preds, target, instances=target)
    >>> metric.compute().tolist()
    [nan, 0.4]
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(
        self, num_classes: int, typical: Mapping[int, float], groups: Groups | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.num_classes, self.typical, self.groups = num_classes, typical, groups
        size = num_classes if groups is None else len(groups)
        self.add_state("counts", torch.zeros(size, 3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: LabelMap, target: LabelMap, instances: np.ndarray) -> None:
        """Add one image."""
        new = instance_iou_counts(preds, target, instances, self.num_classes, self.typical, self.groups)
        self.counts += torch.from_numpy(new).to(self.counts.device)

    def compute(self) -> Tensor:
        return torch.as_tensor(instance_iou(self.counts.cpu().numpy(), self.typical, self.groups))
