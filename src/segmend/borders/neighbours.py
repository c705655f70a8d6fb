"""For each pixel of a mask, the nearest pixel of another class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segmend.ops.nearest import nearest_chosen


class Neighbours(NamedTuple):
    """The nearest pixel of another class, for each pixel of a mask.

    Attributes:
        distance: to it in pixels, ``float32 [H, W]``; infinite in a mask of one class.
        place: its flat index, ``int64 [H, W]``.
    """

    distance: np.ndarray
    place: np.ndarray

    def offsets(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns to it, ``float32 [H, W]`` each."""
        height, width = self.place.shape
        y, x = np.divmod(self.place, width)
        y -= np.arange(height)[:, None]
        x -= np.arange(width)
        return y.astype(np.float32), x.astype(np.float32)


def nearest_of_another_class(labels: np.ndarray) -> Neighbours:
    """Find them in a mask ``[H, W]``.

    >>> found = nearest_of_another_class(np.array([[1, 1, 0, 0, 2]]))
    >>> found.distance.tolist(), found.place.tolist()
    ([[2.0, 1.0, 1.0, 1.0, 1.0]], [[2, 2, 1, 4, 3]])
    """
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
        found, there = nearest_chosen(~part)
        y, x = np.divmod(there[part], part.shape[1])
        distance[top : rows[-1] + 2, left : columns[-1] + 2][part] = found[part]
        nearest[top : rows[-1] + 2, left : columns[-1] + 2][part] = (y + top) * width + x + left
    return Neighbours(distance, nearest)
