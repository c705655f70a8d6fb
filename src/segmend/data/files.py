"""Reading and writing of pictures, label maps and probability maps: lossless, whole or not at all.

Everything here raises `InvalidFile`, whose message names the file, for a file that cannot be used.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segmend.labels import InvalidInput, Palette, check_probabilities
from segmend.labels import as_tensor as _as_tensor

MAX_PIXELS = 178_956_970
"""Pixels above which a picture is refused as a decompression bomb (Pillow's own limit)."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
PROBABILITY_SUFFIXES = (".npz",)

Image.MAX_IMAGE_PIXELS = None  # `_open` checks the size itself, before a pixel is decoded


class InvalidFile(InvalidInput):
    """A file that cannot be used: the message gives the file, what was expected, found, and what to do."""

    def __init__(self, path: Path | str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = Path(path)


@contextmanager
def _open(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The decoded picture at `path`, with every way it can fail turned into `InvalidFile`."""
    try:
        if path.stat().st_size == 0:
            raise InvalidFile(path, "the file is empty (0 bytes): copy or write it anew")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise InvalidFile(
                        path,
                        f"{width} x {height} pixels are more than the limit of {max_pixels}: "
                        "raise it with --max-pixels if the file is to be trusted",
                    )
                picture.load()
                yield picture
    except InvalidFile:
        raise
    except FileNotFoundError:
        raise InvalidFile(path, "no such file") from None
    except UnidentifiedImageError:
        raise InvalidFile(path, "not a picture in a known format (PNG, JPEG, WebP, TIFF, BMP)") from None
    except PermissionError:
        raise InvalidFile(path, "not readable: check its permissions") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidFile(path, f"broken or cut short ({error}): copy or write it anew") from error


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture at `path` as ``uint8 [H, W, 3]``, RGB, turned upright by its EXIF orientation.

    Grey, palette, transparent (over black) and 16-bit pictures are brought to 8-bit RGB.
    """
    path = Path(path)
    with _open(path, max_pixels) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
            values = np.asarray(upright).astype(np.float32)
            scale = 257.0 if values.max() > 255 else 1.0
            grey = np.clip(np.rint(values / scale), 0, 255).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.array(upright.convert("RGB"))


def image_size(path: Path | str) -> tuple[int, int]:
    """Height and width of the picture at `path` as `read_image` would give them, from its header."""
    path = Path(path)
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidFile(path, f"not a readable picture ({error})") from error
    return (width, height) if turned else (height, width)


def read_labels(path: Path | str, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Palette | None]:
    """The ids in a label file, as they stand there, and its palette where it has one.

    Returns:
        ``uint8 [H, W]`` for 8-bit files, ``int32 [H, W]`` for 16-bit files, and the palette or None.
    """
    path = Path(path)
    with _open(path, max_pixels) as picture:
        if picture.mode == "P":
            flat = picture.getpalette() or []
            palette = tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3))
            return np.array(picture), palette
        if picture.mode == "L":
            return np.array(picture), None
        if picture.mode == "1":
            return np.array(picture).astype(np.uint8), None
        if picture.mode == "I" or picture.mode.startswith("I;16"):
            return np.array(picture).astype(np.int32), None
        raise InvalidFile(
            path,
            f"expected class ids (one channel of 8 or 16 bits, or a palette), found a {picture.mode} picture: "
            "convert its colours to ids first (segmend convert), or point to the folder of label maps",
        )


def write_labels(path: Path | str, labels: np.ndarray, palette: Palette | None = None) -> None:
    """Write a label map ``[H, W]`` losslessly as PNG: 8 bits for ``uint8`` (with its palette), else 16 bits."""
    if labels.dtype == np.uint8:
        picture = Image.fromarray(labels)
        if palette:
            picture.putpalette([value for colour in palette[:256] for value in colour])
    else:
        if labels.min() < 0 or labels.max() > 65535:
            raise InvalidInput(f"ids {labels.min()}..{labels.max()} do not fit 16 bits")
        picture = Image.fromarray(labels.astype(np.uint16))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=4)
    write_whole(path, buffer.getvalue())


def write_image(path: Path | str, image: np.ndarray) -> None:
    """Write a picture ``uint8 [H, W, 3]``, in the format that the suffix names."""
    path = Path(path)
    buffer = io.BytesIO()
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if is_jpeg else {}
    Image.fromarray(image).save(buffer, format=Image.registered_extensions()[path.suffix.lower()], **options)
    write_whole(path, buffer.getvalue())


def read_probabilities(path: Path | str) -> np.ndarray:
    """The probability map in an ``.npz`` file under the key ``p``, as ``float32 [C, H, W]`` that sums to 1."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "p" not in archive:
                raise InvalidFile(path, f"expected an array under the key 'p', found {sorted(archive.keys())}")
            stored = archive["p"]
    except InvalidFile:
        raise
    except FileNotFoundError:
        raise InvalidFile(path, "no such file") from None
    except Exception as error:  # zipfile and numpy raise a dozen types for broken archives
        raise InvalidFile(path, f"not a readable .npz file ({error}): write it anew") from error
    if stored.ndim != 3 or stored.dtype.kind not in "fu":
        raise InvalidFile(
            path, f"expected [C, H, W] of float16 or uint8, found {stored.dtype} {list(stored.shape)}"
        )
    probabilities = stored.astype(np.float32)
    if stored.dtype.kind == "u":
        probabilities /= np.maximum(probabilities.sum(axis=0, keepdims=True), 1.0)
    try:
        check_probabilities(_as_tensor(probabilities), tolerance=1e-3 if stored.dtype.itemsize > 2 else 4e-3)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
    return probabilities


def write_probabilities(path: Path | str, probabilities: np.ndarray, quantised: bool = False) -> None:
    """Write a probability map ``[C, H, W]`` under the key ``p``: float16, or 0..255 where `quantised`."""
    stored = np.rint(probabilities * 255).astype(np.uint8) if quantised else probabilities.astype(np.float16)
    write_arrays(path, p=stored)


def write_arrays(path: Path | str, **arrays: np.ndarray) -> None:
    """Write named arrays as an ``.npz`` file (not compressed: deflate costs more than a refiner)."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getbuffer())


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON."""
    write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_whole(path: Path | str, content: bytes | memoryview) -> None:
    """Write a file under a temporary name in its folder, then rename it: a file that exists is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as file:
        file.write(content)


@contextmanager
def _temporary(path: Path) -> Iterator[IO[bytes]]:
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def find_files(folder: Path | str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below `folder` by ID: the path inside it without the suffix (``sequence/frame``), sorted.

    Hidden files and folders are passed over.

    Raises:
        InvalidFile: no such folder, or two files with the same ID.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidFile(folder, "no such folder")
    found: dict[str, Path] = {}
    for path in sorted(_walk(folder, lambda name: Path(name).suffix.lower() in suffixes)):
        identity = path.relative_to(folder).with_suffix("").as_posix()
        if identity in found:
            raise InvalidFile(path, f"the same ID as {found[identity].name}: keep one of the two")
        found[identity] = path
    return found


def _walk(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in names if not name.startswith(".") and wanted(name))
