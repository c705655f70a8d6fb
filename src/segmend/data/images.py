"""Reading and writing of images: 8-bit RGB, upright; every failure names the file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segmend.data import tiff
from segmend.data.files import MAX_PIXELS, InvalidFile, atomic_write, check_file, fetched, too_large
from segmend.data.tiff import TiffPage
from segmend.labels import InvalidInput
from segmend.pixels import (
    ImageReading,
    Range,
    colour_bands,
    extremes,
    has_alpha_band,
    is_deep_grey,
    is_transparency,
    orientation_in,
    to_rgb,
    turned,
    value_range,
    values_of,
)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")

RAW, VIDEO, ARCHIVE, ARRAY = "camera raw", "a video", "an archive", "an array of NumPy"
MAGICK = ("HEIC", "AVIF", "JPEG XL", "JPEG 2000", "GIF", "SVG", "PSD", "OpenEXR", "Radiance HDR")
"""Formats that ImageMagick converts."""

UNREAD = {
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    ".gif": "GIF",
    ".svg": "SVG",
    ".psd": "PSD",
    ".exr": "OpenEXR",
    ".hdr": "Radiance HDR",
    ".dcm": "DICOM",
    ".nii": "NIfTI",
    ".pdf": "PDF",
    **dict.fromkeys((".npy", ".npz"), ARRAY),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), RAW),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), VIDEO),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), ARCHIVE),
}
"""Formats that people keep images in and that are not read, by suffix."""


def unread_image(path: Path) -> str:
    """What to say of a file that is there in the place of an image, but is of a format that is not read.

    Example:
        >>> unread_image(Path("p0.heic"))
        'p0.heic is HEIC, which is not read: convert it to PNG or JPEG (for example: magick p0.heic p0.png)'
    """
    name, suffix = path.name, path.suffix.lower()
    kind = UNREAD.get(suffix, f"a {suffix} file" if suffix else "a file without a suffix")
    if kind == ARCHIVE:
        return f"{name} is {kind}: unpack it, and give the folder of its images"
    if kind == VIDEO:
        example = f"ffmpeg -i {name} {path.stem}_%06d.png"
        return f"{name} is {kind}: write its frames as images (for example: {example})"
    if kind == ARRAY:
        return f"{name} is {kind}, which is not read: write it as PNG"
    if not suffix:
        return f"{name} is {kind}, which is not read: name its format, as in {name}.png"
    example = {RAW: f" (for example: dcraw -T {name})"}.get(kind, "")
    if kind in MAGICK:
        example = f" (for example: magick {name} {path.stem}.png)"
    return f"{name} is {kind}, which is not read: convert it to PNG or JPEG{example}"


def unread_images(folder: Path | str) -> dict[str, Path]:
    """Files below a folder, by ID, of formats that people keep images in and that are not read."""
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in UNREAD)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


@contextmanager
def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The decoded image at `path`; every way to fail, here or in the block, becomes `InvalidFile`."""
    with fetched(path) as file, _opened(file, max_pixels) as image:
        _check_single(file, image)
        image.load()
        yield image


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The image at `path`, not decoded yet."""
    if max_pixels > MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = None  # lifted by the user; Pillow has no limit for one file alone
    with _failures_named(path, max_pixels), Image.open(path) as image:
        _check_size(path, *image.size, max_pixels)
        yield image


@contextmanager
def _failures_named(path: Path, max_pixels: int) -> Iterator[None]:
    try:
        check_file(path)
        yield
    except InvalidFile:
        raise
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
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


def _check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise too_large(path, f"{width} x {height} pixels", max_pixels)


@dataclass(frozen=True)
class ImageHeader:
    """What the head of an image file says.

    Attributes:
        orientation: its EXIF orientation, 1 to 8.
        bands: values of a pixel; those of a palette count as 3.
        is_deep: values have more than 8 bits.
        has_alpha: the last band is tagged as alpha.
        tiff: the tags of a TIFF file.
    """

    orientation: int
    bands: int
    is_deep: bool
    has_alpha: bool
    tiff: TiffPage | None = None


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header of an image file; no pixel is decoded.

    Raises:
        InvalidFile: unreadable, too large, or of several pages.
    """
    with fetched(path) as file:
        return _header(file, max_pixels)


def _header(path: Path, max_pixels: int) -> ImageHeader:
    page = None
    with _failures_named(path, max_pixels):
        found = tiff.pages(path)
        if found:
            page = found[0]
            _check_size(path, page.width, page.height, max_pixels)
            if page.decoder != "Pillow":
                _check_pages(path, found)
                return ImageHeader(page.orientation, page.bands, page.is_deep, page.has_alpha, page)
    with _opened(path, max_pixels) as image:
        _check_single(path, image)
        has_alpha = has_alpha_band(image)
        bands = 4 if has_alpha else 1 if is_deep_grey(image) or image.mode in ("1", "L") else 3
        is_deep = _is_deep(image)
        # Pillow decodes a PNG file to look for its orientation behind the pixels.
        orientation = 1 if image.format == "PNG" and not _png_has_exif(path) else orientation_in(image)
        return ImageHeader(orientation, bands, is_deep, has_alpha, page)


def _png_has_exif(path: Path) -> bool:
    """Whether a PNG file may hold an EXIF orientation, by the names of its chunks."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            text = file.read(min(length, 21)) if kind in (b"tEXt", b"zTXt", b"iTXt") else b""
            if kind == b"eXIf" or text.startswith((b"Raw profile type exif", b"XML:com.adobe.xmp")):
                return True
            file.seek(length - len(text) + 4, 1)  # and its checksum
    return False


def orientation_of(path: Path | str) -> int:
    """The EXIF orientation of an image file, 1 (upright) to 8; 1 where it cannot be read."""
    with suppress(InvalidFile):
        return read_header(Path(path)).orientation
    return 1


def _is_deep(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has more than 8 bits a value."""
    if is_deep_grey(image):
        return True
    tiles = getattr(image, "tile", None)  # what the decoder is to do
    args = tiles[0][3] if tiles else ""
    raw, *more = args if isinstance(args, tuple) else (args,)
    return ";16" in str(raw) or (image.format == "PPM" and more[:1] == [65535])


def _check_single(path: Path, image: Image.Image) -> None:
    """Raise `InvalidFile` where a file holds several pages, or an animation.

    The previews in the files of phones (MPO) are no frames.
    """
    if image.format == "TIFF":
        _check_pages(path, tiff.pages(path))
    elif image.format in ("PNG", "WEBP", "GIF") and getattr(image, "n_frames", 1) > 1:
        frames = f"an animation of {image.n_frames} frames"  # type: ignore[attr-defined]
        raise InvalidFile(path, f"expected one image, found {frames}: write each frame to its own file")


def _check_pages(path: Path, pages: list[TiffPage]) -> None:
    if len(pages) > 1:
        raise InvalidFile(path, f"expected one image, found {len(pages)} pages: write each page to its own file")


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS, reading: ImageReading | None = None) -> np.ndarray:
    """The image at `path` as ``uint8 [H, W, 3]``, RGB, turned upright by its EXIF orientation.

    Grey, palette, CMYK and transparent (over black) images become RGB. Of four bands or more the first three are
    read; a fourth counts as transparency where it looks like it (`segmend.pixels.is_transparency`). Deeper images
    become 8 bits by the range of their values (`segmend.pixels.value_range`).

    Args:
        max_pixels: larger images are refused.
        reading: how all images of a folder are read (`survey_images`); None: as this one alone says.

    Raises:
        InvalidFile: unreadable, too large, or of several pages; the message says what to do.
    """
    with fetched(path) as file:
        stored = _read_values(file, max_pixels)
    try:
        image = to_rgb(stored.values, stored.has_alpha, reading)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
    return 255 - image if stored.is_inverted else image


@dataclass(frozen=True)
class _Stored:
    """The values ``[H, W, B]`` of an image, upright.

    Attributes:
        has_alpha: the last band is tagged as alpha.
        is_inverted: small values are white.
    """

    values: np.ndarray
    has_alpha: bool
    is_inverted: bool = False


def _read_values(path: Path, max_pixels: int) -> _Stored:
    header = read_header(path, max_pixels)
    if header.tiff is not None and header.tiff.decoder != "Pillow":
        try:
            values = tiff.decode(path, header.tiff)
        except Exception as error:  # of OpenCV, of tifffile, and of the codecs that it calls
            found = f"{header.tiff}, which cannot be decoded ({error})"
            raise InvalidFile(path, f"{found}: write three bands (for example: {tiff.WRITE_RGB})") from error
        return _Stored(turned(values, header.orientation, (0, 1)), header.has_alpha)
    with open_image(path, max_pixels) as image:
        if header.is_deep and not is_deep_grey(image):  # Pillow cuts colours to 8 bits (but finds what is broken)
            values = tiff.decode_bands(np.fromfile(path, np.uint8))
            return _Stored(turned(values, header.orientation, (0, 1)), header.has_alpha)
        values, has_alpha = values_of(image)
    if header.tiff is None:
        return _Stored(values, has_alpha)
    return _Stored(header.tiff.without_no_data(values), has_alpha, header.tiff.is_inverted)


# ---- folders ----


@dataclass(frozen=True)
class ImageSurvey:
    """What the images of a folder have in common.

    Attributes:
        reading: how to read them.
        turned: EXIF orientation of each image that is to be turned.
        findings: sentences for the user: images turned, bands left out, the range of deep values.
    """

    reading: ImageReading = field(default_factory=ImageReading)
    turned: dict[Path, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


SAMPLED = 8
"""Images with alpha that are decoded to see whether it is transparency."""


def survey_images(
    paths: Iterable[Path], bands: tuple[int, int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> ImageSurvey:
    """How the images of a folder are read, so that all are read alike.

    Headers are read, and only images of more than 8 bits are decoded, for their range. A band tagged as alpha is
    transparency if it is so in each of `SAMPLED` images. Files that cannot be read are left out: whoever reads
    them for their content lists them.

    Args:
        bands: the bands, from 0, that are red, green and blue; None: the first three.
    """
    paths = list(paths)
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.map(lambda path: _header_if_any(path, max_pixels), paths)
        headers = {path: header for path, header in zip(paths, found, strict=True) if header}
    turned_ones = {path: header.orientation for path, header in headers.items() if header.orientation != 1}
    with_alpha = [path for path, header in headers.items() if header.has_alpha]
    transparency = None
    if with_alpha and bands is None:
        sample = with_alpha[:: -(-len(with_alpha) // SAMPLED)]
        looks = [is_transparency(s.values[..., -1:]) for s in (_values_if_any(p, max_pixels) for p in sample) if s]
        transparency = all(looks) if looks else None
    deep = {path: header for path, header in headers.items() if header.is_deep}
    integers, floats, said = _ranges(deep, bands, max_pixels)
    findings = []
    if turned_ones:
        findings.append(f"{_counted(len(turned_ones))} turned by their EXIF orientation")
    findings += _about_bands(headers, bands, transparency)
    return ImageSurvey(ImageReading(bands, transparency, integers, floats), turned_ones, (*findings, *said))


def _about_bands(
    headers: dict[Path, ImageHeader], bands: tuple[int, int, int] | None, transparency: bool | None
) -> list[str]:
    if bands is not None:
        return [f"bands {', '.join(str(band + 1) for band in bands)} read as red, green and blue"]
    many = {
        path: header.tiff.bands if header.tiff else header.bands
        for path, header in headers.items()
        if not header.has_alpha or not transparency
    }
    counts = sorted({count for count in many.values() if count > 3})
    if not counts:
        return []
    images = _counted(sum(count > 3 for count in many.values()))
    return [f"{images} with {' or '.join(map(str, counts))} bands: the first three are read (--bands)"]


def _ranges(
    deep: dict[Path, ImageHeader], bands: tuple[int, int, int] | None, max_pixels: int
) -> tuple[Range | None, Range | None, list[str]]:
    """The ranges of integers and of floats among the images of more than 8 bits, and what to say of them."""
    floats = [path for path, header in deep.items() if header.tiff is not None and header.tiff.kind == "f"]
    integers = [path for path in deep if path not in set(floats)]
    ranges: list[Range | None] = []
    said = []
    for paths in (integers, floats):
        low, high, dtype = _extremes(paths, bands, max_pixels)
        if dtype is None:
            ranges.append(None)
            continue
        black, white = value_range(dtype, low, high)
        ranges.append((black, white))
        if black < 0:
            said.append(f"values from {low:g} to {high:g}: the lowest is black, the highest is white")
        elif paths is floats and white > 1:
            said.append(f"floats up to {high:g}: {white:g} is white")
        elif paths is integers and white != 65535:
            said.append(f"values up to {high:g} of 65535: read as {int(white).bit_length()} bits")
    return ranges[0], ranges[1], said


def _extremes(
    paths: list[Path], bands: tuple[int, int, int] | None, max_pixels: int
) -> tuple[float, float, np.dtype[Any] | None]:
    """The lowest and highest value in images, and the type of one of them; None where none can be read."""
    low, high, dtype = np.inf, -np.inf, None
    with ThreadPoolExecutor(max_workers=8) as pool:
        for stored in pool.map(lambda path: _extremes_if_any(path, bands, max_pixels), paths):
            if stored is None:
                continue
            low, high, dtype = min(low, stored[0]), max(high, stored[1]), stored[2]
            if dtype == np.uint16 and high > 32767:  # all 16 bits are in use, whatever the others hold
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return float(low), float(high), dtype


def _extremes_if_any(
    path: Path, bands: tuple[int, int, int] | None, max_pixels: int
) -> tuple[float, float, np.dtype[Any]] | None:
    stored = _values_if_any(path, max_pixels)
    with suppress(InvalidInput):
        return None if stored is None else (*extremes(colour_bands(stored.values, bands)), stored.values.dtype)
    return None


def _header_if_any(path: Path, max_pixels: int) -> ImageHeader | None:
    with suppress(InvalidFile):
        return read_header(path, max_pixels)
    return None


def _values_if_any(path: Path, max_pixels: int) -> _Stored | None:
    with suppress(InvalidFile), fetched(path) as file:
        return _read_values(file, max_pixels)
    return None


def _counted(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


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
