"""Label files: class ids as they are stored, lossless, with a note of how a file was made."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from segmend.data.files import MAX_PIXELS, InvalidFile, atomic_write, check_file, fetched, too_large
from segmend.data.images import open_image
from segmend.labels import VOID, InvalidInput, Palette, voc_colour
from segmend.pixels import orientation_in, turned

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
TIFF_SUFFIXES = (".tif", ".tiff")

MAX_COLOURS = 256
"""More colours than these are those of an image."""

NOTE, OURS = "Software", "segmend: "
"""The key of PNG files that says what made them, and how what it says begins."""

Colour = tuple[int, int, int]


class StoredMask(NamedTuple):
    """What a label file holds.

    Attributes:
        ids: as they are stored, ``uint8 [H, W]`` for up to 8 bits, else ``int32`` (``int64`` where needed); None
            where the file is painted in colours.
        colours: its colours, ``uint8 [H, W, 3]``, where it has any: painted ones, or those of its palette.
        palette: the colours of ids, where it has a palette.
    """

    ids: np.ndarray | None
    colours: np.ndarray | None = None
    palette: Palette | None = None

    def upright(self, orientation: int) -> StoredMask:
        """The same, turned by an EXIF orientation (1..8)."""
        if orientation == 1:
            return self
        ids = None if self.ids is None else turned(self.ids, orientation)
        colours = None if self.colours is None else turned(self.colours, orientation, axes=(0, 1))
        return StoredMask(ids, colours, self.palette)


def read_mask(path: Path | str, max_pixels: int = MAX_PIXELS) -> StoredMask:
    """What a label file holds: ids as they are stored (bits, whole floats, three equal channels), or colours.

    A mask with an EXIF orientation of its own is turned by it.

    Raises:
        InvalidFile: unreadable, several pages or frames, or values that are no whole numbers.
    """
    with fetched(path) as file:
        return _stored_mask(file, max_pixels)


def _stored_mask(path: Path, max_pixels: int) -> StoredMask:
    wide = _wide_tiff(path, max_pixels)
    if wide is not None:
        return StoredMask(_whole(path, wide))
    with open_image(path, max_pixels) as image:
        orientation = orientation_in(image)
        ids = ids_in(image)
        if ids is None and image.mode == "F":
            ids = _whole(path, np.asarray(image))
        if ids is not None:
            colours = np.asarray(image.convert("RGB")) if image.mode == "P" else None
            return StoredMask(ids, colours, palette_of(image)).upright(orientation)
        if "A" in image.mode and int(np.asarray(image.getchannel("A")).min()) < VOID:
            raise InvalidFile(path, "has transparent pixels, which mean no class: write ids in one channel")
        colours = np.asarray(image.convert("RGB"))
        if image.mode in ("RGB", "RGBA", "LA") and bool((colours == colours[..., :1]).all()):
            return StoredMask(np.ascontiguousarray(colours[..., 0])).upright(orientation)
        return StoredMask(None, colours).upright(orientation)


def _wide_tiff(path: Path, max_pixels: int) -> np.ndarray | None:
    """The values of a TIFF file with 64-bit numbers, which Pillow does not read; None for any other file."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return None
    try:
        check_file(path)
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.dtype is None or page.dtype.itemsize < 8:
                return None
            if len(file.pages) > 1 or len(page.shape) != 2:
                raise InvalidFile(path, f"expected one mask [H, W], found {len(file.pages)} pages of {page.shape}")
            if page.shape[0] * page.shape[1] > max_pixels:
                raise too_large(path, f"an array of shape {list(page.shape)}", max_pixels)
            return page.asarray()
    except InvalidFile:
        raise
    except Exception:  # whatever it is, Pillow's messages are the better ones
        return None


def _whole(path: Path, values: np.ndarray) -> np.ndarray:
    """Ids of whole numbers in any type.

    Raises:
        InvalidFile: values that are no whole numbers.
    """
    whole = np.rint(np.nan_to_num(values, nan=0.5)) if values.dtype.kind == "f" else values
    if not np.array_equal(whole, values):
        raise InvalidFile(
            path,
            "expected class ids, found numbers that are not whole: are these probabilities or grey values? Write "
            "probabilities as .npz (key p, [C, H, W]), or threshold them",
        )
    low, high = (int(whole.min()), int(whole.max())) if whole.size else (0, 0)
    if low >= 0 and high <= VOID:
        return whole.astype(np.uint8)
    return whole.astype(np.int32 if low >= -(2**31) and high < 2**31 else np.int64)


def read_labels(path: Path | str, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Palette | None]:
    """The ids in a label file, as they are stored, and its palette where it has one (see `read_mask`).

    Raises:
        InvalidFile: unreadable, or painted in colours.
    """
    mask = read_mask(path, max_pixels)
    if mask.ids is None:
        assert mask.colours is not None
        count = len(np.unique(packed(mask.colours)))
        if count > MAX_COLOURS:
            raise InvalidFile(
                path, f"expected class ids, found {count:,} colours: is this an image, or a JPEG mask?"
            )
        raise InvalidFile(
            path,
            f"expected class ids (one channel of whole numbers, or a palette), found the colours "
            f"{colours_in(mask.colours)}: name them with --palette FILE (lines `name:r,g,b`)",
        )
    return mask.ids, mask.palette


def colours_in(colours: np.ndarray, most: int = 5) -> str:
    """The colours of an image ``uint8 [H, W, 3]`` in words, the most frequent first."""
    numbers, counts = np.unique(packed(colours), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    names = [f"({n >> 16}, {n >> 8 & 255}, {n & 255})" for n in numbers[order[:most]].tolist()]
    return ", ".join(names) + (f" and {len(numbers) - most} more" if len(numbers) > most else "")


def packed(colours: np.ndarray) -> np.ndarray:
    """Colours ``uint8 [..., 3]`` as one number each: red * 65536 + green * 256 + blue."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def ids_of_colours(path: Path, colours: np.ndarray, ids: dict[Colour, int]) -> np.ndarray:
    """The ids ``[H, W]`` of a mask that is read by its colours ``uint8 [H, W, 3]``.

    Raises:
        InvalidFile: a colour that has no id.
    """
    numbers = packed(colours)
    table = np.array(sorted((r << 16 | g << 8 | b, i) for (r, g, b), i in ids.items()))
    place = np.searchsorted(table[:, 0], numbers).clip(max=len(table) - 1)
    missing = table[place, 0] != numbers
    if missing.any():
        raise InvalidFile(
            path,
            f"found the colours {colours_in(colours[missing])} on {int(missing.sum())} pixels, which no class "
            "has: name them in the palette",
        )
    found: np.ndarray = table[place, 1].astype(np.uint8 if table[:, 1].max() <= VOID else np.int32)
    return found


def ids_in(image: Image.Image) -> np.ndarray | None:
    """The ids in a label file opened with `open_image` (see `read_mask`); None for colours or floats."""
    inverted = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
    if image.mode == "L":
        grey = np.array(image)
        return (255 - grey if inverted else grey) // _stretch(image)
    if image.mode == "1":
        bits = np.array(image)
        return (bits ^ inverted).astype(np.uint8)
    if image.mode == "P":
        return np.array(image).astype(np.uint8, copy=False)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return np.array(image).astype(np.int32)
    if image.mode == "LA" and image.getextrema()[1] == (255, 255):
        return np.array(image)[..., 0]
    return None


def palette_of(image: Image.Image) -> Palette | None:
    """The palette of an image, where it has one."""
    if image.mode != "P":
        return None
    flat = image.getpalette() or []
    return tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3))


def _stretch(image: Image.Image) -> np.uint8:
    """What Pillow multiplied the values of a grey image by: it stretches 2 and 4 bits over 0..255."""
    bits = 8
    if isinstance(image, PngImageFile):
        with Path(str(image.filename)).open("rb") as file:
            bits = file.read(25)[24]
    elif isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(BITSPERSAMPLE, (8,))[0]
    return np.uint8({2: 85, 4: 17}.get(bits, 1))


def write_labels(path: Path | str, labels: np.ndarray, palette: Palette | None = None, note: str = "") -> None:
    """Write a label map ``[H, W]`` losslessly as PNG: 8 bits for ``uint8`` (with its palette), else 16 bits.

    A short palette is filled up with the colours of PASCAL VOC.

    Args:
        note: how the map was made, for `note_in`.
    """
    if labels.ndim != 2 or labels.size == 0:
        raise InvalidInput(f"{path}: expected a label map [H, W] with pixels, found shape {labels.shape}")
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.dtype == np.uint8:
        image = Image.fromarray(labels)
        if palette:
            # all 256 colours: with 16 or fewer, Pillow writes 4 bits a pixel, and void (255) becomes 15
            full = (*palette[: VOID + 1], *(voc_colour(i) for i in range(len(palette), VOID + 1)))
            image.putpalette([value for colour in full for value in colour])
    else:
        if labels.min() < 0 or labels.max() > 65535:
            raise InvalidInput(f"{path}: ids {labels.min()}..{labels.max()} do not fit 16 bits")
        image = Image.fromarray(labels.astype(np.uint16))
    buffer = io.BytesIO()
    about = PngInfo()
    if note:
        about.add_text(NOTE, OURS + note)
    image.save(buffer, format="PNG", compress_level=4, pnginfo=about)
    atomic_write(path, buffer.getbuffer())


def note_in(path: Path | str) -> str:
    """The note that `write_labels` put into a file; empty where there is none. No pixel is decoded."""
    with suppress(OSError, ValueError, SyntaxError), fetched(path) as file, Image.open(file) as image:
        software = str(image.info.get(NOTE, ""))
        return software.partition(OURS)[2]
    return ""
