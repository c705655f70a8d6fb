"""Regions of difference: where a refined label map differs from the coarse one, and by which classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segmend.labels import check_same_size
from segmend.ops.blobs import components

RULE = "regions of difference 1"
"""How regions are made and numbered. Decisions name regions by number, and hold for this rule alone."""

SMALL_PIXELS, SMALL_SHARE = 10, 0.0002
"""Areas with fewer pixels than this, or than this share of the image, are decided together."""

MOST_REGIONS = 100
"""Areas beyond these, in order of size, are decided together, too."""


class Change(NamedTuple):
    """How many pixels of a region change from one stored id to another."""

    before: int
    after: int
    pixels: int


@dataclass(frozen=True)
class Region:
    """Changed pixels that are decided together.

    Attributes:
        number: from 1, the largest region first; the small areas that are decided together come last.
        pixels: its size.
        parts: the number of its 8-connected areas: 1, except for small ones that are decided together.
        box: ``(x0, y0, x1, y1)`` around it, in pixels; x1 and y1 lie outside.
        changes: from which id to which, most pixels first.
    """

    number: int
    pixels: int
    parts: int
    box: tuple[int, int, int, int]
    changes: tuple[Change, ...]


class Regions(NamedTuple):
    """The number of each pixel's region, ``uint8 [H, W]``, 0 where nothing changes; and the regions."""

    numbers: np.ndarray
    regions: tuple[Region, ...]


def regions_of(coarse: np.ndarray, refined: np.ndarray) -> Regions:
    """The regions in which two label maps differ: 8-connected areas of changed pixels, small ones as one region.

    Args:
        coarse, refined: ids ``[H, W]``, in any integer type. Void is an id like the others.

    Raises:
        InvalidInput: the sizes differ.

    >>> coarse = np.zeros((4, 12), np.uint8)
    >>> refined = coarse.copy()
    >>> refined[:, :3] = 2
    >>> found = regions_of(coarse, refined)
    >>> found.regions[0].box, found.regions[0].changes
    ((0, 0, 3, 4), (Change(before=0, after=2, pixels=12),))
    """
    check_same_size(coarse=coarse, refined=refined)
    changed = coarse != refined
    areas = components(changed)
    count = int(areas.max(initial=0))
    if not count:
        return Regions(np.zeros(coarse.shape, np.uint8), ())
    table = _numbers_of_areas(np.bincount(areas.ravel(), minlength=count + 1)[1:], changed.size)
    numbers = np.concatenate(([0], table)).astype(np.uint8)[areas]
    rows, columns = changed.nonzero()
    number, last = numbers[rows, columns], int(table.max())
    pixels, parts = np.bincount(number, minlength=last + 1), np.bincount(table, minlength=last + 1)
    boxes = _boxes(number, rows, columns, last)
    changes = _changes(number, coarse[rows, columns], refined[rows, columns], last)
    return Regions(
        numbers,
        tuple(Region(n, int(pixels[n]), int(parts[n]), boxes[n], tuple(changes[n])) for n in range(1, last + 1)),
    )


def _numbers_of_areas(sizes: np.ndarray, image_pixels: int) -> np.ndarray:
    """The number of the region of each area, by their sizes ``[N]``."""
    order = np.argsort(-sizes, kind="stable")
    is_large = sizes[order] >= max(SMALL_PIXELS, SMALL_SHARE * image_pixels)
    is_large[MOST_REGIONS:] = False
    alone = int(is_large.sum())
    numbers = np.empty(len(sizes), np.int64)
    numbers[order] = np.minimum(np.arange(len(sizes)), alone) + 1
    return numbers


def _boxes(
    number: np.ndarray, rows: np.ndarray, columns: np.ndarray, last: int
) -> list[tuple[int, int, int, int]]:
    ends = np.zeros((4, last + 1), np.int64)
    ends[:2] = np.iinfo(np.int64).max
    for end, places in ((0, columns), (1, rows)):
        np.minimum.at(ends[end], number, places)
        np.maximum.at(ends[end + 2], number, places + 1)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in ends.T.tolist()]


def _changes(number: np.ndarray, before: np.ndarray, after: np.ndarray, last: int) -> list[list[Change]]:
    """For each region its changes, most pixels first."""
    ids = np.union1d(before, after)
    olds, news = np.searchsorted(ids, before), np.searchsorted(ids, after)
    keys, counts = np.unique((number.astype(np.int64) * len(ids) + olds) * len(ids) + news, return_counts=True)
    found: list[list[Change]] = [[] for _ in range(last + 1)]
    for at in np.argsort(-counts, kind="stable"):
        pair, new = divmod(int(keys[at]), len(ids))
        region, old = divmod(pair, len(ids))
        found[region].append(Change(int(ids[old]), int(ids[new]), int(counts[at])))
    return found


def change_weight(coarse: np.ndarray, refined: np.ndarray, confidence: np.ndarray | None = None) -> float:
    """How much two label maps differ: the number of changed pixels, each weighted by its confidence (0..1).

    Args:
        coarse, refined: ids ``[H, W]``.
        confidence: of each change, ``uint8 [H, W]`` for 0..1 (see `segmend.data.details`); None: 1 everywhere.

    >>> change_weight(np.array([[0, 1]]), np.array([[1, 1]]))
    1.0
    """
    check_same_size(coarse=coarse, refined=refined)
    changed = coarse != refined
    return float(changed.sum()) if confidence is None else float(confidence[changed].sum(dtype=np.int64) / 255)


def mean_of_regions(numbers: np.ndarray, values: np.ndarray) -> list[float]:
    """The mean of `values` ``uint8 [H, W]`` (for 0..1) over each region 1, 2, ... of `numbers` ``[H, W]``.

    >>> mean_of_regions(np.array([[0, 1, 1]], np.uint8), np.array([[9, 0, 255]], np.uint8))
    [0.5]
    """
    sums = np.bincount(numbers.ravel(), weights=values.ravel())
    means: list[float] = (sums[1:] / 255 / np.bincount(numbers.ravel())[1:]).tolist()
    return means
