"""How likely labels of areas and images are wrong, learned from simulated errors in the same folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from segmend.check.logistic import NEVER, Logistic
from segmend.check.measure import Measured, Seen, Whole
from segmend.check.simulated import Error
from segmend.check.usual import Usual
from segmend.ops.blobs import label_components

PRIOR = -3.0
"""Log-odds of an error before an image is seen, and of one that looks like `COMMON` of the folder."""

COMMON = 0.8
"""Share of the images of a folder that are taken to have no error of one sort."""

TRIMMED, ROUNDS = 0.2, 2
"""Share of the images that nothing is learned from, as they look worst themselves; they are sought so many times."""

STRONGEST = 2
"""Areas of an image that speak for it, of those labelled and of those contradicted."""

MOSTLY = 0.5
"""Share of an area's pixels that a simulated error changed, so that the area counts as wrong."""

LOCAL: tuple[Error, ...] = ("class", "missing", "islands", "holes")

SUPPORTING = [Whole._fields.index(name) for name in ("own", "contradicted", "lowest")]
"""Measures of a whole image that also speak of errors in parts of it."""


class Sample(NamedTuple):
    """A label map of the folder as it is, or with a simulated error.

    Attributes:
        kind: of the error; None: as it is.
        areas, contradictions: share of the pixels that the error changed, of each area and contradiction.
    """

    measured: Measured
    kind: Error | None
    areas: np.ndarray
    contradictions: np.ndarray

    @classmethod
    def of(cls, seen: Seen, labels: np.ndarray, as_is: np.ndarray, void: int, kind: Error | None = None) -> Sample:
        """Measure labels ``[H, W]``, with an error of a `kind` or none, where they were `as_is` without."""
        measured, step = seen.measure(labels, void), seen.step
        changed, small = (np.ascontiguousarray(map_[::step, ::step]) for map_ in (labels != as_is, labels))
        return cls(
            measured,
            kind,
            _shares(changed, label_components(small, void), measured.areas.number),
            _shares(changed, seen.contradicted(small, void), measured.contradictions.number),
        )


def _shares(changed: np.ndarray, numbers: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Share of the pixels that changed in some numbered areas."""
    pixels = np.bincount(numbers.ravel())
    found: np.ndarray = (np.bincount(numbers.ravel(), changed.ravel()) / np.maximum(pixels, 1))[chosen]
    return found


class Judgement(NamedTuple):
    """How likely the labels of an image are wrong. All values are in 0..1.

    Attributes:
        score: whether anything is wrong.
        areas, contradictions: whether the labels of each are wrong, ``float64 [A]`` and ``[D]``.
        border: whether borders are off.
        other: whether the label map belongs to another image.
    """

    score: float
    areas: np.ndarray
    contradictions: np.ndarray
    border: float
    other: float


@dataclass(frozen=True)
class Detector:
    """What tells errors from right labels in a folder.

    Attributes:
        areas, contradictions: of single ones.
        local: of an image, by its strongest areas and contradictions.
        border, other: of an image, by its measures as a whole.
        common: log-odds by `local`, `border` and `other` that the share `COMMON` of the folder does not reach.
    """

    usual: Usual
    areas: Logistic
    contradictions: Logistic
    local: Logistic
    border: Logistic
    other: Logistic
    common: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def fit(cls, usual: Usual, samples: Sequence[Sequence[Sample]], folder: Iterable[Measured]) -> Detector:
        """Learn from some label maps of a folder.

        Args:
            samples: of each image, its label map as it is, and with errors. Labels as they are may have errors of
                their own: the images that look worst are left out.
            folder: all its label maps.
        """
        kept = samples
        for _ in range(ROUNDS):
            found = cls._fitted(usual, [sample for image in kept for sample in image])
            as_is = [np.logaddexp(0, found._log_odds(image[0].measured) + PRIOR).sum() for image in samples]
            limit = np.quantile(as_is, 1 - TRIMMED)
            kept = [image for image, one in zip(samples, as_is, strict=True) if one <= limit]
        found = cls._fitted(usual, [sample for image in kept for sample in image])
        log_odds = np.array([found._log_odds(one) for one in folder])
        local, border, other = np.quantile(log_odds, COMMON, axis=0).tolist()
        return replace(found, common=(local, border, other))

    @classmethod
    def _fitted(cls, usual: Usual, samples: Sequence[Sample]) -> Detector:
        # Borders that are off make slivers of wrong labels, and no wrong area.
        parts = [sample for sample in samples if sample.kind != "border"]
        areas = Logistic.fit(
            np.concatenate([usual.of_areas(one.measured.areas) for one in parts]),
            np.concatenate([one.areas > MOSTLY for one in parts]),
        )
        contradictions = Logistic.fit(
            np.concatenate([usual.of_contradictions(one.measured.contradictions) for one in parts]),
            np.concatenate([one.contradictions > MOSTLY for one in parts]),
        )
        local = [sample for sample in samples if sample.kind in (None, *LOCAL)]
        strongest = np.array([_strongest(usual, areas, contradictions, one.measured) for one in local])

        def by_whole(kind: Error) -> Logistic:
            some = [sample for sample in samples if sample.kind in (None, kind)]
            features = np.array([usual.of_whole(sample.measured.whole) for sample in some])
            return Logistic.fit(features, np.array([sample.kind is not None for sample in some]))

        return cls(
            usual,
            areas,
            contradictions,
            Logistic.fit(strongest, np.array([one.kind is not None for one in local])),
            by_whole("border"),
            by_whole("other image"),
        )

    def judge(self, measured: Measured) -> Judgement:
        """Judge an image of the folder."""
        local, border, other = _probability(self._log_odds(measured) - np.array(self.common)).tolist()
        areas = _probability(self.areas(self.usual.of_areas(measured.areas)))
        contradictions = _probability(self.contradictions(self.usual.of_contradictions(measured.contradictions)))
        # A part is wrong only where the image has a wrong part.
        return Judgement(
            1 - (1 - local) * (1 - border) * (1 - other),
            np.minimum(areas, local),
            np.minimum(contradictions, local),
            border,
            other,
        )

    def _log_odds(self, measured: Measured) -> np.ndarray:
        """Log-odds of errors in parts, of borders, and of another image's label map, ``float64 [3]``."""
        whole = self.usual.of_whole(measured.whole)[None]
        strongest = _strongest(self.usual, self.areas, self.contradictions, measured)[None]
        return np.array([self.local(strongest)[0], self.border(whole)[0], self.other(whole)[0]])


def _strongest(usual: Usual, areas: Logistic, contradictions: Logistic, measured: Measured) -> np.ndarray:
    """The highest log-odds of the areas and of the contradictions of an image, and what supports them."""
    of_areas = areas(usual.of_areas(measured.areas))
    of_others = contradictions(usual.of_contradictions(measured.contradictions))
    return np.concatenate([_largest(of_areas), _largest(of_others), usual.of_whole(measured.whole)[SUPPORTING]])


def _largest(values: np.ndarray) -> np.ndarray:
    padded = np.append(values, np.full(STRONGEST, NEVER))
    return np.sort(padded)[::-1][:STRONGEST]


def _probability(log_odds: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-(log_odds + PRIOR)))
    return found
