"""Move the borders of masks that are too small or too large."""

from __future__ import annotations

import numpy as np

from segmend.ops.nearest import nearest_chosen

LEAST_KEPT = 0.08
"""Share of a class in a mask that stays at least, where borders move into it."""

TOO_THIN = 1.5
"""A class is left as it is if the move is more than so many times the depth that a share of `LEAST_KEPT` exceeds:
it is thin, and its offset is not that of the other borders."""

ROUNDING = 0.25
"""Pixels of distance beyond the move that count, as distances on a grid are not whole."""


def moved(labels: np.ndarray, pixels: float, over: int, void: int) -> np.ndarray:
    """A mask whose classes have grown over one of them, or shrunk from it, by a number of pixels.

    Only pixels of `over` change where classes grow, and only to the nearest other class; only to `over` where they
    shrink. So two classes that touch never swap pixels. Of what loses pixels, a share of `LEAST_KEPT` stays; thin
    structures are left as they are.

    Args:
        labels: ids, ``[H, W]``.
        pixels: positive to grow the classes.
        over: the class that they grow over, such as the background.
        void: the id of pixels that belong to no class; they stay.

    >>> moved(np.array([[0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]]), 1, over=0, void=255)
    array([[0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]])
    """
    result = labels.copy()
    is_over, is_other = labels == over, (labels != over) & (labels != void)
    if not is_over.any() or not is_other.any():
        return result
    if pixels > 0:
        distance, nearest = nearest_chosen(is_other)
        eaten = is_over & (distance <= _allowed(distance[is_over], pixels))
        result[eaten] = labels.ravel()[nearest[eaten]]
        return result
    distance, _ = nearest_chosen(is_over)
    for class_id in np.unique(labels[is_other]):
        own = labels == class_id
        result[own & (distance <= _allowed(distance[own], -pixels))] = over
    return result


def _allowed(depth: np.ndarray, pixels: float) -> float:
    """How far borders may move into pixels of some depths: at most `pixels`, 0 where they are thin."""
    deepest = float(np.quantile(depth, 1 - LEAST_KEPT))
    if pixels > TOO_THIN * deepest:
        return 0.0
    return min(pixels + ROUNDING, deepest)
