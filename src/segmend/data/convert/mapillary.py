"""Mapillary Vistas, with its classes of version 1.2 or of 2.0; only read."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from segmend.data.convert.labelmap import FormatLabels, Label
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile
from segmend.labels import VOID, InvalidInput

SPLITS = {"training": "train", "validation": "val", "testing": "test"}

FIRST_VERSION = (("config.json", "labels"), ("config_v1.2.json", "v1.2/labels"))
SECOND_VERSION = (("config_v2.0.json", "v2.0/labels"),)
"""Where a release has the list of its classes, and its masks below the folder of each split."""


def read_v1(folder: Path, max_pixels: int) -> SourceDataset:
    """Read the 65 classes of version 1.2, from a release of 1.2 or of 2.0, which holds both (see `_read`)."""
    return _read(folder, FIRST_VERSION, max_pixels)


def read_v2(folder: Path, max_pixels: int) -> SourceDataset:
    """Read the classes of version 2.0 (see `_read`)."""
    return _read(folder, SECOND_VERSION, max_pixels)


def _read(folder: Path, places: tuple[tuple[str, str], ...], max_pixels: int) -> SourceDataset:
    """Read ``SPLIT/images/KEY.jpg`` and ``SPLIT/[VERSION/]labels/KEY.png``; ids are places in the list of classes.

    Classes that are not to be evaluated are void.

    Raises:
        InvalidFile: no list of classes, or one in another form.
    """
    found = [(folder / config, masks) for config, masks in places if (folder / config).is_file()]
    if not found:
        raise InvalidFile(folder, f"expected {' or '.join(config for config, _ in places)} of Mapillary Vistas")
    config, masks = found[0]
    labels = _labels(config)
    source = SourceDataset("mapillary_vistas", labels.classes, max_pixels, {"source": "Mapillary Vistas"})
    for part, split in SPLITS.items():
        for image in sorted((folder / part / "images").glob("[!.]*.jpg")):
            mask = folder / part / masks / f"{image.stem}.png"
            if split == "test":
                source.items.append(SourceImage(split, image.stem, image))
            elif mask.is_file():
                load = partial(labels.read, mask, max_pixels, palette_is_ids=True)
                source.items.append(SourceImage(split, image.stem, image, load))
            else:
                source.skip(image, f"no label map {mask}")
    return source


def _labels(config: Path) -> FormatLabels:
    """The labels in the list of classes; those that are not evaluated are named void."""
    try:
        listed = json.loads(config.read_text(encoding="utf-8-sig"))["labels"]
        labels: list[Label] = []
        for label in listed:
            red, green, blue = map(int, label["color"])
            labels.append((str(label["name"]) if label["evaluate"] else "void", (red, green, blue)))
        found = FormatLabels(labels)
    except (OSError, ValueError, KeyError, TypeError, InvalidInput) as error:
        raise InvalidFile(config, f"expected a list `labels` of name, color and evaluate ({error!r})") from None
    if len(labels) > VOID:
        raise InvalidFile(config, f"masks of Mapillary Vistas have 8 bits: {len(labels)} classes do not fit")
    return found
