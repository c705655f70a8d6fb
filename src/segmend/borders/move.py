"""Move the borders of masks that are too small or too large."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segmend.borders.profile import BorderProfile
from segmend.ops.nearest import nearest_chosen

LEAST_KEPT = 0.08
"""Share of a class in a mask that stays at least, where borders move into it."""

TOO_THIN = 1.5
"""A class is left as it is if the move is more than so many times the depth that a share of `LEAST_KEPT` exceeds:
it is thin, and its offset is not that of the other borders."""

STEP = 0.5
"""Evident moves are rounded to it, so that another image in the folder does not change all results."""

ROUNDING = 0.25
"""Pixels of distance beyond the move that count, as distances on a grid are not whole."""


class Move(NamedTuple):
    """A move of borders: classes grow over the class `over` by `pixels`, or shrink where these are negative."""

    pixels: float
    over: int

    def __call__(self, labels: np.ndarray, void: int) -> np.ndarray:
        """The moved mask (see `moved`)."""
        return moved(labels, self.pixels, self.over, void)

    def __str__(self) -> str:
        return f"moved by {self.pixels:+.1f} px over class {self.over}"


def evident_move(profile: BorderProfile) -> Move | None:
    """The move that the masks of a folder evidently need; None where no offset is evident."""
    offset = profile.offset()
    if not offset.is_evident or profile.precision().are_of_other_images:
        return None
    return Move(STEP * round(offset.pixels / STEP), profile.largest)


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
