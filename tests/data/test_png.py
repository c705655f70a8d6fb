"""Other ids in PNG files, all else as it was: read back by Pillow, and chunk by chunk."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segmend.data.files import InvalidFile
from segmend.data.masks import read_mask, write_labels
from segmend.data.png import with_ids


def _grey(path, bits, ids):
    """A PNG file of grey values with few bits, which Pillow cannot write."""
    rows = np.pad(
        np.packbits(
            ((ids[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(len(ids), -1).astype(np.uint8), axis=1
        ),
        ((0, 0), (1, 0)),
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )


def _write(path, kind, ids):
    image = Image.fromarray(ids.astype(np.uint8))
    about = PngInfo()
    about.add_text("Comment", "drawn by hand")
    about.add_text("Software", "an editor")
    if kind.startswith("palette"):
        image.putpalette([value for i in range(ids.max() + 1) for value in (i, 50 + i, 255 - i)])
        image.save(path, bits=int(kind.removeprefix("palette ")), pnginfo=about, transparency=0, dpi=(72, 72))
    elif kind.startswith("grey"):
        bits = int(kind.removeprefix("grey "))
        if bits == 16:
            Image.fromarray(ids.astype(np.uint16)).save(path, pnginfo=about)
        elif bits == 8:
            image.save(path, pnginfo=about)
        else:
            _grey(path, bits, ids)
    else:
        image.convert("L").convert(kind).save(path, pnginfo=about)


def _depth(content):
    return content[24], content[25]


@pytest.mark.parametrize(
    "kind",
    [
        "palette 1",
        "palette 2",
        "palette 4",
        "palette 8",
        "grey 1",
        "grey 2",
        "grey 4",
        "grey 8",
        "grey 16",
        "RGB",
        "RGBA",
        "LA",
    ],
)
def test_other_ids_are_read_back_and_all_else_stays(tmp_path, kind):
    rng = np.random.default_rng(0)
    most = 2 if kind[-2:] == " 1" else 4
    before, after = rng.integers(0, most, (2, 13, 21))
    path = tmp_path / "mask.png"
    _write(path, kind, before)
    old = read_mask(path)
    assert np.array_equal(old.ids, before)
    content = with_ids(path, after, ("Software", "segmend: reviewed"))
    again = tmp_path / "again.png"
    again.write_bytes(content)
    new = read_mask(again)
    assert np.array_equal(new.ids, after)
    assert new.palette == old.palette
    assert _depth(content) == _depth(path.read_bytes())
    with Image.open(path) as first, Image.open(io.BytesIO(content)) as second:
        assert second.mode == first.mode
        assert second.info == {**first.info, "Software": "segmend: reviewed"}


def test_bits_and_palette_grow_where_an_id_needs_it(tmp_path):
    path, again = tmp_path / "mask.png", tmp_path / "again.png"
    _write(path, "palette 2", np.array([[0, 1, 3]]))
    again.write_bytes(with_ids(path, np.array([[0, 20, 3]])))
    with Image.open(again) as image:
        assert np.asarray(image).tolist() == [[0, 20, 3]]
        assert image.getpalette()[:12] == [0, 50, 255, 1, 51, 254, 2, 52, 253, 3, 53, 252]
        assert image.getpalette()[60:63] == [0, 64, 128]  # VOC's colour of 20
    _write(path, "grey 4", np.array([[0, 1, 15]]))
    again.write_bytes(with_ids(path, np.array([[0, 255, 15]])))
    assert read_mask(again).ids.tolist() == [[0, 255, 15]]
    _write(path, "grey 8", np.array([[0, 1, 15]]))
    again.write_bytes(with_ids(path, np.array([[0, 256, 15]])))
    assert read_mask(again).ids.tolist() == [[0, 256, 15]]


def test_an_interlaced_file_becomes_a_plain_one_of_the_same_pixels(tmp_path):
    path = tmp_path / "mask.png"
    write_labels(path, np.arange(12, dtype=np.uint8).reshape(3, 4))
    content = bytearray(path.read_bytes())
    content[28] = 1  # says that it is interlaced; the pixels are not looked at
    path.write_bytes(bytes(content))
    again = tmp_path / "again.png"
    again.write_bytes(with_ids(path, np.full((3, 4), 7)))
    assert read_mask(again).ids.tolist() == [[7] * 4] * 3


@pytest.mark.parametrize(
    ("kind", "ids", "message"),
    [
        ("grey 8", np.zeros((2, 2), int), "expected 2 x 2 pixels, found 3 x 1"),
        ("grey 8", np.full((1, 3), -1), r"fit 0\.\.65535, found -1"),
        ("palette 8", np.full((1, 3), 256), r"fit 0\.\.255, found 256"),
        ("RGB", np.full((1, 3), 999), r"fit 0\.\.255"),
    ],
)
def test_ids_that_do_not_fit_are_refused(tmp_path, kind, ids, message):
    _write(tmp_path / "mask.png", kind, np.array([[0, 1, 2]]))
    with pytest.raises(InvalidFile, match=message):
        with_ids(tmp_path / "mask.png", ids)


def test_other_files_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "mask.png", "BMP")
    with pytest.raises(InvalidFile, match="expected a PNG file"):
        with_ids(tmp_path / "mask.png", np.zeros((2, 2), np.uint8))
