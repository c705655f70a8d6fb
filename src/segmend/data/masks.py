"""Label files: class ids as they are stored, lossless, with a note of how a file was made."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from segmend.data.files import MAX_PIXELS, InvalidFile, atomic_write
from segmend.data.images import open_image
from segmend.labels import VOID, InvalidInput, Palette, voc_colour

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")

NOTE, OURS = "Software", "segmend: "
"""The key of PNG files that says what made them, and how what it says begins."""


def read_labels(path: Path | str, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Palette | None]:
    """The ids in a label file, as they stand there, and its palette where it has one.

    Returns:
        ``uint8 [H, W]`` for files of up to 8 bits, ``int32 [H, W]`` for wider ones; the palette or None.
    """
    path = Path(path)
    with open_image(path, max_pixels) as image:
        ids = ids_in(image)
        if ids is None:
            raise InvalidFile(
                path,
                "expected class ids (one channel of 8 or 16 bits, or a palette), "
                f"found a {image.mode} image: convert its colours to ids first (segmend convert), "
                "or point to the folder of label maps",
            )
        return ids, palette_of(image)


def ids_in(image: Image.Image) -> np.ndarray | None:
    """The ids in a label file opened with `open_image` (see `read_labels`); None where it shows colours."""
    if image.mode == "L":
        return np.array(image) // _stretch(image)
    if image.mode in ("P", "1"):
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
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as image:
        software = str(image.info.get(NOTE, ""))
        return software.partition(OURS)[2]
    return ""
