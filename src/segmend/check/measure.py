"""What a probability map and the edges of an image say of its label map, area by area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from segmend.borders.edges import Edges
from segmend.borders.neighbours import Neighbours, nearest_of_another_class
from segmend.borders.strength import DISTANCES, deep, strength_of
from segmend.ops.blobs import components, label_components
from segmend.ops.nearest import nearest_chosen

SIDE = 320
"""About the longest side in pixels at which images are measured: larger ones are reduced by a whole number."""

RARE = 1e-4
"""Added to probabilities before their logarithm: half floats round smaller ones away."""

SMALLEST, SMALLEST_SHARE = 16, 3e-4
"""Pixels, and share of the valid ones, that an area has at least to be looked at."""

CORE = 6.0
"""Distance in pixels from a border beyond which probabilities are those of an area, or half of what it reaches:
maps of segmenters are blurred."""

FAR = 8.0
"""Distance in pixels from a border beyond which a contradiction is more than a border that is off."""

NEAR = 6.0
"""Distance in pixels from a border within which probabilities speak of the border."""

SHARPNESS = 10.0
"""Of the soft minimum of the probabilities of the labels."""

FEW = 20.0
"""Border pixels without an edge that are added to each distance."""


def step_for(height: int, width: int) -> int:
    """The step in pixels of the grid on which an image is measured.

    >>> step_for(480, 640), step_for(100, 100)
    (2, 1)
    """
    return max(1, round(max(height, width) / SIDE))


class Areas(NamedTuple):
    """The connected areas of one label each that are large enough; arrays ``[A]``, pixels are those of the grid.

    Attributes:
        number: of the area, from 1 (see `segmend.ops.blobs.label_components`).
        box: x0, y0, x1, y1 in pixels of the grid, ``[A, 4]``; x1 and y1 lie outside.
        share: of the image's valid pixels.
        own: mean log-probability of the label in the core of the area.
        rival: the class with the highest mean log-probability there beside the label; `over` by how much it is
            higher than the label's.
        around: the class that most of the outline touches (-1: none), `enclosed` the share of the outline that
            does, and `around_over` by how much its mean log-probability is higher than the label's.
        edge: mean edge strength on the outline, as a share of the image's mean; NaN without an outline.
    """

    number: np.ndarray
    label: np.ndarray
    box: np.ndarray
    pixels: np.ndarray
    share: np.ndarray
    own: np.ndarray
    rival: np.ndarray
    over: np.ndarray
    around: np.ndarray
    enclosed: np.ndarray
    around_over: np.ndarray
    edge: np.ndarray


class Contradictions(NamedTuple):
    """The connected areas of one label in which another class is the likeliest; arrays ``[D]``.

    Attributes:
        number, box, pixels, share: as of `Areas`.
        area: number of the labelled area that it is part of.
        rival: the likeliest class.
        own, of_rival: mean log-probability of the label and of the rival.
        far: share of the pixels that are further than `FAR` from any border.
        is_present: whether the image has labels of the rival, 0 or 1.
    """

    number: np.ndarray
    label: np.ndarray
    box: np.ndarray
    pixels: np.ndarray
    share: np.ndarray
    area: np.ndarray
    rival: np.ndarray
    own: np.ndarray
    of_rival: np.ndarray
    far: np.ndarray
    is_present: np.ndarray


class Whole(NamedTuple):
    """A label map as a whole; NaN where it has no border.

    Attributes:
        edge_distance: mean distance in pixels from borders to the strongest edges nearby.
        edge_on_border: edge strength across the borders minus that along them, at the border.
        edge_peak: the highest such strength at any distance, over that at the border.
        edge: mean edge strength on borders, in any direction.
        own: mean log-probability of the labels; `own_near` of those near borders.
        contradicted: log of the share of the pixels where another class is likelier.
        lowest: 1 minus a soft minimum of the probabilities of the labels.
    """

    edge_distance: float
    edge_on_border: float
    edge_peak: float
    edge: float
    own: float
    own_near: float
    contradicted: float
    lowest: float


class Measured(NamedTuple):
    """Of one image.

    Attributes:
        confusion: numbers of pixels, ``[n, 3]``: likeliest class, label, count.
        step: pixels of the image in one of the grid.
    """

    areas: Areas
    contradictions: Contradictions
    whole: Whole
    confusion: np.ndarray
    step: int


@dataclass(frozen=True)
class Seen:
    """An image and its probability map on the grid, ready for `measure` with one label map or several.

    Attributes:
        log_p: log-probabilities, ``float32 [C, h, w]``.
        best: the likeliest class, ``[h, w]``.
    """

    log_p: np.ndarray
    best: np.ndarray
    edges: Edges
    step: int

    @classmethod
    def of(cls, image: np.ndarray, probabilities: np.ndarray) -> Seen:
        """Of an image ``uint8 [H, W, 3]`` and probabilities ``[C, H, W]``."""
        height, width = image.shape[:2]
        step = step_for(height, width)
        p = probabilities[:, ::step, ::step]
        if step > 1:
            image = cv2.resize(image, p.shape[:0:-1], interpolation=cv2.INTER_AREA)
        return cls(np.log(p.astype(np.float32) + RARE), p.argmax(axis=0), Edges.of(image), step)

    def measure(self, labels: np.ndarray, void: int) -> Measured:
        """Measure a label map ``[H, W]`` of the image; at least one pixel is valid."""
        labels = np.ascontiguousarray(labels[:: self.step, :: self.step])
        is_valid = labels != void
        filled = _filled(labels, is_valid)
        neighbours = nearest_of_another_class(filled)
        border = (neighbours.distance <= 1) & is_valid
        index = np.where(is_valid, labels, 0).astype(np.int64)
        own = np.take_along_axis(self.log_p, index[None], axis=0)[0]
        areas = self._areas(labels, void, neighbours.distance, border)
        return Measured(
            areas,
            self._contradictions(labels, void, neighbours.distance, own),
            self._whole(filled, is_valid, neighbours, border, own),
            _counted_pairs(self.best[is_valid], index[is_valid]),
            self.step,
        )

    def _areas(self, labels: np.ndarray, void: int, depth: np.ndarray, border: np.ndarray) -> Areas:
        numbers = label_components(labels, void)
        groups = _Groups(numbers)
        reach = np.minimum(CORE, groups.max(depth) / 2)
        core = _Groups(np.where((numbers > 0) & (depth >= np.append(0, reach)[numbers]), numbers, 0), len(groups))
        label = groups.first(labels).astype(np.int64)
        every = np.arange(len(label))
        mean = np.stack([core.sum(plane) for plane in self.log_p], axis=1) / np.maximum(core.pixels, 1)[:, None]
        own = mean[every, label]
        others = mean.copy()
        others[every, label] = -np.inf
        rival = others.argmax(axis=1)
        touching = _touching(numbers, labels, void, len(groups), len(self.log_p))
        around = np.where(touching.any(axis=1), touching.argmax(axis=1), -1)
        outline = _Groups(np.where(border, numbers, 0), len(groups))
        edge = outline.sum(self.edges.strength())
        found = Areas(
            every + 1,
            label,
            groups.boxes(),
            groups.pixels,
            groups.pixels / max(1, int(groups.pixels.sum())),
            own,
            rival,
            others[every, rival] - own,
            around,
            touching.max(axis=1, initial=0) / np.maximum(touching.sum(axis=1), 1),
            np.where(around < 0, 0, mean[every, around] - own),
            np.where(outline.pixels, edge / np.maximum(outline.pixels, 1), np.nan),
        )
        return Areas(*(column[_large_enough(found.pixels, found.share)] for column in found))

    def _contradictions(self, labels: np.ndarray, void: int, depth: np.ndarray, own: np.ndarray) -> Contradictions:
        numbers = self.contradicted(labels, void)
        groups = _Groups(numbers)
        label, rival = (groups.first(map_).astype(np.int64) for map_ in (labels, self.best))
        likeliest = np.take_along_axis(self.log_p, self.best[None], axis=0)[0]
        valid = max(1, int((labels != void).sum()))
        found = Contradictions(
            np.arange(1, len(groups) + 1),
            label,
            groups.boxes(),
            groups.pixels,
            groups.pixels / valid,
            groups.first(label_components(labels, void)),
            rival,
            groups.sum(own) / np.maximum(groups.pixels, 1),
            groups.sum(likeliest) / np.maximum(groups.pixels, 1),
            groups.sum(depth > FAR) / np.maximum(groups.pixels, 1),
            np.isin(rival, np.unique(labels)).astype(float),
        )
        return Contradictions(*(column[_large_enough(found.pixels, found.share)] for column in found))

    def contradicted(self, labels: np.ndarray, void: int) -> np.ndarray:
        """Numbers of `Contradictions` of a label map on the grid, ``int32 [h, w]``; 0 elsewhere."""
        is_contradicted = (labels != void) & (self.best != labels)
        pair = labels.astype(np.int64) * len(self.log_p) + self.best + 1
        return components(np.where(is_contradicted, pair, 0))

    def _whole(
        self, filled: np.ndarray, is_valid: np.ndarray, neighbours: Neighbours, border: np.ndarray, own: np.ndarray
    ) -> Whole:
        measured = strength_of(filled, neighbours, self.edges, deep(~is_valid))
        strongest = measured.strongest.sum(axis=0)
        curve = measured.strength.sum(axis=0) / (measured.counts.sum(axis=0) + FEW)
        middle = len(DISTANCES) // 2
        at_border = float(curve[middle - 1 : middle + 1].mean())
        near = is_valid & (neighbours.distance < NEAR)
        has_border = bool(border.any())
        probability = np.exp(own[is_valid])
        weight = np.exp(-SHARPNESS * probability)
        return Whole(
            float((strongest * np.abs(DISTANCES)).sum() / strongest.sum()) if strongest.any() else np.nan,
            at_border if has_border else np.nan,
            float(curve.max()) / (abs(at_border) + 0.3) if has_border else np.nan,
            float(self.edges.strength()[border].mean()) if has_border else np.nan,
            float(own[is_valid].mean()),
            float(own[near].mean()) if near.any() else np.nan,
            float(np.log((self.best != filled)[is_valid].mean() + 0.01)),
            1 - float((probability * weight).sum() / weight.sum()),
        )


def _filled(labels: np.ndarray, is_valid: np.ndarray) -> np.ndarray:
    """The label map whose void pixels have the nearest label."""
    return labels if is_valid.all() else labels.ravel()[nearest_chosen(is_valid)[1]]


def _large_enough(pixels: np.ndarray, share: np.ndarray) -> np.ndarray:
    chosen: np.ndarray = (pixels >= SMALLEST) & (share >= SMALLEST_SHARE)
    return chosen


def _counted_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How often two ids occur together, ``int64 [n, 3]``."""
    base = int(max(one.max(initial=0), other.max(initial=0))) + 1
    codes, counts = np.unique(one.astype(np.int64) * base + other, return_counts=True)
    return np.stack((*np.divmod(codes, base), counts), axis=1)


def _touching(numbers: np.ndarray, labels: np.ndarray, void: int, count: int, classes: int) -> np.ndarray:
    """Length in pixels of the outline of each area that touches each class, ``[count, classes]``."""
    label = np.where(labels == void, classes, labels).astype(np.int64)
    found = np.zeros((count + 1) * (classes + 1))
    for area, other in ((numbers, label), (numbers.T, label.T)):
        for at, beside in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            differs = area[at] != area[beside]
            where = area[at][differs].astype(np.int64) * (classes + 1) + other[beside][differs]
            found += np.bincount(where, minlength=len(found))
    return found.reshape(count + 1, classes + 1)[1:, :classes]


class _Groups:
    """Sums over the pixels of numbered areas.

    Args:
        numbers: of each pixel's area from 1, 0 for none, ``[h, w]``.
        count: of areas (None: as many as occur).
    """

    def __init__(self, numbers: np.ndarray, count: int | None = None) -> None:
        flat = numbers.ravel()
        self.width = numbers.shape[1]
        self.pixels = np.bincount(flat, minlength=(count or 0) + 1)[1:]
        chosen = np.flatnonzero(flat)
        self.order = chosen[np.argsort(flat[chosen], kind="stable")]
        self.starts = np.cumsum(self.pixels) - self.pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def _reduced(self, function: np.ufunc, values: np.ndarray) -> np.ndarray:
        found = np.zeros(len(self), values.dtype)
        there = self.pixels > 0
        if there.any():
            found[there] = function.reduceat(values, self.starts[there])
        return found

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values ``[h, w]`` of each area."""
        return self._reduced(np.add, values.ravel()[self.order].astype(np.float64))

    def max(self, values: np.ndarray) -> np.ndarray:
        """Their maximum."""
        return self._reduced(np.maximum, values.ravel()[self.order])

    def first(self, values: np.ndarray) -> np.ndarray:
        """The value of the first pixel of each area, none of which is empty."""
        found: np.ndarray = values.ravel()[self.order[self.starts]] if len(self) else values.ravel()[:0]
        return found

    def boxes(self) -> np.ndarray:
        """x0, y0, x1, y1 of each area, ``int64 [n, 4]``."""
        rows, columns = np.divmod(self.order, self.width)
        low = [self._reduced(np.minimum, values) for values in (columns, rows)]
        high = [self._reduced(np.maximum, values) + 1 for values in (columns, rows)]
        return np.stack((*low, *high), axis=1)
