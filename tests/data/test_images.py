"""Images of all kinds become 8-bit RGB, upright, or are refused with a reason; label files open likewise."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.images import read_image, write_image
from segmend.data.masks import read_labels, write_labels
from segmend.labels import InvalidInput

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
READERS: dict[str, Callable[..., object]] = {"image": read_image, "labels": read_labels}
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_images_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", RGB)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), RGB)


def test_jpeg_is_close_and_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
    write_image(tmp_path / "a.JPG", smooth)
    assert np.abs(read_image(tmp_path / "a.JPG").astype(int) - smooth).max() <= 6
    with pytest.raises(InvalidInput, match=r"a.gif: expected one of \.jpg \.jpeg \.png"):
        write_image(tmp_path / "a.gif", smooth)


GREY = RGB[..., 0]
TRANSPARENT = np.dstack([RGB, np.where(GREY > 128, 255, 0).astype(np.uint8)])
OVER_BLACK = RGB * (GREY > 128)[..., None]


def transparent_palette() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([9, 8, 7, 200, 100, 50])
    return image


IMAGES = {
    "grey": (Image.fromarray(GREY), {}, np.dstack([GREY] * 3)),
    "binary": (Image.fromarray(GREY > 128), {}, np.dstack([(GREY > 128) * np.uint8(255)] * 3)),
    "16 bits": (Image.fromarray(GREY.astype(np.uint16) * 257), {}, np.dstack([GREY] * 3)),
    "8 bits in 16": (Image.fromarray(GREY.astype(np.uint16)), {}, np.dstack([GREY] * 3)),
    "transparent": (Image.fromarray(TRANSPARENT), {}, OVER_BLACK),
    "grey and transparent": (
        Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(TRANSPARENT[..., 3])]),
        {},
        np.dstack([GREY * (GREY > 128)] * 3),
    ),
    "palette": (transparent_palette(), {}, np.array([[[9, 8, 7], [200, 100, 50]]], np.uint8)),
    "transparent palette": (
        transparent_palette(),
        {"transparency": 0},
        np.array([[[0, 0, 0], [200, 100, 50]]], np.uint8),
    ),
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.filterwarnings("error")
def test_images_of_all_kinds_become_rgb(tmp_path: Path, kind: str) -> None:
    image, options, expected = IMAGES[kind]
    image.save(tmp_path / "a.png", **options)

    read = read_image(tmp_path / "a.png")

    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, expected)


def test_cmyk_and_float_images(tmp_path: Path) -> None:
    ink = Image.merge("CMYK", [Image.new("L", (5, 4), value) for value in (0, 255, 255, 0)])
    ink.save(tmp_path / "cmyk.jpg", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "cmyk.jpg")[0, 0].astype(int), [255, 0, 0], atol=3)
    Image.fromarray(np.array([[0, 0.5, 1, np.nan]], np.float32)).save(tmp_path / "float.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "float.tif")[0, :, 0], [0, 128, 255, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)

    read = read_image(tmp_path / "a.png")

    turns = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: np.rot90(np.fliplr(a))}
    turns |= {6: lambda a: np.rot90(a, 3), 7: lambda a: np.rot90(np.fliplr(a), 3), 8: np.rot90}
    np.testing.assert_array_equal(read, turns.get(orientation, lambda a: a)(RGB))


# ---- files that cannot be used ----


def cut(content: bytes, by: int = 30) -> bytes:
    return content[:-by]


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


BROKEN = {
    "empty": (b"", r"empty \(0 bytes\)"),
    "text": (b"this is no image", "not an image in a known format"),
    "png cut short": (cut(encoded(Image.fromarray(GREY), "PNG")), "broken or cut short"),
    "png header only": (encoded(Image.fromarray(GREY), "PNG")[:33], "broken or cut short|not an image"),
    "jpeg cut short": (cut(encoded(Image.fromarray(RGB), "JPEG"), 100), "broken or cut short"),
    "tiff cut short": (cut(encoded(Image.fromarray(GREY), "TIFF"), 20), "broken or cut short|not an image"),
    "bmp cut short": (cut(encoded(Image.fromarray(GREY), "BMP"), 20), "broken or cut short"),
    "webp cut short": (cut(encoded(Image.fromarray(RGB), "WEBP")), "broken or cut short|not an image"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_images_are_named(tmp_path: Path, kind: str, reader: str) -> None:
    content, message = BROKEN[kind]
    path = tmp_path / "ö broken.png"
    path.write_bytes(content)

    with pytest.raises(InvalidFile, match=message) as caught:
        READERS[reader](path)

    assert caught.value.path == path
    assert str(caught.value) == f"{path}: {caught.value.reason}"


@pytest.mark.parametrize("reader", READERS)
def test_missing_folder_or_pipe_instead_of_a_file(tmp_path: Path, reader: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for missing in (tmp_path / "none.png", tmp_path / "file" / "a.png"):
        with pytest.raises(InvalidFile, match=r"[Nn]o such file|Not a directory"):
            READERS[reader](missing)
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    for name in ("folder.png", "pipe.png"):
        with pytest.raises(InvalidFile, match="a folder or a device, not a file"):
            READERS[reader](tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
def test_files_that_may_not_be_read(tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_labels(path, GREY)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read all: let the system say no

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(InvalidFile, match="not readable: check its permissions"):
        READERS[reader](path)


@pytest.mark.filterwarnings("ignore")  # of Pillow, which tells what is wrong with a TIFF
@few
@given(st.data())
def test_corrupted_files_give_an_image_or_an_invalid_file(tmp_path: Path, data: st.DataObject) -> None:
    """Pillow raises a dozen types of exceptions; none may reach a loop over many files."""
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WEBP"]))
    content = bytearray(encoded(Image.fromarray(RGB), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a").write_bytes(content)

    for reader in (read_image, read_labels):
        with suppress(InvalidFile):
            reader(tmp_path / "a", max_pixels=10_000)


@pytest.mark.parametrize("reader", READERS)
def test_decompression_bombs_are_refused_before_they_are_decoded(
    tmp_path: Path, png: Callable[..., bytes], reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 20_000, 8, 0, bytes(20_001)))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda _: pytest.fail("decoded"))

    with pytest.raises(InvalidFile, match=rf"at most {MAX_PIXELS} pixels, found .*400000000 .*--max-pixels"):
        READERS[reader](path)


def test_pixel_limit_can_be_set_and_lifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_labels(tmp_path / "a.png", GREY)
    with pytest.raises(InvalidFile, match="at most 47 pixels, found 8 x 6 pixels"):
        read_labels(tmp_path / "a.png", max_pixels=47)
    read_labels(tmp_path / "a.png", max_pixels=48)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # as if 8 x 6 were too large for Pillow
    with pytest.raises(InvalidFile, match="--max-pixels"):
        read_labels(tmp_path / "a.png")
    read_labels(tmp_path / "a.png", max_pixels=MAX_PIXELS + 1)


def test_reading_leaves_the_limit_of_the_program_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12_345)
    write_labels(tmp_path / "a.png", GREY)
    read_labels(tmp_path / "a.png", MAX_PIXELS)
    assert Image.MAX_IMAGE_PIXELS == 12_345
