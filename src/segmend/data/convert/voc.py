"""PASCAL VOC: images and masks of all splits in one folder each, and a list of names for each split."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from segmend.data.convert.labelmap import Label, LabelMap, names_for
from segmend.data.convert.lists import read_lines, skip_unlistable, write_lines
from segmend.data.convert.source import Item, Source
from segmend.data.files import InvalidFile, find_files
from segmend.data.images import IMAGE_SUFFIXES
from segmend.data.masks import write_labels
from segmend.labels import VOID, InvalidInput, voc_colour

VOID_COLOUR = voc_colour(VOID)
"""Colour of the border of void around objects."""


def read(folder: Path, max_pixels: int) -> Source:
    """The data set in `folder`; masks hold ids, with a palette or grey, or are painted.

    Raises:
        InvalidFile: no data set, several of them, or a label map that is not readable.
    """
    root = _find_root(folder)
    label_map = LabelMap(_read_labels(root), VOID_COLOUR)
    images = find_files(root / "JPEGImages", IMAGE_SUFFIXES)
    source = Source(root.name, label_map.classes, max_pixels, {"source": f"PASCAL VOC, folder {root.name}"})
    for names in sorted((root / "ImageSets" / "Segmentation").glob("[!.]*.txt")):
        for name in dict.fromkeys(read_lines(names)):
            if name not in images:
                source.skip(names, f"no image {name} in JPEGImages")
                continue
            mask = root / "SegmentationClass" / f"{name}.png"
            load = partial(label_map.read, mask, max_pixels, palette_is_ids=True) if mask.exists() else None
            source.items.append(Item(names.stem, name, images[name], load))
    return source


def _find_root(folder: Path) -> Path:
    """The folder with ``ImageSets``: `folder`, or one or two folders below, as in ``VOCdevkit/VOC2012``."""
    for pattern in ("", "*/", "*/*/"):
        found = sorted(lists.parent.parent for lists in folder.glob(f"{pattern}ImageSets/Segmentation"))
        if len(found) > 1:
            raise InvalidFile(folder, f"holds several data sets, choose one: {', '.join(map(str, found))}")
        if found:
            return found[0].resolve()
    raise InvalidFile(folder, "expected ImageSets/Segmentation/*.txt, JPEGImages and SegmentationClass")


def _read_labels(root: Path) -> list[Label]:
    """The labels that ``dataset_meta.json`` or ``labelmap.txt`` names, else the 21 of VOC and void."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.plugins.data_formats.voc.format import (
        VocTask,
        make_voc_categories,
        parse_label_map,
        parse_meta_file,
    )
    from datumaro.util.meta_file_util import has_meta_file

    try:
        label_map = None
        if has_meta_file(str(root)):
            label_map = parse_meta_file(str(root))
        elif (root / "labelmap.txt").is_file():
            label_map = parse_label_map(str(root / "labelmap.txt"))
    except Exception as error:  # datumaro's own types, and whatever its parsers run into
        raise InvalidFile(root, f"its label map is not readable ({error})") from error
    categories = make_voc_categories(label_map, VocTask.voc_segmentation)
    colours = categories[AnnotationType.mask].colormap
    labels = []
    for i, label in enumerate(categories[AnnotationType.label].items):
        red, green, blue = map(int, colours.get(i, voc_colour(i)))
        labels.append((label.name, (red, green, blue)))
    return labels


def write(source: Source, destination: Path) -> None:
    """Write images and masks, ids with a palette, then the label map and the lists.

    Raises:
        InvalidInput: classes or names that VOC cannot hold.
    """
    palette = source.classes.palette
    names = names_for("VOC", source.classes, forbidden=r"^#|[:\r\n]")
    skip_unlistable(source)
    _check_flat(source)
    lists: dict[str, list[str]] = defaultdict(list)
    for item, labels in source.usable():
        item.save(destination / "JPEGImages" / f"{item.id}{item.suffix.lower()}")
        if labels is not None:
            write_labels(destination / "SegmentationClass" / f"{item.id}.png", labels, palette)
        lists[item.split].append(item.id)
    label_map = [*zip(names, palette, strict=True), ("ignored", VOID_COLOUR)]
    lines = (f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in label_map)
    write_lines(destination / "labelmap.txt", ["# label:color_rgb:parts:actions", *lines])
    for split, ids in lists.items():
        write_lines(destination / "ImageSets" / "Segmentation" / f"{split}.txt", ids)


def _check_flat(source: Source) -> None:
    """Raise `InvalidInput` where two splits use one ID for different images."""
    first: dict[str, Item] = {}
    for item in source.items:
        other = first.setdefault(item.id, item)
        if other is not item and not _same(other, item):
            raise InvalidInput(
                f"{item.id} is one image in {other.split} and another in {item.split}, "
                "but VOC keeps the images of all splits in one folder: rename one of them"
            )


def _same(one: Item, other: Item) -> bool:
    if one.load_image or other.load_image:
        return one.image == other.image
    if one.image != other.image and not filecmp.cmp(one.image, other.image, shallow=False):
        return False
    if one.load is None or other.load is None:
        return one.load is other.load
    try:
        return np.array_equal(one.load(), other.load())
    except InvalidFile:
        return True  # skipped, and listed, when it is written
