"""Formats of annotations: read as label maps, and written as an object for each connected part of a class."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cc3d
import numpy as np

from segmend.data.annotations import ANNOTATIONS, Annotations
from segmend.data.annotations.annotations import BACKGROUND, NewImage, NewObject, classes_of, label_map
from segmend.data.annotations.polygons import Cropped, outlines_of
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile, find_files
from segmend.data.images import read_image

FILE_SUFFIXES = (".json", ".geojson", ".xml", ".yaml", ".yml")

SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?:[^a-z]|$)")
"""Where a path names a split."""


def read(kind: str, root: Path, max_pixels: int) -> SourceDataset:
    """Read a folder with images and annotations of a format, at any depth.

    The split of an image is the one that the path of its annotations names, else ``train``.

    Raises:
        InvalidFile: no annotations of this format, or none of their images.
    """
    several = _annotations_below(ANNOTATIONS[kind], root)
    images = open_dataset(root, max_pixels=max_pixels)
    classes = classes_of(several)
    source = SourceDataset(root.resolve().name, classes, max_pixels, {"source": ANNOTATIONS[kind].title})
    for one in several:
        places, missing = one.paired(images)
        for error in missing:
            source.skip(error.path, error.reason)
        for record in images:
            if record.id in places and record.image is not None:
                place = places[record.id]
                load = partial(_labels, source, one, place, record.image)
                split = _split_of(one.path, record.id, root)
                source.items.append(SourceImage(split, _below_split(record.id), record.image, load))
    return source


def _annotations_below(kind: type[Annotations], root: Path) -> list[Annotations]:
    """What of a folder is in a format: a file of all images each, or the whole folder."""
    files = [path for path in find_all(root) if path.suffix.lower() in FILE_SUFFIXES]
    if kind.is_folder:
        lists = [path for path in files if path.suffix.lower() in (".yaml", ".yml") and kind.recognises(path)]
        found = lists[:1] or [next(path for path in (root / "annotations", root) if path.is_dir())]
    else:
        found = [path for path in files if kind.recognises(path)]
    if not found or (kind.is_folder and not kind.recognises(found[0])):
        raise InvalidFile(root, f"expected annotations of {kind.title}, found none")
    return [kind.read(path) for path in found]


def find_all(root: Path) -> list[Path]:
    """All files of annotations below a folder; those of one name and several suffixes too."""
    return sorted(path for suffix in FILE_SUFFIXES for path in find_files(root, (suffix,)).values())


def _split_of(path: Path, identity: str, root: Path) -> str:
    for text in (path.resolve().relative_to(root.resolve()).as_posix(), identity):
        named = SPLIT.search(text.lower())
        if named:
            return named[1]
    return "train"


def _below_split(identity: str) -> str:
    """An ID without the folders that name images and their split."""
    parts = identity.split("/")
    while len(parts) > 1 and (parts[0] == "images" or SPLIT.search(parts[0].lower())):
        parts.pop(0)
    return "/".join(parts)


def _labels(source: SourceDataset, annotations: Annotations, place: int, image: Path) -> np.ndarray:
    size = annotations.images[place].size or read_image(image, source.max_pixels).shape[:2]
    labels, failed = label_map(annotations, place, source.classes, *size)
    for reason in failed:
        source.skip(annotations.path, reason)
    return labels


def write(kind: str, source: SourceDataset, destination: Path) -> None:
    """Write images, and annotations of all classes but the background as polygons."""
    splits: dict[str, list[NewImage]] = {}
    for item, labels in source.usable():
        name = f"{item.id}{item.suffix}"
        item.save(destination / "images" / item.split / name)
        if labels is not None:
            splits.setdefault(item.split, []).append(new_image(name, labels, source))
    labels_written = [name for name in source.classes.names if name.lower() != BACKGROUND]
    ANNOTATIONS[kind].create(destination, splits, labels_written)


def new_image(name: str, labels: np.ndarray, source: SourceDataset) -> NewImage:
    """The objects of a label map ``[H, W]``: one for each 8-connected part of a class that is no background."""
    names = source.classes.names
    wanted = [number for number, label in enumerate(names) if label.lower() != BACKGROUND]
    kept = np.where(np.isin(labels, wanted), labels.astype(np.uint32) + 1, 0).astype(np.uint32)
    parts, count = cc3d.connected_components(kept, connectivity=8, return_N=True)
    boxes = cc3d.statistics(parts)["bounding_boxes"]
    crops, ids = [], []
    for number in range(1, count + 1):
        box = boxes[number]
        inside = parts[box] == number
        crops.append(Cropped(inside, box[0].start, box[1].start))
        ids.append(int(labels[box][inside][0]))
    drawn = outlines_of(crops, source.outlines)
    objects = [NewObject(names[i], one) for i, one in zip(ids, drawn, strict=True) if not one.geometry.is_empty]
    return NewImage(name, (labels.shape[0], labels.shape[1]), tuple(objects))
