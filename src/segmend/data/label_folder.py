"""The coarse label maps of a folder that somebody reviews, and where their reviewed versions are written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmend.coding import Coding
from segmend.data.files import MAX_PIXELS, InvalidFile, atomic_copy, atomic_write
from segmend.data.images import orientation_of
from segmend.data.maps import read_ids
from segmend.data.masks import NOTE, OURS, note_in, read_mask, write_labels
from segmend.data.pairing import turns_of
from segmend.data.png import is_painted, with_ids
from segmend.data.survey import Colours
from segmend.labels import Palette
from segmend.pixels import turned

REVIEWED = "reviewed"
"""The note in label files that differ from their coarse map by accepted regions."""

UNTURNED = {6: 8, 8: 6}
"""What turns a map back, by its EXIF orientation; the others are their own inverse."""


@dataclass(frozen=True)
class LabelFolder:
    """Label maps by the ID of their image, in the ids that are stored, upright as the image is.

    They are written to ``out/labels/ID.png``; in place, over the files themselves, whose first version is kept in
    ``out/backup`` and is the one that `read` gives from then on.

    Attributes:
        files: the label files.
        images: the images that they belong to.
        out: the folder of the review.
        in_place: write over `files`.
        colours: the id of each colour, where the maps are read by their colours.
        max_pixels: larger maps are refused.

    Example:
        >>> folder = LabelFolder({"a": Path("masks/a.png")}, {"a": Path("photos/a.jpg")}, Path("reviewed"))
        >>> folder.target("a").as_posix()
        'reviewed/labels/a.png'
    """

    files: Mapping[str, Path]
    images: Mapping[str, Path]
    out: Path
    in_place: bool = False
    colours: Colours = ()
    max_pixels: int = MAX_PIXELS

    @property
    def ids(self) -> tuple[str, ...]:
        """IDs of the images."""
        return tuple(self.files)

    def original(self, identity: str) -> Path:
        """The file as it was before the review: its backup, where a review has written over it."""
        file, backup = self.files[identity], self._backup(identity)
        return backup if backup.is_file() and self.is_reviewed(file) else file

    def target(self, identity: str) -> Path:
        """The file that is written."""
        return self.files[identity] if self.in_place else self.out / "labels" / f"{identity}.png"

    def read(self, identity: str) -> np.ndarray:
        """The ids ``[H, W]`` before the review.

        Raises:
            InvalidFile: unreadable, or painted in colours.
        """
        return turned(self._ids(self.original(identity)), self._turn(identity))

    def palette(self, identity: str) -> Palette | None:
        """The colours of ids, where the file has a palette."""
        return read_mask(self.original(identity), self.max_pixels).palette

    def write(self, identity: str, labels: np.ndarray) -> None:
        """Write other ids ``[H, W]``, of the bit depth and palette of the file; in place with a backup.

        Raises:
            InvalidFile: ids that do not fit the file; in place, a file that is no PNG, or another backup.
        """
        original = self.original(identity)
        ids = self.as_stored(identity, labels)
        is_png = original.suffix.lower() == ".png"
        if self.in_place:
            self._back_up(identity, original, is_png)
        if is_png:
            ids = turned(ids, UNTURNED.get(own := orientation_of(original), own))
            values = self._stored_values(original, ids) if self.colours else ids
            atomic_write(self.target(identity), with_ids(original, values, (NOTE, OURS + REVIEWED)))
        else:
            write_labels(self.target(identity), ids, self.palette(identity), REVIEWED)

    def copy(self, identity: str) -> None:
        """Write the map as it was before the review: PNG files byte by byte, others as PNG."""
        original, target = self.original(identity), self.target(identity)
        if original == target:
            return
        if original.suffix.lower() == target.suffix.lower():
            atomic_copy(original, target)
        else:
            write_labels(target, self._ids(original), self.palette(identity), REVIEWED)

    def is_ours(self, identity: str) -> bool:
        """Whether the file that is written may be replaced: a review wrote it, or it is the map as it was."""
        original, target = self.original(identity), self.target(identity)
        return self.is_reviewed(target) or (
            original.stat().st_size == target.stat().st_size and original.read_bytes() == target.read_bytes()
        )

    @staticmethod
    def is_reviewed(file: Path) -> bool:
        """Whether a review wrote a label file, with accepted regions in it."""
        return note_in(file) == REVIEWED

    def as_stored(self, identity: str, labels: np.ndarray) -> np.ndarray:
        """A map ``[H, W]`` of the upright image, turned as the label file is."""
        turn = self._turn(identity)
        return turned(labels, UNTURNED.get(turn, turn))

    def _ids(self, file: Path) -> np.ndarray:
        """The ids in a file, as it lies."""
        return read_ids(file, Coding((), colours=self.colours), self.max_pixels)

    def _stored_values(self, file: Path, ids: np.ndarray) -> np.ndarray:
        """What a file that is read by its colours holds for ids: colours ``[H, W, 3]``, or places in its palette.

        Raises:
            InvalidFile: an id without a colour, or a colour that the palette of the file lacks.
        """
        found = np.unique(ids).tolist()
        colour_of = {i: colour for colour, i in reversed(self.colours)}
        if missing := [i for i in found if i not in colour_of]:
            raise InvalidFile(file, f"is painted in colours, and the palette has none for id {missing[0]}")
        if is_painted(file):
            values = np.array([colour_of[i] for i in found], np.uint8)
        elif (palette := read_mask(file, self.max_pixels).palette) is not None:
            if lacking := [colour_of[i] for i in found if colour_of[i] not in palette]:
                raise InvalidFile(file, f"its own palette lacks the colour {lacking[0]}")
            values = np.array([palette.index(colour_of[i]) for i in found])
        else:
            return ids
        return values[np.searchsorted(found, ids)]

    def _turn(self, identity: str) -> int:
        """The EXIF orientation by which the map is turned, as it was made of the image as stored."""
        image = self.images[identity]
        orientation = orientation_of(image)
        if orientation == 1:
            return 1
        files, images = {identity: self.original(identity)}, {identity: image}
        return turns_of(images, files, {identity: identity}, {image: orientation})[0].get(identity, 1)

    def _backup(self, identity: str) -> Path:
        return self.out / "backup" / f"{identity}{self.files[identity].suffix}"

    def _back_up(self, identity: str, original: Path, is_png: bool) -> None:
        file, backup = self.files[identity], self._backup(identity)
        if not is_png:
            raise InvalidFile(file, "only PNG files are changed in place: leave --in-place out")
        if original == backup:
            return
        if os.path.lexists(backup):
            raise InvalidFile(
                backup, f"the backup of an earlier version of {file}, which was changed since: move it elsewhere"
            )
        atomic_copy(file, backup)
