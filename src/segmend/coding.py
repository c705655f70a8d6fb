"""How stored ids stand for classes: decided once for the masks of a folder, or for one array.

Ids are read as they are plainly meant, and refused where that is in doubt. No result depends on their numbering.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segmend.labels import VOID, VOID_16, Classes, InvalidInput, Palette, voc_colour

MAX_IDS = 1000
"""More ids than these are objects rather than classes."""

THIN = 0.05
"""Share of an id's pixels with four neighbours of the same id, below which it has no area of its own."""

FEW_GREYS = 4
"""Ids without an area of their own, from which on a map may be grey or interpolated."""

MANY_IDS = 128
"""Ids from which on a map whose ids mostly have no area of their own is grey, also where no id is left out."""

STRAY = 0.01
"""Pixels of id 1 beside one pixel of 255, below which both in one mask do not show that 255 is void."""

LISTED = 12
"""Ids that a message lists at most."""


class IdCounts(NamedTuple):
    """The ids of one mask, ascending: pixels of each, and those whose four neighbours have the same id."""

    ids: np.ndarray
    pixels: np.ndarray
    interior: np.ndarray

    @classmethod
    def of(cls, stored: np.ndarray) -> IdCounts:
        """Counts of an integer or boolean map ``[H, W]``."""
        stored = stored.astype(np.uint8) if stored.dtype == bool else stored
        centre = stored[1:-1, 1:-1]
        same = (centre == stored[:-2, 1:-1]) & (centre == stored[2:, 1:-1])
        same &= (centre == stored[1:-1, :-2]) & (centre == stored[1:-1, 2:])
        ids, pixels = _unique(stored)
        inner, counts = _unique(centre[same])
        interior = np.zeros_like(pixels)
        interior[np.searchsorted(ids, inner)] = counts
        return cls(ids, pixels, interior)

    @classmethod
    def total(cls, counts: Iterable[IdCounts]) -> IdCounts:
        """The sum over masks."""
        parts = list(counts)
        if not parts:
            empty = np.zeros(0, np.int64)
            return cls(empty, empty, empty)
        ids, where = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
        pixels, interior = (
            np.bincount(where, np.concatenate([part[k] for part in parts]), len(ids)).astype(np.int64)
            for k in (1, 2)
        )
        return cls(ids, pixels, interior)


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        ids = counts.nonzero()[0]
        return ids, counts[ids]
    ids, counts = np.unique(values, return_counts=True)
    return ids.astype(np.int64), counts


@dataclass(frozen=True)
class Coding:
    """How stored ids stand for classes.

    Attributes:
        ids: the stored id of each class: class c is stored as ``ids[c]``.
        void: stored ids that mean void. An id that is both is void.
        colours: where masks are read by their colours, the stored id that each colour stands for.
    """

    ids: tuple[int, ...]
    void: tuple[int, ...] = (VOID, VOID_16)
    colours: tuple[tuple[tuple[int, int, int], int], ...] = ()

    @classmethod
    def counted(cls, count: int, void: int | None = None) -> Coding:
        """Ids 0 .. `count` - 1, with the void ids that are none of them, and `void` whatever it is."""
        given = () if void is None else (void,)
        return cls(
            tuple(range(count)), tuple(dict.fromkeys((*given, *(i for i in (VOID, VOID_16) if i >= count))))
        )

    @classmethod
    def of_names(cls, classes: Classes) -> Coding | None:
        """The coding of classes that were named after their ids, as `coloured` does; None for other names."""
        matches = [re.fullmatch(r"class (\d+)", name) for name in classes.names]
        ids = tuple(int(match[1]) for match in matches if match)
        return cls(ids, tuple(i for i in (VOID, VOID_16) if i not in ids)) if len(ids) == len(classes) else None

    @property
    def classes(self) -> Classes:
        """The classes, named and coloured after their ids."""
        return self.coloured(())

    def coloured(self, palette: Palette) -> Classes:
        """The classes, named after their ids, in the colours that a palette has for these."""
        # Without a palette by place: the colour of id 255, foreground at times, is that of void.
        colours = tuple(palette[i] if 0 <= i < len(palette) else voc_colour(c) for c, i in enumerate(self.ids))
        return Classes(tuple(f"class {i}" for i in self.ids), colours)

    @property
    def classes_void(self) -> int:
        """Void in the label maps that `decode` gives (see `Classes.void`)."""
        return VOID if len(self.ids) <= VOID else VOID_16

    @property
    def is_plain(self) -> bool:
        """Whether class c is stored as c."""
        return self.ids == tuple(range(len(self.ids)))

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Classes ``[H, W]`` of stored ids, in the dtype and with the void of `Classes` of this number.

        Raises:
            InvalidInput: an id that is neither a class nor void.
        """
        labels, wrong = self.split(stored)
        if wrong.any():
            found = np.unique(stored[wrong])
            raise InvalidInput(
                f"expected {self._expected()}, found {listed(found)} on {int(wrong.sum())} pixels: "
                "name all classes (--classes, --ids), or map these ids to void"
            )
        return labels

    def split(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes ``[H, W]`` as of `decode`, void where an id is no class; and where that is so, bool."""
        void = self.classes_void
        dtype = np.uint8 if void == VOID else np.int32
        is_void = np.isin(stored, self.void) if len(self.void) != 1 else stored == self.void[0]
        if self.is_plain:
            wrong = ((stored < 0) | (stored >= len(self.ids))) & ~is_void
            labels = stored
        else:
            order = np.argsort(self.ids)
            ascending = np.asarray(self.ids)[order]
            place = np.searchsorted(ascending, stored).clip(max=len(ascending) - 1)
            wrong = (ascending[place] != stored) & ~is_void
            labels = order[place]
        return np.where(is_void | wrong, dtype(void), labels.astype(dtype)), wrong

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Stored ids of classes ``[H, W]`` (see `decode`), ``uint8`` where they fit, else ``int32``."""
        void = next((i for i in (*self.void, VOID, VOID_16) if i not in self.ids), VOID_16)
        table = np.full(self.classes_void + 1, void, dtype=np.int64)
        table[: len(self.ids)] = self.ids
        used_void = bool((labels == self.classes_void).any())
        largest = max(max(self.ids), void if used_void else 0)
        stored: np.ndarray = table[labels].astype(np.uint8 if largest <= VOID else np.int32)
        return stored

    def _expected(self) -> str:
        ids = f"ids 0..{len(self.ids) - 1}" if self.is_plain else f"ids {listed(self.ids)}"
        return f"{ids} or {self.void[0]} for void" if self.void else ids


class Decision(NamedTuple):
    """How ids are read, and what was assumed, in sentences."""

    coding: Coding
    assumed: tuple[str, ...] = ()


def decide(
    masks: Mapping[str, IdCounts], count: int | None = None, ids: Sequence[int] | None = None, hint: bool = True
) -> Decision:
    """How the ids of masks are to be read (``docs/files.md`` lists the rules).

    Args:
        masks: counts of each mask, by its name in messages.
        count: number of classes, where it is given.
        ids: the stored id of each class, where they are given.
        hint: whether messages name options of the command line.

    Raises:
        InvalidInput: ids that cannot be meant as they are; the message names masks and says what to do.
    """
    total = IdCounts.total(masks.values())
    found = {int(i) for i in total.ids}
    if ids is not None:
        if count not in (None, len(ids)):
            raise InvalidInput(f"{len(ids)} ids were given for {count} classes")
        if len(set(ids)) < len(ids):
            raise InvalidInput(f"an id was given for two classes: {listed(ids)}")
        return Decision(Coding(tuple(ids), tuple(i for i in (VOID, VOID_16) if i not in ids)))
    foreground = _foreground(masks, found, count, hint)
    if foreground is not None:
        return foreground
    if count is not None:
        return Decision(Coding.counted(count))
    if len(found) > MAX_IDS:
        raise InvalidInput(
            f"found {len(found):,} ids up to {max(found)}: are these instances, or grey values? Expected classes: "
            "write one id for all objects of a class"
        )
    _refuse_greys(masks, total)
    _refuse_views(found, hint)
    void = tuple(i for i in (VOID, VOID_16) if i in found and len(found - {VOID, VOID_16}) < i)
    classes = tuple(sorted(found - set(void)))
    if any(i < 0 for i in classes):
        raise InvalidInput(f"expected ids of at least 0, found {listed(classes)}: write void as {VOID}")
    if not classes:  # nothing is labelled: any class will do
        return Decision(Coding.counted(2))
    void = tuple(i for i in (VOID, VOID_16) if i not in classes)
    coding = Coding(classes, void)
    assumed = _only_void(masks, found)
    if not coding.is_plain:
        assumed += (f"ids are counted by those that occur: {listed(classes)} are {len(classes)} classes",)
    return Decision(coding, assumed)


def _only_void(masks: Mapping[str, IdCounts], found: set[int]) -> tuple[str, ...]:
    """A sentence on masks of 0 and void alone among others: void may be meant as foreground there."""
    few = [name for name, counts in masks.items() if set(counts.ids.tolist()) in ({0, VOID}, {0, VOID_16})]
    if not few or len(found) <= 2:
        return ()
    holds = "holds" if len(few) == 1 else "hold"
    return (f"{_names(few)} {holds} void and id 0 alone: is foreground written as void there?",)


def _foreground(masks: Mapping[str, IdCounts], found: set[int], count: int | None, hint: bool) -> Decision | None:
    """The decision where 0 and the largest value alone are found, which then is foreground."""
    for white in (VOID, VOID_16):
        if white not in found or not found <= {0, 1, white} or count not in (None, 2):
            continue
        if found == {white}:
            return None  # nothing is labelled
        if 1 not in found:
            return Decision(Coding((0, white), ()), (f"{white} is read as foreground, class 1",))
        whites = [name for name, counts in masks.items() if white in counts.ids and 1 not in counts.ids]
        ones = [name for name, counts in masks.items() if 1 in counts.ids]
        whites = [name for name in whites if 0 in masks[name].ids]
        if whites and not any(_shows_void(counts, white) for counts in masks.values()):
            instead = " If it is void, say --ids 0,1." if hint else ""
            raise InvalidInput(
                f"{_names(whites)} hold{'s' * (len(whites) == 1)} 0 and {white} where {_names(ones)} "
                f"hold{'s' * (len(ones) == 1)} 1: is foreground written as {white}? Write it as one id in all "
                f"masks.{instead}"
            )
    return None


def _shows_void(counts: IdCounts, white: int) -> bool:
    """Whether a mask holds 1 and `white` so that these are two things."""
    pixels = dict(zip(counts.ids.tolist(), counts.pixels.tolist(), strict=True))
    return white in pixels and pixels.get(1, 0) > STRAY * pixels[white]


def _refuse_views(found: set[int], hint: bool) -> None:
    """Raise where ids are spaced evenly up to 255, as masks are that were stretched to be looked at."""
    ids = sorted(found)
    if len(ids) < 3 or ids[0] != 0 or ids[-1] != VOID or len(ids) > VOID // 2:
        return
    step = VOID / (len(ids) - 1)
    if all(abs(value - k * step) <= 1 for k, value in enumerate(ids)):
        instead = f": --ids {','.join(map(str, ids))} reads them as classes 0..{len(ids) - 1}" if hint else ""
        raise InvalidInput(
            f"the ids {listed(ids)} are spaced evenly up to 255: was the mask scaled for viewing? "
            f"Write ids 0..{len(ids) - 1}{instead}"
        )


def _refuse_greys(masks: Mapping[str, IdCounts], total: IdCounts) -> None:
    """Raise where most ids of a mask are found on lines and single pixels alone: grey values between others."""
    thin = set(total.ids[total.interior < THIN * total.pixels].tolist()) - {0, VOID, VOID_16}
    if len(thin) < FEW_GREYS:
        return
    grey = []
    for name, counts in masks.items():
        ids = counts.ids.tolist()
        few = [i for i in ids if i in thin]
        has_gaps = max(few, default=0) >= 2 * len(ids)
        if len(few) >= FEW_GREYS and 2 * len(few) > len(ids) and (has_gaps or len(ids) > MANY_IDS):
            grey.append(name)
    if grey:
        counts = masks[grey[0]]
        raise InvalidInput(
            f"{_names(grey)}: found {len(counts.ids)} ids up to {int(counts.ids.max())}, "
            f"{sum(int(i) in thin for i in counts.ids)} of them only on lines and single pixels: is this a grey, "
            "interpolated or JPEG mask? Threshold it, or resize with nearest neighbour"
        )


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def listed(ids: Iterable[int]) -> str:
    """Ids with commas between, not too many of them."""
    values = [int(i) for i in ids]
    shown = ", ".join(map(str, values[:LISTED]))
    return shown if len(values) <= LISTED else f"{shown}, ... (up to {max(values)})"


def shares(total: IdCounts, coding: Coding, names: Sequence[str]) -> str:
    """What was found, in words: each class with its share of the pixels, and the share of void."""
    pixels = dict(zip(total.ids.tolist(), total.pixels.tolist(), strict=True))
    everything = max(1, sum(pixels.values()))
    void = sum(pixels.get(i, 0) for i in coding.void)
    by_class = [
        (name, pixels.get(i, 0)) for name, i in zip(names, coding.ids, strict=True) if i not in coding.void
    ]
    ranked = [(name, n) for name, n in by_class if n]
    if len(ranked) > LISTED:
        ranked = sorted(ranked, key=lambda one: -one[1])
    shown = ", ".join(f"{name} {percent(n / everything)}" for name, n in ranked[:LISTED])
    more = f", {len(ranked) - LISTED} more" if len(ranked) > LISTED else ""
    return f"{shown or 'no class'}{more}; void {percent(void / everything)}"


def read_array(labels: np.ndarray, count: int | None = None) -> tuple[np.ndarray, Coding]:
    """The classes ``[H, W]`` of a label map that is held in memory, and how its ids are read.

    Args:
        labels: integers or booleans ``[H, W]``.
        count: number of classes, where it is given (None: those that the map holds).

    Raises:
        InvalidInput: no label map, or ids that cannot be meant.

    Example:
        >>> read_array(np.array([[0, 255], [255, 0]], np.uint8))[0].tolist()
        [[0, 1], [1, 0]]
    """
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "biu":
        raise InvalidInput(f"expected a label map [H, W] of integers, found {labels.dtype} of {labels.shape}")
    labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    coding = decide({"the mask": IdCounts.of(labels)}, count, hint=False).coding
    return coding.decode(labels), coding


def percent(share: float) -> str:
    """A share as percent, never 0 where it is not."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or share == 0 else "<0.1 %"
