"""Cases: single images with their maps, read from the folders of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image

from segmend.coding import Coding
from segmend.data.dataset import Dataset, Record, open_masks
from segmend.data.details import find_beside, read_details
from segmend.data.files import InvalidFile, find_files
from segmend.data.images import IMAGE_SUFFIXES, read_image
from segmend.data.maps import find_maps, newer_of
from segmend.data.probabilities import read_probabilities
from segmend.data.scored import Files, pair_maps, read_scored
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, void_of
from segmend.ops.blobs import label_components
from segmend.report.results import Evaluation, ImageScore

SIDE = 480
"""Longest side in pixels that images are shrunk to: a page with a dozen cases must stay small."""

DETAILS = ("displacement", "fusion_mask", "confidence")
"""Arrays of details that a case shows."""

S = TypeVar("S")
T = TypeVar("T")

_WORDS = {
    "refined": "scored label map",
    "truth": "ground truth",
    "coarse": "coarse map",
    "image": "image file",
    "details": "file of details",
    "displacement": "displacement field",
    "fusion_mask": "fusion mask",
    "confidence": "confidence map",
    "entropy": "probability map",
}


class Change(IntEnum):
    """How a pixel changed. Without a coarse map only RIGHT, MISSED and VOID occur."""

    RIGHT = 0
    CORRECTED = 1
    DEGRADED = 2
    STILL_WRONG = 3
    MISSED = 4
    VOID = 5


@dataclass(frozen=True)
class Pair:
    """A score in 0..1 before and after; None where there is none."""

    before: float | None
    after: float | None

    @property
    def gain(self) -> float | None:
        """After minus before; None where either is missing."""
        if self.before is None or self.after is None:
            return None
        gain = self.after - self.before
        return gain if math.isfinite(gain) else None


@dataclass(frozen=True)
class Case:
    """One image, shrunk to at most `SIDE` pixels; whatever is missing or unreadable is None.

    Attributes:
        size: height and width of the maps here.
        image: ``uint8 [H, W, 3]``.
        coarse, refined, truth: label maps ``[H, W]``.
        changes: ``uint8 [H, W]`` of `Change`.
        shares: of the pixels that are not void in the ground truth, the share of each `Change`.
        displacement: ``float32 [2, H, W]``, (dx, dy) in pixels of the image before it was shrunk.
        fusion_mask, confidence: ``uint8 [H, W]``, 255 for 1.
        entropy: of the scored map's probabilities, ``uint8 [H, W]``, 255 where all classes are equally likely.
        blobs: the connected components of each class in the scored map, ``int32 [H, W]``, numbered from 1; 0 where
            the ground truth is void.
        blob_counts: how many components the ground truth has, and how many the scored map.
        notes: what could not be shown, and why.
    """

    id: str
    iou: Pair
    size: tuple[int, int] | None = None
    image: np.ndarray | None = None
    coarse: np.ndarray | None = None
    refined: np.ndarray | None = None
    truth: np.ndarray | None = None
    changes: np.ndarray | None = None
    shares: dict[Change, float] = field(default_factory=dict)
    displacement: np.ndarray | None = None
    fusion_mask: np.ndarray | None = None
    confidence: np.ndarray | None = None
    entropy: np.ndarray | None = None
    blobs: np.ndarray | None = None
    blob_counts: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()


def compare(refined: np.ndarray, truth: np.ndarray, coarse: np.ndarray | None = None) -> np.ndarray:
    """How each pixel changed: ``uint8 [H, W]`` of `Change`, for label maps ``[H, W]``."""
    before = refined if coarse is None else coarse
    changed = before != refined
    conditions = {
        Change.VOID: truth == void_of(truth),
        Change.CORRECTED: changed & (refined == truth),
        Change.DEGRADED: changed & (before == truth),
        Change.STILL_WRONG: changed,
        Change.MISSED: refined != truth,
    }
    return np.select(list(conditions.values()), [np.uint8(c) for c in conditions], np.uint8(Change.RIGHT))


def shrink(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map ``[..., H, W]`` brought to height and width `size` by its nearest pixels."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, values.shape[-2:], strict=True)
    )
    return values[..., rows[:, None], columns]


@dataclass(frozen=True)
class Sources:
    """The files of the cases' maps; None for a folder that was not given or cannot be used.

    Attributes:
        codings: how label files store the classes, in the folders ``pred`` and ``coarse``.
    """

    classes: Classes
    codings: dict[str, Coding]
    truth: Dataset | None
    refined: Files | None
    coarse: Files | None
    images: Files | None
    details: Files | None
    probabilities: Files | None

    def read_map(self, path: Path, folder: Literal["pred", "coarse"]) -> np.ndarray:
        """A label map, or the most likely labels of a probability map; void where an id is no class."""
        return read_scored(path, self.classes, self.codings[folder]).labels

    def read_entropy(self, path: Path) -> np.ndarray:
        """Entropy of a probability map, ``uint8 [H, W]``: 255 where all classes are equally likely."""
        probabilities = read_probabilities(path)
        entropy = -(probabilities * np.log(probabilities.clip(1e-7))).sum(axis=0)
        share = (entropy / np.log(max(2, len(probabilities)))).clip(0, 1)
        shades: np.ndarray = np.rint(255 * share).astype(np.uint8)
        return shades

    def has_probabilities(self, identity: str) -> bool:
        """Whether the scored map of an image has probabilities that it still agrees with (see `newer_of`)."""
        probabilities = (self.probabilities or {}).get(identity)
        refined = (self.refined or {}).get(identity)
        return probabilities is not None and newer_of(probabilities, refined) == probabilities

    @property
    def records(self) -> dict[str, Record] | None:
        """Records of the ground truth by ID."""
        return None if self.truth is None else {record.id: record for record in self.truth}

    def read_truth(self, record: Record) -> np.ndarray:
        """The ground truth of an image."""
        assert self.truth is not None
        return self.truth.labels(record)


def find_sources(evaluation: Evaluation, classes: Classes, base: Path, notes: list[str]) -> Sources:
    """The folders of `evaluation`, relative to `base`; a sentence on each unusable one is added to `notes`."""

    def find(what: str, folder: str | None, search: Callable[[Path], T]) -> T | None:
        if folder is None:
            return None
        try:
            return search(base / folder)
        except InvalidInput as error:
            notes.append(f"The folder of the {what} ({folder}) cannot be used: {reason_of(error)}.")
            return None

    ids = [image.id for image in evaluation.per_image]

    def find_by_truth(what: str, folder: str | None, search: Callable[[Path], Files | None]) -> Files | None:
        files = find(what, folder, search)
        return None if files is None else _by_truth(files, ids)

    def find_images(folder: Path) -> Files:
        return find_files(folder, IMAGE_SUFFIXES)

    pred = evaluation.pred
    return Sources(
        classes,
        codings={name: coding_of(evaluation.ids.get(name), len(classes)) for name in ("pred", "coarse")},
        truth=find("ground truth", evaluation.truth, lambda folder: _open_truth(folder, classes, evaluation)),
        refined=find_by_truth("scored label maps", pred, find_maps),
        coarse=find_by_truth("coarse maps", evaluation.coarse, find_maps),
        images=find_by_truth("images", evaluation.images, find_images),
        details=find_by_truth("details", pred, lambda folder: find_beside(folder, "details")),
        probabilities=find_by_truth("probabilities", pred, lambda folder: find_beside(folder, "probs")),
    )


def _by_truth(files: Files, ids: list[str]) -> Files:
    """Files by the ID of the ground truth that they belong to (see `pair_maps`)."""
    try:
        partner = pair_maps({identity: Path(identity) for identity in ids}, files, "").ids
    except InvalidInput:
        return {}
    return {identity: files[other] for identity, other in partner.items()}


def coding_of(ids: tuple[int, ...] | None, count: int) -> Coding:
    """The coding of classes that are stored as `ids`, or in their places."""
    stored = ids or tuple(range(count))
    return Coding(stored, tuple(i for i in (VOID, VOID_16) if i not in stored))


def _open_truth(folder: Path, classes: Classes, evaluation: Evaluation) -> Dataset:
    if evaluation.merge:
        truth = open_masks(folder).merged(evaluation.merge)
    else:
        truth = open_masks(folder, classes=classes, ids=evaluation.ids.get("truth"))
    if truth.classes.names != classes.names:
        raise InvalidFile(folder, "its data set has other classes than the evaluation")
    return truth


def read_case(score: ImageScore, sources: Sources) -> Case:
    """The maps of an image; each that is missing or unreadable becomes a note of the case."""
    notes: list[str] = []

    def read(name: str, found: Mapping[str, S] | None, load: Callable[[S], T]) -> T | None:
        if found is None:
            return None
        if score.id not in found:
            notes.append(f"The {_WORDS[name]} of this case is missing.")
            return None
        try:
            return load(found[score.id])
        except InvalidInput as error:
            notes.append(f"The {_WORDS[name]} cannot be read: {reason_of(error)}.")
            return None

    maps: dict[str, Any] = {
        "refined": read("refined", sources.refined, lambda path: sources.read_map(path, "pred")),
        "truth": read("truth", sources.records, sources.read_truth),
        "coarse": read("coarse", sources.coarse, lambda path: sources.read_map(path, "coarse")),
        "image": read("image", sources.images, lambda path: np.moveaxis(read_image(path), -1, 0)),
    }
    if sources.has_probabilities(score.id):
        maps["entropy"] = read("entropy", sources.probabilities, sources.read_entropy)
    if sources.details is not None and score.id in sources.details:
        maps |= read("details", sources.details, lambda path: read_details(path, DETAILS)) or {}
    return _build_case(score, maps, notes)


def _build_case(score: ImageScore, maps: dict[str, Any], notes: list[str]) -> Case:
    """The case of full-size maps ``[..., H, W]``: those of one size are compared, then shrunk."""
    maps = {name: values for name, values in maps.items() if values is not None}
    sizes = {name: values.shape[-2:] for name, values in maps.items()}
    size = next(iter(sizes.values()), None)
    if size is None:
        return Case(score.id, Pair(score.coarse_mean_iou, score.mean_iou), notes=tuple(notes))
    for name in [name for name in maps if sizes[name] != size]:
        (height, width), (wanted_height, wanted_width) = sizes[name], size
        notes.append(
            f"The {_WORDS[name]} is not shown: it has {width} x {height} pixels, "
            f"other maps of this image have {wanted_width} x {wanted_height}."
        )
        del maps[name]
    shares, counts = {}, (0, 0)
    if "refined" in maps and "truth" in maps:
        maps["changes"] = compare(maps["refined"], maps["truth"], maps.get("coarse"))
        shares = _shares(maps["changes"])
        void = void_of(maps["truth"])
        true = label_components(maps["truth"], void)
        maps["blobs"] = label_components(np.where(true == 0, void, maps["refined"].astype(np.int64)), void)
        counts = int(true.max()), int(maps["blobs"].max())
    scale = min(1.0, SIDE / max(size))
    shown = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    image = maps.pop("image", None)
    return Case(
        score.id,
        Pair(score.coarse_mean_iou, score.mean_iou),
        size=shown,
        image=None if image is None else shrink_photo(np.moveaxis(image, 0, -1), shown),
        **{name: shrink(values, shown) for name, values in maps.items()},
        shares=shares,
        blob_counts=counts,
        notes=tuple(notes),
    )


def _shares(changes: np.ndarray) -> dict[Change, float]:
    counts = np.bincount(changes.ravel(), minlength=len(Change))[: Change.VOID]
    return {Change(i): float(count) / max(1, int(counts.sum())) for i, count in enumerate(counts)}


def shrink_photo(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A photo ``uint8 [H, W, 3]`` brought to height and width `size`."""
    height, width = size
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def reason_of(error: InvalidInput) -> str:
    """The message of an error without the path: a page may be published, and must not show a user's folders."""
    message = str(error)
    return message.removeprefix(f"{error.path}: ") if isinstance(error, InvalidFile) else message
