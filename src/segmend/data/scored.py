"""Maps that are scored against ground truth: which of their ids and planes stand for which class, or for none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmend.coding import Coding, Decision
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.maps import count_planes, label_files, read_ids, wrong_count
from segmend.data.pairing import pair_names
from segmend.data.probabilities import PROBABILITY_SUFFIXES, read_probabilities
from segmend.data.survey import survey_masks
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, Palette

Files = dict[str, Path]
"""Files by ID."""

ANOTHER_ORDER = (
    "their palette has the colours of the ground truth for other ids: ids are read, not colours. If colours are "
    "meant, write the maps with the palette of the ground truth"
)


def numbers_of(coding: Coding) -> tuple[int, ...]:
    """The numbers that classes are called by: their stored ids; 0 and 1 where foreground is stored as 255."""
    return (0, 1) if coding.ids in ((0, VOID), (0, VOID_16)) else coding.ids


def stored_as(coding: Coding, numbers: Sequence[int]) -> Coding:
    """The coding of classes that are called by `numbers`, in files of a coding that may hold fewer of them."""
    stored = dict(zip(numbers_of(coding), coding.ids, strict=True))
    ids = tuple(stored.get(number, number) for number in numbers)
    return Coding(ids, tuple(i for i in coding.void if i not in ids), coding.colours)


def coding_of_maps(
    folder: Path,
    maps: Files,
    like: Coding,
    count: int | None = None,
    max_pixels: int = MAX_PIXELS,
    palette: Palette = (),
) -> Decision:
    """How the label files among `maps` store classes: as `like` does if it explains all their ids.

    Args:
        folder: where the maps lie, for messages.
        count: number of classes, where it was given.
        palette: the colour of each class of `like`. Maps with these colours for other ids are read by ids, and
            the decision says so.

    Returns:
        The coding, and what was assumed of colours and foreground.

    Raises:
        InvalidFile: ids that cannot be meant.
    """
    files = label_files(maps)
    own = Coding(like.ids, tuple(i for i in (VOID, VOID_16) if i not in like.ids))
    if not files:
        return Decision(own)
    try:
        survey = survey_masks(files, max_pixels=max_pixels)
        found = set(survey.total.ids.tolist())
        colours = dict(zip(like.ids, palette, strict=False))
        notes = (*survey.notes, *([ANOTHER_ORDER] if palette and survey.contradicts(colours) else []))
        # 0 and 255 alone are background and foreground, even if other maps write 255 for void.
        if found <= {*own.ids, *own.void} and not set() < found - {0} <= set(own.void):
            return Decision(Coding(own.ids, own.void, survey.colours), notes)
        decision = survey.decide(count)
        is_foreground = numbers_of(decision.coding) != decision.coding.ids
        return decision if is_foreground else Decision(decision.coding, notes)
    except InvalidInput as error:
        raise InvalidFile(folder, str(error)) from None


def numbers_in(folder: Path, maps: Files, like: Coding, max_pixels: int = MAX_PIXELS) -> tuple[int, ...]:
    """The numbers of the classes in maps whose classes nobody named: of the ids and of the planes that occur."""
    numbers = numbers_of(coding_of_maps(folder, maps, like, max_pixels=max_pixels).coding)
    if len(label_files(maps)) < len(maps):
        planes = count_planes(maps, max_pixels)
        numbers += tuple(range(planes)) if planes != len(like.ids) else ()
    return tuple(sorted(set(numbers)))


class Scored(NamedTuple):
    """A map that is scored.

    Attributes:
        labels: the most likely classes ``[H, W]`` in the dtype of `Classes`; void where the map holds an id that
            is no class.
        foreign: these ids, ascending.
    """

    labels: np.ndarray
    foreign: np.ndarray


def read_scored(path: Path, classes: Classes, coding: Coding, max_pixels: int = MAX_PIXELS) -> Scored:
    """A map that is scored, whatever its ids, or the number of its planes.

    Args:
        coding: how label files store the classes. Planes of probabilities are classes in their order; where
            there are more or fewer than classes, plane k is the class that is called by the number k.

    Raises:
        InvalidFile: unreadable.
    """
    if path.suffix.lower() not in PROBABILITY_SUFFIXES:
        return _decoded(read_ids(path, coding, max_pixels), classes, coding)
    probabilities = read_probabilities(path, max_pixels)
    planes = len(probabilities)
    if planes != len(classes) and probabilities.shape[-1] == len(classes):
        raise InvalidFile(path, wrong_count(probabilities, len(classes)))
    ids = tuple(range(len(classes))) if planes == len(classes) else numbers_of(coding)
    return _decoded(probabilities.argmax(axis=0), classes, Coding(ids, ()))


def _decoded(stored: np.ndarray, classes: Classes, coding: Coding) -> Scored:
    labels, foreign = coding.split(stored)
    is_void = labels == coding.classes_void
    return Scored(np.where(is_void, classes.void, labels).astype(classes.dtype), np.unique(stored[foreign]))


class Partners(NamedTuple):
    """Which maps belong to which ground truth.

    Attributes:
        ids: the ID of the map by the ID of its ground truth.
        assumed: how names pair that are not equal, in words.
    """

    ids: dict[str, str]
    assumed: tuple[str, ...] = ()


def pair_maps(truth: Mapping[str, Path], maps: Files, where: str) -> Partners:
    """Maps of the same ID as ground truth, or of the same ID without what all names share.

    Args:
        where: the folder of the maps, for messages.

    Raises:
        InvalidInput: no map belongs to any ground truth.
    """
    if truth.keys() & maps.keys():
        return Partners({identity: identity for identity in truth if identity in maps})
    try:
        found = pair_names(truth, maps, "", "")
    except InvalidFile:
        raise InvalidInput(
            f"{where}: no map belongs to the ground truth: maps are called like {_example(maps)}, the ground "
            f"truth like {_example(truth)}: name maps like their ground truth"
        ) from None
    return Partners(found.partner, found.findings)


def _example(names: Collection[str]) -> str:
    return repr(next(iter(names), ""))
