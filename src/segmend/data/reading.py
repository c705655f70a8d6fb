"""How the masks of a plain folder are read: from what they hold, and from what the user said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from segmend.coding import Coding
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.palette import read_palette
from segmend.data.remote import address
from segmend.data.survey import survey_masks
from segmend.labels import Classes, InvalidInput


@dataclass(frozen=True)
class Reading:
    """What was said of how masks are to be read (see `open_dataset`)."""

    classes: Classes | int | None = None
    ids: Sequence[int] | None = None
    palette: Path | str | None = None
    max_pixels: int = MAX_PIXELS

    @property
    def count(self) -> int | None:
        """The number of classes, where it was given."""
        return self.classes if isinstance(self.classes, int) or self.classes is None else len(self.classes)


class Found(NamedTuple):
    """How plain masks are read: the classes they hold, their coding, and what was found and assumed."""

    classes: Classes
    coding: Coding
    findings: tuple[str, ...]


def read_plain(folder: Path, masks: Mapping[str, Path], reading: Reading = Reading()) -> Found:
    """Look at plain masks once, and decide how they are read.

    Raises:
        InvalidFile: ids that cannot be meant, or a palette that cannot be read.
    """
    named = read_palette(reading.palette) if reading.palette is not None else None
    try:
        survey = survey_masks(masks, named[1] if named else (), reading.max_pixels)
        count = len(named[0]) if named else reading.count
        ids = reading.ids or _ids_in_names(reading.classes, set(survey.total.ids.tolist()))
        coding, assumed = survey.decide(count, ids)
    except InvalidInput as error:
        raise InvalidFile(folder, str(error)) from None
    if isinstance(reading.classes, Classes):
        classes = reading.classes
    else:
        classes = named[0] if named else coding.coloured(survey.palette)
    if len(classes) != len(coding.ids):
        raise InvalidFile(folder, f"{len(classes)} classes were given, its masks are read as {len(coding.ids)}")
    names = [f"{i}" if name == f"class {i}" else name for i, name in zip(coding.ids, classes.names, strict=True)]
    return Found(classes, coding, (f"{address(folder)}: {survey.found(coding, names)}", *assumed))


def _ids_in_names(classes: Classes | int | None, found: set[int]) -> tuple[int, ...] | None:
    """The ids after which classes were named, as those of a model that learned from plain masks.

    None where classes have other names, or where masks hold other ids.
    """
    coding = Coding.of_names(classes) if isinstance(classes, Classes) else None
    return coding.ids if coding and found <= {*coding.ids, *coding.void} else None
