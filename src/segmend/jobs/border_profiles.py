"""The border profile of a folder's masks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import numpy as np
import torch

from segmend.borders import BorderProfile, BorderStrength, border_strength
from segmend.borders.strength import DISTANCES, deep
from segmend.data.corruptions import fill_void
from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import InvalidFile
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput, as_probabilities, as_tensor
from segmend.refiners import Refiner
from segmend.refiners.base import EVERY
from segmend.report.results import MeasuredBorders, MeasuredOffset

MEASURED = 32
"""Images whose borders are measured, at most: a folder's profile needs no more."""

SAMPLED_MAPS = 16
"""Probability maps of a folder that are read first, at most."""

READERS = 2
"""Threads that read images."""

WINDOW = 1400
"""Side in pixels of the part of a larger image that is measured, the one with most borders."""


def sampled(records: Sequence[Record], most: int = MEASURED) -> list[Record]:
    """At most `most` of the records, evenly spaced."""
    chosen = np.linspace(0, len(records) - 1, min(most, len(records))).astype(int)
    return [records[index] for index in chosen]


def borders_of(image: np.ndarray, labels: np.ndarray, void: int) -> BorderStrength:
    """Edge strength around the borders of a mask, in which void next to labels is filled, and the rest ignored."""
    image, labels = window(image, labels)
    return border_strength(image, fill_void(torch.from_numpy(labels)).numpy(), deep(labels == void))


def window(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image and its mask with most borders, of those of `WINDOW` pixels that lie side by side."""
    change = np.zeros(labels.shape, bool)
    change[1:] |= labels[1:] != labels[:-1]
    change[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    parts = [
        (slice(top, top + WINDOW), slice(left, left + WINDOW))
        for top in _starts(labels.shape[0])
        for left in _starts(labels.shape[1])
    ]
    part = max(parts, key=lambda part: int(change[part].sum()))
    return image[part], labels[part]


def _starts(length: int) -> list[int]:
    return [min(start, max(0, length - WINDOW)) for start in range(0, length, WINDOW)]


def count_classes(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Number of pixels of each class in a mask, ``[C]``."""
    valid = labels[labels != classes.void]
    counts: np.ndarray = np.bincount(valid.ravel().astype(np.int64), minlength=len(classes))
    return counts


R = TypeVar("R", bound=Refiner)


def of_folder(refiner: R, images: Dataset, logits: bool = False, quiet: bool = False) -> R:
    """The refiner that knows the folder which masks, or probability maps, are of.

    A sample of the folder is read. Files that cannot be read are left out here; whoever reads them all lists them.

    Args:
        logits: floats in coarse maps are logits.
    """
    if not refiner.reads_folder:
        return refiner
    of_maps = [record for record in images if record.coarse and record.coarse.suffix == ".npz"]
    refiner = _of_maps(refiner, images, of_maps, logits, quiet)
    read = []
    records = sampled([record for record in images if record.coarse and record.coarse.suffix != ".npz"])
    if not records:
        return refiner

    def part(record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        with suppress(InvalidFile):
            return window(*pair_coarse(images, record, as_stored=True))
        return None

    with bar("look at the folder", len(records), quiet) as progress, ThreadPoolExecutor(READERS) as readers:
        for found in readers.map(part, records):
            if found is not None:
                read.append(found)
            progress.advance()
    return refiner.of_folder([image for image, _ in read], [mask for _, mask in read])


def _of_maps(refiner: R, images: Dataset, records: Sequence[Record], logits: bool, quiet: bool) -> R:
    few = sampled(records, SAMPLED_MAPS)
    read = []
    with bar("look at the maps", len(few), quiet or not few) as progress:
        for record in few:
            with suppress(InvalidInput):
                map_ = as_tensor(images.coarse(record, as_stored=True))[:, ::EVERY, ::EVERY]
                read.append(as_probabilities(map_, len(images.classes), logits=logits))
            progress.advance()
    return refiner.of_maps(read) if read else refiner


def measured_borders(profile: BorderProfile, names: Sequence[str]) -> MeasuredBorders:
    """What a profile says, for ``results.json``."""
    precision = profile.precision()
    return MeasuredBorders(
        images=sum(len(one.pairs) > 0 for one in profile.images),
        largest=names[profile.largest],
        distances=DISTANCES.tolist(),
        offset=measured_offset(profile) if profile.classes else None,
        on_border=precision.on_border,
        border_error_px=precision.border_error_px,
        are_of_other_images=precision.are_of_other_images,
    )


def measured_offset(profile: BorderProfile, class_id: int | None = None) -> MeasuredOffset:
    """The offset of a class, or of all, for ``results.json``."""
    found = profile.offset(class_id)
    return MeasuredOffset(
        pixels=found.pixels,
        low=found.low,
        high=found.high,
        is_evident=found.is_evident,
        curve=profile.curve(class_id).round(4).tolist(),
    )
