"""Label Studio's run lengths of brush regions: RGBA values as a stream of bits. Alpha says where the region is.

The stream begins with the number of values (32 bits), the bits of a value less 1 (5 bits), and the bits of four
lengths less 1 (4 bits each). Then follow runs: whether all values of it are equal (1 bit), which of the lengths
holds its number of values less 1 (2 bits), that number, and one value or all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmend.labels import InvalidInput

LENGTHS = (3, 4, 8, 16)
"""Bits of the lengths of runs that `encoded` uses, as Label Studio does."""

CHANNELS = 4
OPAQUE = 128
"""Least alpha of a pixel of the region."""


def encoded(mask: np.ndarray) -> list[int]:
    """The run lengths, as bytes 0..255, of a mask ``bool [H, W]``.

    Example:
        >>> decoded(encoded(np.eye(3, dtype=bool)), 3, 3).astype(int).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    values = mask.ravel()
    starts = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))
    counts = np.diff(np.append(starts, values.size)) * CHANNELS
    bits = [f"{values.size * CHANNELS:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in LENGTHS)]
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        value = "11111111" if values[start] else "00000000"
        while count:
            run = min(count, 1 << LENGTHS[-1])
            which = next(number for number, size in enumerate(LENGTHS) if run <= 1 << size)
            bits.append(f"1{which:02b}{run - 1:0{LENGTHS[which]}b}{value}")
            count -= run
    text = "".join(bits)
    size = -(-len(text) // 8)
    return list(int(text.ljust(8 * size, "0"), 2).to_bytes(size, "big"))


def decoded(rle: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of run lengths.

    Raises:
        InvalidInput: no run lengths, cut short, or of an image of another size.
    """
    try:
        bits = _Bits(bytes(rle))
    except (TypeError, ValueError):
        raise InvalidInput("expected the run lengths of a brush region as numbers 0..255") from None
    count, size = bits.read(32), bits.read(5) + 1
    lengths = [bits.read(4) + 1 for _ in range(4)]
    if count != CHANNELS * height * width or size != 8:
        raise InvalidInput(
            f"expected run lengths of {width} x {height} RGBA pixels of 8 bits, found {count} values of {size}"
        )
    values = np.empty(count, np.uint8)
    at = 0
    while at < count:
        equal, which = bits.read(1), bits.read(2)
        end = at + bits.read(lengths[which]) + 1
        if end > count:
            raise InvalidInput("the run lengths of a brush region are longer than its image")
        values[at:end] = bits.read(8) if equal else bits.read_bytes(end - at)
        at = end
    return values[CHANNELS - 1 :: CHANNELS].reshape(height, width) >= OPAQUE


class _Bits:
    """Reads numbers from a stream of bits."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def read(self, size: int) -> int:
        """The next number, of `size` bits (32 at most)."""
        start, self.at = self.at, self.at + size
        if self.at > 8 * len(self.content):
            raise InvalidInput("the run lengths of a brush region are cut short")
        window = int.from_bytes(self.content[start // 8 : start // 8 + 5].ljust(5, b"\0"), "big")
        return window >> (40 - start % 8 - size) & ((1 << size) - 1)

    def read_bytes(self, count: int) -> np.ndarray:
        """The next `count` numbers of 8 bits."""
        start, self.at = self.at, self.at + 8 * count
        if self.at > 8 * len(self.content):
            raise InvalidInput("the run lengths of a brush region are cut short")
        part = np.frombuffer(self.content[start // 8 : -(-self.at // 8)], np.uint8)
        return np.packbits(np.unpackbits(part)[start % 8 : start % 8 + 8 * count])
