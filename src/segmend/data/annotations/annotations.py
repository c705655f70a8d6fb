"""Annotations: objects of images with a class and a mask each, whatever format they are stored in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

import numpy as np

from segmend.data.annotations.polygons import Outline
from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile
from segmend.data.palette import VOID_NAMES
from segmend.labels import Classes, InvalidInput

Stored = Any
"""An object as its format stores it: a value that JSON can hold."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image that annotations name.

    Attributes:
        name: as the annotations call it: a file name, a path, or an id without a suffix.
        size: height and width that the annotations give it, in pixels.
    """

    name: str
    size: tuple[int, int] | None = None

    @property
    def identity(self) -> str:
        """Its name as the ID of files: relative, and without the suffix."""
        parts = [part for part in self.name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        folders, last = [part for part in parts[:-1] if ":" not in part], parts[-1] if parts else "image"
        stem, dot, suffix = last.rpartition(".")
        return "/".join([*folders, stem if dot and stem and suffix.isalnum() else last])


@dataclass(frozen=True)
class AnnotatedObject:
    """One object.

    Attributes:
        image: place of its image in `Annotations.images`.
        label: name of its class.
        name: how messages call it, as ``annotation 17``.
        load: reads its mask ``bool [H, W]`` for an image of a height and a width; `InvalidInput` where there is
            none, or it cannot be read.
        is_polygon: stored as polygons, not as pixels.
        is_group: stands for several objects, whose mask is a rough one.
        is_alternative: another reading of objects that are here already, as of a second annotator; label maps
            leave it out.
        level: objects of a higher level cover those of a lower one; within a level the later ones do.
    """

    image: int
    label: str
    name: str
    load: Callable[[int, int], np.ndarray]
    is_polygon: bool = False
    is_group: bool = False
    is_alternative: bool = False
    level: int = 0


@dataclass(frozen=True)
class Shape:
    """A new mask for an object.

    Attributes:
        mask: ``bool [H, W]``, with pixels.
        outline: the same as polygons; None to store pixels.
    """

    mask: np.ndarray
    outline: Outline | None = None


@dataclass(frozen=True)
class NewObject:
    """An object that annotations are made of."""

    label: str
    outline: Outline


@dataclass(frozen=True)
class NewImage:
    """An image that annotations are made of.

    Attributes:
        name: path of its file below the folder of its split.
        size: height and width in pixels.
        objects: in the order in which they are written, none of them empty.
    """

    name: str
    size: tuple[int, int]
    objects: tuple[NewObject, ...]

    @property
    def identity(self) -> str:
        """Its name without the suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


class Annotations(ABC):
    """The annotations in a file or a folder of one format, and how they are written back.

    Subclasses keep what they read, so that all but masks is written as it was: ids, names, attributes, order,
    keys that they do not know.

    Args:
        path: the file or the folder.
    """

    title: ClassVar[str]
    """The format's name, for messages."""

    output: ClassVar[str]
    """Name of the file or folder that `write` makes."""

    is_folder: ClassVar[bool] = False
    """Whether there is a file for each image."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file or a folder is in this format, by a look at its beginning."""

    @classmethod
    @abstractmethod
    def read(cls, path: Path) -> Self:
        """Read a file or a folder.

        Raises:
            InvalidFile: unreadable, or not in this format.
        """

    files: tuple[Path, ...]
    """All files that were read."""

    images: tuple[AnnotatedImage, ...]
    """The images, in the order of the file."""

    objects: tuple[AnnotatedObject, ...]
    """The objects, in the order of the file."""

    labels: tuple[str, ...]
    """Names of all classes that the format lists, in its order; those of the objects where it lists none."""

    @abstractmethod
    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        """The object of an index as the format stores it.

        Args:
            shape: another mask for it (None: its own).
            expected_iou: IoU with the ground truth to expect of the mask, 0..1, for formats with a place for it.
        """

    @abstractmethod
    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        """Write all annotations as `output` into a folder, with some objects replaced (see `stored`)."""

    @classmethod
    @abstractmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        """Write annotations into a data set whose images are ``root/images/SPLIT/NAME``.

        Args:
            labels: names of all classes, in their order.
        """

    @cached_property
    def by_image(self) -> dict[int, list[int]]:
        """For each place of an image that has objects their indices."""
        found: dict[int, list[int]] = defaultdict(list)
        for index, one in enumerate(self.objects):
            found[one.image].append(index)
        return dict(found)

    def mask(self, index: int, height: int, width: int) -> np.ndarray:
        """The mask ``bool [H, W]`` of an object.

        Raises:
            InvalidInput: no mask, one that cannot be read, or one of an image of another size.
        """
        one = self.objects[index]
        size = self.images[one.image].size
        if size is not None and size != (height, width):
            raise InvalidInput(other_size((height, width), size, self.path.name))
        return one.load(height, width)

    def paired(self, images: Dataset) -> tuple[dict[str, int], list[InvalidFile]]:
        """For IDs of records the place of their image here; and images with objects that are not in the folder.

        Raises:
            InvalidFile: none of the images is in the folder.
        """
        records = {record.id: record for record in images}
        by_stem = _unambiguous(records)
        found: dict[str, int] = {}
        missing = []
        # entries with objects first: tools list an image anew when it is imported again
        for place, image in sorted(enumerate(self.images), key=lambda one: one[0] not in self.by_image):
            stem = image.name.replace("\\", "/")
            if "." in stem.rpartition("/")[2] and stem not in records:
                stem = stem.rpartition(".")[0]
            record = records.get(stem) or by_stem.get(stem.rpartition("/")[2]) or _numbered(records, stem)
            if record is not None and record.id not in found:
                found[record.id] = place
            elif place in self.by_image:
                count = len(self.by_image[place])
                counted = "1 object" if count == 1 else f"{count} objects"
                reason = "no image" if record is None else "a second entry for the image"
                missing.append(InvalidFile(self.path, f"{reason} called {image.name} for {counted}: left out"))
        if not found:
            first = next(iter(records.values())).image if records else None
            shown = f"images are called like {first.name!r}" if first else "there are no images"
            here = self.images[0].name if self.images else ""
            raise InvalidFile(self.path, f"none of its images is in the folder: {shown}, here like {here!r}")
        return found, missing

    def check_size(self, place: int, image: Path | str, height: int, width: int) -> None:
        """Raise `InvalidFile` where the annotations give an image another size."""
        size = self.images[place].size
        if size is not None and size != (height, width):
            raise InvalidFile(image, other_size((height, width), size, self.path.name))


def other_size(found: tuple[int, int], expected: tuple[int, int], where: str) -> str:
    """What to say of an image whose height and width are not those that the annotations give."""
    turned = ": is it turned by its EXIF orientation?" if found == expected[::-1] else ""
    return f"{found[1]} x {found[0]} px, expected {expected[1]} x {expected[0]} as {where} says{turned}"


def classes_of(annotations: Iterable[Annotations]) -> Classes:
    """The classes of label maps of some annotations: `BACKGROUND`, then their labels without names of void."""
    labels = dict.fromkeys(label for one in annotations for label in one.labels)
    named = [label for label in labels if not _is_void(label) and label.lower() != BACKGROUND]
    return Classes((BACKGROUND, *named))


def _is_void(label: str) -> bool:
    return label.lower().strip("_") in VOID_NAMES


def label_map(
    annotations: Annotations, place: int, classes: Classes, height: int, width: int
) -> tuple[np.ndarray, list[str]]:
    """The label map ``[H, W]`` of an image, and what could not be read.

    Pixels of no object are `BACKGROUND`. Objects cover each other in their order and level. Names of void, as
    ``__ignore__`` of labelme, are void.

    Args:
        place: of the image in `Annotations.images`.
        classes: objects of other labels are void; so is the background where no class has its name.
    """
    ids = {name.lower(): number for number, name in enumerate(classes.names)}
    labels = np.full((height, width), ids.get(BACKGROUND, classes.void), classes.dtype)
    failed = []
    indices = annotations.by_image.get(place, [])
    for index in sorted(indices, key=lambda index: annotations.objects[index].level):
        one = annotations.objects[index]
        if one.is_alternative:
            continue
        try:
            labels[annotations.mask(index, height, width)] = ids.get(one.label.lower(), classes.void)
        except InvalidInput as error:
            failed.append(f"{one.name}: {error}")
    return labels, failed


BACKGROUND = "background"
"""The class of pixels that belong to no object."""


def _unambiguous(records: Mapping[str, Record]) -> dict[str, Record]:
    """Records by the last part of their ID, where only one has it."""
    found: dict[str, list[Record]] = defaultdict(list)
    for identity, record in records.items():
        found[identity.rpartition("/")[2]].append(record)
    return {name: several[0] for name, several in found.items() if len(several) == 1}


def _numbered(records: Mapping[str, Record], name: str) -> Record | None:
    """The one record whose name is a number, such as ``000000000139``, for an id without the zeros."""
    if not name.isdigit():
        return None
    found = [record for identity, record in records.items() if identity.isdigit() and int(identity) == int(name)]
    return found[0] if len(found) == 1 else None


def sampled(indices: Mapping[str, Sequence[int]], images: int, objects: int) -> Iterator[tuple[str, int]]:
    """IDs and indices of objects, evenly spread: of at most so many images, so many objects of each."""
    ids = list(indices)
    for at in np.unique(np.linspace(0, len(ids) - 1, min(images, len(ids))).astype(int)):
        several = indices[ids[at]]
        for index in np.unique(np.linspace(0, len(several) - 1, min(objects, len(several))).astype(int)):
            yield ids[at], several[index]
