"""What the label files of a folder hold, looked at once before they are used: their ids, palettes and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from segmend.coding import Coding, Decision, IdCounts, decide, shares
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.masks import Colour, StoredMask, ids_of_colours, read_mask
from segmend.devices import available_cores
from segmend.labels import InvalidInput, Palette

Colours = tuple[tuple[Colour, int], ...]
"""The id of each colour, where masks are read by their colours."""

Used = dict[int, Colour]
"""The colours of the ids that a mask holds."""


@dataclass(frozen=True)
class Survey:
    """What the masks of a folder hold.

    Attributes:
        counts: their ids, by the mask's name; masks that cannot be read are left out, as whoever reads them for
            their content lists them.
        colours: the id of each colour, where masks are read by colours.
        palette: colours by id, where masks have a palette.
        used: the colours of the ids that occur, where masks have a palette.
        notes: what was assumed so far, in sentences.
    """

    counts: dict[str, IdCounts]
    colours: Colours = ()
    palette: Palette = ()
    notes: tuple[str, ...] = ()
    used: Used = field(default_factory=dict)

    @property
    def total(self) -> IdCounts:
        """The ids of all masks."""
        return IdCounts.total(self.counts.values())

    def decide(self, count: int | None = None, ids: Sequence[int] | None = None) -> Decision:
        """How these ids are read (see `segmend.coding.decide`)."""
        decision = decide(self.counts, count, ids)
        return Decision(replace(decision.coding, colours=self.colours), (*self.notes, *decision.assumed))

    def decide_like(self, coding: Coding) -> Decision:
        """The reading of these ids where other masks of the classes have a coding: alike if it explains them."""
        if set(self.total.ids.tolist()) <= {*coding.ids, *coding.void}:
            return Decision(replace(coding, colours=self.colours), self.notes)
        return self.decide(len(coding.ids))

    def contradicts(self, colours: Mapping[int, Colour]) -> bool:
        """Whether these masks have the same colours for other ids than masks with such `colours` of ids."""
        ids = {colour: i for i, colour in colours.items()}
        comparable = set(self.used.values()) <= ids.keys()
        return comparable and any(ids[colour] != i for i, colour in self.used.items())

    def found(self, coding: Coding, names: Sequence[str]) -> str:
        """Classes and their shares of the pixels, in words."""
        if not self.counts:
            return "no mask can be read"
        masks = f"{len(self.counts)} mask{'s' * (len(self.counts) != 1)}"
        return f"{masks}: {shares(self.total, coding, names)}"


def survey_masks(files: Mapping[str, Path], colours: Colours = (), max_pixels: int = MAX_PIXELS) -> Survey:
    """Look at all masks of a folder, in threads.

    Masks whose palettes differ are read by their colours, if the colours of the masks with one order of ids
    explain all others.

    Args:
        files: label files by ID.
        colours: the id of each colour, where a palette was given.

    Raises:
        InvalidInput: palettes that contradict each other.
    """

    def look(path: Path) -> tuple[IdCounts, Used, Palette] | None:
        try:
            mask = read_mask(path, max_pixels)
            if colours and mask.colours is not None:
                return IdCounts.of(ids_of_colours(path, mask.colours, dict(colours))), {}, ()
            return None if mask.ids is None else (IdCounts.of(mask.ids), *_colours_used(mask))
        except InvalidFile:
            return None

    with ThreadPoolExecutor(available_cores()) as pool:
        looks = dict(zip(files, pool.map(look, files.values()), strict=True))
    seen = {f"{name}{files[name].suffix}": look for name, look in looks.items() if look is not None}
    counts = {name: found[0] for name, found in seen.items()}
    palette = next((found[2] for found in seen.values() if found[2]), ())
    if colours:
        return Survey(counts, colours, palette, ("masks are read by the colours of the given palette",))
    used = {name: found[1] for name, found in seen.items() if found[1]}
    common = _common_colours(used)
    if common is None:
        return Survey(counts, (), palette, used=_merged(used.values()))
    again = survey_masks(files, common, max_pixels)
    return replace(
        again, palette=palette, notes=("palettes differ between masks, which are read by their colours",)
    )


def _colours_used(mask: StoredMask) -> tuple[Used, Palette]:
    if not mask.palette or mask.ids is None:
        return {}, ()
    found = IdCounts.of(mask.ids).ids.tolist()
    return {i: mask.palette[i] for i in found if i < len(mask.palette)}, mask.palette


def _common_colours(used: Mapping[str, Used]) -> Colours | None:
    """The id of each colour as most masks have it, where ids have other colours in others; None where none do.

    Raises:
        InvalidInput: colours that the most frequent order does not hold, or that it holds twice.
    """
    first: dict[int, tuple[Colour, str]] = {}
    clash = None
    for name, colours in used.items():
        for i, colour in colours.items():
            before, where = first.setdefault(i, (colour, name))
            if before != colour and clash is None:
                clash = f"id {i} is {before} in {where} and {colour} in {name}"
    if clash is None:
        return None
    merged = _merged(used.values())
    ids = {colour: i for i, colour in merged.items()}
    others = {colour for colours in used.values() for colour in colours.values()} - ids.keys()
    if others or len(ids) < len(merged):
        raise InvalidInput(
            f"palettes differ between masks ({clash}), and no order of ids explains all colours: give the colours "
            "of the classes with --palette FILE (lines `name: r,g,b`)"
        )
    return tuple(ids.items())


def _merged(used: Iterable[Used]) -> Used:
    """The most frequent colours of ids, completed by those masks that agree with them."""
    ranked = Counter(tuple(sorted(colours.items())) for colours in used).most_common()
    merged: Used = {}
    for colours, _ in ranked:
        agrees = all(merged.get(i, colour) == colour for i, colour in colours)
        fresh = {colour for i, colour in colours if i not in merged}
        if agrees and not fresh & set(merged.values()):
            merged |= dict(colours)
    return merged
