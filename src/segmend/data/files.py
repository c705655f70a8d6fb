"""Reading and writing of images, label maps and probability maps: lossless, whole or not at all.

Everything here raises `InvalidFile`, whose message names the file, for a file that cannot be used.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from segmend.labels import VOID, InvalidInput, Palette, normalised, voc_colour
from segmend.labels import as_tensor as _as_tensor

MAX_PIXELS = 178_956_970
"""Pixels above which an image is refused as a decompression bomb (Pillow's own limit)."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
PROBABILITY_SUFFIXES = (".npz",)

NOTE, OURS = "Software", "segmend: "
"""The key of PNG files that says what made them, and how what it says begins."""


class InvalidFile(InvalidInput):
    """A file that cannot be used: the message gives the file, what was expected, found, and what to do.

    Attributes:
        path: the file.
        reason: the message without the file.
    """

    def __init__(self, path: Path | str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = Path(path)
        self.reason = message


@contextmanager
def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The decoded image at `path`; every way to fail, here or in the block, becomes `InvalidFile`."""
    if max_pixels > MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = None  # lifted by the user; Pillow has no limit for one file alone
    try:
        _check_file(path)
        with Image.open(path) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_large(path, f"{width} x {height} pixels", max_pixels)
            image.load()
            yield image
    except InvalidFile:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error), max_pixels) from None
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidFile(path, "no such file") from None
    except UnidentifiedImageError:
        raise InvalidFile(path, "not an image in a known format (PNG, JPEG, WebP, TIFF, BMP)") from None
    except PermissionError:
        raise InvalidFile(path, "not readable: check its permissions") from None
    except Exception as error:  # Pillow raises a dozen types for broken files
        raise InvalidFile(path, f"broken or cut short ({error}): copy or write it anew") from error


def _check_file(path: Path) -> None:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise InvalidFile(path, "a folder or a device, not a file")
    if info.st_size == 0:
        raise InvalidFile(path, "the file is empty (0 bytes): copy or write it anew")


def _too_large(path: Path, found: str, max_pixels: int) -> InvalidFile:
    return InvalidFile(
        path,
        f"expected at most {max_pixels} pixels, found {found}: "
        "raise the limit with --max-pixels if the file is to be trusted",
    )


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The image at `path` as ``uint8 [H, W, 3]``, RGB, turned upright by its EXIF orientation.

    Grey, palette, CMYK, transparent (over black) and 16-bit images are brought to 8-bit RGB.
    """
    with open_image(Path(path), max_pixels) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return np.repeat(_grey(np.asarray(image))[:, :, None], 3, axis=2)
        if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
            black = Image.new("RGBA", image.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, image.convert("RGBA"))
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _grey(values: np.ndarray) -> np.ndarray:
    """8-bit grey of 0..65535, of floats in 0..1, or of 0..255 in a wider type."""
    shades = np.nan_to_num(values.astype(np.float32))
    highest = shades.max()
    scale = 1 / 257 if highest > 255 else 255 if values.dtype.kind == "f" and highest <= 1 else 1
    return np.clip(np.rint(shades * scale), 0, 255).astype(np.uint8)


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


def write_image(path: Path | str, image: np.ndarray) -> None:
    """Write an image ``uint8 [H, W, 3]``, in the format that the suffix names."""
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise InvalidInput(f"{path}: expected one of {' '.join(IMAGE_SUFFIXES)}")
    file_format = Image.registered_extensions()[path.suffix.lower()]
    best: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=file_format, **best.get(file_format, {}))
    atomic_write(path, buffer.getbuffer())


def read_probabilities(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The probability map in an ``.npz`` file under the key ``p``: ``float32 [C, H, W]`` that sums to 1."""
    stored = read_stored_probabilities(path, max_pixels)
    try:
        return normalised(_as_tensor(stored)).numpy()
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None


def read_stored_probabilities(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The same as it is stored, in half of the memory or a quarter: floats, or ``uint8`` in shares of 255.

    Whether they are probabilities is not checked (see `segmend.labels.normalised`).
    """
    path = Path(path)
    try:
        stored = _stored_probabilities(path, max_pixels)
    except InvalidFile:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidFile(path, "no such file") from None
    except PermissionError:
        raise InvalidFile(path, "not readable: check its permissions") from None
    except Exception as error:  # zipfile and numpy raise a dozen types for broken archives
        raise InvalidFile(path, f"not a readable .npz file ({error}): write it anew") from error
    if stored.ndim != 3 or stored.dtype not in (np.float16, np.float32, np.float64, np.uint8):
        raise InvalidFile(
            path, f"expected [C, H, W] of float16 or uint8, found {stored.dtype} {list(stored.shape)}"
        )
    return stored


def _stored_probabilities(path: Path, max_pixels: int) -> np.ndarray:
    _check_file(path)
    archive = np.load(path, allow_pickle=False, mmap_mode="r")
    if isinstance(archive, np.ndarray):
        raise InvalidFile(path, "expected an archive with an array p, found a lone array: use np.savez(..., p=p)")
    with archive:
        if "p" not in archive:
            raise InvalidFile(path, f"expected an array under the key 'p', found {sorted(archive.keys())}")
        with archive.zip.open("p.npy") as member:
            shape = _shape_of(member)
        if math.prod(shape[-2:]) > max_pixels:
            raise _too_large(path, f"an array of shape {list(shape)}", max_pixels)
        return archive["p"]


def _shape_of(file: IO[bytes]) -> tuple[int, ...]:
    """Shape of the array in an ``.npy`` file, from its header."""
    is_first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    return read(file)[0]


def write_probabilities(path: Path | str, probabilities: np.ndarray, quantised: bool = False) -> None:
    """Write a probability map ``[C, H, W]`` under the key ``p``: float16, or 0..255 where `quantised`.

    Raises:
        InvalidInput: quantised with more than 255 classes, whose probabilities may all round to 0.
    """
    if not quantised:
        write_arrays(path, p=probabilities.astype(np.float16))
    elif probabilities.shape[0] > VOID:
        raise InvalidInput(f"{path}: 8 bits are too few for {probabilities.shape[0]} classes: do not quantise")
    else:
        write_arrays(path, p=np.rint(np.clip(probabilities, 0, 1) * 255).astype(np.uint8))


def write_arrays(path: Path | str, **arrays: np.ndarray) -> None:
    """Write named arrays as an ``.npz`` file (not compressed: deflate costs more than a refiner)."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stubs mistake a name for an option
    atomic_write(path, buffer.getbuffer())


def read_json(path: Path | str) -> Any:
    """What a JSON file holds.

    Raises:
        InvalidFile: it is not there, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidFile(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"not readable as JSON ({error})") from None


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    atomic_write(path, text.encode(errors="backslashreplace"))  # file names need not be valid Unicode


def atomic_write(path: Path | str, content: bytes | memoryview) -> None:
    """Write a file under a temporary name in its folder, then rename it: a file that exists is whole."""
    with _temporary(Path(path)) as file:
        file.write(content)


def atomic_copy(source: Path | str, path: Path | str) -> None:
    """Copy a file byte by byte, under a temporary name until it is whole."""
    with Path(source).open("rb") as original, _temporary(Path(path)) as file:
        shutil.copyfileobj(original, file)


@contextmanager
def _temporary(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def find_files(folder: Path | str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below `folder` by ID: the path inside it without the suffix (``sequence/frame``), sorted.

    Hidden files and folders are skipped; links to folders are followed.

    Raises:
        InvalidFile: no such folder, a folder that cannot be read, or two files with the same ID.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidFile(folder, "no such folder")
    found: dict[str, Path] = {}
    for path in sorted(p for p in _walk(folder) if p.suffix.lower() in suffixes):
        identity = path.relative_to(folder).with_suffix("").as_posix()
        if identity in found:
            raise InvalidFile(path, f"the same ID as {found[identity].name}: keep one of the two")
        found[identity] = path
    return found


def _walk(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    info = folder.stat()
    place = (info.st_dev, info.st_ino)
    if place in above:  # a link back to where we came from
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InvalidFile(folder, f"a folder that cannot be read ({error.strerror})") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if path.is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(path, (*above, place))
        else:
            yield path
