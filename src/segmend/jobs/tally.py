"""Counts of single images, added up, and the scores they give."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from segmend import metrics
from segmend.labels import Classes, void_of
from segmend.report.results import Bin, Confidence, Scores, Threshold

TRIMAP_WIDTHS = 40

MIN_CONFIDENCE = np.arange(50, 100, 5) / 100
"""Thresholds of `refine --min-confidence` that are compared; 0.5 undoes nothing."""

OTHERS = 0.001
"""Share of pixels from which on a label map is another one."""

Groups = dict[str, tuple[str, ...]]
"""Classes by the name that they have together."""


class ConfidenceMaps(NamedTuple):
    """What a run wrote of how sure it is of an image's labels and of changes, ``[H, W]`` in 0..1 each.

    Attributes:
        changed: where the run changed labels, bool.
    """

    of_labels: np.ndarray
    of_changes: np.ndarray
    changed: np.ndarray

    def belongs_to(self, refined: np.ndarray, coarse: np.ndarray) -> bool:
        """Whether these are the maps that it was written for; labels that are as likely may differ."""
        return float(np.mean((refined != coarse) != self.changed)) < OTHERS


@dataclass(frozen=True)
class Counts:
    """What one image adds to the scores."""

    confusion: np.ndarray
    trimap: np.ndarray
    boundary: np.ndarray
    boundary_f: np.ndarray
    region_j: np.ndarray

    @classmethod
    def of(cls, prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> Counts:
        """Counts of a label map against the truth, both ``[H, W]``."""
        return cls(
            metrics.confusion_matrix(prediction, truth, num_classes),
            metrics.trimap_confusion(prediction, truth, num_classes, TRIMAP_WIDTHS),
            metrics.boundary_iou_counts(prediction, truth, num_classes),
            metrics.boundary_f(prediction, truth, num_classes),
            metrics.region_j(prediction, truth, num_classes),
        )


@dataclass
class Tally:
    """Counts of many images, and the scores they give."""

    num_classes: int
    confusion: np.ndarray = field(init=False)
    trimap: np.ndarray = field(init=False)
    boundary: np.ndarray = field(init=False)
    boundary_f: list[np.ndarray] = field(default_factory=list)
    region_j: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = self.num_classes
        self.confusion = np.zeros((count, count + 1), np.int64)
        self.trimap = np.zeros((TRIMAP_WIDTHS, count, count + 1), np.int64)
        self.boundary = np.zeros((2, count), np.int64)

    def add(self, counts: Counts) -> float:
        """Add an image; gives its own mIoU."""
        self.confusion += counts.confusion
        self.trimap += counts.trimap
        self.boundary += counts.boundary
        self.boundary_f.append(counts.boundary_f)
        self.region_j.append(counts.region_j)
        return metrics.mean_iou(counts.confusion)

    @property
    def images(self) -> int:
        """How many were added."""
        return len(self.region_j)

    def scores(self, classes: Classes, over: tuple[str, ...] = (), groups: Groups | None = None) -> Scores:
        """The scores over all images; figures that nothing defines are 0 (None for classes).

        Args:
            over: the classes that means are taken over (none: all).
            groups: classes whose pixels are joined for one more F-measure each.
        """
        names, groups = classes.names, groups or {}
        chosen = list(classes.ids(over or names))
        joined = [list(classes.ids(members)) for members in groups.values()]
        return Scores(
            pixel_accuracy=_number(metrics.pixel_accuracy(self.confusion)),
            mean_accuracy=_mean(metrics.class_accuracy(self.confusion)[chosen]),
            mean_iou=_mean(metrics.iou(self.confusion)[chosen]),
            boundary_iou=_mean(metrics.boundary_iou(self.boundary)[chosen]),
            boundary_f=_mean(np.array(self.boundary_f)[:, chosen]),
            region_j=_mean(np.array(self.region_j)[:, chosen]),
            iou=_by_class(names, metrics.iou(self.confusion)),
            f_measure=_by_class(names, metrics.f_measure(self.confusion))
            | _by_class(tuple(groups), metrics.f_measure(self.confusion, joined)),
            trimap=[_mean(values) for values in metrics.iou(self.trimap)[:, chosen]],
        )


@dataclass(frozen=True)
class ConfidenceCounts:
    """What one image tells of a refiner's confidence."""

    reliability: np.ndarray
    confusion: np.ndarray
    coarse: float
    """mIoU of its coarse map."""

    @classmethod
    def of(
        cls, refined: np.ndarray, coarse: np.ndarray, sure: ConfidenceMaps, truth: np.ndarray, num_classes: int
    ) -> ConfidenceCounts:
        """Counts of label maps ``[H, W]``."""
        known = truth != void_of(truth)
        return cls(
            metrics.reliability(sure.of_labels[known], (refined == truth)[known]),
            metrics.confusion_by_threshold(refined, truth, coarse, sure.of_changes, num_classes, MIN_CONFIDENCE),
            metrics.mean_iou(metrics.confusion_matrix(coarse, truth, num_classes)),
        )


class ConfidenceTally:
    """Counts of many images' confidence, and what they say."""

    def __init__(self) -> None:
        self.reliability, self.confusion = np.zeros(()), np.zeros((), np.int64)
        self.refined: list[np.ndarray] = []
        """Each image's own mIoU for each threshold."""
        self.coarse: list[float] = []
        """And before."""

    @property
    def images(self) -> int:
        """How many were added."""
        return len(self.coarse)

    def add(self, counts: ConfidenceCounts) -> None:
        """Add an image."""
        self.reliability = self.reliability + counts.reliability
        self.confusion = self.confusion + counts.confusion
        self.refined.append(np.array([metrics.mean_iou(one) for one in counts.confusion]))
        self.coarse.append(counts.coarse)

    def confidence(self, chosen: tuple[int, ...]) -> Confidence:
        """What is known after at least one image; means are over the `chosen` classes."""
        before, after = np.array(self.coarse), np.array(self.refined)
        overall = metrics.iou(self.confusion)[:, list(chosen)]
        return Confidence(
            calibration_error=_number(metrics.calibration_error(self.reliability)),
            reliability=[
                Bin(pixels=int(pixels), confidence=confidence / pixels, right=right / pixels)
                for pixels, confidence, right in self.reliability
                if pixels
            ],
            thresholds=[
                Threshold(
                    below=float(below),
                    mean_iou=_mean(overall[k]),
                    degraded=metrics.share_changed(before, after[:, k])[1],
                )
                for k, below in enumerate(MIN_CONFIDENCE)
            ],
        )


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else float(value)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _by_class(names: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {n: None if math.isnan(v) else float(v) for n, v in zip(names, values, strict=True)}
