"""The labels of other formats: names and colours, which masks hold as ids or show in colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmend.data.files import InvalidFile
from segmend.data.images import open_image
from segmend.data.masks import Colour, ids_in, ids_of_colours, packed, palette_of, read_labels
from segmend.data.palette import VOID_NAMES
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, Palette
from segmend.pixels import orientation_in, turned

Label = tuple[str, Colour]


class FormatLabels:
    """The labels of a data set in another format, in their order. Those that mean void are no `classes`.

    Args:
        labels: name and colour of each.
        void_colour: this colour means void too, unless a label has it.
    """

    def __init__(self, labels: Sequence[Label], void_colour: Colour | None = None) -> None:
        self._labels = tuple(labels)
        seen = [(name, colour) for name, colour in labels if name.lower() not in VOID_NAMES]
        self.classes = Classes(tuple(name for name, _ in seen), tuple(colour for _, colour in seen))
        ids = iter(range(len(seen)))
        self._ids = [self.classes.void if name.lower() in VOID_NAMES else next(ids) for name, _ in labels]
        self._colours: dict[Colour, int] = {}
        for (_, colour), i in zip(labels, self._ids, strict=True):
            self._colours.setdefault(colour, i)
        if void_colour:
            self._colours.setdefault(void_colour, self.classes.void)

    def read(self, path: Path, max_pixels: int, palette_is_ids: bool) -> np.ndarray:
        """Read the label map in a mask, which holds ids or shows colours.

        Args:
            palette_is_ids: a mask with a palette holds ids, unless its colours are those of the labels in another
                order; otherwise its colours count.

        Raises:
            InvalidFile: unreadable, or an id or a colour that no label has.
        """
        with open_image(path, max_pixels) as image:
            ids, palette, orientation = ids_in(image), palette_of(image), orientation_in(image)
            colours = np.array(image.convert("RGB"))
        try:
            if ids is None and not self._names(colours) and (colours == colours[..., :1]).all():
                ids = colours[..., 0]  # in three channels
            if ids is None or (palette and not (palette_is_ids and self._keeps_order(ids, palette))):
                labels = ids_of_colours(path, colours, self._colours)
            else:
                labels = self._of_ids(ids)
        except InvalidFile:
            raise
        except InvalidInput as error:
            raise InvalidFile(path, str(error)) from None
        return turned(labels.astype(self.classes.dtype), orientation)

    def _names(self, colours: np.ndarray) -> bool:
        """Whether all colours of an image are those of labels."""
        named = [red << 16 | green << 8 | blue for red, green, blue in self._colours]
        return bool(np.isin(packed(colours), named).all())

    def _keeps_order(self, values: np.ndarray, palette: Palette) -> bool:
        """Whether the ids of a mask with a palette are places in the list of labels, by the colours of the ids.

        Programs store colours in an order of their own, or sort the list. An id contradicts its place if it has
        the colour of another label. Then all colours must be those of labels.

        Raises:
            InvalidInput: some ids contradict their places, and others have no label's colour.
        """
        used = {int(i): palette[i] for i in np.unique(values) if i < len(palette)}
        if all(colour == (i, i, i) for i, colour in used.items()):
            return True  # no colours, but shades of grey
        contradicting = [i for i, colour in used.items() if not self._may_be(i, colour)]
        if not contradicting:
            return True
        unnamed = [i for i, colour in used.items() if colour not in self._colours]
        if unnamed:
            one, other = contradicting[0], unnamed[0]
            raise InvalidInput(
                f"the palette is not that of the label map: id {one} has the colour {used[one]} of another label, "
                f"and id {other} has {used[other]}, which no label has: write the masks in the label map's colours"
            )
        return False

    def _may_be(self, place: int, colour: Colour) -> bool:
        """Whether an id of this colour may be this place in the list of labels."""
        if colour not in self._colours or (place < len(self._labels) and self._labels[place][1] == colour):
            return True
        label = self._ids[place] if place < len(self._ids) else self.classes.void if place == VOID else None
        return self._colours[colour] == label

    def _of_ids(self, values: np.ndarray) -> np.ndarray:
        """Label map of places in the list; the largest value of the file is void, unless a label has its place."""
        largest = VOID if values.dtype == np.uint8 else VOID_16
        table = np.full(largest + 2, -1)
        table[largest] = self.classes.void
        table[: len(self._ids)] = self._ids[: len(table)]
        labels = table[np.where((values >= 0) & (values <= largest), values, largest + 1)]
        if labels.min() < 0:
            wrong = np.unique(values[labels < 0])[:5]
            raise InvalidInput(
                f"expected ids 0..{len(self._ids) - 1} or {largest} for void, found {', '.join(map(str, wrong))}"
            )
        return labels


def read_ids(path: Path, ours: np.ndarray, max_pixels: int) -> np.ndarray:
    """Read the label map in a file of the format's own ids.

    Args:
        ours: our id, or void, for each of their ids.

    Raises:
        InvalidFile: unreadable, or an id that the format does not have.
    """
    theirs, _ = read_labels(path, max_pixels)
    if theirs.max() >= len(ours):
        wrong = np.unique(theirs[theirs >= len(ours)])[:5]
        raise InvalidFile(path, f"expected ids 0..{len(ours) - 1}, found {', '.join(map(str, wrong))}")
    found: np.ndarray = ours[theirs]
    return found


def names_for(to_format: str, classes: Classes, forbidden: str) -> list[str]:
    """Class names as the label map of a format can hold them: what matches `forbidden` becomes ``_``.

    Raises:
        InvalidInput: more classes than its 8-bit masks can hold, or a name that means void there.
    """
    if len(classes) > VOID:
        raise InvalidInput(f"masks of {to_format} have 8 bits: {len(classes)} classes do not fit")
    names = [re.sub(forbidden, "_", name) for name in classes.names]
    Classes(tuple(names))  # they must still differ
    for name in names:
        if name.lower() in VOID_NAMES:
            raise InvalidInput(f"{to_format} would take the class {name!r} for void: rename it in dataset.yaml")
    return names
