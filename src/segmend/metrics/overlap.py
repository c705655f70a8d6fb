"""Overlap of predicted label maps with the ground truth: everything that follows from a confusion matrix.

A confusion matrix here is ``int64 [C, C + 1]``: element (t, p) counts the pixels of class t in the target that
were predicted as p. Its last column counts pixels that were predicted as void: an error of the target's class.
Pixels that are void in the target are in no element.
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
"""A label map of integers; void is 255, of more than 255 classes 65535."""


def confusion_matrix(preds: LabelMap, target: LabelMap, num_classes: int) -> np.ndarray:
    """Confusion matrix ``int64 [C, C + 1]`` of label maps ``[H, W]`` or ``[B, H, W]``.

    Raises:
        InvalidInput: different shapes, or ids that are neither a class nor void.

    >>> confusion_matrix(np.array([[0, 1, 1]]), np.array([[0, 0, 1]]), num_classes=2)
    array([[1, 1, 0],
           [0, 1, 0]])
    """
    predicted, true = label_pair(preds, target, num_classes)
    return count_pairs(predicted, true, num_classes)


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of pixels (0..1) that have the right class; NaN without pixels.

    >>> pixel_accuracy(np.array([[3, 1, 0], [0, 4, 0]]))
    0.875
    """
    return float(share(np.trace(confusion), confusion.sum()))


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class, ``float64 [C]`` (0..1): the share of its pixels that have it; NaN where there are
    none.

    >>> class_accuracy(np.array([[3, 1, 0], [0, 4, 0]]))
    array([0.75, 1.  ])
    """
    return share(np.diagonal(confusion), confusion.sum(-1))


def mean_accuracy(confusion: np.ndarray) -> float:
    """Mean of `class_accuracy` over the classes in the target.

    >>> mean_accuracy(np.array([[3, 1, 0], [0, 4, 0]]))
    0.875
    """
    return float(mean_of_valid(class_accuracy(confusion)))


def iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union ``float64 [..., C]`` (0..1) of confusion matrices ``[..., C, C + 1]``.

    NaN where a class is in neither target nor prediction.

    >>> iou(np.array([[3, 1, 0], [0, 4, 0]]))
    array([0.75, 0.8 ])
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    predicted = confusion[..., :-1].sum(-2)
    return share(right, confusion.sum(-1) + predicted - right)


def merge_classes(confusion: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """The confusion matrix ``[G, G + 1]`` of groups of classes; its `iou` is Cityscapes' IoU of categories.

    Args:
        confusion: ``[C, C + 1]``.
        groups: class ids of each group; a class is in one group at most. Pixels whose target is in no group do not
            count; a prediction in no group counts as void.

    >>> merge_classes(np.array([[3, 1, 0, 0], [0, 4, 0, 0], [0, 2, 5, 0]]), [[0, 1], [2]])
    array([[8, 0, 0],
           [2, 5, 0]])
    """
    member = np.zeros((len(groups), len(confusion)), confusion.dtype)
    for row, group in zip(member, groups, strict=True):
        row[list(group)] = 1
    rows = member @ confusion
    inside = rows[:, :-1] @ member.T
    return np.concatenate((inside, rows.sum(1, keepdims=True) - inside.sum(1, keepdims=True)), axis=1)


def mean_iou(confusion: np.ndarray, chosen: Sequence[int] | None = None) -> float:
    """Mean of `iou` over the classes in target or prediction; NaN without pixels.

    Args:
        confusion: ``int64 [C, C + 1]``.
        chosen: ids of the classes that count (None: all).

    >>> round(mean_iou(np.array([[3, 1, 0], [0, 4, 0]])), 3)
    0.775
    """
    found = iou(confusion)
    return float(mean_of_valid(found if chosen is None else found[list(chosen)]))


def f_measure(confusion: np.ndarray, groups: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """F-measure (Dice) ``float64 [G]`` (0..1) of each group of classes; NaN where a group is in neither map.

    Args:
        confusion: ``int64 [C, C + 1]``.
        groups: class ids of each group. The pixels of a group are merged, so that confusion inside it is no error,
            as in HELEN's protocol (both eyes, both brows, inside of the mouth). Groups may share classes.
            None: each class is a group.

    Raises:
        InvalidInput: a group holds an id that is no class.

    >>> f_measure(np.array([[3, 1, 0], [1, 3, 0]]), groups=[[0], [0, 1]])
    array([0.75, 1.  ])
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


def image_scores(confusion: np.ndarray) -> np.ndarray:
    """Scores of one image, ``float64 [2]`` (0..1): mIoU over the classes of its target, and pixel accuracy.

    NaN where its target is all void.

    Args:
        confusion: ``int64 [C, C + 1]`` of the image.

    >>> image_scores(np.array([[3, 1, 0], [0, 0, 0]]))
    array([0.75, 0.75])
    """
    present = np.flatnonzero(confusion.sum(axis=1))
    return np.array([mean_of_valid(iou(confusion)[present]), pixel_accuracy(confusion)], dtype=np.float64)


def changes(before: np.ndarray, after: np.ndarray, points: float = 0.5) -> np.ndarray:
    """Whether images were improved (1), degraded (-1), or neither (0): ``float64 [N]``, NaN without scores.

    Improved where all scores rose by more than `points`, degraded where all fell.

    Args:
        before, after: scores of each image ``[N, K]`` (0..1), such as those of `image_scores`.
        points: in hundredths.

    Raises:
        InvalidInput: `before` and `after` differ in shape.

    >>> changes(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[0.6, 0.7], [0.4, 0.5]])).tolist()
    [1.0, 0.0]
    """
    if before.shape != after.shape:
        raise InvalidInput(f"expected scores of the same images, found {before.shape} and {after.shape}")
    # Rounded, as a change of exactly `points` must not count for the last bit of a difference.
    gains = np.round(100.0 * (after - before), 9)
    found = (gains > points).all(axis=-1).astype(np.float64) - (gains < -points).all(axis=-1)
    return np.where(np.isnan(gains).any(axis=-1), np.nan, found)


def share_changed(before: np.ndarray, after: np.ndarray, points: float = 0.5) -> tuple[float, float]:
    """Shares (0..1) of images that were improved, and that were degraded (see `changes`).

    Args:
        before, after: scores of each image ``[N, K]`` (0..1), such as those of `image_scores`. Images without
            scores (NaN) are left out.
        points: in hundredths.

    Raises:
        InvalidInput: `before` and `after` differ in shape.

    >>> share_changed(np.array([[0.5], [0.5], [0.5], [0.5]]), np.array([[0.6], [0.7], [0.4], [0.5]]))
    (0.5, 0.25)
    """
    found = changes(np.asarray(before), np.asarray(after), points)
    images = int((~np.isnan(found)).sum())
    return float(share((found == 1).sum(), images)), float(share((found == -1).sum(), images))


class RatioOfCounts(Metric):
    """Adds up two whole numbers over all images seen, and divides the first by the second, ``float64 []``.

    Args:
        num_classes: C.
        options: those of `torchmetrics.Metric`.
    """

    is_differentiable = False
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

    >>> metric = ConfusionMatrix(num_classes=2)
    >>> metric.update(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]]))
    >>> metric.compute()
    tensor([[1, 1, 0],
            [0, 1, 0]])
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    confusion: Tensor

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        zeros = torch.zeros(num_classes, num_classes + 1, dtype=torch.int64)
        self.add_state("confusion", zeros, dist_reduce_fx="sum")

    def update(self, preds: LabelMap, target: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        new = confusion_matrix(preds, target, self.num_classes)
        self.confusion += torch.from_numpy(new).to(self.confusion.device)

    def compute(self) -> Tensor:
        return self.confusion.clone()

    @property
    def counts(self) -> np.ndarray:
        """The confusion matrix as an array."""
        return self.confusion.cpu().numpy()


class PixelAccuracy(ConfusionMatrix):
    """`pixel_accuracy` over all pixels seen, ``float64 []``.

    >>> metric = PixelAccuracy(num_classes=2)
    >>> metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]]))
    >>> metric.compute().item()
    0.75
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        return torch.as_tensor(pixel_accuracy(self.counts), dtype=torch.float64)


class MeanAccuracy(ConfusionMatrix):
    """`mean_accuracy` over all pixels seen, ``float64 []``.

    >>> metric = MeanAccuracy(num_classes=2)
    >>> metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]]))
    >>> metric.compute().item()
    0.75
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        return torch.as_tensor(mean_accuracy(self.counts), dtype=torch.float64)


class IoU(ConfusionMatrix):
    """`iou` over all pixels seen, ``float64 [C]``.

    >>> metric = IoU(num_classes=2)
    >>> metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 1, 1, 0]]))
    >>> metric.compute().tolist()
    [0.5, 0.6666666666666666]
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        return torch.as_tensor(iou(self.counts))


class MeanIoU(ConfusionMatrix):
    """`mean_iou` over all pixels seen, ``float64 []``.

    >>> metric = MeanIoU(num_classes=2)
    >>> metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 1, 1, 0]]))
    >>> metric.compute().item()
    0.5833333333333333
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        return torch.as_tensor(mean_iou(self.counts), dtype=torch.float64)


class FMeasure(ConfusionMatrix):
    """`f_measure` over all pixels seen, ``float64 [G]``.

    Args:
        num_classes: C.
        groups: class ids of each group (None: each class is a group).
        options: those of `torchmetrics.Metric`.

    >>> metric = FMeasure(num_classes=2, groups=[[0], [0, 1]])
    >>> metric.update(torch.tensor([[0, 1, 1, 0]]), torch.tensor([[0, 1, 0, 0]]))
    >>> metric.compute().tolist()
    [0.8, 1.0]
    """

    higher_is_better = True

    def __init__(self, num_classes: int, groups: Sequence[Sequence[int]] | None = None, **options: Any) -> None:
        super().__init__(num_classes, **options)
        self.groups = groups

    def compute(self) -> Tensor:
        return torch.as_tensor(f_measure(self.counts, self.groups))


class ShareChanged(Metric):
    """`share_changed` over all images seen: ``float64 [2]``, improved and degraded.

    Args:
        num_classes: C.
        points: an image counts if its mIoU and its pixel accuracy both changed by more than this, in hundredths.
        options: those of `torchmetrics.Metric`.

    >>> metric = ShareChanged(num_classes=2)
    >>> coarse, target = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]])
    >>> metric.update(target, target, coarse)
    >>> metric.compute().tolist()
    [1.0, 0.0]
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int, points: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.points = points
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: LabelMap, target: LabelMap, coarse: LabelMap) -> None:
        """Add one image ``[H, W]`` or several ``[B, H, W]``: refined labels, ground truth, and labels before."""
        scores = [
            [image_scores(confusion_matrix(labels, true, self.num_classes)) for labels in (before, after)]
            for before, after, true in each_image(coarse, preds, target)
        ]
        before, after = np.array(scores).reshape(-1, 2, 2).transpose(1, 0, 2)
        found = changes(before, after, self.points)
        new = [int((found == 1).sum()), int((found == -1).sum()), int((~np.isnan(found)).sum())]
        self.counts += torch.tensor(new, device=self.counts.device)

    def compute(self) -> Tensor:
        improved, degraded, seen = self.counts.cpu().numpy()
        return torch.as_tensor(share(np.array([improved, degraded]), seen))


def label_pair(preds: LabelMap, target: LabelMap, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Both label maps as arrays of one data type (``uint8``, or ``uint16`` for many classes), void being C.

    Raises:
        InvalidInput: different shapes, no integers, or ids that are neither a class nor void.
    """
    maps = as_tensor(preds), as_tensor(target)
    _check_one_shape(*maps)
    predicted, true = (with_void_last(labels, num_classes) for labels in maps)
    return predicted, true


def count_pairs(predicted: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix of the two maps that `label_pair` returns, or of the same pixels of both."""
    side = num_classes + 1
    pairs = true.astype(np.intp) * side + predicted
    return np.bincount(pairs.ravel(), minlength=side * side).reshape(side, side)[:-1]


def each_image(*maps: LabelMap) -> Iterator[tuple[LabelMap, ...]]:
    """The maps ``[H, W]`` of each image, of maps ``[H, W]`` or ``[B, H, W]``.

    Raises:
        InvalidInput: different shapes.
    """
    _check_one_shape(*maps)
    return zip(*(m if m.ndim == 3 else m[None] for m in maps), strict=True)


def share(part: Any, whole: Any) -> np.ndarray:
    """part / whole in ``float64``, element by element; NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    found: np.ndarray = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return found


def mean_of_valid(values: np.ndarray) -> np.ndarray:
    """Mean over the last dimension of the values that are not NaN; NaN where all are."""
    return share(np.nansum(values, -1), (~np.isnan(values)).sum(-1))


def with_void_last(labels: LabelMap, num_classes: int) -> np.ndarray:
    """The ids as ``uint8``, or ``uint16`` for many classes, void being C.

    Raises:
        InvalidInput: no integers, or ids that are neither a class nor void.
    """
    labels = as_tensor(labels)
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise InvalidInput(f"expected a label map of integers, found {labels.dtype}")
    if num_classes <= VOID and labels.dtype != torch.uint8:
        labels = labels.masked_fill(labels == VOID, void_of(labels))  # PyTorch's labels are int64, and 255 is void
    check_ids(labels, num_classes)
    array = labels.cpu().numpy()
    ids = array.astype(np.uint8 if num_classes <= VOID else np.uint16)
    ids[array == void_of(array)] = num_classes
    return ids


def _check_one_shape(*maps: LabelMap) -> None:
    shapes = {tuple(m.shape) for m in maps}
    if len(shapes) > 1:
        raise InvalidInput(f"expected label maps of one shape, found {', '.join(map(str, sorted(shapes)))}")
