"""Files are read as they stand or refused with a reason, and written whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segmend.data.files import (
    MAX_PIXELS,
    InvalidFile,
    atomic_copy,
    atomic_write,
    find_files,
    read_json,
    write_json,
)
from segmend.data.images import IMAGE_SUFFIXES, read_image, write_image
from segmend.data.masks import note_in, read_labels, write_labels
from segmend.data.probabilities import read_probabilities, write_arrays, write_probabilities
from segmend.labels import InvalidInput, one_hot, voc_colour

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
READERS: dict[str, Callable[..., object]] = {"image": read_image, "labels": read_labels}
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes, palette: bytes = b"") -> bytes:
    """A PNG file, made by hand: what Pillow would not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    colours = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + header + colours + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# ---- label maps ----


@few
@given(
    array=st.one_of(
        arrays.arrays(np.uint8, shapes),
        arrays.arrays(np.int32, shapes, elements=st.integers(0, 65535)),
        arrays.arrays(np.int64, shapes, elements=st.integers(0, 65535)),
        arrays.arrays(bool, shapes),
    ),
    colours=st.one_of(st.none(), st.integers(1, 256)),
)
def test_label_maps_come_back_as_they_were(tmp_path: Path, array: np.ndarray, colours: int | None) -> None:
    """Of any number of colours: with 16 or fewer, Pillow left alone would cut ids to 4 bits or less."""
    palette = None if colours is None else tuple((i, 255 - i, 7) for i in range(colours))

    write_labels(tmp_path / "a.png", array, palette)
    read, found = read_labels(tmp_path / "a.png")

    np.testing.assert_array_equal(read, array)
    narrow = array.dtype in (np.uint8, bool)
    assert read.dtype == (np.uint8 if narrow else np.int32)
    if palette is None or not narrow:
        assert found is None
    else:
        assert found == palette + tuple(voc_colour(i) for i in range(len(palette), 256))


def test_a_label_file_says_how_it_was_made(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_labels(tmp_path / "a.png", labels, note="refiner 1f, tile=64")
    write_labels(tmp_path / "b.png", labels)
    assert note_in(tmp_path / "a.png") == "refiner 1f, tile=64"
    assert np.array_equal(read_labels(tmp_path / "a.png")[0], labels)
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    assert [note_in(tmp_path / name) for name in ("b.png", "broken.png", "none.png")] == ["", "", ""]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [b"", bytes(range(6))])
def test_narrow_pngs_hold_ids_not_shades(tmp_path: Path, bits: int, palette: bytes) -> None:
    ids = np.array([[0, 1, 1, 0]] if palette else [[2**bits - 1, 1, 0, 2 ** (bits - 1)]], np.uint8)
    row = sum(int(v) << bits * (3 - i) for i, v in enumerate(ids[0])) << -bits * 4 % 8
    rows = b"\0" + row.to_bytes((bits * 4 + 7) // 8, "big")
    (tmp_path / "a.png").write_bytes(png(4, 1, bits, 3 if palette else 0, rows, palette))

    read, found = read_labels(tmp_path / "a.png")

    np.testing.assert_array_equal(read, ids)
    assert read.dtype == np.uint8
    assert (found is not None) == bool(palette)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_labels_in_other_formats(tmp_path: Path, suffix: str) -> None:
    ids = np.array([[0, 3, 255]], np.uint8)
    Image.fromarray(ids).save(tmp_path / f"grey{suffix}")
    np.testing.assert_array_equal(read_labels(tmp_path / f"grey{suffix}")[0], ids)
    Image.fromarray(ids > 0).save(tmp_path / f"binary{suffix}")
    read, _ = read_labels(tmp_path / f"binary{suffix}")
    np.testing.assert_array_equal(read, ids > 0)
    assert read.dtype == np.uint8
    palette = Image.fromarray(ids)
    palette.putpalette([value for i in range(256) for value in voc_colour(i)])
    palette.save(tmp_path / f"palette{suffix}")
    read, colours = read_labels(tmp_path / f"palette{suffix}")
    np.testing.assert_array_equal(read, ids)
    assert colours
    assert colours[3] == voc_colour(3)
    if suffix != ".bmp":
        wide = np.array([[0, 256, 65535]], np.uint16)
        Image.fromarray(wide).save(tmp_path / f"wide{suffix}")
        read, _ = read_labels(tmp_path / f"wide{suffix}")
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, wide)


def test_transparency_does_not_touch_ids(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 200]], np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette([value for i in range(256) for value in voc_colour(i)])
    palette.save(tmp_path / "palette.png", transparency=0)
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png")[0], ids)
    Image.merge("LA", [Image.fromarray(ids), Image.new("L", (3, 1), 255)]).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "opaque.png")[0], ids)
    Image.merge("LA", [Image.fromarray(ids), Image.new("L", (3, 1), 9)]).save(tmp_path / "see_through.png")
    with pytest.raises(InvalidFile, match="found a LA image"):
        read_labels(tmp_path / "see_through.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_colours_are_no_ids(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.png" if mode != "CMYK" else "a.tif")
    Image.new(mode, (3, 2)).save(path)
    with pytest.raises(InvalidFile, match=rf"{path.name}: expected class ids .* found a {mode} image: convert"):
        read_labels(path)


@pytest.mark.parametrize(
    "labels", [np.zeros((0, 3), np.uint8), np.zeros((2, 2, 1), np.uint8), np.array([[-1]]), np.array([[65536]])]
)
def test_what_cannot_be_written_as_labels(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"a.png: (expected a label map|ids .* do not fit 16 bits)"):
        write_labels(tmp_path / "a.png", labels)
    assert list(tmp_path.iterdir()) == []


# ---- images ----


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


@pytest.mark.parametrize("reader", [*READERS.values(), read_probabilities])
def test_missing_folder_or_pipe_instead_of_a_file(tmp_path: Path, reader: Callable[..., object]) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for missing in (tmp_path / "none.png", tmp_path / "file" / "a.png"):
        with pytest.raises(InvalidFile, match=r"[Nn]o such file|Not a directory"):
            reader(missing)
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    for name in ("folder.png", "pipe.png"):
        with pytest.raises(InvalidFile, match="a folder or a device, not a file"):
            reader(tmp_path / name)


@pytest.mark.parametrize("reader", [*READERS.values(), read_probabilities])
def test_files_that_may_not_be_read(
    tmp_path: Path, reader: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write_labels(path, GREY)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read all: let the system say no

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Image, "open", refuse)
        monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(InvalidFile, match="not readable: check its permissions"):
        reader(path)


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
    tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch
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


# ---- probability maps ----


@few
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 9), *[st.integers(1, 6)] * 2), elements=st.floats(0, 1, width=32)
    ),
    st.booleans(),
)
def test_probabilities_come_back_within_their_precision(tmp_path: Path, raw: np.ndarray, quantised: bool) -> None:
    probabilities = (raw + 1e-3) / (raw + 1e-3).sum(axis=0)

    write_probabilities(tmp_path / "a.npz", probabilities, quantised)
    read = read_probabilities(tmp_path / "a.npz")

    assert read.dtype == np.float32
    np.testing.assert_allclose(read.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(read, probabilities, atol=0.02 if quantised else 1e-3)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["p"].dtype == (np.uint8 if quantised else np.float16)


def test_quantising_does_not_wrap_and_needs_few_classes(tmp_path: Path) -> None:
    almost = np.array([[[1.004]], [[-0.004]]], np.float32)  # what rounding leaves of 1 and 0
    write_probabilities(tmp_path / "a.npz", almost, quantised=True)
    np.testing.assert_array_equal(read_probabilities(tmp_path / "a.npz"), [[[1]], [[0]]])
    with pytest.raises(InvalidInput, match="too few for 600 classes"):
        write_probabilities(tmp_path / "b.npz", np.full((600, 1, 1), 1 / 600), quantised=True)


def test_uniform_half_floats_of_many_classes_sum_to_one(tmp_path: Path) -> None:
    import torch

    void = one_hot(torch.full((3, 4), 65535, dtype=torch.int32), 300).numpy()
    write_probabilities(tmp_path / "a.npz", void)
    np.testing.assert_allclose(read_probabilities(tmp_path / "a.npz").sum(axis=0), 1, atol=1e-6)


BAD_MAPS = {
    "sum": ({"p": np.full((2, 3, 3), 0.4, np.float16)}, "sum to 1 within 0.004"),
    "sum of floats": ({"p": np.full((2, 3, 3), 0.499, np.float32)}, "sum to 1 within 0.001"),
    "nan": ({"p": np.full((2, 3, 3), np.nan, np.float16)}, "NaN or infinite"),
    "logits": ({"p": np.stack([np.full((3, 3), 4.0), np.full((3, 3), -3.0)])}, "at least 0, found -3"),
    "black": ({"p": np.zeros((2, 3, 3), np.uint8)}, "sum to 1"),
    "other key": ({"probs": np.zeros((2, 3, 3))}, r"under the key 'p', found \['probs'\]"),
    "labels": ({"p": np.zeros((3, 3), np.uint8)}, r"expected \[C, H, W\] .* found uint8 \[3, 3\]"),
    "a number": ({"p": np.array(1.0)}, r"found float64 \[\]"),
    "integers": ({"p": np.zeros((2, 3, 3), np.int64)}, "found int64"),
    "objects": ({"p": np.array([None, "x"], object)}, "allow_pickle=False"),
    "nothing": ({"p": np.zeros((0, 3, 3), np.float32)}, r"found shape \(0, 3, 3\)"),
}


@pytest.mark.parametrize("kind", BAD_MAPS)
def test_what_is_no_probability_map(tmp_path: Path, kind: str) -> None:
    held, message = BAD_MAPS[kind]
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(InvalidFile, match=rf"a\.npz: .*{message}"):
        read_probabilities(tmp_path / "a.npz")


class Attack:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    attack = np.array([Attack(tmp_path / "harm")], object)
    np.savez(tmp_path / "a.npz", p=attack)
    np.save(tmp_path / "b.npy", attack, allow_pickle=True)
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(attack.dumps())

    for name in "abc":
        with pytest.raises(InvalidFile, match="pickle"):
            read_probabilities(tmp_path / f"{name}.npz")
    assert not (tmp_path / "harm").exists()


def test_broken_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_probabilities(path, np.full((2, 30, 30), 0.5))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InvalidFile, match=r"not a readable \.npz file"):
        read_probabilities(path)
    path.write_bytes(whole[:500] + b"x" + whole[501:])
    with pytest.raises(InvalidFile, match="CRC"):
        read_probabilities(path)
    path.write_bytes(b"")
    with pytest.raises(InvalidFile, match="empty"):
        read_probabilities(path)
    np.save(tmp_path / "b.npy", np.zeros((2, 3, 3)))
    (tmp_path / "b.npy").rename(path)
    with pytest.raises(InvalidFile, match="found a lone array"):
        read_probabilities(path)


def test_large_arrays_are_refused_by_their_header(tmp_path: Path) -> None:
    """A small file may claim, and deflate, any size: 9 TB here."""
    header = io.BytesIO()
    claim = {"descr": "<f2", "fortran_order": False, "shape": (50, 300_000, 300_000)}
    np.lib.format.write_array_header_1_0(header, claim)  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("p.npy", header.getvalue())

    with pytest.raises(InvalidFile, match=r"found an array of shape \[50, 300000, 300000\].*--max-pixels"):
        read_probabilities(tmp_path / "a.npz")
    write_probabilities(tmp_path / "b.npz", np.ones((1, 5, 5)))
    with pytest.raises(InvalidFile, match="at most 24 pixels"):
        read_probabilities(tmp_path / "b.npz", max_pixels=24)


# ---- writing ----

WRITERS: dict[str, Callable[[Path], None]] = {
    "a.png": lambda p: write_labels(p, GREY),
    "a.jpg": lambda p: write_image(p, RGB),
    "a.npz": lambda p: write_arrays(p, x=RGB),
    "a.json": lambda p: write_json(p, {"a": 1}),
    "a.bin": lambda p: atomic_write(p, b"content"),
    "copy": lambda p: atomic_copy(__file__, p),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writers_make_folders_and_follow_the_umask(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ä b" / "c" / name
    old = os.umask(0o027)
    try:
        WRITERS[name](path)
    finally:
        os.umask(old)

    assert [p.name for p in path.parent.iterdir()] == [name]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_full_disk_and_interruption_leave_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, existed: bool, error: BaseException
) -> None:
    path = tmp_path / name
    if existed:
        path.write_bytes(b"old")
    usual = Path.open

    class Full(io.FileIO):
        def write(self, content: object) -> int:
            super().write(bytes(content)[:3])  # type: ignore[call-overload]
            raise error

    def open_(self: Path, mode: str) -> object:
        return Full(self, "x") if mode == "xb" else usual(self, mode)

    monkeypatch.setattr(Path, "open", open_)

    with pytest.raises(type(error)):
        WRITERS[name](path)

    assert [p.name for p in tmp_path.iterdir()] == ([name] if existed else [])
    if existed:
        assert path.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_when_the_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is buffered fails late: the final name must not exist even then."""
    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: usual(Path("/dev/full"), "wb"))
    with pytest.raises(OSError, match="No space left"):
        atomic_write(tmp_path / "a", b"content")
    assert list(tmp_path.iterdir()) == []


def test_long_and_odd_names(tmp_path: Path) -> None:
    for name in (
        "長" * 83 + ".png",
        "a" * 251 + ".png",
        " leading and trailing ",
        "quote'\"; rm",
        os.fsdecode(b"\xff.png"),
    ):
        atomic_write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    write_json(tmp_path / "names.json", [os.fsdecode(b"\xff.png"), "é"])
    assert json.loads((tmp_path / "names.json").read_text(encoding="utf-8")) == [os.fsdecode(b"\xff.png"), "é"]
    assert read_json(tmp_path / "names.json") == [os.fsdecode(b"\xff.png"), "é"]


def test_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    for content in (b"{", b"\xff"):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(InvalidFile, match=r"broken\.json: not readable as JSON"):
            read_json(tmp_path / "broken.json")
    with pytest.raises(InvalidFile, match="not readable as JSON"):
        read_json(tmp_path)


# ---- finding ----


def test_ids_are_paths_without_the_suffix(tmp_path: Path) -> None:
    names = ["b.png", "sequence 1/frame.0002.PNG", "sequence 1/frame.0001.png", "ünï/é à.jpeg", "folder.png/x.png"]
    ignored = [".hidden.png", ".cache/x.png", "notes.txt", "__MACOSX/._b.png"]
    for name in names + ignored:
        atomic_write(tmp_path / name, b"x")

    found = find_files(tmp_path, IMAGE_SUFFIXES)

    assert list(found) == ["b", "folder.png/x", "sequence 1/frame.0001", "sequence 1/frame.0002", "ünï/é à"]
    assert found["sequence 1/frame.0002"] == tmp_path / "sequence 1" / "frame.0002.PNG"
    assert find_files(str(tmp_path), (".npz",)) == {}


def test_the_same_id_twice(tmp_path: Path) -> None:
    atomic_write(tmp_path / "s" / "a.jpg", b"x")
    atomic_write(tmp_path / "s" / "a.png", b"x")
    with pytest.raises(InvalidFile, match=r"a\.png: the same ID as a\.jpg: keep one"):
        find_files(tmp_path, IMAGE_SUFFIXES)
    assert list(find_files(tmp_path, (".png",))) == ["s/a"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    atomic_write(tmp_path / "data" / "real" / "a.png", b"x")
    (tmp_path / "data" / "other").symlink_to(tmp_path / "data" / "real")
    (tmp_path / "data" / "real" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "self").symlink_to(tmp_path / "data" / "self")
    (tmp_path / "data" / "gone.png").symlink_to(tmp_path / "nowhere.png")

    found = find_files(tmp_path / "data", IMAGE_SUFFIXES)

    assert list(found) == ["gone", "other/a", "real/a"]
    with pytest.raises(InvalidFile, match="no such file"):  # listed, so that somebody learns of it
        read_image(found["gone"])


def test_folders_that_cannot_be_read_are_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidFile, match="no such folder"):
        find_files(tmp_path / "none", IMAGE_SUFFIXES)
    atomic_write(tmp_path / "a.png", b"x")
    with pytest.raises(InvalidFile, match="no such folder"):
        find_files(tmp_path / "a.png", IMAGE_SUFFIXES)
    atomic_write(tmp_path / "closed" / "b.png", b"x")
    scan = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read all
    with pytest.raises(InvalidFile, match=r"closed: a folder that cannot be read \(Permission denied\)"):
        find_files(tmp_path, IMAGE_SUFFIXES)
