"""Images and masks pair by their names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile, find_files
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.pairing import pair_names
from segmend.data.pairs import open_pairs
from segmend.labels import Classes


def paths(folder: str, names: list[str], suffix: str) -> dict[str, Path]:
    return {name: Path(folder, f"{name}{suffix}") for name in names}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["p0", "p1"], ["p0_mask", "p1_mask"]),
        (["p0"], ["p0_mask"]),
        (["p0_mask", "p1_mask"], ["p0", "p1"]),
        (["a/p0", "a/p1"], ["a/p0.mask", "a/p1.mask"]),
        (["aachen_0_leftImg8bit", "ulm_1_leftImg8bit"], ["aachen_0_gtFine_labelIds", "ulm_1_gtFine_labelIds"]),
        (["001", "002"], ["mask_001", "mask_002"]),
        (["image_001", "image_002"], ["mask_001", "mask_002"]),
    ],
)
def test_names_pair_without_what_they_share(images, masks):
    pairing = pair_names(paths("i", images, ".jpg"), paths("m", masks, ".png"), "i", "m")
    assert pairing.partner == dict(zip(images, masks, strict=True))
    assert any("names pair without" in line for line in pairing.findings)


def test_names_that_do_not_pair_show_one_of_each_side():
    with pytest.raises(InvalidFile, match=r"images are called like 'p0\.jpg', maps like 'scan7\.png'"):
        pair_names(paths("i", ["p0"], ".jpg"), paths("m", ["scan7"], ".png"), "i", "m")


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        (["frames/0", "masks/0"], ["0"], r"'frames/0\.jpg', maps like '0\.png': give folders below which"),
        (["0"], ["b/1", "b/0"], r"'0\.jpg', maps like 'b/0\.png': give folders below which a map has the path"),
        (["a/0"], ["b/1"], r"'a/0\.jpg', maps like 'b/1\.png': name a map like its image"),
    ],
)
def test_names_that_differ_by_their_folder_are_shown_with_it(images, masks, words):
    with pytest.raises(InvalidFile, match=words):
        pair_names(paths("i", images, ".jpg"), paths("m", masks, ".png"), "i", "m")


def test_an_image_and_a_mask_that_are_one_file_are_refused(tmp_path):
    for name in ("p0", "p1"):
        write_image(tmp_path / f"{name}.jpg", np.zeros((8, 8, 3), np.uint8))
        write_labels(tmp_path / f"{name}_mask.png", np.eye(8, dtype=np.uint8))
    with pytest.raises(InvalidFile, match=r"p0_mask\.png: is given as the image and as the map.*'_mask'"):
        open_pairs(tmp_path, tmp_path)


def test_unicode_forms_compare_alike(tmp_path):
    write_image(tmp_path / "i" / f"{unicodedata.normalize('NFC', 'é')}.png", np.zeros((8, 8, 3), np.uint8))
    write_labels(tmp_path / "m" / f"{unicodedata.normalize('NFD', 'é')}.png", np.eye(8, dtype=np.uint8))
    assert len(open_pairs(tmp_path / "i", tmp_path / "m").dataset) == 1


def turned_by(path: Path, array: np.ndarray, orientation: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(array).save(path, exif=exif)


def test_masks_are_turned_with_their_image_where_sizes_say_so(tmp_path):
    mask = np.zeros((6, 10), np.uint8)
    mask[:2, :3] = 1
    colours = np.repeat(mask[..., None] * 255, 3, axis=2)
    turned_by(tmp_path / "i" / "a.png", colours, 6)
    turned_by(tmp_path / "i" / "b.png", colours, 3)
    turned_by(tmp_path / "i" / "c.png", colours, 8)
    for name in ("a", "b"):
        write_labels(tmp_path / "m" / f"{name}.png", mask)
    turned_by(tmp_path / "m" / "c.png", mask, 8)
    data = open_dataset(tmp_path / "i", labels=tmp_path / "m")
    a, b, c = data.records
    for record in (a, c):  # by size, and by the mask's own tag
        np.testing.assert_array_equal(data.labels(record), data.image(record)[..., 0] > 0)
    np.testing.assert_array_equal(data.labels(b), mask)
    assert any("1 maps turned" in line for line in data.findings)
    assert any(line.startswith("warning: the images of b.png are turned") for line in data.findings)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a.jpg", "b.jpg"], "found 2 .jpg files: JPEG changes ids"),
        (["a.npy"], r"found 1 .npy files: write probabilities with np.savez"),
        ([], "found no files"),
    ],
)
def test_folders_without_maps_say_what_they_hold(tmp_path, files, words):
    write_image(tmp_path / "i" / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "m").mkdir()
    for name in files:
        (tmp_path / "m" / name).write_bytes(b"x")
    with pytest.raises(InvalidFile, match=words):
        open_pairs(tmp_path / "i", tmp_path / "m")


def test_a_stray_archive_does_not_hide_masks(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / "i" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
        write_labels(tmp_path / "m" / f"{name}.png", np.eye(8, dtype=np.uint8))
    np.savez(tmp_path / "m" / "stats.npz", x=1)
    assert len(open_pairs(tmp_path / "i", tmp_path / "m").dataset) == 2


def test_files_and_archives_instead_of_folders_are_called_so(tmp_path):
    (tmp_path / "masks.zip").write_bytes(b"x")
    with pytest.raises(InvalidFile, match="an archive, expected a folder: unpack it"):
        find_files(tmp_path / "masks.zip", (".png",))
    (tmp_path / "p.png").write_bytes(b"x")
    with pytest.raises(InvalidFile, match="a file, expected a folder"):
        find_files(tmp_path / "p.png", (".png",))


def test_several_masks_of_each_image_are_refused():
    names = [f"{i}{end}" for i in ("ulm_0", "ulm_1") for end in ("_color", "_labelIds", "_instanceIds")]
    with pytest.raises(InvalidFile, match=r"several masks, '_color', '_labelIds', '_instanceIds'"):
        pair_names(paths("i", ["ulm_0", "ulm_1"], ".png"), paths("m", names, ".png"), "i", "m")


def test_masks_without_an_image_do_not_decide_how_ids_are_read(tmp_path):
    write_image(tmp_path / "i" / "a.png", np.zeros((8, 8, 3), np.uint8))
    write_labels(tmp_path / "m" / "a.png", np.kron(np.eye(2, dtype=np.uint8), np.ones((4, 4), np.uint8)) * 255)
    write_labels(tmp_path / "m" / "other.png", np.full((8, 8), 7, np.uint8))
    pairs = open_pairs(tmp_path / "i", tmp_path / "m")
    assert pairs.dataset.coarse_coding.ids == (0, 255)
    assert len(open_dataset(tmp_path / "i", labels=tmp_path / "m").classes) == 2


def test_maps_of_a_data_set_have_the_classes_and_the_void_that_it_says(tmp_path):
    write_image(tmp_path / "i" / "a.png", np.zeros((8, 8, 3), np.uint8))
    write_labels(
        tmp_path / "set" / "labels" / "val" / "a.png",
        np.kron(np.eye(2, dtype=np.uint8), np.ones((4, 4), np.uint8)),
    )
    (tmp_path / "set" / "dataset.yaml").write_text("name: set\nclasses: [sky, cow, car]\nvoid: 1\n")
    pairs = open_pairs(tmp_path / "i", tmp_path / "set" / "labels" / "val").dataset
    assert pairs.classes.names == ("sky", "cow", "car")
    assert set(np.unique(pairs.coarse(pairs.records[0]))) == {0, 255}
    other = open_pairs(tmp_path / "i", tmp_path / "set" / "labels" / "val", classes=2).dataset
    assert set(np.unique(other.coarse(other.records[0]))) == {0, 1}


def test_maps_of_one_sequence_of_a_data_set_have_its_classes_and_its_void(tmp_path):
    classes = Classes(("sky", "road", "car"))
    write_description(tmp_path, "drives", classes)
    for name in ("0001", "0002"):
        write_image(tmp_path / "images" / "val" / "a" / f"{name}.png", np.zeros((4, 6, 3), np.uint8))
        write_labels(tmp_path / "labels" / "val" / "a" / f"{name}.png", np.full((4, 6), 2, np.uint8))
    pairs = open_pairs(tmp_path / "images" / "val" / "a", tmp_path / "labels" / "val" / "a").dataset
    assert pairs.classes.names == classes.names
    assert (pairs.coarse(pairs.records[0]) == 2).all()
