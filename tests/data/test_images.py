"""Images of all kinds become 8-bit RGB, upright, or are refused with a reason; label files open likewise."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segmend.data import tiff
from segmend.data.dataset import open_dataset
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.images import (
    ImageSurvey,
    orientation_of,
    read_image,
    survey_images,
    unread_image,
    unread_images,
    write_image,
)
from segmend.data.masks import read_labels, write_labels
from segmend.data.pairs import open_pairs
from segmend.labels import InvalidInput
from segmend.pixels import ImageReading, scaled, turned

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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


# ---- near infrared, 12 bits in 16, floats ----

TAGGED = {"alpha": "unassalpha", "multiplied alpha": "assocalpha", "nothing": "unspecified"}
BANDS = np.random.default_rng(1).integers(2, 250, (6, 8, 5))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tagged_as", [*TAGGED, "grey"])
def test_near_infrared_is_no_transparency(tmp_path: Path, tagged_as: str, dtype: type) -> None:
    extra = [TAGGED[tagged_as]] if tagged_as in TAGGED else None
    values = BANDS[..., :4].astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, values, photometric="rgb" if extra else "minisblack", planarconfig="contig", extrasamples=extra
    )

    np.testing.assert_array_equal(read_image(path), values[..., :3])
    infrared = ImageReading(bands=(3, 0, 1))
    np.testing.assert_array_equal(read_image(path, reading=infrared), values[..., [3, 0, 1]])
    survey = survey_images([path])
    assert survey.findings[0] == "1 image with 4 bands: the first three are read (--bands)"
    assert survey_images([path], (3, 0, 1)).findings[0] == "bands 4, 1, 2 read as red, green and blue"


def test_bands_of_a_data_set_with_a_description(tmp_path: Path) -> None:
    path = tmp_path / "images" / "val" / "a.tif"
    path.parent.mkdir(parents=True)
    values = BANDS[..., :4].astype(np.uint8)
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=["unassalpha"])
    (tmp_path / "dataset.yaml").write_text("{name: a, classes: [b, c]}")
    for root in (tmp_path, path.parent):
        dataset = open_dataset(root, bands=(3, 0, 1))
        np.testing.assert_array_equal(dataset.image(dataset.records[0]), values[..., [3, 0, 1]])


def test_a_dark_infrared_band_is_read_as_in_the_rest_of_its_folder(tmp_path: Path) -> None:
    """Alone, a band of 0 and 255 looks like transparency."""
    dark = BANDS[..., :4].astype(np.uint8)
    dark[..., 3] = np.where(dark[..., 3] > 200, 255, 0)
    for name, values in {"a": BANDS[..., :4].astype(np.uint8), "b": dark}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    survey = survey_images(sorted(tmp_path.iterdir()))

    np.testing.assert_array_equal(read_image(tmp_path / "b.tif", reading=survey.reading), dark[..., :3])
    assert (read_image(tmp_path / "b.tif") == 0).any()


def test_transparency_of_a_folder_is_no_finding(tmp_path: Path) -> None:
    Image.fromarray(TRANSPARENT).save(tmp_path / "a.png")
    survey = survey_images([tmp_path / "a.png"])
    assert survey.reading == ImageReading(transparency=True)
    assert survey.findings == ()
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", reading=survey.reading), OVER_BLACK)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("bands", [2, 3, 4, 5])
def test_any_number_of_bands_in_any_layout(tmp_path: Path, bands: int, layout: str, dtype: type) -> None:
    path = tmp_path / "a.tif"
    stored = BANDS[..., :bands].astype(dtype)
    stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0)) if layout == "separate" else stored
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=layout, compression="deflate")
    expected = BANDS[..., :3] if bands > 2 else BANDS[..., [0, 0, 0]]
    np.testing.assert_array_equal(read_image(path), expected)
    if bands == 5:
        assert survey_images([path]).findings[0] == "1 image with 5 bands: the first three are read (--bands)"
        np.testing.assert_array_equal(
            read_image(path, reading=ImageReading(bands=(4, 3, 0))), BANDS[..., [4, 3, 0]]
        )
        with pytest.raises(InvalidFile, match=r"a\.tif: band 6 was asked for, found 5 bands"):
            read_image(path, reading=ImageReading(bands=(5, 0, 1)))


def test_bands_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, BANDS.astype(np.uint16), photometric="minisblack", planarconfig="contig")
    content = bytearray(path.read_bytes())
    entry = content.index(struct.pack("<HHI", 259, 3, 1))  # the compression
    content[entry + 8 : entry + 10] = struct.pack("<H", 34_892)  # one that nobody has
    path.write_bytes(content)
    found = (
        r"a\.tif: a TIFF with 5 bands of 16 bits, which cannot be decoded \(.*\): write three bands \(for example"
    )
    with pytest.raises(InvalidFile, match=found):
        read_image(path)
    tifffile.imwrite(path, BANDS.astype(np.float16), photometric="minisblack", planarconfig="separate")
    assert str(tiff.pages(path)[0]) == "a TIFF with 6 bands of 16 bits (floats), stored band by band"


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint32, np.int64])
def test_grey_of_any_type(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", BANDS[..., 0].astype(dtype))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), BANDS[..., [0, 0, 0]])


def deep(path: Path, values: np.ndarray) -> None:
    """Write ``uint16 [H, W]`` or ``[H, W, 3]``; Pillow writes no colours of 16 bits."""
    assert cv2.imwrite(str(path), values if values.ndim == 2 else values[..., ::-1])


@pytest.mark.parametrize("name", ["grey.tif", "grey.png", "colour.png", "colour.tif", "colour.ppm"])
def test_twelve_bits_in_sixteen(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(2).integers(0, 3921, (6, 8, 3) if "colour" in name else (6, 8), np.uint16)
    values[0, 0] = 3920
    dim = values // 8
    deep(tmp_path / name, values)
    deep(tmp_path / f"dim_{name}", dim)

    def by_hand(values: np.ndarray, white: int) -> np.ndarray:
        grey = np.array([round(int(v) * 255 / white) for v in values.ravel()]).reshape(values.shape)
        return grey if grey.ndim == 3 else np.dstack([grey] * 3)

    survey = survey_images(sorted(tmp_path.iterdir()))
    assert survey.findings == ("values up to 3920 of 65535: read as 12 bits",)
    for path, expected in ((tmp_path / name, values), (tmp_path / f"dim_{name}", dim)):
        np.testing.assert_array_equal(read_image(path, reading=survey.reading), by_hand(expected, 4095))
    np.testing.assert_array_equal(read_image(tmp_path / f"dim_{name}"), by_hand(dim, 511))  # alone


def test_all_sixteen_bits_need_no_word_and_no_more_decoding(tmp_path: Path) -> None:
    for index in range(40):
        deep(tmp_path / f"{index:02d}.png", np.full((3, 4), 60_000, np.uint16))
    survey = survey_images(sorted(tmp_path.iterdir()))
    assert survey.reading.integers == (0, 65535)
    assert survey.findings == ()


def test_floats_and_negative_values_go_by_the_folder(tmp_path: Path) -> None:
    heights = np.array([[0, 500, 1000]], np.float32)
    for name, values in {"a": heights, "b": heights / 4}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", values)
    survey = survey_images(sorted(tmp_path.iterdir()))
    assert survey.findings == ("floats up to 1000: 1023 is white",)
    assert read_image(tmp_path / "b.tif", reading=survey.reading)[0, :, 0].tolist() == [0, 31, 62]
    (tmp_path / "signed").mkdir()
    path = tmp_path / "signed" / "a.tif"
    tifffile.imwrite(path, np.array([[-1000, 0, 1000]], np.int16))
    assert survey_images([path]).findings == (
        "values from -1000 to 1000: the lowest is black, the highest is white",
    )
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


def test_colours_in_floats(tmp_path: Path) -> None:
    colours = np.random.default_rng(3).random((6, 8, 3)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.rint(colours * 255).astype(np.uint8))


def test_pixels_without_data_are_black_and_do_not_widen_the_range(tmp_path: Path) -> None:
    """As GDAL writes them: floats of -9999, or 65535 where values have 12 bits."""
    for name, values, no_data in (
        ("f", np.array([[0.25, 1, -9999]], np.float32), "-9999"),
        ("i", np.array([[1024, 4095, 65535]], np.uint16), "65535"),
    ):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, values, extratags=[(42113, "s", 0, no_data, True)])
        assert read_image(path)[0, :, 0].tolist() == [64, 255, 0]


def test_grey_values_of_which_the_smallest_are_white(tmp_path: Path) -> None:
    for dtype, white in ((np.uint8, 255), (np.uint16, 4095)):
        path = tmp_path / f"{white}.tif"
        tifffile.imwrite(path, np.array([[0, white]], dtype), photometric="miniswhite")
        assert read_image(path)[0, :, 0].tolist() == [255, 0]


# ---- orientation of a folder ----


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def test_turned_images_of_a_folder_are_counted(tmp_path: Path) -> None:
    for orientation in (1, 3, 6):
        for suffix in ("jpg", "png", "tif", "webp"):
            Image.fromarray(RGB).save(tmp_path / f"{orientation}.{suffix}", exif=exif(orientation))
    Image.fromarray(RGB).save(tmp_path / "none.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no image")

    survey = survey_images(sorted(tmp_path.iterdir()))

    assert survey.findings == ("8 images turned by their EXIF orientation",)
    assert survey.turned == {p: int(p.stem) for p in sorted(tmp_path.iterdir()) if p.stem in ("3", "6")}
    assert orientation_of(tmp_path / "6.tif") == 6
    assert orientation_of(tmp_path / "none.jpg") == orientation_of(tmp_path / "broken.jpg") == 1


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(RGB), "PNG", exif=exif(6))
    start, end = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    moved = content[:start] + content[end : content.index(b"IEND") - 4] + content[start:end]
    (tmp_path / "a.png").write_bytes(moved + content[content.index(b"IEND") - 4 :])
    assert orientation_of(tmp_path / "a.png") == 6
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("orientation", [2, 3, 5, 6])
def test_bands_beyond_pillow_are_turned_too(tmp_path: Path, dtype: type, orientation: int) -> None:
    path = tmp_path / "a.tif"
    values = (BANDS[..., :4] * (1 if dtype is np.uint8 else 4)).astype(dtype)
    tifffile.imwrite(
        path,
        values,
        photometric="rgb",
        extrasamples=["unspecified"],
        extratags=[(274, "H", 1, orientation, True)],
    )
    upright = turned(
        np.moveaxis(scaled(values[..., :3], (0, 1023)) if dtype is not np.uint8 else values[..., :3], -1, 0),
        orientation,
    )
    np.testing.assert_array_equal(read_image(path), np.moveaxis(upright, 0, -1))


def test_deep_colours_of_png_are_turned_too(tmp_path: Path) -> None:
    deep(tmp_path / "a.png", RGB.astype(np.uint16) * 257)
    content = (tmp_path / "a.png").read_bytes()
    upright = encoded(Image.fromarray(RGB), "PNG", exif=exif(6))
    chunk = upright[upright.index(b"eXIf") - 4 : upright.index(b"IDAT") - 4]
    at = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:at] + chunk + content[at:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, 3))


def test_only_headers_of_usual_images_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in ("jpg", "png", "tif", "webp", "bmp", "ppm"):
        Image.fromarray(RGB).save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    assert survey_images(sorted(tmp_path.iterdir())) == ImageSurvey()


# ---- pages and other kinds ----


def test_several_pages_or_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(RGB, 20 * i, 0)) for i in range(3)]
    for suffix, found in {
        "tif": "3 pages",
        "png": "an animation of 3 frames",
        "webp": "an animation of 3 frames",
    }.items():
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        for reader in READERS.values():
            with pytest.raises(InvalidFile, match=f"expected one image, found {found}: write each"):
                reader(path)
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, np.zeros((2, 6, 8, 3), np.uint16), photometric="rgb")
    with pytest.raises(InvalidFile, match="found 2 pages"):
        read_image(deep)


def test_overviews_and_previews_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "overviews.tif") as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
    Image.fromarray(RGB).save(
        tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[Image.fromarray(RGB[::2])]
    )
    with Image.open(tmp_path / "phone.jpg") as image:
        assert image.n_frames == 2
    np.testing.assert_array_equal(read_image(tmp_path / "overviews.tif"), RGB)
    assert read_image(tmp_path / "phone.jpg").shape == RGB.shape


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "p0.heic",
            "p0.heic is HEIC, which is not read: convert it to PNG or JPEG (for example: magick p0.heic p0.png)",
        ),
        (
            "p0.CR2",
            "p0.CR2 is camera raw, which is not read: convert it to PNG or JPEG (for example: dcraw -T p0.CR2)",
        ),
        ("a.mp4", "a.mp4 is a video: write its frames as images (for example: ffmpeg -i a.mp4 a_%06d.png)"),
        ("a.zip", "a.zip is an archive: unpack it, and give the folder of its images"),
        ("a.npy", "a.npy is an array of NumPy, which is not read: write it as PNG"),
        ("a.xyz", "a.xyz is a .xyz file, which is not read: convert it to PNG or JPEG"),
        ("a", "a is a file without a suffix, which is not read: name its format, as in a.png"),
    ],
)
def test_files_of_other_kinds_are_named(name: str, message: str) -> None:
    assert unread_image(Path(name)) == message


def test_a_map_whose_image_is_of_another_kind_says_so(tmp_path: Path) -> None:
    for name in ("p0", "p1"):
        write_labels(tmp_path / "masks" / f"{name}.png", np.arange(12, dtype=np.uint8).reshape(3, 4) % 3)
    write_image(tmp_path / "images" / "p1.png", RGB[:3, :4])
    (tmp_path / "images" / "p0.heic").write_bytes(b"x")
    [unpaired] = open_pairs(tmp_path / "images", tmp_path / "masks").unpaired
    assert unpaired.path == tmp_path / "masks" / "p0.png"
    assert re.search(
        r"no image of this ID in .*images: p0.heic is HEIC, which is not read: convert", unpaired.reason
    )
    assert unread_images(tmp_path / "images") == {"p0": tmp_path / "images" / "p0.heic"}


# ---- files that cannot be used ----


def cut(content: bytes, by: int = 30) -> bytes:
    return content[:-by]


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
