"""A data set during its conversion: a reader lists its images, a writer iterates over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segmend.data.annotations.polygons import OutlineOptions
from segmend.data.files import InvalidFile, atomic_copy
from segmend.data.images import orientation_of, read_image, write_image
from segmend.data.tags import Tags
from segmend.labels import Classes, InvalidInput, check_same_size
from segmend.pixels import turned


@dataclass(frozen=True)
class SourceImage:
    """An image of a data set that is converted.

    Attributes:
        id: its name without the suffix, which may hold folders.
        image: its file; or a name for messages, where many lie in one file.
        load: reads its label map, in the dtype and with the void of the classes; None where it has none.
        load_image: reads the image where it has no file of its own, ``uint8 [H, W, 3]``.
    """

    split: str
    id: str
    image: Path
    load: Callable[[], np.ndarray] | None = None
    tags: Tags | None = None
    load_image: Callable[[], np.ndarray] | None = None

    @property
    def suffix(self) -> str:
        """Suffix of the file that `save` writes."""
        return self.image.suffix if self.load_image is None else ".png"

    def read(self, max_pixels: int) -> np.ndarray:
        """The image, RGB, ``uint8 [H, W, 3]``."""
        return read_image(self.image, max_pixels) if self.load_image is None else self.load_image()

    def save(self, path: Path) -> None:
        """Write the image: a copy of its file, or a PNG."""
        if self.load_image is None:
            atomic_copy(self.image, path)
        else:
            write_image(path, self.load_image())


@dataclass
class SourceDataset:
    """A data set that is converted, and the state of its conversion.

    Attributes:
        more: further keys for its ``dataset.yaml``.
        skipped: files that could not be used, and why.
        outlines: how label maps become polygons, for formats that hold polygons.
        begin: called before the first image is written.
        unturned: IDs of images that are turned by their EXIF orientation, and whose label maps have the size of
            the turned image already.
    """

    name: str
    classes: Classes
    max_pixels: int
    more: dict[str, Any] = field(default_factory=dict)
    items: list[SourceImage] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unturned: list[str] = field(default_factory=list)
    outlines: OutlineOptions = field(default_factory=OutlineOptions)
    begin: Callable[[], None] = lambda: None
    written: int = 0
    unlabelled: int = 0

    def skip(self, file: Path | str, reason: str) -> None:
        self.skipped.append((str(file), reason))

    def usable(self) -> Iterator[tuple[SourceImage, np.ndarray | None]]:
        """The images with their label maps, one at a time, for writing; those that cannot be used are skipped.

        Raises:
            NothingUsable: none can be used; raised after the last.
        """
        for item in self.items:
            try:
                labels = item.load() if item.load else None
                image = item.read(self.max_pixels)
                if labels is not None:
                    labels = self._turned(item, labels, image.shape[:2])
                    check_same_size(image=image[..., 0], labels=labels)
            except InvalidFile as error:
                self.skip(error.path, error.reason)
                continue
            except InvalidInput as error:
                self.skip(item.image, str(error))
                continue
            if not self.written:
                self.begin()
            yield item, labels
            self.written += 1
            self.unlabelled += labels is None
        if not self.written:
            raise NothingUsable("no image can be used")

    def _turned(self, item: SourceImage, labels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """A label map of an image as stored, turned as the EXIF orientation turns the image."""
        orientation = orientation_of(item.image) if item.load_image is None else 1
        if orientation == 1:
            return labels
        if labels.shape == size:
            self.unturned.append(item.id)
            return labels
        return turned(labels, orientation)


class NothingUsable(InvalidInput):
    """No image of a data set can be used, so that no list and no description is to be written."""
