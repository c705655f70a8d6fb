"""Strength of the image's edges around the borders of one mask, by the signed distance from them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from segmend.ops.nearest import nearest_chosen

REACH = 14
"""Pixels on both sides of a border that are looked at."""

DISTANCES = np.arange(-REACH, REACH) + 0.5
"""Signed distance in pixels of each bin from the border, which lies between pixels."""

BLUR = 0.8
"""Standard deviation in pixels, before edges are measured."""

STRETCH = 24
"""Side in pixels of the squares by which a border is cut into stretches."""

MIN_STRETCH = 8
"""Pixels of border in a stretch, at least, for the place of its strongest edge to count."""

SEARCHED = 10
"""Distance in pixels within which the strongest edge of a stretch is sought."""

PRIOR = 4.0
"""Pixels without an edge that are added to each bin of a stretch, so that few pixels do not win."""

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
    """

    pairs: np.ndarray
    strength: np.ndarray
    counts: np.ndarray
    strongest: np.ndarray


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
    distance, nearest = _nearest_of_another_class(labels)
    chosen = distance - 0.5 < REACH
    if ignored is not None:
        chosen &= ~ignored
    pixels = np.flatnonzero(chosen)
    if not len(pixels):
        return _nothing()
    width = labels.shape[1]
    own, other = (labels.ravel()[index].astype(np.int64) for index in (pixels, nearest.ravel()[pixels]))
    y, x = np.divmod(pixels, width)
    there_y, there_x = np.divmod(nearest.ravel()[pixels], width)
    strength = _across_minus_along(image, pixels, there_y - y, there_x - x)
    depth = (distance.ravel()[pixels] - 0.5).astype(np.int64)
    bins = np.where(own < other, REACH - 1 - depth, REACH + depth)
    both = np.stack((np.minimum(own, other), np.maximum(own, other)), axis=1)
    pairs, pair = np.unique(both, axis=0, return_inverse=True)
    pair = pair.reshape(-1)
    return BorderStrength(
        pairs,
        *_binned(pair, len(pairs), bins, strength),
        _strongest(pair, len(pairs), there_y // STRETCH, there_x // STRETCH, bins, strength),
    )


def _nothing() -> BorderStrength:
    empty = np.zeros((0, 2 * REACH))
    return BorderStrength(np.zeros((0, 2), np.int64), empty, empty, empty)


def _nearest_of_another_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, the distance to the nearest pixel of another class, and its flat index."""
    height, width = labels.shape
    distance = np.full((height, width), np.inf, np.float32)
    nearest = np.zeros((height, width), np.int64)
    for name in np.unique(labels):
        is_own = labels == name
        rows, columns = (np.flatnonzero(is_own.any(axis=axis)) for axis in (1, 0))
        # Its bounding box, and a frame of one pixel: nothing outside can be nearer.
        top, left = max(0, rows[0] - 1), max(0, columns[0] - 1)
        part = is_own[top : rows[-1] + 2, left : columns[-1] + 2]
        if part.all():
            continue
        found, index = nearest_chosen(~part)
        y, x = np.divmod(index[part], part.shape[1])
        distance[top : rows[-1] + 2, left : columns[-1] + 2][part] = found[part]
        nearest[top : rows[-1] + 2, left : columns[-1] + 2][part] = (y + top) * width + x + left
    return distance, nearest


def _across_minus_along(image: np.ndarray, pixels: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Strength of the edge in the direction (dy, dx) minus that at a right angle, at some pixels."""
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    blurred = cv2.GaussianBlur(lab, (0, 0), BLUR)
    by_x, by_y = (np.asarray(cv2.Sobel(blurred, cv2.CV_32F, *order)) for order in ((1, 0), (0, 1)))
    xx, yy, xy = ((a * b).sum(axis=2).ravel() for a, b in ((by_x, by_x), (by_y, by_y), (by_x, by_y)))
    mean = np.sqrt(xx + yy).mean() + 1e-6
    length = np.hypot(dy, dx)
    y, x = dy / length, dx / length
    across = np.maximum(x * x * xx[pixels] + 2 * x * y * xy[pixels] + y * y * yy[pixels], 0)
    along = np.maximum(xx[pixels] + yy[pixels] - across, 0)
    difference: np.ndarray = (np.sqrt(across) - np.sqrt(along)) / mean
    return difference


def _binned(
    group: np.ndarray, groups: int, bins: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of strengths and number of pixels by group and bin, ``[groups, 2 REACH]``."""
    size = groups * 2 * REACH
    where = group * 2 * REACH + bins
    sums, counts = np.bincount(where, strength, size), np.bincount(where, minlength=size).astype(float)
    return sums.reshape(groups, -1), counts.reshape(groups, -1)


def _strongest(
    pair: np.ndarray, pairs: int, row: np.ndarray, column: np.ndarray, bins: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Weight of the stretches of border by pair and the bin of their strongest edge, ``[pairs, 2 REACH]``."""
    stretches, stretch = np.unique(np.stack((pair, row, column), axis=1), axis=0, return_inverse=True)
    sums, counts = _binned(stretch.reshape(-1), len(stretches), bins, strength)
    border = counts[:, REACH - 1 : REACH + 1].mean(axis=1)
    kept = border >= MIN_STRETCH
    profile = smoothed(sums[kept] / (counts[kept] + PRIOR)).clip(0)
    profile[:, np.abs(DISTANCES) > SEARCHED] = 0
    weight = border[kept] * profile.max(axis=1, initial=0)
    where = stretches[kept, 0] * 2 * REACH + profile.argmax(axis=1)
    return np.bincount(where, weight, pairs * 2 * REACH).reshape(pairs, -1)


def smoothed(profile: np.ndarray) -> np.ndarray:
    """A profile ``[..., 2 REACH]``, each bin averaged with those around it."""
    padded = np.pad(profile, [(0, 0)] * (profile.ndim - 1) + [(2, 2)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=-1)
    found: np.ndarray = windows @ SMOOTHING
    return found
