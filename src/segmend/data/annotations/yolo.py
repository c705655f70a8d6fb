"""YOLO segmentation: ``ID.txt`` with a line ``class x y x y ...`` for each object, shares of width and height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import yaml

from segmend.data.annotations.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    NewImage,
    Shape,
    Stored,
)
from segmend.data.annotations.polygons import Ring, mask_of_rings, single_ring
from segmend.data.files import InvalidFile, atomic_copy, atomic_write, find_files
from segmend.labels import InvalidInput

LISTS = ("classes.txt", "obj.names", "classes.names", "coco.names")
"""Files that name a class in each line."""

NOT_IDS = (
    "classes.txt",
    "readme.txt",
    "readme.roboflow.txt",
    "readme.dataset.txt",
    "train.txt",
    "val.txt",
    "test.txt",
)

ABOVE = 3
"""Folders above the labels in which their names are looked for."""

BOX = 5
"""Numbers of a box: class, centre and size."""

DIGITS = 7
"""Decimals of a share that is written: a thousandth of a pixel in an image of 10,000 px."""


class Yolo(Annotations):
    """A folder of ``ID.txt`` files, or the ``data.yaml`` above it, which names the classes.

    A line has one ring and nothing else: parts and holes of an object are joined to it by bridges of no width. A
    confidence at the end of a line stays.
    """

    title = "YOLO"
    output = "labels"
    is_folder = True

    def __init__(self, path: Path, files: Mapping[str, Path], names: Mapping[int, str]) -> None:
        super().__init__(path)
        self.files = tuple(files.values())
        self._files = dict(files)
        self._lines: dict[str, list[str]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        objects = []
        self._places: list[tuple[str, int]] = []
        for place, (identity, file) in enumerate(self._files.items()):
            self._lines[identity] = _text(file).splitlines()
            for number, line in enumerate(self._lines[identity]):
                if not line.strip():
                    continue
                label = _class_of(file, number, line)
                objects.append(
                    AnnotatedObject(
                        image=place,
                        label=names.get(label, f"class {label}"),
                        name=f"{file.name}, line {number + 1}",
                        load=partial(_mask, line),
                        is_polygon=True,
                    )
                )
                self._places.append((identity, number))
        self.images = tuple(AnnotatedImage(identity) for identity in self._files)
        self.objects = tuple(objects)
        self.labels = tuple(dict.fromkeys([*names.values(), *(one.label for one in objects)]))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
            return bool(names_in(path))
        return path.is_dir() and any(_looks_like_lines(file) for file in list(label_files(path).values())[:8])

    @classmethod
    def read(cls, path: Path) -> Self:
        folder = path if path.is_dir() else _labels_below(path.parent)
        files = label_files(folder)
        if not files:
            raise InvalidFile(folder, "expected labels of YOLO as ID.txt, found none")
        return cls(path, files, names_in(path) if path.is_file() else names_above(folder)[1])

    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        identity, number = self._places[index]
        if shape is None:
            return self._lines[identity][number]
        if shape.outline is None:
            raise InvalidInput("labels of YOLO hold polygons, not pixels")
        ring = single_ring(shape.outline.geometry)
        values = self._lines[identity][number].split()
        height, width = shape.mask.shape
        confidence = values[-1:] if len(values) > BOX and len(values) % 2 == 0 else []
        return " ".join([values[0], _shares(ring, height, width), *confidence])

    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        lines = {identity: list(several) for identity, several in self._lines.items()}
        for index, line in replacements.items():
            identity, number = self._places[index]
            lines[identity][number] = line
        for identity, several in lines.items():
            atomic_write(folder / self.output / f"{identity}.txt", "".join(f"{x}\n" for x in several).encode())
        if self.path.is_file():
            atomic_copy(self.path, folder / self.path.name)

    @classmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        ids = {label: number for number, label in enumerate(labels)}
        for split, images in splits.items():
            for image in images:
                rings = ((ids[one.label], single_ring(one.outline.geometry)) for one in image.objects)
                lines = [f"{label} {_shares(ring, *image.size)}\n" for label, ring in rings]
                atomic_write(root / "labels" / split / f"{image.identity}.txt", "".join(lines).encode())
        description = {**{split: f"images/{split}" for split in splits}, "names": dict(enumerate(labels))}
        text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
        atomic_write(root / "data.yaml", text.encode())


def _shares(ring: Ring, height: int, width: int) -> str:
    return " ".join(f"{share:.{DIGITS}g}" for share in (ring / (width, height)).ravel().tolist())


def label_files(folder: Path) -> dict[str, Path]:
    """The ``ID.txt`` below a folder by ID, without lists of names and of images."""
    return {i: path for i, path in find_files(folder, (".txt",)).items() if path.name.lower() not in NOT_IDS}


def names_above(folder: Path) -> tuple[Path | None, dict[int, str]]:
    """The names of the classes by number, and the file that says them: in a folder or above it; none without."""
    for place in (folder.resolve(), *folder.resolve().parents)[:ABOVE]:
        for path in (*sorted(place.glob("*.y*ml")), *(place / name for name in LISTS)):
            if path.is_file() and (found := names_in(path)):
                return path, found
    return None, {}


def names_in(path: Path) -> dict[int, str]:
    """The names of classes in a YAML file (`names`, a list or numbered), or in the lines of any other.

    Raises:
        InvalidFile: unreadable.
    """
    text = _text(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return {i: line.strip() for i, line in enumerate(text.strip().splitlines())}
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidFile(path, f"not readable as YAML ({error})") from None
    given = content.get("names") if isinstance(content, dict) else None
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict) or not all(str(i).isdecimal() for i in given):
        return {}
    return {int(i): str(name) for i, name in given.items()}


def _labels_below(folder: Path) -> Path:
    return folder / "labels" if (folder / "labels").is_dir() else folder


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"not readable as text ({error})") from None


def _looks_like_lines(file: Path) -> bool:
    try:
        lines = [line.split() for line in _text(file).splitlines() if line.strip()]
        return bool(lines) and all(len([float(value) for value in line]) >= BOX for line in lines)
    except (InvalidFile, ValueError):
        return False


def _class_of(file: Path, number: int, line: str) -> int:
    try:
        values = [float(value) for value in line.split()]
    except ValueError:
        values = []
    if len(values) < BOX or not np.isfinite(values).all() or values[0] != int(values[0]):
        raise InvalidFile(file, f"line {number + 1}: expected `class x y x y ...`, found {line!r:.60}")
    return int(values[0])


def _mask(line: str, height: int, width: int) -> np.ndarray:
    """The mask of a line.

    Raises:
        InvalidInput: a box.
    """
    values = [float(value) for value in line.split()][1:]
    if len(values) < BOX + 1:
        raise InvalidInput("no outline: only its box is known")
    shares: Ring = np.asarray(values[: len(values) // 2 * 2]).reshape(-1, 2)
    return mask_of_rings([shares * (width, height)], height, width)
