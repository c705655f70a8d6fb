"""Label files hold ids as they stand, and say how they were made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segmend.data.files import InvalidFile
from segmend.data.masks import note_in, read_labels, write_labels
from segmend.labels import InvalidInput, voc_colour

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


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
def test_narrow_pngs_hold_ids_not_shades(
    tmp_path: Path, png: Callable[..., bytes], bits: int, palette: bytes
) -> None:
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
    with pytest.raises(InvalidFile, match="transparent pixels"):
        read_labels(tmp_path / "see_through.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_colours_are_no_ids(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.png" if mode != "CMYK" else "a.tif")
    Image.new("RGB", (3, 2), (200, 0, 0)).convert(mode).save(path)
    with pytest.raises(InvalidFile, match=rf"{path.name}: expected class ids .* found the colours .*--palette"):
        read_labels(path)


@pytest.mark.parametrize(
    "labels", [np.zeros((0, 3), np.uint8), np.zeros((2, 2, 1), np.uint8), np.array([[-1]]), np.array([[65536]])]
)
def test_what_cannot_be_written_as_labels(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"a.png: (expected a label map|ids .* do not fit 16 bits)"):
        write_labels(tmp_path / "a.png", labels)
    assert list(tmp_path.iterdir()) == []
