"""Probability maps in ``.npz`` files."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from segmend.data.files import MAX_PIXELS, InvalidFile, atomic_write, check_file, fetched, too_large
from segmend.data.masks import OURS
from segmend.labels import VOID, InvalidInput, as_tensor, normalised

PROBABILITY_SUFFIXES = (".npz",)

NOTE = "software"
"""The array of an ``.npz`` file that holds the note of `write_arrays`."""


def read_probabilities(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The probability map in an ``.npz`` file under the key ``p``: ``float32 [C, H, W]`` that sums to 1."""
    stored = read_stored_probabilities(path, max_pixels)
    try:
        return normalised(as_tensor(stored)).numpy()
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None


def read_stored_probabilities(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The same as it is stored, in half of the memory or a quarter: floats, or ``uint8`` in shares of 255.

    Whether they are probabilities is not checked (see `segmend.labels.normalised`).
    """
    path = Path(path)
    try:
        with fetched(path) as file:
            stored = _stored_probabilities(file, max_pixels)
    except InvalidFile:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidFile(path, "no such file") from None
    except PermissionError:
        raise InvalidFile(path, "not readable: check its permissions") from None
    except Exception as error:  # zipfile and numpy raise a dozen types for broken archives
        raise InvalidFile(path, f"not a readable .npz file ({error}): write it anew") from error
    if stored.ndim != 3 or stored.dtype not in (np.float16, np.float32, np.float64, np.uint8):
        batch = ": a batch, take its first element" if stored.ndim == 4 and len(stored) == 1 else ""
        raise InvalidFile(
            path, f"expected [C, H, W] of floats or uint8, found {stored.dtype} {list(stored.shape)}{batch}"
        )
    if stored.shape[-1] < min(stored.shape[:2]) and _sums_are_equal(stored, -1) and not _sums_are_equal(stored, 0):
        raise InvalidFile(
            path,
            f"expected [C, H, W], found {list(stored.shape)} whose last axis sums to 1: classes must come first",
        )
    return stored


def _sums_are_equal(stored: np.ndarray, axis: int) -> bool:
    """Whether an axis sums to 1 (or to 255 shares) at some places that are spread over the map."""
    few = stored[:: max(1, stored.shape[0] // 8), :: max(1, stored.shape[1] // 8)] if axis else stored[:, ::8, ::8]
    sums = few.astype(np.float32).sum(axis=axis) / (255 if stored.dtype == np.uint8 else 1)
    return bool(np.allclose(sums, 1, atol=0.02))


def _stored_probabilities(path: Path, max_pixels: int) -> np.ndarray:
    check_file(path)
    archive = np.load(path, allow_pickle=False, mmap_mode="r")
    if isinstance(archive, np.ndarray):
        raise InvalidFile(path, "expected an archive with an array p, found a lone array: use np.savez(..., p=p)")
    with archive:
        if "p" not in archive:
            raise InvalidFile(path, f"expected an array under the key 'p', found {sorted(archive.keys())}")
        with archive.zip.open("p.npy") as member:
            shape = _shape_of(member)
        if math.prod(shape[-2:]) > max_pixels:
            raise too_large(path, f"an array of shape {list(shape)}", max_pixels)
        found: np.ndarray = archive["p"]
        return found


def _shape_of(file: IO[bytes]) -> tuple[int, ...]:
    """Shape of the array in an ``.npy`` file, from its header."""
    is_first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    return read(file)[0]


def write_probabilities(
    path: Path | str, probabilities: np.ndarray, quantised: bool = False, note: str = ""
) -> None:
    """Write a probability map ``[C, H, W]`` under the key ``p``: float16, or 0..255 where `quantised`.

    Args:
        note: see `write_arrays`.

    Raises:
        InvalidInput: quantised with more than 255 classes, whose probabilities may all round to 0.
    """
    if not quantised:
        write_arrays(path, note, p=probabilities.astype(np.float16))
    elif probabilities.shape[0] > VOID:
        raise InvalidInput(f"{path}: 8 bits are too few for {probabilities.shape[0]} classes: do not quantise")
    else:
        write_arrays(path, note, p=np.rint(np.clip(probabilities, 0, 1) * 255).astype(np.uint8))


def write_arrays(path: Path | str, note: str = "", **arrays: np.ndarray) -> None:
    """Write named arrays as an ``.npz`` file (not compressed: deflate costs more than a refiner).

    Args:
        note: how the file was made, for `note_in_arrays`.
    """
    buffer = io.BytesIO()
    if note:
        arrays[NOTE] = np.array(OURS + note)
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stubs mistake a name for an option
    atomic_write(path, buffer.getbuffer())


def note_in_arrays(path: Path | str) -> str:
    """The note that `write_arrays` put into a file; empty where there is none. No other array is read."""
    with (
        suppress(Exception),
        fetched(path) as file,
        np.load(file, allow_pickle=False) as archive,
    ):  # raises a dozen types for broken files
        return str(archive[NOTE]).partition(OURS)[2]
    return ""
