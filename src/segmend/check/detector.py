"""How likely labels of areas and images are wrong, learned from simulated errors in the same folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segmend.check.logistic import NEVER, Logistic
from segmend.check.measure import Measured, Seen, Whole
from segmend.check.simulated import Error, simulated_errors
from segmend.check.usual import Usual
from segmend.ops.blobs import label_components

PRIOR = -3.0
"""Log-odds of an error of one sort in an image, before anything is seen of it: one image of twenty has one."""

TRIMMED, ROUNDS = 0.3, 2
"""Share of the images that look worst themselves, so that nothing is learned from them; sought so many times."""

MOSTLY = 0.5
"""Share of an area's pixels that a simulated error changed, so that the area counts as wrong."""


LOWEST = Whole._fields.index("lowest")


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


def samples_of(
    seen: Callable[[np.ndarray], Seen],
    labels: np.ndarray,
    other: np.ndarray | None,
    classes: Sequence[int],
    void: int,
    seed: int,
) -> list[Sample]:
    """A label map ``[H, W]`` as it is, and with one simulated error of each kind that it can have.

    Args:
        seen: the image with the probability map for a label map: the same for all, unless it depends on labels.
        other, classes, seed: see `simulated_errors`.
    """
    errors = simulated_errors(labels, other, classes, void, seed)
    return [
        Sample.of(seen(labels), labels, labels, void),
        *(Sample.of(seen(changed), changed, labels, void, kind) for kind, changed in errors),
    ]


def _shares(changed: np.ndarray, numbers: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Share of the pixels that changed in some numbered areas."""
    pixels = np.bincount(numbers.ravel())
    found: np.ndarray = (np.bincount(numbers.ravel(), changed.ravel()) / np.maximum(pixels, 1))[chosen]
    return found


class Judgement(NamedTuple):
    """How likely the labels of an image are wrong. All values are in 0..1.

    Attributes:
        score: whether anything is wrong.
        classes: whether each area has a wrong class, ``float64 [A]``.
        specks: whether each area is an island or a hole, ``float64 [A]``.
        missing: whether an object is missing at each contradiction, ``float64 [D]``.
        border: whether borders are off.
        other: whether the label map belongs to another image.
    """

    score: float
    classes: np.ndarray
    specks: np.ndarray
    missing: np.ndarray
    border: float
    other: float


@dataclass(frozen=True)
class PartDetector:
    """Finds wrong parts of one sort: first by each part alone, then by what the image as a whole adds.

    Attributes:
        alone: log-odds by the features of a part.
        in_image: log-odds by the former, and measures of the whole image.
        adding: indices of these measures.
    """

    alone: Logistic
    in_image: Logistic
    adding: list[int]

    @classmethod
    def fit(
        cls,
        parts: Sequence[np.ndarray],
        are_wrong: Sequence[np.ndarray],
        wholes: np.ndarray,
        has_error: np.ndarray,
        is_learned: np.ndarray,
        adding: Sequence[str] = (),
    ) -> PartDetector:
        """Learn from label maps.

        Args:
            parts, are_wrong: features ``[A, F]`` of the parts of each map, and which are wrong, ``bool [A]``.
            wholes: measures of each map as a whole, ``[N, 8]``.
            has_error: whether each map has an error, ``bool [N]``.
            is_learned: whether its error is of the sort that is sought in whole maps; others teach only parts.
            adding: names of the measures of whole maps that count.
        """
        alone = Logistic.fit(np.concatenate(parts), np.concatenate(are_wrong))
        indices = [Whole._fields.index(name) for name in adding]
        strongest = np.array([alone(some).max(initial=NEVER) for some in parts])
        features = np.column_stack((strongest, wholes[:, indices]))
        return cls(alone, Logistic.fit(features[is_learned], has_error[is_learned]), indices)

    def of_image(self, parts: np.ndarray, whole: np.ndarray) -> float:
        """Log-odds that any part of an image is wrong.

        Args:
            parts: features of its parts, ``[A, F]``.
            whole: measures of the image, ``[8]``.
        """
        strongest = self.alone(parts).max(initial=NEVER)
        return float(self.in_image(np.append(strongest, whole[self.adding])[None])[0])

    def of_parts(self, parts: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Log-odds of each part ``[A]``: what the image as a whole adds makes no right part a wrong one."""
        alone = self.alone(parts)
        adding = np.broadcast_to(whole[self.adding], (len(parts), len(self.adding)))
        found: np.ndarray = np.minimum(alone, self.in_image(np.column_stack((alone, adding))))
        return found


@dataclass(frozen=True)
class Detector:
    """What tells errors from right labels in a folder: for each sort of errors, what is known of it.

    Attributes:
        classes, specks, missing: of parts of a label map.
        improbable: of a label map with any improbable labels, wherever they are.
        border, other: of a label map as a whole.
    """

    usual: Usual
    classes: PartDetector
    specks: PartDetector
    missing: PartDetector
    improbable: Logistic
    border: Logistic
    other: Logistic

    @classmethod
    def fit(cls, usual: Usual, samples: Sequence[Sequence[Sample]]) -> Detector:
        """Learn from some label maps of a folder.

        Args:
            samples: of each image, its label map as it is, and with errors (see `samples_of`). Labels as they are
                may have errors of their own: the images that look worst are left out.
        """
        kept = samples
        for _ in range(ROUNDS):
            found = cls._fitted(usual, [sample for image in kept for sample in image])
            as_is = [found.judge(image[0].measured).score for image in samples]
            limit = np.quantile(as_is, 1 - TRIMMED)
            kept = [image for image, one in zip(samples, as_is, strict=True) if one <= limit]
        return cls._fitted(usual, [sample for image in kept for sample in image])

    @classmethod
    def _fitted(cls, usual: Usual, samples: Sequence[Sample]) -> Detector:
        def chosen(*kinds: Error) -> tuple[list[Sample], np.ndarray, np.ndarray]:
            """Samples as they are and with errors of some kinds, their measures, and which have an error."""
            some = [sample for sample in samples if sample.kind is None or sample.kind in kinds]
            wholes = np.array([usual.of_whole(sample.measured.whole) for sample in some])
            return some, wholes, np.array([sample.kind is not None for sample in some])

        # Every area of another image's map is one in a wrong class; only the map as a whole says more.
        some, wholes, has_error = chosen("class", "other image")
        classes = PartDetector.fit(
            [usual.of_classes(one.measured.areas) for one in some],
            [one.areas > MOSTLY for one in some],
            wholes,
            has_error,
            np.array([one.kind != "other image" for one in some]),
            ["lowest"],
        )
        some, wholes, has_error = chosen("islands", "holes")
        specks = PartDetector.fit(
            [usual.of_specks(one.measured.areas) for one in some],
            [one.areas > MOSTLY for one in some],
            wholes,
            has_error,
            np.ones(len(some), bool),
        )
        some, wholes, has_error = chosen("missing")
        missing = PartDetector.fit(
            [usual.of_missing(one.measured.contradictions) for one in some],
            [one.contradictions > MOSTLY for one in some],
            wholes,
            has_error,
            np.ones(len(some), bool),
            ["lowest", "own_near"],
        )
        some, wholes, has_error = chosen("class", "missing")
        improbable = Logistic.fit(wholes[:, [LOWEST]], has_error)
        # Errors in parts also make the labels near borders improbable.
        some, wholes, _ = chosen("border", "class", "missing", "islands", "holes")
        border = Logistic.fit(wholes, np.array([sample.kind == "border" for sample in some]))
        other = Logistic.fit(*chosen("other image")[1:])
        return cls(usual, classes, specks, missing, improbable, border, other)

    def judge(self, measured: Measured) -> Judgement:
        """Judge an image of the folder."""
        usual, whole = self.usual, self.usual.of_whole(measured.whole)
        parts = (
            (self.classes, usual.of_classes(measured.areas)),
            (self.specks, usual.of_specks(measured.areas)),
            (self.missing, usual.of_missing(measured.contradictions)),
        )
        border, other = (float(one(whole[None])[0]) for one in (self.border, self.other))
        improbable = float(self.improbable(whole[None, [LOWEST]])[0])
        of_image = np.array(
            [*(detector.of_image(some, whole) for detector, some in parts), improbable, border, other]
        )
        found = [_probability(detector.of_parts(some, whole)) for detector, some in parts]
        probability = _probability(of_image).tolist()
        score = 1 - math.prod(1 - one for one in probability)
        return Judgement(score, found[0], found[1], found[2], *probability[-2:])


def _probability(log_odds: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-(log_odds + PRIOR)))
    return found
