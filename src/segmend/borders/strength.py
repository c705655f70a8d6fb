"""Strength of the image's edges around the borders of one mask, by the signed distance from them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from segmend.borders.edges import Edges
from segmend.borders.neighbours import Neighbours, nearest_of_another_class

REACH = 14
"""Pixels on both sides of a border that are looked at."""

DISTANCES = np.arange(-REACH, REACH) + 0.5
"""Signed distance in pixels of each bin from the border, which lies between pixels."""

STRETCH = 24
"""Side in pixels of the squares by which a border is cut into stretches."""

MIN_STRETCH = 8
"""Pixels of border in a stretch, at least, for the place of its strongest edge to count."""

SEARCHED = 10
"""Distance in pixels within which the strongest edge of a stretch is sought."""

PRIOR = 4.0
"""Pixels without an edge that are added to each bin of a stretch, so that few pixels do not win."""

DEEP = 4.0
"""Distance in pixels from the nearest label from which void pixels do not count; nearer ones get that label."""

SMOOTHING = np.array((1.0, 2.0, 3.0, 2.0, 1.0)) / 9


class BorderStrength(NamedTuple):
    """Edge strength around the borders between pairs of classes of one image.

    The strength of a pixel is that of the edge across the border minus that along it, as a share of the image's
    mean edge strength. Bins are `DISTANCES`: negative ones lie in the first class of a pair.

    Attributes:
        pairs: ids of two classes that touch, the lower one first, ``int64 [P, 2]``.
        strength: sum over the pixels of each bin, ``float64 [P, 2 REACH]``.
        counts: number of pixels in each bin, ``float64 [P, 2 REACH]``.
        strongest: stretches of border by the bin of their strongest edge, weighted by its strength and their
            length, ``float64 [P, 2 REACH]``.
        sides: strength and counts by the side of the lower class that a border is on, right, left, down and up,
            ``float64 [2, P, 4, 2 REACH]``.
        areas: number of pixels of each class.
    """

    pairs: np.ndarray
    strength: np.ndarray
    counts: np.ndarray
    strongest: np.ndarray
    sides: np.ndarray
    areas: dict[int, int]

    @property
    def sums(self) -> np.ndarray:
        """Strength, counts and strongest, ``[3, P, 2 REACH]``."""
        return np.stack((self.strength, self.counts, self.strongest))


def border_strength(image: np.ndarray, labels: np.ndarray, ignored: np.ndarray | None = None) -> BorderStrength:
    """Measure the edges around the borders of a mask.

    Each pixel belongs to the pair of its own class and that of the nearest pixel of another class, and to the bin
    of its distance from it. So each border is measured up to half-way to the next one.

    Args:
        image: ``uint8 [H, W, 3]``.
        labels: ids, ``[H, W]``, without void.
        ignored: pixels that do not count, ``bool [H, W]``.

    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> image[:, 20:] = 255
    >>> labels = np.zeros((40, 40), np.int64)
    >>> labels[:, 23:] = 1  # the border is 3 px right of the edge
    >>> measured = border_strength(image, labels)
    >>> strength = measured.strength[0]
    >>> measured.pairs.tolist(), DISTANCES[strength > 0.9 * strength.max()].tolist()
    ([[0, 1]], [-3.5, -2.5])
    """
    return strength_of(labels, nearest_of_another_class(labels), Edges.of(image), ignored)


def strength_of(
    labels: np.ndarray, neighbours: Neighbours, edges: Edges, ignored: np.ndarray | None = None
) -> BorderStrength:
    """`border_strength` of a mask whose neighbours, and an image whose edges, are known."""
    counted = labels if ignored is None else labels[~ignored]
    areas = dict(zip(*(found.tolist() for found in np.unique(counted, return_counts=True)), strict=True))
    chosen = neighbours.distance - 0.5 < REACH
    if ignored is not None:
        chosen &= ~ignored
    pixels = np.flatnonzero(chosen)
    if not len(pixels):
        nothing = np.zeros((0, 2 * REACH))
        sides = np.zeros((2, 0, 4, 2 * REACH))
        return BorderStrength(np.zeros((0, 2), np.int64), nothing, nothing, nothing, sides, areas)
    width = labels.shape[1]
    distance, nearest = neighbours.distance.ravel()[pixels], neighbours.place.ravel()[pixels]
    own, other = (labels.ravel()[index].astype(np.int64) for index in (pixels, nearest))
    y, x = np.divmod(pixels, width)
    there_y, there_x = np.divmod(nearest, width)
    down, right = there_y - y, there_x - x
    strength = edges.at(pixels).across_minus_along(down, right)
    depth = (distance - 0.5).astype(np.int64)
    bins = np.where(own < other, REACH - 1 - depth, REACH + depth)
    low, high = np.minimum(own, other), np.maximum(own, other)
    base = int(high.max()) + 1
    codes, pair = np.unique(low * base + high, return_inverse=True)
    pairs = np.stack(np.divmod(codes, base), axis=1)
    places = (there_y // STRETCH) * (width // STRETCH + 1) + there_x // STRETCH
    is_right, is_level = (right > 0) == (own < other), np.abs(right) >= np.abs(down)
    is_down = (down > 0) == (own < other)
    side = np.where(is_level, np.where(is_right, 0, 1), np.where(is_down, 2, 3))
    sides = np.stack(_binned(4 * pair + side, 4 * len(pairs), bins, strength))
    return BorderStrength(
        pairs,
        *_binned(pair, len(pairs), bins, strength),
        _strongest(pair, len(pairs), places, bins, strength),
        sides.reshape(2, len(pairs), 4, 2 * REACH),
        areas,
    )


def _binned(
    group: np.ndarray, groups: int, bins: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of strengths and number of pixels by group and bin, ``[groups, 2 REACH]``."""
    size = groups * 2 * REACH
    where = group * 2 * REACH + bins
    sums, counts = np.bincount(where, strength, size), np.bincount(where, minlength=size).astype(float)
    return sums.reshape(groups, -1), counts.reshape(groups, -1)


def _strongest(
    pair: np.ndarray, pairs: int, places: np.ndarray, bins: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Weight of the stretches of border by pair and the bin of their strongest edge, ``[pairs, 2 REACH]``.

    A stretch is the border of a pair in one of the `places`.
    """
    stretches, stretch = np.unique(places * pairs + pair, return_inverse=True)
    sums, counts = _binned(stretch, len(stretches), bins, strength)
    border = counts[:, REACH - 1 : REACH + 1].mean(axis=1)
    kept = border >= MIN_STRETCH
    profile = smoothed(sums[kept] / (counts[kept] + PRIOR)).clip(0)
    profile[:, np.abs(DISTANCES) > SEARCHED] = 0
    weight = border[kept] * profile.max(axis=1, initial=0)
    where = stretches[kept] % pairs * 2 * REACH + profile.argmax(axis=1)
    return np.bincount(where, weight, pairs * 2 * REACH).reshape(pairs, -1)


def smoothed(profile: np.ndarray) -> np.ndarray:
    """A profile ``[..., 2 REACH]``, each bin averaged with those around it."""
    padded = np.pad(profile, [(0, 0)] * (profile.ndim - 1) + [(2, 2)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=-1)
    found: np.ndarray = windows @ SMOOTHING
    return found


def deep(void: np.ndarray) -> np.ndarray:
    """Void pixels that do not count, as they are far from any label: ``bool [H, W]`` of a map of void pixels."""
    found: np.ndarray = cv2.distanceTransform(void.astype(np.uint8), cv2.DIST_L2, 5) > DEEP
    return found
