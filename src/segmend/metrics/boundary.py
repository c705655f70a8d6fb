"""Agreement of predicted label maps with the ground truth near the borders between labels."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segmend.labels import InvalidInput
from segmend.metrics.overlap import (
    LabelMap,
    count_pairs,
    each_image,
    iou,
    label_pair,
    mean_of_valid,
    share,
)

WIDTHS = 40
"""Width in pixels of the widest trimap band."""

DILATION = 0.02
"""Thickness of boundary IoU's regions, as a share of the image's diagonal (Cheng et al. 2021)."""

TOLERANCE = 0.0075
"""Distance at which boundary pixels still match, as a share of the image's diagonal."""

_UNIT = 2.0**-36
"""Scores are added up as integers in this unit: exactly, in any order, for up to 2**27 scores of 1."""

_LARGE_DISK = 20
"""Radius above which dilation by a disk, whose time grows with it, is slower than a distance transform."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = np.ones((3, 3), np.uint8)
_LOWER_RIGHT = np.ones((2, 2), np.uint8)


def trimap_confusion(preds: LabelMap, target: LabelMap, num_classes: int, widths: int = WIDTHS) -> np.ndarray:
    """Confusion matrices inside bands around the label borders of the target, ``int64 [widths, C, C + 1]``.

    Element w - 1 is the confusion matrix of the pixels at a Euclidean distance below w px from the nearest
    border pixel. A border pixel has one of four neighbours with another label in the target; void is another
    label too, as PASCAL VOC draws borders as strips of void. All zeros where the target has no border.

    Args:
        preds, target: label maps ``[H, W]`` of one image.
        num_classes: C.
        widths: width of the widest band in pixels, at least 1.

    Raises:
        InvalidInput: different shapes, more than one image, ids that are neither a class nor void, or
            no width.

    >>> target, preds = np.array([[0, 0, 0, 1, 1]]), np.array([[0, 0, 1, 1, 1]])
    >>> trimap_confusion(preds, target, num_classes=2, widths=2)
    array([[[0, 1, 0],
            [0, 1, 0]],
    <BLANKLINE>
           [[1, 1, 0],
            [0, 2, 0]]])
    """
    if widths < 1:
        raise InvalidInput(f"expected bands of at least 1 px, found {widths}")
    predicted, true = _one_image(preds, target, num_classes)
    side = num_classes + 1
    border = cv2.morphologyEx(true, cv2.MORPH_GRADIENT, _CROSS)
    if not border.any():
        return np.zeros((widths, num_classes, side), np.int64)
    distance = _distance(border)
    near = distance < widths
    ring = distance[near].astype(np.intp)
    cells = (ring * side + true[near]) * side + predicted[near]
    rings = np.bincount(cells, minlength=widths * side * side).reshape(widths, side, side)[:, :-1]
    return rings.cumsum(axis=0)


def trimap_iou(confusions: np.ndarray) -> np.ndarray:
    """mIoU (0..1) inside each band of `trimap_confusion`, ``float64 [widths]``; NaN where a band is empty.

    >>> trimap_iou(np.array([[[0, 1, 0], [0, 1, 0]], [[1, 1, 0], [0, 3, 0]]]))
    array([0.25 , 0.625])
    """
    return mean_of_valid(iou(confusions))


def boundary_iou_counts(
    preds: LabelMap, target: LabelMap, num_classes: int, dilation: float = DILATION
) -> np.ndarray:
    """Pixels in intersection and union of the boundary regions, by class, ``int64 [2, C]``.

    The boundary region of a class in a label map holds its pixels within d px of another label or of the
    image's edge, in steps that may go diagonally; d is `dilation` times the image's diagonal, at least 1
    (Cheng et al. 2021, "Boundary IoU": the mask minus the mask eroded d times by a 3 x 3 square). Pixels that
    are void in the target are void in both maps.

    Args:
        preds, target: label maps ``[H, W]`` of one image.
        num_classes: C.
        dilation: share of the diagonal.

    Raises:
        InvalidInput: different shapes, more than one image, ids that are neither a class nor void.

    >>> target = np.zeros((8, 8), np.uint8)
    >>> target[2:6, 2:6] = 1
    >>> boundary_iou_counts(np.roll(target, 1, axis=1), target, num_classes=2)
    array([[38,  6],
           [52, 18]])
    """
    predicted, true = _one_image(preds, target, num_classes)
    steps = max(1, round(dilation * math.hypot(*true.shape)))
    in_predicted, in_true = (_near_other_label(labels, num_classes, steps) for labels in (predicted, true))
    both = _count_ids(true[in_predicted & in_true & (predicted == true)], num_classes)
    in_one = _count_ids(predicted[in_predicted], num_classes) + _count_ids(true[in_true], num_classes)
    return np.stack((both, in_one - both))


def boundary_iou(counts: np.ndarray) -> np.ndarray:
    """Boundary IoU ``float64 [C]`` (0..1) of `boundary_iou_counts`; NaN where a class is in neither map.

    >>> boundary_iou(np.array([[38, 6], [52, 18]])).round(3)
    array([0.731, 0.333])
    """
    return share(counts[0], counts[1])


def boundary_f(preds: LabelMap, target: LabelMap, num_classes: int, tolerance: float = TOLERANCE) -> np.ndarray:
    """F-measure of each class's boundary in one image, ``float64 [C]`` (0..1), as in DAVIS.

    A boundary pixel matches if the other map has a boundary pixel of that class at a Euclidean distance of at
    most `tolerance` times the image's diagonal (rounded up). Precision and recall are the shares of matching
    boundary pixels of prediction and target; F is their harmonic mean. NaN where a class is in neither map; 0
    where it is in one of them; 1 where it fills both. Pixels that are void in the target are void in both maps.

    Args:
        preds, target: label maps ``[H, W]`` of one image.
        num_classes: C.
        tolerance: share of the diagonal (DAVIS's own code: 0.008).

    Raises:
        InvalidInput: different shapes, more than one image, ids that are neither a class nor void.

    >>> target = np.zeros((16, 16), np.uint8)
    >>> target[4:12, 4:12] = 1
    >>> boundary_f(np.roll(target, 1, axis=1), target, num_classes=2)  # off by 1 px, which is tolerated
    array([1., 1.])
    """
    predicted, true = _one_image(preds, target, num_classes)
    radius = math.ceil(tolerance * math.hypot(*true.shape))
    scores = np.full(num_classes, np.nan)
    for c in np.flatnonzero(_count_ids(predicted, num_classes) + _count_ids(true, num_classes)):
        scores[c] = _mask_boundary_f(predicted == c, true == c, radius)
    return scores


def region_j(preds: LabelMap, target: LabelMap, num_classes: int) -> np.ndarray:
    """Jaccard index of each class in one image, ``float64 [C]`` (0..1); NaN where it is in neither map.

    Raises:
        InvalidInput: different shapes, more than one image, ids that are neither a class nor void.

    >>> region_j(np.array([[0, 1, 1, 1]]), np.array([[0, 1, 1, 0]]), num_classes=2).round(3)
    array([0.5  , 0.667])
    """
    return iou(count_pairs(*_one_image(preds, target, num_classes), num_classes))


class TrimapIoU(Metric):
    """`trimap_iou` over all images seen, ``float64 [widths]``.

    Args:
        num_classes: C.
        widths: width of the widest band in pixels.
        options: those of `torchmetrics.Metric`.

    >>> metric = TrimapIoU(num_classes=2, widths=2)
    >>> metric.update(torch.tensor([[0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 0, 1, 1]]))
    >>> metric.compute().tolist()
    [0.25, 0.5833333333333333]
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    confusions: Tensor

    def __init__(self, num_classes: int, widths: int = WIDTHS, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.widths = widths
        zeros = torch.zeros(widths, num_classes, num_classes + 1, dtype=torch.int64)
        self.add_state("confusions", zeros, dist_reduce_fx="sum")

    def update(self, preds: LabelMap, target: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        for predicted, true in each_image(preds, target):
            new = trimap_confusion(predicted, true, self.num_classes, self.widths)
            self.confusions += torch.from_numpy(new).to(self.confusions.device)

    def compute(self) -> Tensor:
        return torch.as_tensor(trimap_iou(self.confusions.cpu().numpy()))


class BoundaryIoU(Metric):
    """`boundary_iou` over all images seen, ``float64 [C]``.

    Args:
        num_classes: C.
        dilation: thickness of the boundary regions, as a share of the diagonal.
        options: those of `torchmetrics.Metric`.

    >>> target = torch.zeros(8, 8, dtype=torch.uint8)
    >>> target[2:6, 2:6] = 1
    >>> metric = BoundaryIoU(num_classes=2)
    >>> metric.update(target.roll(1, dims=1), target)
    >>> metric.compute().tolist()
    [0.7307692307692307, 0.3333333333333333]
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int, dilation: float = DILATION, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.dilation = dilation
        self.add_state("counts", torch.zeros(2, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: LabelMap, target: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        for predicted, true in each_image(preds, target):
            new = boundary_iou_counts(predicted, true, self.num_classes, self.dilation)
            self.counts += torch.from_numpy(new).to(self.counts.device)

    def compute(self) -> Tensor:
        return torch.as_tensor(boundary_iou(self.counts.cpu().numpy()))


class _MeanOfScores(Metric):
    """Mean of the scores of all (image, class) pairs that have one, ``float64 []``; NaN without any."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    pairs: Tensor

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("pairs", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def scores(self, preds: LabelMap, target: LabelMap) -> np.ndarray:
        """Scores of one image by class, ``float64 [C]`` (0..1)."""

    def update(self, preds: LabelMap, target: LabelMap) -> None:
        """Add label maps ``[H, W]`` or ``[B, H, W]``."""
        for predicted, true in each_image(preds, target):
            scores = self.scores(predicted, true)
            valid = scores[~np.isnan(scores)]
            self.total += int(np.rint(valid / _UNIT).sum())
            self.pairs += len(valid)

    def compute(self) -> Tensor:
        return torch.as_tensor(share(self.total.item() * _UNIT, self.pairs.item()))


class BoundaryF(_MeanOfScores):
    """Mean of `boundary_f` over all (image, class) pairs where it is not NaN, ``float64 []``.

    Args:
        num_classes: C.
        tolerance: distance at which boundary pixels match, as a share of the diagonal.
        options: those of `torchmetrics.Metric`.

    >>> target = torch.zeros(16, 16, dtype=torch.uint8)
    >>> target[4:12, 4:12] = 1
    >>> metric = BoundaryF(num_classes=2)
    >>> metric.update(target.roll(1, dims=1), target)
    >>> metric.compute().item()
    1.0
    """

    def __init__(self, num_classes: int, tolerance: float = TOLERANCE, **options: Any) -> None:
        super().__init__(num_classes, **options)
        self.tolerance = tolerance

    def scores(self, preds: LabelMap, target: LabelMap) -> np.ndarray:
        return boundary_f(preds, target, self.num_classes, self.tolerance)


class RegionJ(_MeanOfScores):
    """Mean of `region_j` over all (image, class) pairs where it is not NaN, ``float64 []``.

    >>> metric = RegionJ(num_classes=2)
    >>> metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 1, 1, 0]]))
    >>> round(metric.compute().item(), 3)
    0.583
    """

    def scores(self, preds: LabelMap, target: LabelMap) -> np.ndarray:
        return region_j(preds, target, self.num_classes)


def _count_ids(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of each class, ``int64 [C]``."""
    return np.bincount(labels.ravel(), minlength=num_classes)[:num_classes]


def _one_image(preds: LabelMap, target: LabelMap, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """`label_pair` of one image, with void in both maps where the target is void."""
    predicted, true = label_pair(preds, target, num_classes)
    if true.ndim != 2:
        raise InvalidInput(f"expected label maps [H, W] of one image, found shape {true.shape}")
    predicted[true == num_classes] = num_classes
    return predicted, true


def _distance(border: np.ndarray, measure: int = cv2.DIST_L2) -> np.ndarray:
    """Distance ``float32 [H, W]`` in pixels to the nearest pixel that is not 0; whole numbers are exact."""
    found: np.ndarray = cv2.distanceTransform((border == 0).view(np.uint8), measure, cv2.DIST_MASK_PRECISE)
    return found


def _near_other_label(labels: np.ndarray, void: int, steps: int) -> np.ndarray:
    """Where another label or the image's edge is at most `steps` steps away, ``bool [H, W]``."""
    # Void, the largest id, stands outside of the image.
    border = cv2.morphologyEx(
        labels, cv2.MORPH_GRADIENT, _SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=void
    )
    return _distance(border, cv2.DIST_C) < steps


def _mask_boundary_f(predicted: np.ndarray, true: np.ndarray, radius: int) -> float:
    """DAVIS's F of two masks ``bool [H, W]``, of which at least one is not empty."""
    box = _bounding_box(predicted | true)
    predicted, true = predicted[box], true[box]
    if not (predicted.any() and true.any()):
        return 0.0
    predicted_border, true_border = _lower_right_border(predicted), _lower_right_border(true)
    predicted_pixels, true_pixels = np.count_nonzero(predicted_border), np.count_nonzero(true_border)
    if predicted_pixels == true_pixels == 0:
        return 1.0
    if predicted_pixels == 0 or true_pixels == 0:
        return 0.0
    precision = np.count_nonzero(predicted_border & _within(true_border, radius)) / predicted_pixels
    recall = np.count_nonzero(true_border & _within(predicted_border, radius)) / true_pixels
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a mask ``bool [H, W]``, and one more on each side, where its border may lie."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)


def _lower_right_border(mask: np.ndarray) -> np.ndarray:
    """1 where a mask ``bool [h, w]`` differs from its right, lower or lower right neighbour, else 0."""
    return cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_GRADIENT, _LOWER_RIGHT, anchor=(0, 0))


def _within(border: np.ndarray, radius: int) -> np.ndarray:
    """Where a border ``uint8 [h, w]`` has a pixel at a Euclidean distance of at most `radius`, 0 or 1."""
    if radius > _LARGE_DISK:
        return (_distance(border) <= radius).view(np.uint8)
    square = np.arange(-radius, radius + 1) ** 2
    return cv2.dilate(border, (square + square[:, None] <= radius**2).view(np.uint8))
