"""Tidy label maps: remove small islands, fill small holes, smooth borders, all classes at once.

Each pixel keeps exactly one label, so neither gaps nor overlaps arise, and no class appears that the map does not
have. Void stays void, and no label becomes void. Pixels that a person confirmed never change.

A label map is an array or a tensor of integers or booleans ``[H, W]``; what comes back is of the same kind, in the
same ids. Sizes are in pixels, 0 for none. Each function takes these arguments beside the map and the size:

* ``by_class``: the sizes of single classes, by their ids in the map.
* ``void``: the ids of void. None: as a refiner reads the map, 255 or 65535 beside other ids, while 0 and 255 alone
  are background and foreground. Maps of instances, with more ids than classes have, need it.
* ``confirmed``: ``bool [H, W]``, where a person confirmed the label.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import cc3d
import cv2
import numpy as np
import torch
from torch import Tensor

from segmend.coding import IdCounts, decide
from segmend.labels import VOID_16, InvalidInput, as_tensor, check_same_size
from segmend.ops.blobs import components

LabelMap = TypeVar("LabelMap", np.ndarray, Tensor)
Sizes = Mapping[int, float]

MOST_SMOOTH = 64.0
"""The largest `smooth`, in pixels."""

REACH = 4.0
"""Votes beyond this many times `smooth` do not count."""

TIE = 1e-5
"""Shares of the vote that differ by less are equal, and the label stays."""

KINDS = ("islands", "holes", "smooth")
"""What is tidied, by the names of options."""


@dataclass(frozen=True)
class Tidy:
    """How label maps are tidied. All sizes are in pixels, 0 for none.

    Attributes:
        islands: see `remove_islands`.
        holes: see `fill_holes`.
        smooth: see `smooth_borders`.
        by_class: other sizes of single classes, by their ids (or names, before `of_ids`).

    Raises:
        InvalidInput: a size that is none, or nothing to do.

    Example:
        >>> Tidy.parse("islands=50,smooth=2,car:islands=20").by_class
        {'car': {'islands': 20}}
    """

    islands: float = 0
    holes: float = 0
    smooth: float = 0
    by_class: Mapping[Any, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = [(kind, getattr(self, kind)) for kind in KINDS]
        sizes += [size for of_class in self.by_class.values() for size in of_class.items()]
        for kind, size in sizes:
            _check_size(kind, size)
        if not any(size for _, size in sizes):
            raise InvalidInput("nothing to tidy: give a size, such as islands=50,holes=50,smooth=2")

    @classmethod
    def parse(cls, text: str) -> Tidy:
        """Sizes with commas between: ``islands=50,holes=50,smooth=2``, of one class ``car:islands=20``.

        Raises:
            InvalidInput: anything else.
        """
        sizes: dict[str, float] = {}
        by_class: dict[Any, dict[str, float]] = {}
        for part in text.split(","):
            what, _, number = (side.strip() for side in part.rpartition("="))
            name, _, kind = (side.strip() for side in what.rpartition(":"))
            there = by_class.setdefault(name, {}) if name else sizes
            if kind not in KINDS or not _is_number(number):
                raise InvalidInput(
                    f"tidy {text!r}: expected sizes in pixels with commas between, as "
                    f"islands=50,holes=50,smooth=2,car:islands=20; found {part.strip()!r}"
                )
            if kind in there:
                raise InvalidInput(f"tidy {text!r}: gives {what} twice")
            there[kind] = float(number) if "." in number else int(number)
        return cls(**sizes, by_class=by_class)

    def of_ids(self, ids: Mapping[str, int]) -> Tidy:
        """The same with ids in place of names.

        Args:
            ids: of the names by which a class may be called.

        Raises:
            InvalidInput: a class that is not there, or that is called by two names.
        """
        unknown = [str(name) for name in self.by_class if str(name) not in ids]
        if unknown:
            names = [name for name in ids if not name.isdigit()] or list(ids)
            raise InvalidInput(
                f"tidy: no class is called {', '.join(unknown)}; there are {', '.join(names)}, or their ids"
            )
        by_id = {ids[str(name)]: sizes for name, sizes in self.by_class.items()}
        if len(by_id) < len(self.by_class):
            raise InvalidInput(f"tidy: a class is called by two names: {', '.join(map(str, self.by_class))}")
        return Tidy(self.islands, self.holes, self.smooth, by_id)

    def sizes(self, kind: str) -> dict[int, float]:
        """The sizes of one kind that single classes have, by their id.

        Raises:
            InvalidInput: a class that is called by a name.
        """
        names = [str(i) for i in self.by_class if not str(i).lstrip("-").isdigit()]
        if names:
            raise InvalidInput(f"tidy: expected sizes by the ids of classes, found {', '.join(names)}: see of_ids")
        return {int(i): sizes[kind] for i, sizes in self.by_class.items() if kind in sizes}

    def __str__(self) -> str:
        parts = [f"{kind}={getattr(self, kind)}" for kind in KINDS if getattr(self, kind)]
        parts += [f"{i}:{kind}={size}" for i, sizes in self.by_class.items() for kind, size in sizes.items()]
        return ",".join(parts)


def tidy(
    labels: LabelMap,
    options: Tidy,
    *,
    void: Collection[int] | None = None,
    confirmed: np.ndarray | Tensor | None = None,
) -> LabelMap:
    """A label map ``[H, W]`` with smooth borders, then without small holes, then without small islands.

    Args:
        void, confirmed: see the module.

    Raises:
        InvalidInput: no label map, or sizes that differ.

    Example:
        >>> noisy = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.uint8)
        >>> tidy(noisy, Tidy(islands=2)).tolist()
        [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    given = _Map.of(labels, void, confirmed)
    numbers = given.numbers
    for kind, step in (("smooth", _smoothed), ("holes", _without_holes), ("islands", _without_islands)):
        numbers = step(numbers, given.sizes(getattr(options, kind), options.sizes(kind)), given.confirmed)
    return given.with_numbers(numbers, labels)


def remove_islands(
    labels: LabelMap,
    size: float,
    by_class: Sizes | None = None,
    *,
    void: Collection[int] | None = None,
    confirmed: np.ndarray | Tensor | None = None,
) -> LabelMap:
    """A label map without 8-connected areas of one class of fewer than `size` pixels.

    An island gets the class around it: the one with most neighbouring pixels there (of equal ones that with the
    smaller id). Islands that touch each other alone get theirs from outside inwards. An island stays where only
    void is around it, or where a pixel of it is confirmed.

    Args:
        by_class, void, confirmed: see the module; `by_class` counts for the class of the island.

    Raises:
        InvalidInput: no label map, or sizes that differ.

    Example:
        >>> remove_islands(np.array([[0, 0, 7, 0, 0]]), 2).tolist()
        [[0, 0, 0, 0, 0]]
    """
    given = _Map.of(labels, void, confirmed)
    sizes = given.sizes(_check_size("islands", size), by_class)
    return given.with_numbers(_without_islands(given.numbers, sizes, given.confirmed), labels)


def fill_holes(
    labels: LabelMap,
    size: float,
    by_class: Sizes | None = None,
    *,
    void: Collection[int] | None = None,
    confirmed: np.ndarray | Tensor | None = None,
) -> LabelMap:
    """A label map without holes of fewer than `size` pixels.

    A hole of a class is a 4-connected area of anything else, void too, that the class encloses within the image.
    It gets that class, except its void pixels. Of holes inside holes, the outer one counts; where two classes
    enclose parts of each other, the larger class. A hole with a confirmed pixel stays.

    Args:
        by_class, void, confirmed: see the module; `by_class` counts for the class that encloses the hole.

    Raises:
        InvalidInput: no label map, or sizes that differ.

    Example:
        >>> fill_holes(np.array([[5, 5, 5, 5], [5, 0, 3, 5], [5, 5, 5, 5]]), 3)[1].tolist()
        [5, 5, 5, 5]
    """
    given = _Map.of(labels, void, confirmed)
    sizes = given.sizes(_check_size("holes", size), by_class)
    return given.with_numbers(_without_holes(given.numbers, sizes, given.confirmed), labels)


def smooth_borders(
    labels: LabelMap,
    size: float,
    by_class: Sizes | None = None,
    *,
    void: Collection[int] | None = None,
    confirmed: np.ndarray | Tensor | None = None,
) -> LabelMap:
    r"""A label map with smoother borders: each pixel gets the class with the largest share of a vote around it.

    .. math:: l(x) = \arg\max_c \frac{(G_{\sigma_c} * [l = c])(x)}{(G_{\sigma_c} * [l \text{ valid}])(x)}

    with a Gaussian of the standard deviation ``size`` for each class, cut at four times that. Straight borders
    stay, corners become round, and what is narrower than about 1.3 times the size goes: give thin classes a
    smaller one. A class with the size 0 neither gains nor loses a pixel.

    Args:
        by_class, void, confirmed: see the module.

    Raises:
        InvalidInput: no label map, or sizes that differ.

    Example:
        >>> smooth_borders(np.array([[0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]), 1)[1].tolist()
        [0, 0, 0, 0]
    """
    given = _Map.of(labels, void, confirmed)
    sizes = given.sizes(_check_size("smooth", size), by_class)
    return given.with_numbers(_smoothed(given.numbers, sizes, given.confirmed), labels)


class _Map(NamedTuple):
    """A label map whose classes are numbered.

    Attributes:
        stored: the ids as they are given, ``[H, W]``.
        ids: those of the classes, ascending, ``[K]``.
        numbers: of the classes in that order from 1, 0 for void, ``[H, W]``.
        confirmed: ``bool [H, W]``, or None.
    """

    stored: np.ndarray
    ids: np.ndarray
    numbers: np.ndarray
    confirmed: np.ndarray | None

    @classmethod
    def of(cls, labels: Any, void: Collection[int] | None, confirmed: Any) -> _Map:
        stored = (labels.detach().cpu() if isinstance(labels, Tensor) else as_tensor(labels)).numpy()
        if stored.ndim != 2 or stored.size == 0 or stored.dtype.kind not in "biu":
            raise InvalidInput(f"expected a label map [H, W] of integers, found {stored.dtype} of {stored.shape}")
        if void is None:
            void = decide({"the label map": IdCounts.of(stored)}, hint=False).coding.void
        marked = None
        if confirmed is not None:
            marked = as_tensor(confirmed).cpu().numpy()
            check_same_size(labels=stored, confirmed=marked)
            marked = marked != 0
        return cls(stored, *_numbered(stored, void), marked)

    def sizes(self, size: float, by_class: Sizes | None) -> np.ndarray:
        """The size of each number, 0 for void, ``[K + 1]``."""
        return np.array([0, *((by_class or {}).get(int(i), size) for i in self.ids)], dtype=np.float64)

    def with_numbers(self, numbers: np.ndarray, like: LabelMap) -> LabelMap:
        """The map with other numbers, of the kind of `like`."""
        found = self.stored.copy()
        changed = numbers != self.numbers
        found[changed] = self.ids[numbers[changed].astype(np.intp) - 1]
        if isinstance(like, Tensor):
            return torch.from_numpy(found).to(device=like.device, dtype=like.dtype)
        return found.astype(like.dtype)


def _numbered(stored: np.ndarray, void: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """The ids of classes, ascending, and the number of each pixel's class from 1, 0 for void."""
    stored = stored.astype(np.uint8) if stored.dtype == bool else stored
    low, high = int(stored.min()), int(stored.max())
    if low >= 0 and high <= VOID_16:  # counting them is ten times as fast as sorting
        ids = np.flatnonzero(np.bincount(stored.ravel(), minlength=1))
    else:
        ids = np.unique(stored)
    ids = ids[~np.isin(ids, list(void))]
    dtype = np.uint8 if len(ids) < 256 else np.uint16 if len(ids) <= VOID_16 else np.uint32
    if low >= 0 and high <= VOID_16:
        table = np.zeros(high + 1, dtype)
        table[ids] = np.arange(1, len(ids) + 1)
        return ids, table[stored]
    place = np.searchsorted(ids, stored).clip(max=max(0, len(ids) - 1))
    is_class = ids[place] == stored if len(ids) else np.zeros(stored.shape, bool)
    return ids, np.where(is_class, place + 1, 0).astype(dtype)


def _check_size(kind: str, size: float) -> float:
    if kind not in KINDS:
        raise InvalidInput(f"tidy: expected {', '.join(KINDS)}, found {kind!r}")
    most = MOST_SMOOTH if kind == "smooth" else math.inf
    if not 0 <= size <= most or not math.isfinite(size):
        limit = f" up to {most:g}" if math.isfinite(most) else ""
        raise InvalidInput(f"expected a size in pixels from 0{limit} for {kind}, found {size:g}")
    return size


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit()


def _without_islands(numbers: np.ndarray, sizes: np.ndarray, confirmed: np.ndarray | None) -> np.ndarray:
    areas = components(numbers)
    pixels = np.bincount(areas.ravel())
    class_of = np.zeros(len(pixels), np.intp)
    class_of[areas] = numbers
    is_island = pixels < sizes[class_of]
    if confirmed is not None:
        is_island[areas[confirmed]] = False
    is_island[0] = False
    if not is_island.any():
        return numbers
    # With a frame of void, each pixel has eight neighbours.
    framed, framed_areas = np.pad(numbers, 1), np.pad(areas, 1).ravel()
    labels = framed.ravel().copy()
    pending = np.flatnonzero(is_island[framed_areas])
    labels[pending] = 0
    across = framed.shape[1]
    around = np.array([dy * across + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)])
    while len(pending):
        island, votes = _votes(framed_areas[pending], labels[pending[:, None] + around])
        winners = np.zeros(len(pixels), labels.dtype)
        winners[island] = votes
        found = winners[framed_areas[pending]]
        if not found.any():
            labels[pending] = framed.ravel()[pending]
            break
        labels[pending] = found
        pending = pending[found == 0]
    return labels.reshape(framed.shape)[1:-1, 1:-1]


def _votes(islands: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The islands that have labelled neighbours, and the label most of these have.

    Args:
        islands: number of each pixel's island, ``[N]``.
        around: labels of its neighbours, 0 for none, ``[N, 8]``.
    """
    count = int(around.max(initial=0)) + 1
    keys = (islands[:, None].astype(np.int64) * count + around)[around != 0]  # one number for each pair
    pairs, counts = np.unique(keys, return_counts=True)
    island, label = np.divmod(pairs, count)
    order = np.lexsort((-label, counts, island))
    last = np.append(np.diff(island[order]) != 0, True)[: len(order)]
    return island[order][last], label[order][last]


def _without_holes(numbers: np.ndarray, sizes: np.ndarray, confirmed: np.ndarray | None) -> np.ndarray:
    filled, windows = numbers.copy(), dict(_windows(numbers))
    pixels_of = np.bincount(numbers.ravel())
    # Class after class, so that no two exchange their pixels, as they would in a checkerboard.
    for number in sorted(windows, key=lambda number: -pixels_of[number]):
        if sizes[number] <= 1:
            continue
        inner = filled[windows[number]]
        areas = cc3d.connected_components(inner != number, connectivity=4)
        is_hole = np.bincount(areas.ravel()) < sizes[number]
        # A hole has the class on all sides, so it never touches the edge of the window.
        for edge in (areas[0], areas[-1], areas[:, 0], areas[:, -1]):
            is_hole[edge] = False
        if confirmed is not None:
            is_hole[areas[confirmed[windows[number]]]] = False
        is_hole[0] = False
        inner[is_hole[areas] & (inner != 0)] = number
    return filled


def _smoothed(numbers: np.ndarray, sizes: np.ndarray, confirmed: np.ndarray | None) -> np.ndarray:
    if not sizes.any():
        return numbers
    valid = numbers != 0
    # With one size, void lowers the shares of all classes alike.
    normalised = len(set(sizes[1:].tolist())) > 1 and not valid.all()
    most, own = np.zeros(numbers.shape, np.float32), np.zeros(numbers.shape, np.float32)
    winner = numbers.copy()
    total: dict[float, np.ndarray] = {}
    for number, inner in _windows(numbers):
        sigma = float(sizes[number])
        window = _grown(inner, math.ceil(REACH * sigma) + 1, numbers.shape)
        here = numbers[window] == number
        share = _blurred(here, sigma)
        if normalised:
            if sigma not in total:
                total[sigma] = _blurred(valid, sigma)
            share /= np.maximum(total[sigma][window], 1e-6)
        own[window][here] = share[here]
        is_more = share > most[window] + TIE
        most[window][is_more] = share[is_more]
        winner[window][is_more] = number
    changes = valid & (most > own + TIE)
    if confirmed is not None:
        changes &= ~confirmed
    return np.where(changes, winner, numbers)


def _blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    plane = mask.astype(np.float32)
    if sigma == 0:
        return plane
    side = 2 * math.ceil(REACH * sigma) + 1
    return cv2.GaussianBlur(plane, (side, side), sigma, borderType=cv2.BORDER_REFLECT)


Window = tuple[slice, slice]


def _windows(numbers: np.ndarray) -> Iterator[tuple[int, Window]]:
    """The numbers that occur, ascending, and the smallest window that holds all pixels of each."""
    found = cc3d.statistics(numbers)
    for number in np.flatnonzero(found["voxel_counts"]).tolist():
        rows, columns = found["bounding_boxes"][number][:2]
        if number:
            yield number, (rows, columns)


def _grown(window: Window, by: int, shape: Sequence[int]) -> Window:
    rows, columns = (
        slice(max(0, part.start - by), min(size, part.stop + by)) for part, size in zip(window, shape, strict=True)
    )
    return rows, columns
