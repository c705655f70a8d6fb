"""How stored pixel values become 8-bit RGB: orientation, bands, transparency and the range of the values.

Files (`segmend.data.images`) and images in memory (`segmend.labels.as_image`) are converted by the same rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from segmend.invalid import InvalidInput

ORIENTATION = 0x0112
"""The EXIF tag that says how an image must be turned to stand upright: 1 (as it is) to 8."""

ROUNDING = 1e-3
"""How far a value may lie outside its range, as resizing leaves it, without widening the range."""

Range = tuple[float, float]
"""The values that become black (0) and white (255)."""


@dataclass(frozen=True)
class ImageReading:
    """How the images of a folder become 8-bit RGB. By default each image is read on its own.

    Attributes:
        bands: the bands, from 0, that are red, green and blue (None: the first three). Images of one band are
            grey whatever stands here.
        transparency: whether a band that is tagged as alpha is transparency (None: see `is_transparency`).
        integers: the range of images of integers of more than 8 bits (None: see `value_range`).
        floats: the range of images of floats.
    """

    bands: tuple[int, int, int] | None = None
    transparency: bool | None = None
    integers: Range | None = None
    floats: Range | None = None


def to_rgb(values: np.ndarray, has_alpha: bool = False, reading: ImageReading | None = None) -> np.ndarray:
    """An image ``[H, W, B]`` of stored values as ``uint8 [H, W, 3]``.

    Bytes stay as they are. Deeper values ``v`` of the range ``(black, white)`` become
    ``255 (v - black) / (white - black)``, rounded and clipped. Transparent pixels are laid over black.

    Args:
        has_alpha: the last band is tagged as alpha.

    Raises:
        InvalidInput: a band that the image does not have.
    """
    reading = reading or ImageReading()
    colours = colour_bands(values, reading.bands)
    if colours.dtype != np.uint8:
        given = reading.floats if colours.dtype.kind == "f" else reading.integers
        colours = scaled(colours, given or value_range(colours.dtype, *extremes(colours)))
    if has_alpha and reading.bands is None:
        alpha = values[..., -1:]
        if is_transparency(alpha) if reading.transparency is None else reading.transparency:
            colours = np.rint(colours * (alpha / np.float32(_full(alpha.dtype)))).astype(np.uint8)
    return np.ascontiguousarray(colours)


def colour_bands(values: np.ndarray, bands: tuple[int, int, int] | None = None) -> np.ndarray:
    """Red, green and blue ``[H, W, 3]`` of an image ``[H, W, B]``: its bands `bands`, or the first three.

    An image of one band is grey; so is one of two, whose second is taken for alpha.
    """
    count = values.shape[-1]
    if count < 3:
        return np.repeat(values[..., :1], 3, axis=-1)
    if bands is None:
        return values[..., :3]
    if max(bands) >= count:
        raise InvalidInput(f"band {max(bands) + 1} was asked for, found {count} bands")
    return values[..., list(bands)]


def is_transparency(alpha: np.ndarray) -> bool:
    """Whether a band that is tagged as alpha is transparency, and not near infrared, say.

    Transparency is 0 or full on nine pixels of ten (the rest are soft edges), and full somewhere.
    """
    full = alpha == _full(alpha.dtype)
    return bool(full.any()) and float((full | (alpha == 0)).mean()) >= 0.9


def _full(dtype: np.dtype[Any]) -> float:
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def extremes(values: np.ndarray) -> Range:
    """The lowest and the highest finite value; 0 and 0 where there is none."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def value_range(dtype: np.dtype[Any], lowest: float, highest: float) -> Range:
    """The values that become black and white, by the lowest and the highest in an image or in a folder.

    * integers: black is 0; white is the largest value of as many bits as the highest needs, of at least 8:
      255, 511, ..., 4095 (12 bits), ..., 65535
    * floats: black is 0; white is 1 where none is larger, else the next power of two, from 255 on less 1
    * where values are negative: black is the lowest, white the highest

    A float may be outside 0..1 by `ROUNDING`.
    """
    floats = np.dtype(dtype).kind == "f"
    if lowest < (-ROUNDING if floats else 0):
        return lowest, max(highest, lowest + 1)
    if floats and highest <= 1 + ROUNDING:
        return 0.0, 1.0
    bits = math.ceil(math.log2(highest if floats else highest + 1)) if highest > 0 else 0
    if floats and bits < 8:
        return 0.0, float(2**bits)
    white = 2 ** max(bits, 8) - 1
    return 0.0, float(white if highest <= white else 2 * white + 1)


def scaled(values: np.ndarray, value_range: Range) -> np.ndarray:
    """Values of a range as ``uint8``: black is 0, white is 255, NaN is black."""
    black, white = value_range
    with np.errstate(over="ignore"):  # of float64; what is infinite is clipped
        shades = (values.astype(np.float32) - np.float32(black)) * np.float32(255 / (white - black))
    found: np.ndarray = np.clip(np.rint(np.nan_to_num(shades)), 0, 255).astype(np.uint8)
    return found


def values_of(image: Image.Image) -> tuple[np.ndarray, bool]:
    """The values ``[H, W, B]`` of an image of Pillow, upright, and whether the last band is tagged as alpha.

    Grey images of more than 8 bits keep their values; all others become RGB or RGBA of 8 bits.
    """
    if orientation_in(image) != 1:
        image = ImageOps.exif_transpose(image)
    if is_deep_grey(image):
        return np.array(image)[..., None], False
    if has_alpha_band(image):
        return np.array(image if image.mode == "RGBA" else image.convert("RGBA")), True
    return np.array(image if image.mode == "RGB" else image.convert("RGB")), False


def is_deep_grey(image: Image.Image) -> bool:
    """Whether an image of Pillow is grey and of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def has_alpha_band(image: Image.Image) -> bool:
    """Whether an image of Pillow has a band, or colours of a palette, tagged as alpha."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def orientation_in(image: Image.Image) -> int:
    """The EXIF orientation of an image of Pillow, 1 (upright) to 8: how it must yet be turned.

    Pillow turns TIFF files itself when it decodes them; from then on this is 1.
    """
    found = image.getexif().get(ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def turned(map_: np.ndarray, orientation: int, axes: tuple[int, int] = (-2, -1)) -> np.ndarray:
    """A map, stored beside an image that has this EXIF orientation, turned as the image is.

    Orientations 5 to 8 swap height and width.

    Args:
        axes: rows and columns: the last two for ``[H, W]`` and ``[C, H, W]``, ``(0, 1)`` for ``[H, W, C]``.

    Example:
        >>> turned(np.array([[1, 2, 3]]), 6).tolist()  # a quarter turn clockwise
        [[1], [2], [3]]
    """
    rows, columns = axes
    if orientation in (5, 6, 7, 8):
        map_ = np.swapaxes(map_, rows, columns)
    if orientation in (3, 4, 7, 8):
        map_ = np.flip(map_, rows)
    if orientation in (2, 3, 6, 7):
        map_ = np.flip(map_, columns)
    return np.ascontiguousarray(map_)


def parse_bands(text: str) -> tuple[int, int, int]:
    """Bands from 0 of a text that counts them from 1: ``4,1,2`` is near infrared, red and green.

    Raises:
        InvalidInput: not three whole numbers from 1 on.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InvalidInput(f"bands {text!r}: expected three numbers from 1 on, as 1,2,3")
    red, green, blue = (int(part) - 1 for part in parts)
    return red, green, blue
