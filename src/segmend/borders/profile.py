"""The border profile of a folder: how far its masks are off, and how precise they are, without ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from segmend.borders.strength import DISTANCES, REACH, BorderStrength, smoothed

RESAMPLED = 200
"""Times that the images are drawn anew, for the interval."""

FEW = 80.0
"""Pixels without an edge that are added to each bin, so that few pixels show no edge."""

FEWEST = 4
"""Images that an evident offset needs: drawing fewer anew gives no interval."""

TOO_SMALL, TOO_LARGE = 1.2, -2.0
"""The interval of an evident offset lies above the one or below the other. Exact masks have offsets from -2 to 0.1
px, as people draw around objects, so the two differ."""

LEAST_STRENGTH = 0.3
"""Of the edges at an evident offset, as a share of the images' mean edge strength."""

MIRRORED = 0.65
"""At the mirrored place, edges of an evident offset are weaker than this share of theirs: others are textures."""

SHIFTED = 1.2
"""The interval of an evident shift lies beyond so many pixels on either side."""

BOTH_SIDES = 0.2
"""Share of the borders along an axis that each side of an evident shift has, at least."""

AGREEING = 0.7
"""Edges at an offset are at least so strong, as a share of those elsewhere, on each side that agrees with it."""

FOLLOWING = 0.5
"""The same for a class that follows the others; it may have few borders."""

SHARPER = 1.4
"""Edges at an evident shift are so many times as strong as at the border."""

ON_BORDER = 1.5
"""Distance in pixels within which an edge lies on the border."""

SLOPE, INTERCEPT = 1.16, -0.7
"""Of the border error by the mean distance of the strongest edges, fitted on fourteen data sets."""

OTHER_IMAGES = 0.18
"""Masks of other images have a smaller share of their border's strongest edges on it ..."""

FLAT, SCATTERED = 0.2, 0.3
"""... or a smaller one than the second, where no distance has edges stronger than the first."""


class Offset(NamedTuple):
    """How far the borders of masks lie from the edges of their images.

    Attributes:
        pixels: positive where the masks are too small, negative where too large.
        low, high: the 95 % interval, by drawing images anew.
        strength: of the edges there, as a share of the images' mean edge strength.
        is_evident: the interval, of at least `FEWEST` images, is clear of what exact masks have, and the edges are
            clearly stronger there than at the border and at the mirrored place.
    """

    pixels: float
    low: float
    high: float
    strength: float
    is_evident: bool


class Shift(NamedTuple):
    """How far masks lie to the right of and below the edges of their images, in pixels, rounded.

    Attributes:
        right, down: 0 where no shift along this axis is evident.
    """

    right: int
    down: int


class Precision(NamedTuple):
    """How precisely the borders of masks follow the edges of their images, an evident offset apart.

    Attributes:
        on_border: share of the stretches of border whose strongest edge lies within about `ON_BORDER` px of the
            border, or of where most of them do.
        distance: mean distance in pixels of the strongest edges from the border.
        border_error_px: the mean border error that such a distance goes with, at least 0.
        are_of_other_images: whether the masks seem to belong to other images.
    """

    on_border: float
    distance: float
    border_error_px: float
    are_of_other_images: bool


@dataclass(frozen=True)
class BorderProfile:
    """Edge strength around the borders of a folder's masks, by pairs of classes that touch.

    Args:
        images: measured by `border_strength`, each image once.

    Attributes:
        areas: number of pixels of each class.
        largest: the class with most pixels.
        classes: the classes that touch it.
    """

    images: tuple[BorderStrength, ...]

    @classmethod
    def of(cls, images: Iterable[BorderStrength]) -> BorderProfile:
        """The profile of images."""
        return cls(tuple(images))

    @cached_property
    def areas(self) -> Counter[int]:
        return sum((Counter(one.areas) for one in self.images), Counter())

    @cached_property
    def largest(self) -> int:
        return min(self.areas, key=lambda id_: (-self.areas[id_], id_), default=0)

    @cached_property
    def _sides(self) -> np.ndarray:
        """Of images that have borders, `BorderStrength.sides` summed over the classes that touch the largest one.

        ``[2, images, 4, 2 REACH]``, sides and distances as seen from the other class.
        """
        found = []
        for one in (one for one in self.images if len(one.pairs)):
            sums = np.zeros((2, 4, 2 * REACH))
            for pair, (low, high) in enumerate(one.pairs.tolist()):
                if low == self.largest:
                    sums += one.sides[:, pair, [1, 0, 3, 2], ::-1]
                elif high == self.largest:
                    sums += one.sides[:, pair]
            found.append(sums)
        return np.stack(found, axis=1) if found else np.zeros((2, 0, 4, 2 * REACH))

    @property
    def classes(self) -> tuple[int, ...]:
        return self._against_largest[0]

    @cached_property
    def _against_largest(self) -> tuple[tuple[int, ...], np.ndarray]:
        """Classes that touch the largest one, and sums of the images that have borders.

        The sums are `PairStrength`'s, ``[3, images, classes, 2 REACH]``, at distances that are positive outside.
        """
        touching = [one.pairs[(one.pairs == self.largest).any(axis=1)] for one in self.images if len(one.pairs)]
        found = np.unique(np.concatenate(touching)) if touching else np.zeros(0, np.int64)
        classes = tuple(id_ for id_ in found.tolist() if id_ != self.largest)
        row = {id_: index for index, id_ in enumerate(classes)}
        sums = np.zeros((3, len(touching), len(classes), 2 * REACH))
        for number, one in enumerate(one for one in self.images if len(one.pairs)):
            for pair, (low, high) in enumerate(one.pairs.tolist()):
                if self.largest in (low, high):
                    flip = -1 if low == self.largest else 1
                    sums[:, number, row[high if low == self.largest else low]] = one.sums[:, pair, ::flip]
        return classes, sums

    def curve(self, class_id: int | None = None) -> np.ndarray:
        """Mean edge strength by distance, smoothed, ``[2 REACH]``; of a class, or of all together."""
        strength, count = self._of(class_id)
        return _curve(strength.sum(axis=0), count.sum(axis=0))

    def offset(self, class_id: int | None = None) -> Offset:
        """How far the borders are off; of a class, or of all together."""
        strength, count = self._of(class_id)
        images = len(strength)
        curve = _curve(strength.sum(axis=0), count.sum(axis=0))
        pixels, height = _peak(curve)
        if not images or height <= 0:
            return Offset(0.0, 0.0, 0.0, 0.0, False)
        drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), RESAMPLED).astype(float)
        curves = _curve(drawn @ strength, drawn @ count)
        peaks = np.array([_peak(one)[0] for one in curves])
        low, high = (float(value) for value in np.quantile(peaks, (0.025, 0.975)))
        gains = np.array([_at(one, pixels) - _at(one, 0) for one in curves])
        is_evident = (
            images >= FEWEST
            and (low > TOO_SMALL or high < TOO_LARGE)
            and height > LEAST_STRENGTH
            and float(np.quantile(gains, 0.05)) > 0
            and _at(curve, -pixels) < MIRRORED * _at(curve, pixels)
            and (class_id is not None or self._all_sides_agree(pixels))
        )
        return Offset(pixels, low, high, height, is_evident)

    def _all_sides_agree(self, pixels: float) -> bool:
        """Whether no side has clearly stronger edges at the mirrored offset, as one has in shifted masks."""
        strength, counts = self._sides.sum(axis=1)
        return all(_prefers(_curve(*side), pixels) for side in zip(strength, counts, strict=True))

    def followers(self, pixels: float) -> tuple[int, ...]:
        """The classes whose own edges lie at an offset of all classes, rather than at the border or mirrored."""
        curves = {id_: self.curve(id_) for id_ in self.classes}
        return tuple(
            id_
            for id_, curve in curves.items()
            if _at(curve, pixels) >= FOLLOWING * max(_at(curve, 0), _at(curve, -pixels))
        )

    def shift(self) -> Shift:
        """How far masks are shifted, along the axes where that is evident.

        Edges then lie to the right of the right borders of classes as far as to the right of the left ones.
        """
        right, left, down, up = np.moveaxis(self._sides, 2, 0)
        return Shift(-_evident_shift(right, left[..., ::-1]), -_evident_shift(down, up[..., ::-1]))

    @cached_property
    def share_on_border(self) -> float:
        """Share of the stretches of border whose strongest edge lies within about `ON_BORDER` px of the border."""
        weight = self._against_largest[1][2].sum(axis=(0, 1))
        total = float(weight.sum())
        return float(weight[np.abs(DISTANCES) <= ON_BORDER + 0.5].sum()) / total if total > 0 else 0.0

    def precision(self) -> Precision:
        """How precisely the borders follow edges."""
        weight = self._against_largest[1][2].sum(axis=(0, 1))
        total = weight.sum()
        if total <= 0:
            return Precision(0.0, 0.0, 0.0, False)
        offset = self.offset()
        from_peak = np.abs(DISTANCES - offset.pixels)
        from_border = np.abs(DISTANCES - (offset.pixels if offset.is_evident else 0))
        near = max(float(weight[off <= ON_BORDER + 0.5].sum()) for off in (from_peak, np.abs(DISTANCES)))
        on_border, mean = near / float(total), float((weight * from_border).sum() / total)
        are_of_others = on_border < (SCATTERED if offset.strength < FLAT else OTHER_IMAGES)
        return Precision(on_border, mean, max(0.0, SLOPE * (mean - 0.5) + INTERCEPT), are_of_others)

    def _of(self, class_id: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Sums of strength and numbers of pixels of each image, ``[images, 2 REACH]``."""
        classes, sums = self._against_largest
        strength, counts, _ = sums.sum(axis=2) if class_id is None else sums[:, :, classes.index(class_id)]
        return strength, counts


def _evident_shift(one: np.ndarray, other: np.ndarray) -> int:
    """Pixels along an axis from the borders to the edges; 0 where that is not evident.

    Both sides of the classes must show it: the edges of masks that are too small lie outside of both.

    Args:
        one, other: sums of each image, ``[2, images, 2 REACH]``, of the two sides; distances are along the axis.
    """
    strength, counts = one + other
    images = len(strength)
    curve = _curve(strength.sum(axis=0), counts.sum(axis=0))
    pixels, height = _peak(curve)
    if images < FEWEST or height <= LEAST_STRENGTH or _at(curve, 0) * SHARPER > height:
        return 0
    for side in (one, other):
        share = side[1].sum() / counts.sum()
        of_side = _curve(*side.sum(axis=1))
        if share < BOTH_SIDES or MIRRORED * _at(of_side, pixels) < _at(of_side, -pixels):
            return 0
    drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), RESAMPLED).astype(float)
    peaks = [_peak(one)[0] for one in _curve(drawn @ strength, drawn @ counts)]
    low, high = np.quantile(peaks, (0.025, 0.975))
    return round(pixels) if low > SHIFTED or high < -SHIFTED else 0


def _prefers(curve: np.ndarray, pixels: float) -> bool:
    """Whether edges are not clearly weaker at an offset than at the mirrored one."""
    return _at(curve, pixels) >= AGREEING * _at(curve, -pixels)


def _curve(strength: np.ndarray, count: np.ndarray) -> np.ndarray:
    return smoothed(strength / (count + FEW))


def _peak(curve: np.ndarray) -> tuple[float, float]:
    """The centre of the lobe around the maximum, as far as it reaches half of its height; and the height."""
    top = int(curve.argmax())
    height = float(curve[top])
    if height <= 0:
        return 0.0, height
    below = np.flatnonzero(curve < height / 2)
    first = below[below < top].max(initial=-1) + 1
    end = below[below > top].min(initial=len(curve))
    lobe = curve[first:end]
    return float((lobe * DISTANCES[first:end]).sum() / lobe.sum()), height


def _at(curve: np.ndarray, distance: float) -> float:
    return float(np.interp(distance, DISTANCES, curve))
