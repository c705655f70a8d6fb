"""Our own layout, ``NAME/{images,labels}/SPLIT/ID.*`` with a ``dataset.yaml``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.dataset import open_dataset, splits_of
from segmend.data.description import read_description, write_description
from segmend.data.files import InvalidFile
from segmend.data.masks import write_labels
from segmend.data.tags import Tags, write_tags


def read(root: Path, max_pixels: int) -> SourceDataset:
    """Read the data set in `root`.

    Raises:
        InvalidFile: no ``dataset.yaml``, or no folder of a split.
    """
    if not (root / "dataset.yaml").is_file():
        raise InvalidFile(root, "expected a dataset.yaml and images/SPLIT")
    more = {k: v for k, v in read_description(root).items() if k not in ("name", "classes", "void", "palette")}
    sets = {split: replace(open_dataset(root, split), max_pixels=max_pixels) for split in splits_of(root)}
    if not sets:
        raise InvalidFile(root / "images", "expected a folder for each split, found none")
    first = next(iter(sets.values()))
    source = SourceDataset(first.name, first.classes, max_pixels, more)
    for split, dataset in sets.items():
        for record in dataset:
            assert record.image is not None  # the layout lists images
            load = partial(dataset.labels, record) if record.labels else None
            source.items.append(SourceImage(split, record.id, record.image, load, record.tags))
    return source


def write(source: SourceDataset, destination: Path) -> None:
    """Write images and label maps, then tags and ``dataset.yaml``."""
    classes = source.classes
    tags: dict[str, dict[str, Tags]] = defaultdict(dict)
    for item, labels in source.usable():
        item.save(destination / "images" / item.split / f"{item.id}{item.suffix}")
        if labels is not None:
            write_labels(destination / "labels" / item.split / f"{item.id}.png", labels, classes.palette)
        if item.tags is not None:
            tags[item.split][item.id] = item.tags
    if tags:
        write_tags(destination / "tags.json", tags)
    write_description(destination, source.name, classes, **source.more)
