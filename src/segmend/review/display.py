"""Label maps and regions, as small as a screen needs them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

COLOURS = 255
"""How many classes of an image a display tells apart; more share their numbers."""


class Shown(NamedTuple):
    """Two label maps and their regions, reduced by a whole factor.

    Attributes:
        factor: how many pixels of the image, in width and height, make one here.
        ids: the stored ids that occur in the image, ascending.
        coarse, refined: ``uint8 [h, w]``, the place of each pixel's id in `ids`, modulo `COLOURS`.
        numbers: ``uint8 [h, w]``, the number of each pixel's region; 0 where nothing changes.
    """

    factor: int
    ids: tuple[int, ...]
    coarse: np.ndarray
    refined: np.ndarray
    numbers: np.ndarray


def shown(coarse: np.ndarray, refined: np.ndarray, numbers: np.ndarray, side: int) -> Shown:
    """Reduce the maps of an image so that neither side exceeds `side`. No region vanishes.

    A square of pixels becomes that pixel of it whose region has the highest number, which is the smallest region.

    Args:
        coarse, refined: ids ``[H, W]``.
        numbers: ``uint8 [H, W]`` (see `regions_of`).
    """
    factor = -(-max(numbers.shape) // side)
    ids = np.union1d(coarse, refined)
    squares = _squares(numbers, factor)
    chosen = squares.argmax(axis=-1)[..., None]

    def reduced(map_: np.ndarray) -> np.ndarray:
        return np.take_along_axis(_squares(map_, factor), chosen, axis=-1)[..., 0]

    places = (np.searchsorted(ids, reduced(map_)) % COLOURS for map_ in (coarse, refined))
    first, second = (place.astype(np.uint8) for place in places)
    return Shown(factor, tuple(ids.tolist()), first, second, reduced(numbers))


def _squares(map_: np.ndarray, factor: int) -> np.ndarray:
    """The pixels of each square, ``[h, w, factor * factor]``; those beyond the edge repeat it."""
    height, width = map_.shape
    padded = np.pad(map_, ((0, -height % factor), (0, -width % factor)), mode="edge")
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    return padded.reshape(rows, factor, columns, factor).swapaxes(1, 2).reshape(rows, columns, factor * factor)
