"""PNG label files with other ids, all else as it is stored: bit depth, palette, and every other chunk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmend.data.files import InvalidFile
from segmend.labels import voc_colour

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, RGB, INDEXED, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Kinds of PNG files by their number in the header."""


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    kind: int
    compression: int
    filter: int
    interlace: int

    @classmethod
    def of(cls, data: bytes) -> _Header:
        return cls(*struct.unpack(">IIBBBBB", data))


def is_painted(path: Path) -> bool:
    """Whether a PNG file holds red, green and blue for each pixel.

    Raises:
        InvalidFile: no PNG file.
    """
    return _Header.of(next(_chunks(path))[1]).kind in (RGB, RGBA)


def with_ids(path: Path, ids: np.ndarray, note: tuple[str, str] | None = None) -> bytes:
    """The content of a PNG label file with other ids.

    The number of bits of an id grows where an id needs more, else it stays; a palette grows by colours of VOC.

    Args:
        path: the file; its pixels are not read.
        ids: ``[H, W]``, as they lie in the file (not turned by an EXIF orientation); of a file that is painted in
            colours also its colours ``[H, W, 3]``.
        note: the key and the text of a ``tEXt`` chunk that replaces those of this key.

    Raises:
        InvalidFile: no PNG file, or ids that do not fit it: another size, negative, beyond 16 bits, or beyond 8
            bits in a file with a palette or three bands.
    """
    chunks = list(_chunks(path))
    header = _Header.of(chunks[0][1])
    if (header.height, header.width) != ids.shape[:2]:
        found = f"{header.width} x {header.height}"
        raise InvalidFile(path, f"expected {ids.shape[1]} x {ids.shape[0]} pixels, found {found}")
    header = header._replace(depth=_depth_for(path, header, ids), interlace=0)
    content = [SIGNATURE, _chunk(b"IHDR", struct.pack(">IIBBBBB", *header))]
    if note is not None:
        content.append(_chunk(b"tEXt", f"{note[0]}\0{note[1]}".encode("latin-1", errors="replace")))
    pixels = [_chunk(b"IDAT", zlib.compress(_rows(ids, header), 6))]
    for kind, data in chunks[1:]:
        if kind == b"IDAT":
            content += pixels  # all at the place of the first
            pixels = []
        elif kind == b"PLTE" and header.kind == INDEXED:
            more = (voc_colour(i) for i in range(len(data) // 3, int(ids.max()) + 1))
            content.append(_chunk(kind, data + bytes(value for colour in more for value in colour)))
        elif note is None or not (
            kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(f"{note[0]}\0".encode())
        ):
            content.append(_chunk(kind, data))
    return b"".join(content)


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    content = path.read_bytes()
    at = len(SIGNATURE)
    if not content.startswith(SIGNATURE) or content[at + 4 : at + 8] != b"IHDR":
        raise InvalidFile(path, "expected a PNG file, found another kind")
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _depth_for(path: Path, header: _Header, ids: np.ndarray) -> int:
    """Bits of a value, so that all ids fit."""
    low, high = int(ids.min()), int(ids.max())
    most = 16 if header.kind == GREY else 8
    if low < 0 or high >= 1 << most:
        raise InvalidFile(path, f"its ids fit 0..{(1 << most) - 1}, found {low}..{high}")
    if header.depth == 16 and header.kind != GREY:
        raise InvalidFile(path, "stores ids in several bands of 16 bits: write them in one band")
    return next(bits for bits in (1, 2, 4, 8, 16) if bits >= header.depth and high < 1 << bits)


def _rows(ids: np.ndarray, header: _Header) -> bytes:
    """The rows of the file, each behind the number of its filter (0: none)."""
    colours = 3 if header.kind in (RGB, RGBA) else 1
    values = ids if ids.ndim == 3 else np.repeat(ids[..., None], colours, axis=-1)
    if header.kind in (GREY_ALPHA, RGBA):
        values = np.concatenate((values, np.full_like(values[..., :1], 255)), axis=-1)
    if header.depth == 16:
        rows = values.astype(">u2").view(np.uint8).reshape(header.height, -1)
    elif header.depth == 8:
        rows = values.astype(np.uint8).reshape(header.height, -1)
    else:
        places = np.arange(header.depth - 1, -1, -1)
        bits = (values.reshape(header.height, -1, 1).astype(np.uint8) >> places) & 1
        rows = np.packbits(bits.reshape(header.height, -1).astype(np.uint8), axis=1)
    return np.pad(rows, ((0, 0), (1, 0))).tobytes()
