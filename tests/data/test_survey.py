"""Folders of masks, looked at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmend.data.dataset import open_dataset, open_masks
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.masks import read_mask, write_labels
from segmend.data.palette import read_palette

RED, GREEN, BLACK = (200, 0, 0), (0, 200, 0), (0, 0, 0)
SHAPE = np.kron(np.array([[0, 1], [0, 2]], np.uint8), np.ones((8, 8), np.uint8))


def with_palette(path: Path, labels: np.ndarray, order: list[tuple[int, int, int]]) -> None:
    """A mask of the colours black, red and green for 0, 1 and 2, with a palette in another order."""
    colours = [BLACK, RED, GREEN]
    index = np.array([order.index(colour) for colour in colours], np.uint8)
    image = Image.fromarray(index[labels])
    image.putpalette([value for colour in order for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_palettes_in_another_order_are_read_by_their_colours(tmp_path):
    with_palette(tmp_path / "a.png", SHAPE, [BLACK, RED, GREEN])
    with_palette(tmp_path / "b.png", SHAPE, [GREEN, BLACK, RED])
    masks = open_masks(tmp_path)
    assert len(masks.classes) == 3
    for record in masks:
        np.testing.assert_array_equal(masks.labels(record), SHAPE)
    assert any("palettes differ" in line for line in masks.findings)


def test_palettes_that_nothing_explains_are_refused(tmp_path):
    with_palette(tmp_path / "a.png", SHAPE, [BLACK, RED, GREEN])
    image = Image.fromarray(SHAPE)
    image.putpalette([0, 0, 0, 9, 9, 9, 0, 200, 0])
    image.save(tmp_path / "b.png")
    with pytest.raises(InvalidFile, match=r"id 1 is \(200, 0, 0\) in a\.png and \(9, 9, 9\) in b\.png.*--palette"):
        open_masks(tmp_path)


def test_palettes_that_agree_on_what_is_used_are_read_by_ids(tmp_path):
    few = Image.fromarray(np.minimum(SHAPE, 1))
    few.putpalette([*BLACK, *RED, 7, 7, 7])
    few.save(tmp_path / "a.png")
    with_palette(tmp_path / "b.png", SHAPE, [BLACK, RED, GREEN])
    assert not any("palettes differ" in line for line in open_masks(tmp_path).findings)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_painted_masks_are_read_by_a_palette_and_else_refused(tmp_path, mode):
    colours = np.array([BLACK, RED, GREEN], np.uint8)[SHAPE]
    (tmp_path / "masks").mkdir()
    Image.fromarray(colours).convert(mode).save(tmp_path / "masks" / "a.png")
    (tmp_path / "p.txt").write_text(
        "\ufeff# label:colour\nground: 0,0,0\ncar 200 0 0\n0 200 0 tree\nvoid: 9,9,9\n"
    )
    masks = open_masks(tmp_path / "masks", palette=tmp_path / "p.txt")
    assert masks.classes.names == ("ground", "car", "tree")
    np.testing.assert_array_equal(masks.labels(masks.records[0]), SHAPE)
    plain = open_masks(tmp_path / "masks")
    with pytest.raises(InvalidFile, match=r"a\.png: .*colours \(0, 0, 0\), .*\(200, 0, 0\).*--palette"):
        plain.labels(plain.records[0])


def test_a_colour_that_the_palette_lacks_is_named(tmp_path):
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.array([BLACK, RED, GREEN], np.uint8)[SHAPE]).save(tmp_path / "masks" / "a.png")
    (tmp_path / "p.txt").write_text("ground:0,0,0::\ncar:200,0,0::\n")
    masks = open_masks(tmp_path / "masks", palette=tmp_path / "p.txt")
    with pytest.raises(InvalidFile, match=r"found the colours \(0, 200, 0\) on 64 pixels"):
        masks.labels(masks.records[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "found none"), ("car: 1,2", "line 1: expected `name: r,g,b`"), ("a: 1,1,1\nb: 1,1,1", "one colour"),
     ("car: 1,2,300", "line 1")],
)  # fmt: skip
def test_palettes_that_cannot_be_read(tmp_path, text, words):
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InvalidFile, match=words):
        read_palette(tmp_path / "p.txt")


def test_numbers_in_any_type_are_ids(tmp_path):
    import tifffile

    Image.fromarray(np.repeat(SHAPE[..., None], 3, axis=2)).save(tmp_path / "grey.png")
    Image.fromarray(SHAPE.astype(np.float32)).save(tmp_path / "float.tif")
    tifffile.imwrite(tmp_path / "int64.tif", SHAPE.astype(np.int64))
    tifffile.imwrite(tmp_path / "float64.tif", SHAPE.astype(np.float64))
    tifffile.imwrite(tmp_path / "bool.tif", SHAPE > 0)
    tifffile.imwrite(tmp_path / "white.tif", SHAPE, photometric="miniswhite")
    for name in ("grey.png", "float.tif", "int64.tif", "float64.tif", "white.tif"):
        np.testing.assert_array_equal(read_mask(tmp_path / name).ids, SHAPE, err_msg=name)
    np.testing.assert_array_equal(read_mask(tmp_path / "bool.tif").ids, SHAPE > 0)


def test_what_is_no_mask_is_refused(tmp_path):
    import tifffile

    Image.fromarray((SHAPE / 2).astype(np.float32)).save(tmp_path / "half.tif")
    with pytest.raises(InvalidFile, match="not whole"):
        read_mask(tmp_path / "half.tif")
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([SHAPE, SHAPE]))
    with pytest.raises(InvalidFile, match="found 2 pages"):
        read_mask(tmp_path / "pages.tif")
    tifffile.imwrite(tmp_path / "wide_pages.tif", np.stack([SHAPE, SHAPE]).astype(np.int64))
    with pytest.raises(InvalidFile, match="2 pages"):
        read_mask(tmp_path / "wide_pages.tif")
    see_through = Image.fromarray(np.repeat(SHAPE[..., None], 4, axis=2))
    see_through.save(tmp_path / "alpha.png")
    with pytest.raises(InvalidFile, match="transparent"):
        read_mask(tmp_path / "alpha.png")


def test_binary_masks_train_as_two_classes(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.png", np.zeros((16, 16, 3), np.uint8))
        write_labels(tmp_path / "masks" / f"{name}.png", np.where(SHAPE > 0, 255, 0).astype(np.uint8))
        write_labels(tmp_path / "coarse" / f"{name}.png", (SHAPE > 1).astype(np.uint8))
    data = open_dataset(tmp_path / "images", labels=tmp_path / "masks").with_coarse(tmp_path / "coarse")
    record = data.records[0]
    assert len(data.classes) == 2
    np.testing.assert_array_equal(data.labels(record), SHAPE > 0)
    np.testing.assert_array_equal(data.coarse(record), SHAPE > 1)
    assert any("255 is read as foreground" in line for line in data.findings)
    assert any("void 0.0 %" in line for line in data.findings)


def test_an_image_in_place_of_a_mask_is_called_so(tmp_path):
    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    masks = open_masks(tmp_path)
    assert any("no mask can be read" in line for line in masks.findings)
    with pytest.raises(InvalidFile, match="found 1,024 colours: is this an image"):
        masks.labels(masks.records[0])


def test_masks_of_one_name_in_several_folders_all_count(tmp_path):
    for sequence in ("a", "b", "c"):
        write_labels(tmp_path / sequence / "0001.png", SHAPE)
    masks = open_masks(tmp_path)
    assert len(masks) == 3
    assert any("3 masks" in line for line in masks.findings)
    write_labels(tmp_path / "b" / "0001.png", (SHAPE > 0).astype(np.uint8) * 255)
    write_labels(tmp_path / "a" / "0001.png", (SHAPE > 0).astype(np.uint8))
    write_labels(tmp_path / "c" / "0001.png", (SHAPE > 0).astype(np.uint8))
    with pytest.raises(InvalidFile, match=r"b/0001\.png holds 0 and 255 where a/0001\.png, c/0001\.png hold 1"):
        open_masks(tmp_path)


@pytest.mark.parametrize("ids", [(7, 26, 300), (1, 2, 3), (0, 255, 1)])
def test_classes_named_after_ids_are_stored_as_these(tmp_path, ids):
    """As a model that learned from such masks names them."""
    stored = np.asarray(sorted(ids))[SHAPE]
    write_labels(tmp_path / "a.png", stored.astype(np.uint8 if stored.max() < 256 else np.int32))
    learned = open_masks(tmp_path)
    again = open_masks(tmp_path, classes=learned.classes)
    np.testing.assert_array_equal(again.labels(again.records[0]), learned.labels(learned.records[0]))
