"""Reading and writing of images: 8-bit RGB, upright; every failure names the file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segmend.data.files import MAX_PIXELS, InvalidFile, atomic_write, check_file, too_large
from segmend.labels import InvalidInput

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


@contextmanager
def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The decoded image at `path`; every way to fail, here or in the block, becomes `InvalidFile`."""
    if max_pixels > MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = None  # lifted by the user; Pillow has no limit for one file alone
    try:
        check_file(path)
        with Image.open(path) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise too_large(path, f"{width} x {height} pixels", max_pixels)
            image.load()
            yield image
    except InvalidFile:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path, str(error), max_pixels) from None
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidFile(path, "no such file") from None
    except UnidentifiedImageError:
        raise InvalidFile(path, "not an image in a known format (PNG, JPEG, WebP, TIFF, BMP)") from None
    except PermissionError:
        raise InvalidFile(path, "not readable: check its permissions") from None
    except Exception as error:  # Pillow raises a dozen types for broken files
        raise InvalidFile(path, f"broken or cut short ({error}): copy or write it anew") from error


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


def orientation_of(path: Path) -> int:
    """EXIF orientation of an image or a mask (1..8; 1: upright), from its header."""
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as image:
        return int(image.getexif().get(274, 1))
    return 1


def turned(map_: np.ndarray, orientation: int) -> np.ndarray:
    """A map ``[..., H, W]`` turned upright by an EXIF orientation (1..8)."""
    if orientation >= 5:
        map_ = np.swapaxes(map_, -1, -2)
    if orientation in (2, 3, 6, 7):
        map_ = map_[..., ::-1]
    if orientation in (3, 4, 7, 8):
        map_ = map_[..., ::-1, :]
    return np.ascontiguousarray(map_)
