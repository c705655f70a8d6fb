"""What a folder, or one image, shows of the border between each two classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from segmend.borders.strength import DISTANCES, REACH, BorderStrength, smoothed

DESCRIPTION = 4 * REACH + 5
"""Length of `PairProfiles.describe`."""

SHARED_BORDER = 60.0
"""Pixels of border as which the profile of all pairs of a kind counts in that of one: a pair with little border
has the profile of the others."""

SHARED_KIND = 300.0
"""The same, for the profile of all pairs in that of a kind: pairs with the largest class, and the others."""

FEW = 20.0
"""Pixels without an edge that are added to each bin, so that few pixels show no edge."""

FLOOR = 0.02
"""Share of the strongest edges that is spread over all distances: no place is impossible."""

FAINT = 0.3
"""A curve whose maximum is lower is not scaled to 1."""


class PairProfiles:
    """Border profiles of pairs of classes, each supported by those of similar pairs.

    Distances are negative inside the class with fewer pixels, whatever the ids (`is_inner`).

    Args:
        images: what was measured; one image, or a folder's.
        areas: number of pixels of each class, by which the inner class of a pair is decided.
    """

    def __init__(self, images: Iterable[BorderStrength], areas: Mapping[int, int]) -> None:
        self.areas = areas
        self.largest = min(areas, key=lambda id_: (-areas[id_], id_), default=0)
        self.images = 0
        self._sums: dict[tuple[int, int], np.ndarray] = {}
        for one in images:
            self.images += len(one.pairs) > 0
            for index, (low, high) in enumerate(one.pairs.tolist()):
                sums = one.sums[:, index, :: 1 if self.is_inner(low, high) else -1]
                self._sums[low, high] = self._sums.get((low, high), 0.0) + sums
        nothing = np.zeros((3, 2 * REACH))
        whole = sum(self._sums.values(), nothing)
        self._kinds = {
            kind: _counted_as(whole, SHARED_KIND)
            + sum((sums for pair, sums in self._sums.items() if (self.largest in pair) == kind), nothing)
            for kind in (False, True)
        }

    def is_inner(self, one: int, other: int) -> bool:
        """Whether class `one` has fewer pixels than the other. If they have equally many: a lower id."""
        return (self.areas.get(one, 0), one) < (self.areas.get(other, 0), other)

    def _of(self, low: int, high: int) -> np.ndarray:
        kind = _counted_as(self._kinds[self.largest in (low, high)], SHARED_BORDER)
        return kind + self._sums.get((low, high), 0.0)

    def describe(self, low: int, high: int) -> np.ndarray:
        """The profile of a pair in numbers of about -1..1, ``float32 [DESCRIPTION]``.

        Mean edge strength by distance, where the strongest edges lie, and how much evidence there is.
        """
        strength, counts, strongest = self._of(low, high)
        curve = smoothed(strength / (counts + FEW))
        places = strongest / (strongest.sum() + 1e-6)
        near = np.abs(DISTANCES)
        summary = (
            curve.max() / 2,
            (places * near).sum() / 5,
            places[near < 2].sum(),
            np.log1p(self.images) / 4,
            np.log1p(counts.sum() / (2 * REACH)) / 8,
        )
        return np.concatenate((curve / max(curve.max(), FAINT), 4 * places, summary)).astype(np.float32)

    def share_inside(self, low: int, high: int) -> np.ndarray:
        """Share of the strongest edges that lie further inside than each distance -REACH, ..., REACH."""
        strongest = self._of(low, high)[2]
        places = smoothed(strongest + FLOOR * strongest.mean() + 1e-9)
        return np.concatenate(([0.0], np.cumsum(places / places.sum())))


def _counted_as(sums: np.ndarray, border: float) -> np.ndarray:
    """Sums scaled down to so many pixels of border, where they are of more."""
    found: np.ndarray = sums * min(1.0, border * 2 * REACH / (sums[1].sum() + 1))
    return found
