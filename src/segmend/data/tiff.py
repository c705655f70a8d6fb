"""TIFF files beyond Pillow: pages, bands of 16 bits and of floats, near infrared, and values that mean no data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
CLASSIC, BIG = 42, 43
"""The number after the byte order in a TIFF file, and in a BigTIFF file."""

# tags
KIND, WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, BANDS, LAYOUT = 254, 256, 257, 258, 262, 274, 277, 284
DOT_RANGE, EXTRA_BANDS, FORMAT, NO_DATA = 336, 338, 339, 42113

MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2
"""Values of the tag PHOTOMETRIC."""

DERIVED = 1 | 4
"""Bits of the tag KIND of pages that belong to another: a copy at a lower resolution, a mask of transparency."""

WRITE_RGB = "gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB -co INTERLEAVE=PIXEL IN OUT"


@dataclass(frozen=True)
class TiffPage:
    """What the tags of a page say.

    Attributes:
        bands: values of a pixel.
        bits: of a value.
        kind: of its numbers, as NumPy names it: ``u``, ``i`` or ``f``.
        photometric: how values are to be shown.
        is_planar: stored band by band, not pixel by pixel.
        alpha: what the first band beyond the colours is: 0 nothing said, 1 alpha that the colours are multiplied
            by, 2 alpha.
        no_data: value of pixels without data, as GDAL writes it.
    """

    width: int
    height: int
    bands: int
    bits: int
    kind: str
    photometric: int
    is_planar: bool
    alpha: int
    orientation: int
    no_data: float | None

    @property
    def is_deep(self) -> bool:
        return self.bits > 8

    @property
    def is_inverted(self) -> bool:
        """Small values are white, and the decoder leaves them so."""
        return self.photometric == MIN_IS_WHITE and self.is_deep

    @property
    def has_alpha(self) -> bool:
        """The last of two or four bands is tagged as alpha, and the colours are not multiplied by it."""
        return self.bands in (2, 4) and self.alpha == 2

    @property
    def decoder(self) -> Literal["Pillow", "OpenCV", "tifffile"]:
        """What decodes the page right: Pillow cuts colours to 8 bits, OpenCV fails from five bands on, and both
        read some pages that are stored band by band wrongly; tifffile lacks some compressions (LZW)."""
        number = self.kind, self.bits
        if self.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
            return "Pillow"
        if self.bands == 1:
            if number == ("f", 64):
                return "OpenCV"
            return "tifffile" if self.bits > 32 or number == ("f", 16) else "Pillow"
        if self.bands == 3 and self.bits == 8 and self.photometric == RGB:
            return "Pillow"
        if self.bands in (3, 4) and not self.is_planar and number in (("u", 8), ("u", 16), ("f", 32), ("f", 64)):
            return "OpenCV"
        return "tifffile"

    def __str__(self) -> str:
        numbers = {"u": "", "i": " (signed)", "f": " (floats)"}[self.kind]
        order = ", stored band by band" if self.is_planar else ""
        bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
        return f"a TIFF with {bands} of {self.bits} bits{numbers}{order}"

    def without_no_data(self, values: np.ndarray) -> np.ndarray:
        """`values`, with 0 where there is no data."""
        return values if self.no_data is None else np.where(values == self.no_data, values.dtype.type(0), values)


def pages(path: Path) -> list[TiffPage]:
    """The pages of a TIFF file without those that belong to another; none where the file is no TIFF."""
    found: list[TiffPage] = []
    with path.open("rb") as file:
        head = file.read(8)
        order = BYTE_ORDERS.get(head[:2])
        version = int.from_bytes(head[2:4], order) if order else 0
        if version not in (CLASSIC, BIG) or (version == BIG and order == "big"):  # which Pillow does not read
            return []
        if version == BIG:
            head += file.read(8)
        offset, seen = ImageFileDirectory_v2(head).next, set[int]()
        while offset and offset not in seen:
            seen.add(offset)
            file.seek(offset)
            tags = ImageFileDirectory_v2(head)
            tags.load(file)
            offset = tags.next
            if not tags.get(KIND, 0) & DERIVED:
                found.append(_page(tags))
    return found


def _page(tags: ImageFileDirectory_v2) -> TiffPage:
    kinds = {2: "i", 3: "f", 5: "i", 6: "f"}
    formats = tags.get(FORMAT, (1,))
    try:
        no_data = float(tags[NO_DATA].rstrip("\0 ")) if NO_DATA in tags else None
    except ValueError:
        no_data = None
    return TiffPage(
        width=tags.get(WIDTH, 0),
        height=tags.get(HEIGHT, 0),
        bands=tags.get(BANDS, 1),
        bits=max(tags.get(BITS, (1,))),
        kind=kinds.get(formats[0], "u"),
        photometric=tags.get(PHOTOMETRIC, MIN_IS_BLACK),
        is_planar=tags.get(LAYOUT, 1) == 2,
        alpha=(tags.get(EXTRA_BANDS) or (0,))[0],
        orientation=tags.get(ORIENTATION, 1),
        no_data=no_data,
    )


def decode(path: Path, page: TiffPage) -> np.ndarray:
    """The values ``[H, W, B]`` of the page of a TIFF file that Pillow does not decode right, as stored.

    Raises:
        ValueError: they cannot be decoded.
    """
    if page.decoder == "OpenCV":
        with suppress(ValueError):  # what OpenCV gives up, tifffile may read
            return page.without_no_data(decode_bands(_as_plain(np.fromfile(path, np.uint8))))
    with tifffile.TiffFile(path) as file:
        first = file.pages.first
        values = first.asarray(maxworkers=1)
        if values.ndim == 2:
            values = values[..., None]
        elif first.axes.startswith("S"):
            values = np.moveaxis(values, 0, -1)
    return page.without_no_data(values)


def decode_bands(content: np.ndarray) -> np.ndarray:
    """The values ``[H, W, B]`` in the bytes of an image file, in their own depth, not turned.

    Raises:
        ValueError: OpenCV cannot decode them.
    """
    # It prints a line about each tag of GeoTIFF. Failures are reported here.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    if values.ndim == 2:
        return values[..., None]
    return values[..., [2, 1, 0, 3][: values.shape[-1]]]  # from blue, green, red


def _as_plain(content: np.ndarray) -> np.ndarray:
    """The bytes of a TIFF file whose first page says that it is upright, and RGB without alpha where it has bands.

    OpenCV turns some images and not others, multiplies the colours by what is tagged as alpha, and reads one band
    alone of several that are grey.
    """
    content = content.copy()
    order: Literal["little", "big"] = BYTE_ORDERS[content[:2].tobytes()]

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size].tobytes(), order)

    def put(at: int, size: int, value: int) -> None:
        content[at : at + size] = np.frombuffer(value.to_bytes(size, order), np.uint8)

    size = 8 if number(2, 2) == BIG else 4  # of counts and places
    start = number(8, 8) if size == 8 else number(4, 4)
    count, first = (number(start, 8), 8) if size == 8 else (number(start, 2), 2)
    step = 4 + 2 * size
    entries = {number(at, 2): at for at in range(start + first, start + first + count * step, step)}
    values = 4 + size  # in an entry: tag, type, count, value
    if ORIENTATION in entries:
        put(entries[ORIENTATION] + values, 2, 1)
    bands = number(entries[BANDS] + values, 2) if BANDS in entries else 1
    if bands > 1:
        put(entries[PHOTOMETRIC] + values, 2, RGB)
    if (extra := entries.get(EXTRA_BANDS)) is not None:
        if bands > 3:
            put(extra + 4, size, 1)
            put(extra + values, 2, 0)
        else:  # of three grey bands two are extra, of red, green and blue none
            put(extra, 2, DOT_RANGE)
    return content
