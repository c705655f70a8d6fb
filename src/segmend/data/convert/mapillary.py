"""Mapillary Vistas: its classes of version 1.2 or of 2.0. It is read, not written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from segmend.data.convert.labelmap import read_ids
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile
from segmend.labels import VOID, Classes, InvalidInput

SPLITS = {"training": "train", "validation": "val", "testing": "test"}

FIRST_VERSION = (("config.json", "labels"), ("config_v1.2.json", "v1.2/labels"))
SECOND_VERSION = (("config_v2.0.json", "v2.0/labels"),)
"""Where a release keeps the list of its classes, and its masks below each split's folder."""


def read_v1(folder: Path, max_pixels: int) -> SourceDataset:
    """The 65 classes of version 1.2, from a release of 1.2 or of 2.0, which holds both (see `_read`)."""
    return _read(folder, FIRST_VERSION, max_pixels)


def read_v2(folder: Path, max_pixels: int) -> SourceDataset:
    """The classes of version 2.0 (see `_read`)."""
    return _read(folder, SECOND_VERSION, max_pixels)


def _read(folder: Path, places: tuple[tuple[str, str], ...], max_pixels: int) -> SourceDataset:
    """``SPLIT/images/KEY.jpg`` and ``SPLIT/[VERSION/]labels/KEY.png``; ids are places in the list of classes.

    Classes that are not to be evaluated are void.

    Raises:
        InvalidFile: no list of classes, or one that is none.
    """
    found = [(folder / config, masks) for config, masks in places if (folder / config).is_file()]
    if not found:
        raise InvalidFile(folder, f"expected {' or '.join(config for config, _ in places)} of Mapillary Vistas")
    config, masks = found[0]
    classes, ours = _classes(config)
    source = SourceDataset("mapillary_vistas", classes, max_pixels, {"source": "Mapillary Vistas"})
    for part, split in SPLITS.items():
        for image in sorted((folder / part / "images").glob("[!.]*.jpg")):
            mask = folder / part / masks / f"{image.stem}.png"
            if split == "test":
                source.items.append(SourceImage(split, image.stem, image))
            elif mask.is_file():
                source.items.append(
                    SourceImage(split, image.stem, image, partial(read_ids, mask, ours, max_pixels))
                )
            else:
                source.skip(image, f"no label map {mask}")
    return source


def _classes(config: Path) -> tuple[Classes, np.ndarray]:
    """The classes that are evaluated, and our id of each of theirs."""
    try:
        labels = json.loads(config.read_text(encoding="utf-8-sig"))["labels"]
        evaluated = [bool(label["evaluate"]) for label in labels]
        scored = [label for label, counts in zip(labels, evaluated, strict=True) if counts]
        classes = Classes(
            tuple(str(label["name"]) for label in scored), tuple(tuple(label["color"]) for label in scored)
        )
    except (OSError, ValueError, KeyError, TypeError, InvalidInput) as error:
        raise InvalidFile(config, f"expected a list `labels` of name, color and evaluate ({error!r})") from None
    if len(labels) > VOID:
        raise InvalidFile(config, f"masks of Mapillary Vistas have 8 bits: {len(labels)} classes do not fit")
    ours = np.full(len(labels), VOID, np.uint8)
    ours[evaluated] = np.arange(len(scored), dtype=np.uint8)
    return classes, ours
