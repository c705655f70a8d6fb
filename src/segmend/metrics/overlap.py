"""Overlap of label maps with the truth: everything that follows from a confusion matrix.

A confusion matrix here is ``int64 [C, C + 1]``: element (t, p) counts the pixels of class t in the truth
that were predicted as p. Its last column counts predicted void, an error of the truth's class. Pixels that
are void in the truth are in no element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segmend.labels import VOID, InvalidInput, as_tensor, check_ids, void_of

LabelMap = Tensor | np.ndarray
"""A label map ``uint8`` or ``int32``; void is 255 or 65535 (see `segmend.labels`)."""


def confusion_matrix(prediction: LabelMap, truth: LabelMap, num_classes: int) -> np.ndarray:
    """Confusion matrix ``int64 [C, C + 1]`` of label maps ``[H, W]`` or ``[B, H, W]``.

    Raises:
        InvalidInput: different shapes, or ids that are neither a class nor void.
    """
    predicted, true = label_pair(prediction, truth, num_classes)
    return count_pairs(predicted, true, num_classes)


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of pixels (0..1) that have the right class; NaN without pixels."""
    return float(share(np.trace(confusion), confusion.sum()))


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of each class's pixels that were found, ``float64 [C]`` (0..1); NaN where the truth has none."""
    return share(np.diagonal(confusion), confusion.sum(-1))


def mean_accuracy(confusion: np.ndarray) -> float:
    """Mean of `class_accuracy` over the classes in the truth."""
    return float(mean_of_known(class_accuracy(confusion)))


def iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union ``float64 [..., C]`` (0..1) of confusion matrices ``[..., C, C + 1]``.

    NaN where a class is in neither truth nor prediction.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    predicted = confusion[..., :-1].sum(-2)
    return share(right, confusion.sum(-1) + predicted - right)


def merge_classes(confusion: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """The confusion matrix ``[G, G + 1]`` of groups of classes, of one ``[C, C + 1]``.

    Its `iou` is Cityscapes' IoU of categories.
    Of classes in no group, those that are true count nowhere, those predicted count as void. Groups share none.
    """
    member = np.zeros((len(groups), len(confusion)), confusion.dtype)
    for row, group in zip(member, groups, strict=True):
        row[list(group)] = 1
    rows = member @ confusion
    inside = rows[:, :-1] @ member.T
    return np.concatenate((inside, rows.sum(1, keepdims=True) - inside.sum(1, keepdims=True)), axis=1)


def mean_iou(confusion: np.ndarray, chosen: Sequence[int] | None = None) -> float:
    """Mean of `iou` over the classes in truth or prediction; NaN without pixels.

    Args:
        chosen: ids of the classes that count (None: all).
    """
    found = iou(confusion)
    return float(mean_of_known(found if chosen is None else found[list(chosen)]))


def f_measure(confusion: np.ndarray, groups: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """F-measure (Dice) ``float64 [G]`` (0..1) of each group of classes; NaN where a group is in neither map.

    Args:
        confusion: ``int64 [C, C + 1]``.
        groups: class ids of each group. The pixels of a group are merged, so confusion inside it is right,
            as in HELEN's protocol (both eyes, both brows, inside of the mouth). Groups may share classes.
            None: each class is a group.

    Raises:
        InvalidInput: a group holds an id that is no class.
    """
    classes = len(confusion)
    groups = [[c] for c in range(classes)] if groups is None else groups
    member = np.zeros((len(groups), classes), np.int64)
    for row, group in zip(member, groups, strict=True):
        if not all(0 <= c < classes for c in group):
            raise InvalidInput(f"expected groups of class ids 0..{classes - 1}, found {list(group)}")
        row[list(group)] = 1
    square = confusion[:, :-1]
    right = (member @ square * member).sum(-1)
    return share(2 * right, member @ confusion.sum(-1) + member @ square.sum(-2))


def share_changed(before: np.ndarray, after: np.ndarray, points: float = 0.5) -> tuple[float, float]:
    """Shares (0..1) of images that were improved and worse.

    Args:
        before, after: each image's own mIoU ``[N]`` (0..1). Images without one (NaN) are left out.
        points: an image counts if its mIoU changed by more than this, in hundredths.

    Raises:
        InvalidInput: `before` and `after` differ in shape.
    """
    better, worse, images = _count_changed(np.asarray(before), np.asarray(after), points)
    return float(share(better, images)), float(share(worse, images))


class RatioOfCounts(Metric):
    """Adds up two whole numbers over all images seen, and divides the first by the second, ``float64 []``.

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

    def add(self, part: int, whole: int) -> None:
        """Add what one image has."""
        self.counts += torch.tensor((part, whole), device=self.counts.device)

    def compute(self) -> Tensor:
        return torch.as_tensor(share(*self.counts.tolist()))


class ConfusionMatrix(Metric):
    """`confusion_matrix` of all label maps seen, ``int64 [C, C + 1]``.

    Args:
        num_classes: C.
        options: those of `torchmetrics.Metric`.
    """

    full_state_update = False
    confusion: Tensor

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        zeros = torch.zeros(num_classes, num_classes + 1, dtype=torch.int64)
        self.add_state("confusion", zeros, dist_reduce_fx="sum")

    def update(self, prediction: LabelMap, truth: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        new = confusion_matrix(prediction, truth, self.num_classes)
        self.confusion += torch.from_numpy(new).to(self.confusion.device)

    def compute(self) -> Tensor:
        return self.confusion.clone()

    @property
    def counts(self) -> np.ndarray:
        """The confusion matrix as an array."""
        return self.confusion.cpu().numpy()


class PixelAccuracy(ConfusionMatrix):
    """`pixel_accuracy` over all pixels seen, ``float64 []``."""

    def compute(self) -> Tensor:
        return torch.as_tensor(pixel_accuracy(self.counts), dtype=torch.float64)


class MeanAccuracy(ConfusionMatrix):
    """`mean_accuracy` over all pixels seen, ``float64 []``."""

    def compute(self) -> Tensor:
        return torch.as_tensor(mean_accuracy(self.counts), dtype=torch.float64)


class IoU(ConfusionMatrix):
    """`iou` over all pixels seen, ``float64 [C]``."""

    def compute(self) -> Tensor:
        return torch.as_tensor(iou(self.counts))


class MeanIoU(ConfusionMatrix):
    """`mean_iou` over all pixels seen, ``float64 []``."""

    def compute(self) -> Tensor:
        return torch.as_tensor(mean_iou(self.counts), dtype=torch.float64)


class FMeasure(ConfusionMatrix):
    """`f_measure` over all pixels seen, ``float64 [G]``.

    Args:
        num_classes: C.
        groups: class ids of each group (None: each class is a group).
        options: those of `torchmetrics.Metric`.
    """

    def __init__(self, num_classes: int, groups: Sequence[Sequence[int]] | None = None, **options: Any) -> None:
        super().__init__(num_classes, **options)
        self.groups = groups

    def compute(self) -> Tensor:
        return torch.as_tensor(f_measure(self.counts, self.groups))


class ShareChanged(Metric):
    """`share_changed` over all images seen: ``float64 [2]``, improved and degraded.

    Args:
        num_classes: C.
        points: an image counts if its mIoU changed by more than this, in hundredths.
        options: those of `torchmetrics.Metric`.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int, points: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.points = points
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, coarse: LabelMap, prediction: LabelMap, truth: LabelMap) -> None:
        """Add one image ``[H, W]`` or several ``[B, H, W]``: labels before, labels after, and the truth."""
        scores = [
            [mean_iou(confusion_matrix(labels, true, self.num_classes)) for labels in (before, after)]
            for before, after, true in images(coarse, prediction, truth)
        ]
        before, after = np.array(scores).reshape(-1, 2).T
        new = _count_changed(before, after, self.points)
        self.counts += torch.tensor(new, device=self.counts.device)

    def compute(self) -> Tensor:
        better, worse, seen = self.counts.cpu().numpy()
        return torch.as_tensor(share(np.array([better, worse]), seen))


def label_pair(prediction: LabelMap, truth: LabelMap, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Both label maps as arrays of one data type (``uint8``, or ``uint16`` for many classes), void being C.

    Raises:
        InvalidInput: different shapes, no integers, or ids that are neither a class nor void.
    """
    maps = as_tensor(prediction), as_tensor(truth)
    _check_one_shape(*maps)
    predicted, true = (_with_void_last(labels, num_classes) for labels in maps)
    return predicted, true


def count_pairs(predicted: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix of what `label_pair` gave, or of the same pixels of both."""
    side = num_classes + 1
    pairs = true.astype(np.intp) * side + predicted
    return np.bincount(pairs.ravel(), minlength=side * side).reshape(side, side)[:-1]


def images(*maps: LabelMap) -> Iterator[tuple[LabelMap, ...]]:
    """The maps ``[H, W]`` of each image, of maps ``[H, W]`` or ``[B, H, W]``.

    Raises:
        InvalidInput: different shapes.
    """
    _check_one_shape(*maps)
    return zip(*(m if m.ndim == 3 else m[None] for m in maps), strict=True)


def share(part: Any, whole: Any) -> np.ndarray:
    """part / whole in ``float64``, element by element; NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last dimension of the values that are not NaN; NaN where all are."""
    return share(np.nansum(values, -1), (~np.isnan(values)).sum(-1))


def _with_void_last(labels: Tensor, num_classes: int) -> np.ndarray:
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise InvalidInput(f"expected a label map of integers, found {labels.dtype}")
    check_ids(labels, num_classes)
    array = labels.cpu().numpy()
    ids = array.astype(np.uint8 if num_classes <= VOID else np.uint16)
    ids[array == void_of(array)] = num_classes
    return ids


def _check_one_shape(*maps: LabelMap) -> None:
    shapes = {tuple(m.shape) for m in maps}
    if len(shapes) > 1:
        raise InvalidInput(f"expected label maps of one shape, found {', '.join(map(str, sorted(shapes)))}")


def _count_changed(before: np.ndarray, after: np.ndarray, points: float) -> tuple[int, int, int]:
    """Number of images improved, degraded, and in total."""
    if before.shape != after.shape:
        raise InvalidInput(f"expected scores of the same images, found {before.shape} and {after.shape}")
    # Rounded, as a change of exactly `points` must not count for the last bit of a difference.
    change = np.round(100.0 * (after - before), 9)
    return int((change > points).sum()), int((change < -points).sum()), int((~np.isnan(change)).sum())
