"""Counts of single images, added up, and the scores they give."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from segmend import metrics
from segmend.labels import Classes, void_of
from segmend.report.results import Bin, Confidence, ImageScore, Scores, Threshold, share_of

TRIMAP_WIDTHS = 40

MIN_CONFIDENCE = np.arange(50, 100, 5) / 100
"""Thresholds of `refine --min-confidence` that are compared; 0.5 undoes nothing."""

OTHER_MAP = 0.001
"""Share of pixels: where more than this disagree, a file of details belongs to another label map."""

Groups = dict[str, tuple[str, ...]]
"""Classes by the name that they have together."""


class ConfidenceMaps(NamedTuple):
    """A run's confidence in an image's labels and in its changes, ``[H, W]`` in 0..1 each.

    Attributes:
        changed: where the run changed labels, bool ``[H, W]``.
    """

    labels: np.ndarray
    changes: np.ndarray
    changed: np.ndarray

    def belongs_to(self, refined: np.ndarray, coarse: np.ndarray) -> bool:
        """Whether the run wrote it for these label maps ``[H, W]``; ties between classes may differ."""
        return float(np.mean((refined != coarse) != self.changed)) < OTHER_MAP


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
        """Counts of a label map against the ground truth, both ``[H, W]``."""
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

    def add(self, counts: Counts) -> None:
        """Add an image."""
        self.confusion += counts.confusion
        self.trimap += counts.trimap
        self.boundary += counts.boundary
        self.boundary_f.append(counts.boundary_f)
        self.region_j.append(counts.region_j)

    @property
    def images(self) -> int:
        """How many were added."""
        return len(self.region_j)

    def scores(self, classes: Classes, over: tuple[str, ...] = (), groups: Groups | None = None) -> Scores:
        """The scores over all images. A mean of nothing is 0, a class without pixels is None.

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


def image_score(identity: str, refined: np.ndarray, coarse: np.ndarray | None = None) -> ImageScore | None:
    """Scores of one image from confusion matrices ``[C, C + 1]``; None where its ground truth is all void."""
    if not refined.any():
        return None
    mean_iou, pixel_accuracy = metrics.image_scores(refined).tolist()
    score = ImageScore(id=identity, mean_iou=mean_iou, pixel_accuracy=pixel_accuracy)
    if coarse is not None:
        score.coarse_mean_iou, score.coarse_pixel_accuracy = metrics.image_scores(coarse).tolist()
    return score


@dataclass(frozen=True)
class ConfidenceCounts:
    """What one image adds to the scores of a refiner's confidence.

    Attributes:
        reliability: see `metrics.reliability`.
        confusion: of the refined map, for each threshold of `MIN_CONFIDENCE`.
        coarse: confusion matrix of the coarse map.
    """

    reliability: np.ndarray
    confusion: np.ndarray
    coarse: np.ndarray

    @classmethod
    def of(
        cls,
        refined: np.ndarray,
        coarse: np.ndarray,
        confidence: ConfidenceMaps,
        truth: np.ndarray,
        num_classes: int,
    ) -> ConfidenceCounts:
        """Counts of label maps ``[H, W]``."""
        valid = truth != void_of(truth)
        return cls(
            metrics.reliability(confidence.labels[valid], (refined == truth)[valid]),
            metrics.confusion_by_threshold(
                refined, truth, coarse, confidence.changes, num_classes, MIN_CONFIDENCE
            ),
            metrics.confusion_matrix(coarse, truth, num_classes),
        )


class ConfidenceTally:
    """Counts of a refiner's confidence in many images, and the scores they give."""

    def __init__(self) -> None:
        self.images = 0
        """How many were added."""
        self.reliability, self.confusion = np.zeros(()), np.zeros((), np.int64)
        self.scores: list[list[ImageScore]] = [[] for _ in MIN_CONFIDENCE]
        """Scores of the images for each threshold."""

    def add(self, counts: ConfidenceCounts) -> None:
        """Add an image."""
        self.images += 1
        self.reliability = self.reliability + counts.reliability
        self.confusion = self.confusion + counts.confusion
        for scores, confusion in zip(self.scores, counts.confusion, strict=True):
            score = image_score("", confusion, counts.coarse)
            if score is not None:
                scores.append(score)

    def confidence(self, chosen: tuple[int, ...]) -> Confidence:
        """The scores after at least one image; means are over the `chosen` classes."""
        overall = metrics.iou(self.confusion)[:, list(chosen)]
        return Confidence(
            calibration_error=_number(metrics.calibration_error(self.reliability)),
            reliability=[
                Bin(pixels=int(pixels), confidence=confidence / pixels, accuracy=right / pixels)
                for pixels, confidence, right in self.reliability
                if pixels
            ],
            thresholds=[
                Threshold(
                    min_confidence=float(threshold),
                    mean_iou=_mean(overall[k]),
                    degraded=share_of("degraded", self.scores[k]),
                )
                for k, threshold in enumerate(MIN_CONFIDENCE)
            ],
        )


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else float(value)


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; 0 where there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else 0.0


def _by_class(names: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {n: None if math.isnan(v) else float(v) for n, v in zip(names, values, strict=True)}
