"""Move the borders of masks that are too small or too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segmend.borders.profile import BorderProfile
from segmend.ops.nearest import nearest_chosen

LEAST_KEPT = 0.08
"""Share of a class in a mask that stays at least, where borders move into it."""

STEP = 0.5
"""Evident moves are rounded to it, so that another image in the folder does not change all results."""

ROUNDING = 0.25
"""Pixels of distance beyond the move that count, as distances on a grid are not whole."""


class Move(NamedTuple):
    """A move of borders: a shift of the whole mask, or growth of classes.

    Attributes:
        pixels: by which classes grow over the class `over`, or shrink where it is negative.
        over: a class, such as the background.
        right, down: pixels of the shift.
        classes: those that grow or shrink; None: all.
    """

    pixels: float
    over: int
    right: int = 0
    down: int = 0
    classes: tuple[int, ...] | None = None

    def __call__(self, labels: np.ndarray, void: int) -> np.ndarray:
        """The moved mask ``[H, W]`` (see `moved`); lines at the image border are repeated where it is shifted."""
        height, width = labels.shape
        rows = (np.arange(height) - self.down).clip(0, height - 1)
        columns = (np.arange(width) - self.right).clip(0, width - 1)
        shifted = labels[rows][:, columns]
        if self.classes is None:
            return moved(shifted, self.pixels, self.over, void)
        stays = ~np.isin(shifted, (*self.classes, self.over))
        return np.where(stays, shifted, moved(np.where(stays, void, shifted), self.pixels, self.over, void))

    def described(self, names: Sequence[str]) -> str:
        """The move in words, with the names of the classes."""
        if self.right or self.down:
            return f"masks are moved by {self.right:+d} px to the right and {self.down:+d} px down"
        found = f"borders with {names[self.over]} are moved by {self.pixels:+.1f} px"
        others = [name for id_, name in enumerate(names) if self.classes and id_ not in (*self.classes, self.over)]
        return found + (f", but for those of {', '.join(others)}" if others else "")


def evident_move(profile: BorderProfile) -> Move | None:
    """The move that the masks of a folder evidently need; None where neither a shift nor an offset is evident."""
    if profile.precision().are_of_other_images:
        return None
    shift, offset = profile.shift(), profile.offset()
    if shift.right or shift.down:
        return Move(0.0, profile.largest, -shift.right, -shift.down)
    if not offset.is_evident:
        return None
    pixels = STEP * round(offset.pixels / STEP)
    return Move(pixels, profile.largest, classes=profile.followers(offset.pixels))


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
    if not pixels:
        return result
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
    """How far borders may move into pixels of some depths: at most `pixels`, 0 where they are thinner."""
    deepest = float(np.quantile(depth, 1 - LEAST_KEPT))
    return 0.0 if pixels > deepest else min(pixels + ROUNDING, deepest)
