"""Label maps and probability maps in folders: found by ID, read in the classes of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segmend.data.files import MAX_PIXELS, InvalidFile, find_files
from segmend.data.masks import LABEL_SUFFIXES, note_in, read_labels
from segmend.data.probabilities import PROBABILITY_SUFFIXES, read_probabilities, read_stored_probabilities
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, check_ids, void_of


def read_label_map(
    path: Path,
    classes: Classes,
    void: int,
    merge: tuple[int, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """The label map ``[H, W]`` in a file, in the dtype of the classes, void as their void.

    Args:
        void: id that means void in the file, beside the 255 of 8-bit and the 65535 of 16-bit files.
        merge: for each id in the file, the id of `classes` that it stands for (None: as it is).

    Raises:
        InvalidFile: unreadable, or ids that are neither a class nor void.
    """
    stored, _ = read_labels(path, max_pixels)
    count = len(classes) if merge is None else len(merge)
    # 255 is a class of its own where there are more than 255 of them.
    is_void = (stored == void) | ((stored == void_of(stored)) & (count <= void_of(stored)))
    ids = np.where(is_void, 0, stored)
    try:
        check_ids(ids, count, void=void)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
    if merge is not None:
        ids = np.asarray(merge)[ids]
    labels = ids.astype(classes.dtype)
    labels[is_void] = classes.void
    return labels


def read_map(
    path: Path,
    classes: Classes,
    merge: tuple[int, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
    as_stored: bool = False,
) -> np.ndarray:
    """A map of `classes` that a program wrote (or of finer ones, joined by `merge`).

    Args:
        as_stored: probabilities of the classes themselves stay as they are stored, and are not checked.

    Returns:
        Probabilities ``float32 [C, H, W]`` from ``.npz``, else a label map ``[H, W]``.

    Raises:
        InvalidFile: unreadable, another number of classes, or ids outside them.
    """
    count = len(classes) if merge is None else len(merge)
    if path.suffix.lower() not in PROBABILITY_SUFFIXES:
        void = VOID if count <= VOID else VOID_16
        return read_label_map(path, classes, void, merge, max_pixels)
    as_stored = as_stored and merge is None
    probabilities = (read_stored_probabilities if as_stored else read_probabilities)(path, max_pixels)
    if len(probabilities) != count:
        raise InvalidFile(path, f"expected probabilities of {count} classes, found {len(probabilities)}")
    if merge is None:
        return probabilities
    joined = np.zeros((len(classes), *probabilities.shape[1:]), dtype=np.float32)
    np.add.at(joined, np.asarray(merge), probabilities)
    return joined


def read_scored(path: Path, classes: Classes, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, np.ndarray]:
    """The labels in a map that is to be scored, whatever its ids.

    Returns:
        The most likely classes ``[H, W]`` in the dtype of `classes`, void where the map holds an id that is
        no class; and these ids, ascending.

    Raises:
        InvalidFile: unreadable.
    """
    count = len(classes)
    if path.suffix.lower() in PROBABILITY_SUFFIXES:
        stored = read_probabilities(path, max_pixels).argmax(axis=0)
        is_void = np.zeros(stored.shape, bool)
    else:
        stored = read_labels(path, max_pixels)[0]
        void = void_of(stored)
        is_void = (stored == void) & (count <= void)
    foreign = ~is_void & ((stored < 0) | (stored >= count))
    labels = np.where(is_void | foreign, classes.void, stored).astype(classes.dtype)
    return labels, np.unique(stored[foreign])


EDITED_AFTER = 10.0
"""Seconds by which a label map is newer than its probabilities if somebody edited it after the run wrote both."""


def find_maps(folder: Path | str) -> dict[str, Path]:
    """Maps below `folder` by ID: ``.npz`` probabilities where there are any, else label files.

    In a folder that ``predict`` or ``refine`` wrote they are in its ``probs`` or ``labels`` (see `newer_of`).
    """
    folder = Path(folder)
    probs, labels = _maps_of_run(folder)
    if probs or labels:
        return {i: newer_of(probs.get(i), labels.get(i)) for i in sorted(probs.keys() | labels.keys())}
    maps = find_files(folder, PROBABILITY_SUFFIXES) or find_files(folder, LABEL_SUFFIXES)
    if not maps:
        raise InvalidFile(folder, "holds neither probability maps (.npz) nor label maps (.png)")
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


def find_classes(maps: Iterable[Path], count: int | None = None) -> Classes:
    """Classes of plain maps: `count` of them, or as many as the maps hold; colours from a palette in them.

    Unreadable maps are skipped here; whoever reads them for their content will list them.

    Raises:
        InvalidInput: nothing but class 0 and void: most likely foreground was drawn as 255.
    """
    largest, palette, has_void = 0, None, False
    for path in maps:
        try:
            if path.suffix.lower() in PROBABILITY_SUFFIXES:
                return Classes.numbered(count or len(read_stored_probabilities(path)))
            stored, found = read_labels(path)
        except InvalidFile:
            continue
        palette = palette or found
        if count is not None:
            break
        known = stored[stored != void_of(stored)]
        largest = max(largest, int(known.max()) if known.size else 0)
        has_void = has_void or known.size < stored.size
    if count is None and largest == 0 and has_void:
        raise InvalidInput(
            "expected ids 0, 1, ... in the label maps, found only 0 and 255, which means void: "
            "write foreground as 1, or give the number of classes"
        )
    return Classes.numbered(count or largest + 1, palette or ())
