"""What is usual in a folder, so that an image is compared with the others of its kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from segmend.check.measure import Areas, Contradictions, Measured, Whole

SHARED = 10.0
"""Areas as which those of all classes count in what is usual for one class."""

COUNTED = 50.0
"""Pixels that are added to each count of likeliest class and label."""

LEAST_SPREAD = Whole(0.5, 0.15, 0.3, 0.1, 0.15, 0.15, 0.3, 0.05)
"""Added to the spread of each measure of whole images, so that those of a uniform folder are not all unusual."""

FURTHEST = 6.0
"""Spreads from the median beyond which a whole image is no more unusual."""


@dataclass(frozen=True)
class Usual:
    """Means over a folder.

    Attributes:
        areas: their number by class, ``[C]``.
        has_borders: whether any label map has two classes.
        own, spread: mean and standard deviation of `Areas.own` by class, ``[C]``.
        log_share: mean logarithm of `Areas.share` by class, ``[C]``.
        edge: mean of `Areas.edge`.
        confusion: pixels by likeliest class and label, ``[C, C]``.
        middle, scale: median and spread of each of `Whole`, ``[8]``.
    """

    areas: np.ndarray
    has_borders: bool
    own: np.ndarray
    spread: np.ndarray
    log_share: np.ndarray
    edge: float
    confusion: np.ndarray
    middle: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, images: Iterable[Measured], classes: int) -> Usual:
        """Of the images of a folder; of each, only the numbers of `Whole` are kept in memory."""
        counts, own, squares, log_share = np.zeros((4, classes))
        edges, outlines = 0.0, 0
        confusion = np.zeros((classes, classes))
        wholes: list[Whole] = []
        for image in images:
            areas = image.areas
            np.add.at(counts, areas.label, 1)
            np.add.at(own, areas.label, areas.own)
            np.add.at(squares, areas.label, areas.own**2)
            np.add.at(log_share, areas.label, np.log(areas.share))
            edges += float(np.nansum(areas.edge))
            outlines += int(np.isfinite(areas.edge).sum())
            np.add.at(confusion, (image.confusion[:, 0], image.confusion[:, 1]), image.confusion[:, 2])
            wholes.append(image.whole)
        total = max(1.0, float(counts.sum()))
        mean, variance = own.sum() / total, max(0.0, squares.sum() / total - (own.sum() / total) ** 2)
        weight = counts + SHARED
        of_class = (own + SHARED * mean) / weight
        around = squares - 2 * of_class * own + counts * of_class**2
        middle, scale = _robust(np.array(wholes, dtype=float).reshape(-1, len(Whole._fields)))
        return cls(
            counts,
            outlines > 0,
            of_class,
            np.sqrt((around + SHARED * variance).clip(0) / weight) + 1e-3,
            (log_share + SHARED * log_share.sum() / total) / weight,
            edges / max(1, outlines) or 1.0,
            confusion,
            middle,
            scale,
        )

    def of_classes(self, areas: Areas) -> np.ndarray:
        """What speaks for another class of areas, ``float64 [A, 3]``: more of large areas."""
        evidence = np.stack((areas.over.clip(-6, 8), self._surprise(areas), (-areas.own).clip(0, 9)), axis=1)
        found: np.ndarray = evidence * areas.share[:, None] ** 0.25
        return found

    def of_specks(self, areas: Areas) -> np.ndarray:
        """What speaks for areas that are islands or holes, ``float64 [A, 11]``."""
        log_share = np.log(areas.share)
        edge = np.where(np.isfinite(areas.edge), areas.edge / self.edge, 1)
        return np.column_stack(
            (
                (-areas.own).clip(0, 9),
                self._surprise(areas),
                areas.over.clip(-6, 8),
                areas.around_over.clip(-6, 8),
                log_share,
                log_share - self.log_share[areas.label],
                areas.enclosed,
                np.log(edge.clip(0) + 0.2),
                areas.enclosed * log_share,
                areas.over.clip(-6, 8) * areas.share**0.25,
                (-areas.own).clip(0, 9) * areas.share**0.25,
            )
        )

    def of_missing(self, found: Contradictions) -> np.ndarray:
        """What speaks for objects where labels are contradicted, ``float64 [D, 4]``: more of large ones."""
        over = (found.of_rival - found.own).clip(0, 9)
        confirmed = self.confusion[found.rival, found.rival] + COUNTED
        confused = self.confusion[found.rival, found.label] + COUNTED
        return np.column_stack(
            (
                over * found.share**0.5,
                over * found.share**0.25,
                self._surprise(found) * found.share**0.5,
                np.log(confirmed / confused) * found.share**0.25,
            )
        )

    def _surprise(self, parts: Areas | Contradictions) -> np.ndarray:
        """By how many standard deviations labels are less probable than is usual for their class."""
        found: np.ndarray = (self.own[parts.label] - parts.own) / self.spread[parts.label]
        return found.clip(-3, 6)

    def of_whole(self, whole: Whole) -> np.ndarray:
        """How unusual a whole image is, in spreads from the median, ``float64 [8]``; 0 where not measured."""
        found = (np.array(whole) - self.middle) / self.scale
        return np.where(np.isfinite(found), found, 0).clip(-FURTHEST, FURTHEST)


def _robust(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median, and median distance from it scaled to a standard deviation, of each column; NaN is left out."""
    middle, scale = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for index, column in enumerate(values.T):
        there = column[np.isfinite(column)]
        if len(there):
            middle[index] = np.median(there)
            scale[index] = 1.4826 * np.median(np.abs(there - middle[index]))
    return middle, scale + np.array(LEAST_SPREAD)
