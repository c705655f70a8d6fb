"""Frames of a propagated data set: which of them a page shows, and their maps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from segmend.coding import Coding
from segmend.data.dataset import dataset_above
from segmend.data.description import describe
from segmend.data.details import read_details
from segmend.data.files import InvalidFile, find_files
from segmend.data.images import IMAGE_SUFFIXES, read_image
from segmend.data.manifest import MANIFEST, Entry, read_manifest
from segmend.data.maps import find_masks, read_label_map
from segmend.data.masks import LABEL_SUFFIXES, read_labels
from segmend.data.probabilities import PROBABILITY_SUFFIXES
from segmend.data.scored import pair_maps, read_scored
from segmend.labels import Classes, InvalidInput, void_of
from segmend.report.cases import Change, coding_of, reason_of, shrink, shrink_photo
from segmend.report.results import Propagation

MOST_FRAMES = 48
"""How many frames a page shows."""

WHOLE = 24
"""A run of up to so many frames is shown frame by frame, however many sequences there are."""

SIDE = 480
"""Longest side in pixels that images and labels are shrunk to."""

MAP_SIDE = 320
"""Longest side in pixels that the maps beside an image are shrunk to."""

Files = dict[str, Path]
T = TypeVar("T")


@dataclass(frozen=True)
class ShownFrame:
    """A frame of the data set with its maps, shrunk; whatever is missing or unreadable is None.

    Attributes:
        size: height and width of `image` and `labels` here; `MAP_SIDE` bounds the other maps.
        image: ``uint8 [H, W, 3]``.
        labels: label map ``[H, W]``.
        confidence: ``uint8 [h, w]``, 255 for 1.
        displacement: ``float32 [2, h, w]``, (dx, dy) in pixels of the frame before it was shrunk.
        errors: ``uint8 [h, w]`` of `Change`: RIGHT, MISSED and VOID, where ground truth or label is void.
        wrong: share of the pixels with label and ground truth whose label is wrong.
    """

    entry: Entry
    size: tuple[int, int]
    image: np.ndarray | None = None
    labels: np.ndarray | None = None
    confidence: np.ndarray | None = None
    displacement: np.ndarray | None = None
    errors: np.ndarray | None = None
    wrong: float | None = None

    @property
    def sequence(self) -> str:
        """The folder in the frame's ID; empty where there is none."""
        return sequence_of(self.entry)

    @property
    def is_labelled(self) -> bool:
        """Whether its labels were given."""
        return self.entry.method == "given"


def sequence_of(entry: Entry) -> str:
    """The folder in the ID of an entry's frame; empty where there is none."""
    return entry.frame.rpartition("/")[0]


def read_entries(results: Propagation, base: Path, notes: list[str]) -> list[Entry]:
    """The entries of the manifest that belong to the split; a sentence is added to `notes` where there are none.

    Args:
        base: folder of ``results.json``.
    """
    root = base / results.root
    try:
        entries = [entry for (split, _), entry in read_manifest(root).items() if split == results.split]
    except InvalidInput as error:
        notes.append(f"The frames are not shown: {MANIFEST}: {reason_of(error)}.")
        return []
    if not entries:
        found = "names no frame" if (root / MANIFEST).is_file() else "is missing"
        notes.append(f"The frames are not shown: {MANIFEST} in the folder of the data set {found}.")
    return entries


def choose_frames(entries: Iterable[Entry], mode: Literal["lp", "jp"], limit: int = MOST_FRAMES) -> list[Entry]:
    """At most `limit` entries in the order of the video, spread over the sequences.

    Whole runs are chosen: from one labelled frame to the next (``lp``), or all frames that one labelled frame was
    propagated to (``jp``). Only of a run longer than its share of the limit some frames are left out, evenly.
    """
    sequences = _runs(entries, mode)
    if not sequences:
        return []
    most = min(limit, max(WHOLE, limit // len(sequences)))
    sequences = [[_spread(run, most) for run in runs] for runs in sequences]
    longest = max(len(run) for runs in sequences for run in runs)
    sequences = _spread(sequences, max(1, limit // longest))
    shown: set[str] = set()
    for rank in zip_longest(*sequences, fillvalue=()):
        for run in rank:
            more = {entry.id for entry in run} - shown
            if len(shown) + len(more) <= limit:
                shown |= more
    ordered = {entry.id: entry for runs in sequences for run in runs for entry in run if entry.id in shown}
    return list(ordered.values())


def _runs(entries: Iterable[Entry], mode: Literal["lp", "jp"]) -> list[list[list[Entry]]]:
    """Runs of frames by sequence; those without a propagated frame are left out."""
    by_sequence: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (_natural(entry.frame), _natural(entry.id))):
        by_sequence.setdefault(sequence_of(entry), []).append(entry)
    cut = _by_source if mode == "jp" else _between_labelled
    runs = [[run for run in cut(found) if _is_propagated(run)] for found in by_sequence.values()]
    return [found for found in runs if found]


def _between_labelled(entries: Sequence[Entry]) -> list[list[Entry]]:
    """From one labelled frame to the next; both belong to the run."""
    runs: list[list[Entry]] = [[]]
    for entry in entries:
        runs[-1].append(entry)
        if entry.method == "given":
            runs.append([entry])
    return runs


def _by_source(entries: Sequence[Entry]) -> list[list[Entry]]:
    """All frames that one labelled frame was propagated to, and itself."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        source = entry.sources[0].frame if entry.sources else entry.frame
        runs.setdefault(source, []).append(entry)
    return list(runs.values())


def _is_propagated(run: Sequence[Entry]) -> bool:
    return any(entry.method != "given" for entry in run)


def _natural(name: str) -> list[str | int]:
    """A key by which frame 10 comes after frame 9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _spread(items: list[T], most: int) -> list[T]:
    """At most so many items, at even distances; the first and the last are among them."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def read_frames(
    results: Propagation, base: Path, chosen: Sequence[Entry], entries: Iterable[Entry], notes: list[str]
) -> list[ShownFrame]:
    """The maps of the chosen frames.

    Args:
        base: folder of ``results.json``.
        entries: all entries of the manifest: names of ground truth pair with names of frames.
        notes: a sentence is added for each kind of file that is missing or unreadable, and for unusable folders.
    """
    classes = Classes(tuple(results.classes), tuple(results.palette))
    root, split = base / results.root, results.split
    images = _files(root, f"images/{split}", IMAGE_SUFFIXES, notes)
    labels = _files(root, f"labels/{split}", LABEL_SUFFIXES, notes)
    confidence = _files(root, f"confidence/{split}", LABEL_SUFFIXES, notes)
    details = _files(root, f"details/{split}", PROBABILITY_SUFFIXES, notes)
    truth = _open_truth(results, base, classes, {entry.frame for entry in entries}, notes)
    faults: dict[str, list[tuple[str, str]]] = {}
    frames = []
    for entry in chosen:
        propagated = entry.method != "given"
        reading = _Reading(entry.id, faults)
        maps = {
            "label map": reading.read("label map", labels, lambda path: read_label_map(path, classes)),
            "image": reading.read("image", images, lambda path: np.moveaxis(read_image(path), -1, 0)),
        }
        if propagated:
            maps["confidence map"] = reading.read("confidence map", confidence, lambda p: read_labels(p)[0])
        if propagated and entry.id in details:
            maps["displacement field"] = reading.read("displacement field", details, _read_displacement)
        if propagated and entry.frame in truth.files:
            mask = {entry.id: truth.files[entry.frame]}
            maps["ground truth"] = reading.read("ground truth", mask, truth.read)
        frames.append(_build_frame(entry, reading.of_one_size(maps)))
    notes += [_sentence(what, found) for what, found in faults.items()]
    return frames


@dataclass(frozen=True)
class _Reading:
    """Reads the maps of one frame, and notes faults by kind of map."""

    id: str
    faults: dict[str, list[tuple[str, str]]]

    def read(self, what: str, files: Mapping[str, Path], load: Callable[[Path], np.ndarray]) -> np.ndarray | None:
        if self.id not in files:
            self._note(what, "the file is missing")
            return None
        try:
            return load(files[self.id])
        except InvalidInput as error:
            self._note(what, reason_of(error))
            return None

    def of_one_size(self, maps: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
        """The maps of the size of the first one; the others are noted."""
        found = {what: values for what, values in maps.items() if values is not None}
        sizes = {what: values.shape[-2:] for what, values in found.items()}
        size = next(iter(sizes.values()), None)
        for what, other in sizes.items():
            if size is not None and other != size:
                self._note(what, f"{other[1]} x {other[0]} pixels, its label map has {size[1]} x {size[0]}")
        return {what: values for what, values in found.items() if sizes[what] == size}

    def _note(self, what: str, reason: str) -> None:
        self.faults.setdefault(what, []).append((self.id, reason))


def _sentence(what: str, faults: Sequence[tuple[str, str]]) -> str:
    identity, reason = faults[0]
    if len(faults) == 1:
        return f"The {what} of {identity} is not shown: {reason}."
    return f"The {what} of {len(faults)} frames is not shown, such as that of {identity}: {reason}."


def _read_displacement(path: Path) -> np.ndarray:
    found = read_details(path, ("displacement",))
    if "displacement" not in found:
        raise InvalidFile(path, "expected an array `displacement` [2, H, W], found none")
    return found["displacement"]


def _build_frame(entry: Entry, maps: Mapping[str, np.ndarray]) -> ShownFrame:
    """A frame of full-size maps ``[..., H, W]`` of one size."""
    full = next((values.shape[-2:] for values in maps.values()), (1, 1))
    shown, small = _shrunk(full, SIDE), _shrunk(full, MAP_SIDE)

    def side(what: str) -> np.ndarray | None:
        return shrink(maps[what], small) if what in maps else None

    errors, wrong = None, None
    if "label map" in maps and "ground truth" in maps:
        errors = errors_in(maps["label map"], maps["ground truth"])
        valid = int((errors != Change.VOID).sum())
        wrong = float((errors == Change.MISSED).sum()) / valid if valid else None
        errors = shrink(errors, small)
    confidence = side("confidence map")
    return ShownFrame(
        entry,
        size=shown,
        image=shrink_photo(np.moveaxis(maps["image"], 0, -1), shown) if "image" in maps else None,
        labels=shrink(maps["label map"], shown) if "label map" in maps else None,
        confidence=None if confidence is None else confidence.clip(0, 255).astype(np.uint8),
        displacement=side("displacement field"),
        errors=errors,
        wrong=wrong,
    )


def errors_in(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Where labels are wrong: ``uint8 [H, W]`` of `Change`, VOID where either map ``[H, W]`` is void."""
    void = (labels == void_of(labels)) | (truth == void_of(truth))
    wrong = np.where(labels == truth, np.uint8(Change.RIGHT), np.uint8(Change.MISSED))
    return np.where(void, np.uint8(Change.VOID), wrong)


def _shrunk(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _files(root: Path, folder: str, suffixes: tuple[str, ...], notes: list[str]) -> Files:
    """Files by ID; none without the folder, which is noted with its frames, or where a note says why."""
    try:
        return find_files(root / folder, suffixes) if (root / folder).is_dir() else {}
    except InvalidInput as error:
        notes.append(f"The folder {folder} cannot be used: {reason_of(error)}.")
        return {}


@dataclass(frozen=True)
class _Truth:
    """Held-out label maps by the ID of their frame, and how they store the classes."""

    files: Files
    classes: Classes
    coding: Coding

    def read(self, path: Path) -> np.ndarray:
        return read_scored(path, self.classes, self.coding).labels


def _open_truth(results: Propagation, base: Path, classes: Classes, frames: set[str], notes: list[str]) -> _Truth:
    """The held-out label maps; none where there are none, or where a note says why."""
    coding = coding_of(results.ids, len(classes))
    if results.truth is None:
        return _Truth({}, classes, coding)
    folder = base / results.truth
    try:
        root = dataset_above(folder)
        if root is not None and results.ids is None and describe(root).classes.names == classes.names:
            coding = Coding.counted(len(classes), describe(root).void)
        masks = find_masks(folder)
        partner = _partners(folder, frames, masks)
    except InvalidInput as error:
        notes.append(f"The folder of the ground truth ({results.truth}) cannot be used: {reason_of(error)}.")
        return _Truth({}, classes, coding)
    return _Truth({frame: masks[name] for frame, name in partner.items()}, classes, coding)


def _partners(folder: Path, frames: set[str], masks: Files) -> dict[str, str]:
    """The name of the mask by the ID of its frame."""
    try:
        return pair_maps({frame: Path(frame) for frame in sorted(frames)}, masks, "").ids
    except InvalidInput:
        raise InvalidFile(folder, "none of its label maps is named like a frame") from None
