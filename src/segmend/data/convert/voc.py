"""PASCAL VOC: one folder of images and one of masks for all splits, and a list of names for each split."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from segmend.data.convert.labelmap import FormatLabels, Label, names_for
from segmend.data.convert.lists import read_lines, skip_unlistable, write_lines
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile, find_files, read_json
from segmend.data.images import IMAGE_SUFFIXES, unread_image, unread_images
from segmend.data.masks import Colour, write_labels
from segmend.labels import VOID, InvalidInput, voc_colour

VOID_COLOUR = voc_colour(VOID)
"""Colour of the void border around objects."""


def read(folder: Path, max_pixels: int) -> SourceDataset:
    """Read the data set in `folder`; masks hold ids, with a palette or in grey, or show colours.

    Raises:
        InvalidFile: no data set, several of them, or a label map that is not readable.
    """
    root = _find_root(folder)
    label_map = FormatLabels(_read_labels(root), VOID_COLOUR)
    images = find_files(root / "JPEGImages", IMAGE_SUFFIXES)
    others = unread_images(root / "JPEGImages")
    source = SourceDataset(root.name, label_map.classes, max_pixels, {"source": f"PASCAL VOC, folder {root.name}"})
    for names in sorted((root / "ImageSets" / "Segmentation").glob("[!.]*.txt")):
        for name in dict.fromkeys(read_lines(names)):
            if name not in images:
                instead = f": {unread_image(others[name])}" if name in others else ""
                source.skip(names, f"no image {name} in JPEGImages{instead}")
                continue
            mask = root / "SegmentationClass" / f"{name}.png"
            load = partial(label_map.read, mask, max_pixels, palette_is_ids=True) if mask.exists() else None
            source.items.append(SourceImage(names.stem, name, images[name], load))
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
    """The labels in ``dataset_meta.json`` or ``labelmap.txt``, otherwise the 21 of VOC and void."""
    meta, label_map = root / "dataset_meta.json", root / "labelmap.txt"
    if meta.is_file():
        named = _labels_of_meta(meta)
    elif label_map.is_file():
        named = [_label(label_map, line) for line in read_lines(label_map)]
    else:
        named = _labels_of_voc()
    labels = [(name, colour or voc_colour(i)) for i, (name, colour) in enumerate(named)]
    if len({name for name, _ in labels}) < len(labels):
        raise InvalidFile(label_map if not meta.is_file() else meta, "names a label twice: rename one of them")
    return labels


def _labels_of_voc() -> list[tuple[str, Colour | None]]:
    from datumaro.plugins.data_formats.voc.format import VocTask, make_voc_label_map

    return [(name, colour) for name, (colour, *_) in make_voc_label_map(VocTask.voc_segmentation).items()]


def _label(path: Path, line: str) -> tuple[str, Colour | None]:
    """Name and colour, where there is one, in a line ``name:r,g,b:parts:actions``."""
    name, *fields = line.split(":")
    numbers = [part.strip() for part in fields[0].split(",")] if fields and fields[0].strip() else []
    if not fields or not (name := name.strip()):
        raise InvalidFile(path, f"expected lines as `cat:128,0,0::`, found {line!r}")
    if not numbers:
        return name, None
    if len(numbers) != 3 or not all(number.isdecimal() and int(number) <= 255 for number in numbers):
        raise InvalidFile(path, f"expected a colour as `cat:128,0,0::`, found {line!r}")
    red, green, blue = map(int, numbers)
    return name, (red, green, blue)


def _labels_of_meta(path: Path) -> list[tuple[str, Colour | None]]:
    """Names, and colours where there are any, in a ``dataset_meta.json`` as datumaro writes it."""
    meta = read_json(path)
    try:
        named: dict[str, Colour | None] = dict.fromkeys(map(str, meta.get("labels", [])))
        colours = meta.get("segmentation_colors") or []
        for i, name in enumerate(meta.get("label_map", {}).values()):
            named[str(name)] = None
            if colours and colours[i] is not None:
                red, green, blue = map(int, colours[i])
                named[str(name)] = red, green, blue
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InvalidFile(path, f"expected labels, label_map and segmentation_colors ({error})") from None
    if not named:
        raise InvalidFile(path, "expected a list of labels, found none")
    return list(named.items())


def write(source: SourceDataset, destination: Path) -> None:
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


def _check_flat(source: SourceDataset) -> None:
    """Raise `InvalidInput` where two splits use one ID for different images."""
    first: dict[str, SourceImage] = {}
    for item in source.items:
        other = first.setdefault(item.id, item)
        if other is not item and not _same(other, item):
            raise InvalidInput(
                f"{item.id} is one image in {other.split} and another in {item.split}, "
                "but VOC keeps the images of all splits in one folder: rename one of them"
            )


def _same(one: SourceImage, other: SourceImage) -> bool:
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
