"""Label maps and probability maps in folders: found by ID, read in the classes of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segmend.coding import Coding
from segmend.data.files import MAX_PIXELS, InvalidFile, find_files, found_instead
from segmend.data.masks import LABEL_SUFFIXES, ids_of_colours, note_in, read_labels, read_mask
from segmend.data.probabilities import PROBABILITY_SUFFIXES, read_probabilities, read_stored_probabilities
from segmend.labels import Classes, InvalidInput
from segmend.pixels import turned


def read_label_map(
    path: Path,
    classes: Classes,
    coding: Coding | None = None,
    merge: tuple[int, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
    turn: int = 1,
) -> np.ndarray:
    """The label map ``[H, W]`` in a file, in the dtype of the classes, void as their void.

    Args:
        coding: how stored ids stand for classes (None: class c is stored as c).
        merge: for each class of the coding, the class of `classes` that it is joined to (None: as it is).
        turn: EXIF orientation that the map is turned by, for maps made of an image that is turned.

    Raises:
        InvalidFile: unreadable, or ids that are neither a class nor void.
    """
    count = len(classes) if merge is None else len(merge)
    coding = coding or Coding.counted(count)
    ids = read_ids(path, coding, max_pixels)
    try:
        labels = coding.decode(ids)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
    if merge is not None:
        void = coding.classes_void
        labels = np.where(labels == void, classes.void, np.asarray(merge)[np.where(labels == void, 0, labels)])
    return turned(labels.astype(classes.dtype), turn)


def read_map(
    path: Path,
    classes: Classes,
    coding: Coding | None = None,
    merge: tuple[int, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
    as_stored: bool = False,
    turn: int = 1,
) -> np.ndarray:
    """A map of `classes` that a program wrote (or of finer ones, joined by `merge`).

    Args:
        coding, merge, turn: see `read_label_map`.
        as_stored: probabilities of the classes themselves stay as they are stored, and are not checked.

    Returns:
        Probabilities ``float32 [C, H, W]`` from ``.npz``, else a label map ``[H, W]``.

    Raises:
        InvalidFile: unreadable, another number of classes, or ids outside them.
    """
    if path.suffix.lower() not in PROBABILITY_SUFFIXES:
        return read_label_map(path, classes, coding, merge, max_pixels, turn)
    count = len(classes) if merge is None else len(merge)
    as_stored = as_stored and merge is None
    probabilities = (read_stored_probabilities if as_stored else read_probabilities)(path, max_pixels)
    if len(probabilities) != count:
        raise InvalidFile(path, wrong_count(probabilities, count))
    if merge is None:
        return turned(probabilities, turn)
    joined = np.zeros((len(classes), *probabilities.shape[1:]), dtype=np.float32)
    np.add.at(joined, np.asarray(merge), probabilities)
    return turned(joined, turn)


def wrong_count(probabilities: np.ndarray, count: int) -> str:
    """What to say of probabilities ``[planes, H, W]`` whose planes are not the expected `count` classes."""
    expected = f"expected probabilities of {count} classes [C, H, W], found {len(probabilities)}"
    if probabilities.shape[-1] in (count, 1):
        return f"{expected} of shape {list(probabilities.shape)}: classes must come first, not last"
    if len(probabilities) > count:
        return f"{expected}: give the number of classes (--classes, data.classes) if masks lack some"
    return expected


def read_ids(path: Path, coding: Coding, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The stored ids ``[H, W]`` of a label file, which is read by its colours where the coding says so.

    Raises:
        InvalidFile: unreadable, or colours that have no id.
    """
    mask = read_mask(path, max_pixels)
    if coding.colours and mask.colours is not None:
        return ids_of_colours(path, mask.colours, dict(coding.colours))
    return read_labels(path, max_pixels)[0] if mask.ids is None else mask.ids  # says which colours were found


EDITED_AFTER = 10.0
"""Seconds by which a label map is newer than its probabilities if somebody edited it after the run wrote both."""


def find_maps(folder: Path | str) -> dict[str, Path]:
    """Maps below `folder` by ID: ``.npz`` probabilities, or label files, whichever there are more of.

    In a folder that ``predict`` or ``refine`` wrote they are in its ``probs`` or ``labels`` (see `newer_of`).

    Raises:
        InvalidFile: no folder, or one that holds neither; the message says what it holds.
    """
    folder = Path(folder)
    probs, labels = _maps_of_run(folder)
    if probs or labels:
        return {i: newer_of(probs.get(i), labels.get(i)) for i in sorted(probs.keys() | labels.keys())}
    probs, labels = find_files(folder, PROBABILITY_SUFFIXES), find_files(folder, LABEL_SUFFIXES)
    maps = probs if len(probs) >= len(labels) else labels
    if not maps:
        raise InvalidFile(folder, f"holds neither probability maps (.npz) nor label maps (.png){_advice(folder)}")
    return maps


def _maps_of_run(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """The probabilities and the label maps that a run wrote into `folder`; none where it is no run's."""
    kinds = {"probs": PROBABILITY_SUFFIXES, "labels": LABEL_SUFFIXES}
    is_run = (folder / "results.json").is_file()
    probs, labels = (
        find_files(folder / kind, suffixes) if is_run and (folder / kind).is_dir() else {}
        for kind, suffixes in kinds.items()
    )
    return probs, labels


def newer_of(probabilities: Path | None, labels: Path | None) -> Path:
    """Which of an image's two maps to read: the probabilities, unless the label map was edited after the run.

    A label map was edited where it lacks the note that the run put into it, or is newer than the probabilities.
    """
    if probabilities is None or labels is None:
        found = probabilities or labels
        assert found is not None
        return found
    is_newer = labels.stat().st_mtime > probabilities.stat().st_mtime + EDITED_AFTER
    return labels if is_newer or not note_in(labels) else probabilities


def which_are_read(folder: Path, maps: dict[str, Path]) -> str:
    """Which of a run's probabilities and label maps `find_maps` chose: the end of a sentence, or nothing."""
    probs, labels = _maps_of_run(folder)
    if not probs or not labels:
        return ""
    edited = sorted(i for i in probs.keys() & labels.keys() if maps[i] == labels[i])
    if not edited:
        return "are read from probs, not from labels"
    some = f"{edited[0]}{', ...' if len(edited) > 1 else ''}"
    chosen = f"are read from labels where these were edited after the run: {len(edited)} of {len(maps)} ({some})"
    return chosen if len(edited) == len(maps) else f"{chosen}; the others from probs"


def find_masks(folder: Path | str) -> dict[str, Path]:
    """Label files below `folder` by ID.

    Raises:
        InvalidFile: no folder, or one without label files; the message says what it holds.
    """
    masks = find_files(folder, LABEL_SUFFIXES)
    if not masks:
        raise InvalidFile(folder, f"holds no label maps (.png){_advice(folder)}")
    return masks


_ADVICE = {
    ".jpg": "JPEG changes ids: write masks as PNG",
    ".jpeg": "JPEG changes ids: write masks as PNG",
    ".webp": "write masks as PNG",
    ".npy": "write probabilities with np.savez(FILE, p=p), p of shape [C, H, W]",
    ".zip": "unpack the archive first",
    ".json": "convert annotations to label maps first",
    ".xml": "convert annotations to label maps first",
}


def _advice(folder: Path | str) -> str:
    """What lies in the folder instead of maps, and what to do about it."""
    found = found_instead(folder)
    advice = [text for suffix, text in _ADVICE.items() if suffix in found]
    return f", found {found}" + (f": {advice[0]}" if advice else "")


def label_files(maps: Mapping[str, Path]) -> dict[str, Path]:
    """Those of some maps (see `find_maps`) that are label files, not probabilities."""
    return {name: path for name, path in maps.items() if path.suffix.lower() not in PROBABILITY_SUFFIXES}


def count_planes(files: Mapping[str, Path], max_pixels: int = MAX_PIXELS) -> int:
    """The number of classes of probability maps: that of the first that can be read.

    Raises:
        InvalidFile: none can be read.
    """
    first = None
    for path in files.values():
        if path.suffix.lower() not in PROBABILITY_SUFFIXES:
            continue
        try:
            return len(read_stored_probabilities(path, max_pixels))
        except InvalidFile as error:
            first = first or error
    assert first is not None
    raise first
