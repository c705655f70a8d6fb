"""What tests of files share."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Makes PNG files by hand: what Pillow would not write."""
    return _png


def _png(width: int, height: int, bits: int, colour_type: int, rows: bytes, palette: bytes = b"") -> bytes:
    """A PNG file with these rows of pixels, each behind the number of its filter."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    colours = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + header + colours + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
