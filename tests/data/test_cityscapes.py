"""Cityscapes and KITTI in their published layouts, and the facts about their classes."""

from importlib.util import find_spec

import numpy as np
import pytest

from segmend.data import cityscapes
from segmend.data.convert import convert
from segmend.data.dataset import open_dataset
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.labels import InvalidInput

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
IDS = np.random.default_rng(1).integers(0, 34, (20, 30)).astype(np.uint8)


def expected(ids):
    """Our labels of theirs, one id at a time."""
    ours = np.full(ids.shape, 255, np.uint8)
    for i, (theirs, *_) in enumerate(cityscapes.SCORED):
        ours[ids == theirs] = i
    return ours


def test_cityscapes_as_it_is_published(tmp_path):
    source = tmp_path / "source"
    for split, city, name in (
        ("train", "aachen", "aachen_000000_000019"),
        ("val", "lindau", "lindau_000001_000019"),
        ("test", "berlin", "berlin_000000_000019"),
    ):
        write_image(source / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", PHOTO)
        fine = source / "gtFine" / split / city
        write_labels(fine / f"{name}_gtFine_labelIds.png", 0 * IDS if split == "test" else IDS)
        write_labels(fine / f"{name}_gtFine_instanceIds.png", IDS.astype(np.uint16))
        write_image(fine / f"{name}_gtFine_color.png", PHOTO)
        (fine / f"{name}_gtFine_polygons.json").write_text("{}")
    write_image(source / "leftImg8bit" / "val" / "lindau" / "lindau_000002_000019_leftImg8bit.png", PHOTO)
    done = convert(source, tmp_path / "out", "cityscapes")
    assert (done.written, done.unlabelled) == (3, 1)
    ((file, reason),) = done.skipped
    assert file.endswith("lindau_000002_000019_leftImg8bit.png")
    assert "no label map" in reason
    dataset = open_dataset(tmp_path / "out", "train")
    assert dataset.classes == cityscapes.CLASSES
    (record,) = dataset
    assert record.id == "aachen/aachen_000000_000019"
    assert (dataset.labels(record) == expected(IDS)).all()
    assert (dataset.image(record) == PHOTO).all()
    (unlabelled,) = open_dataset(tmp_path / "out", "test")
    assert unlabelled.labels is None


def test_kitti_as_it_is_published(tmp_path):
    source = tmp_path / "source"
    for part, folders in (
        ("training", ("image_2", "semantic", "semantic_rgb", "instance")),
        ("testing", ("image_2",)),
    ):
        for folder in folders:
            path = source / part / folder / "000000_10.png"
            if folder == "semantic":
                write_labels(path, IDS)
            else:
                write_image(path, PHOTO)
    done = convert(source, tmp_path / "out", "kitti")
    assert (done.written, done.unlabelled, done.skipped) == (2, 1, [])
    dataset = open_dataset(tmp_path / "out", "train")
    assert (dataset.labels(dataset.records[0]) == expected(IDS)).all()


def test_ids_that_do_not_exist_are_listed(tmp_path):
    write_image(tmp_path / "a" / "training" / "image_2" / "x.png", PHOTO)
    write_labels(tmp_path / "a" / "training" / "semantic" / "x.png", IDS + 1)
    done = convert(tmp_path / "a", tmp_path / "out", "kitti")
    assert [reason for _, reason in done.skipped] == ["expected ids 0..33, found 34"]


@pytest.mark.parametrize(
    ("name", "words"), [("cityscapes", "leftImg8bit and gtFine"), ("kitti", "training/image_2")]
)
def test_another_layout_is_told(tmp_path, name, words):
    (tmp_path / "a").mkdir()
    with pytest.raises(InvalidInput, match=words):
        convert(tmp_path / "a", tmp_path / "out", name)
    with pytest.raises(InvalidInput, match=f"{name} is read, not written: choose one of segmend, voc, camvid"):
        convert(tmp_path / "a", tmp_path / "out", "segmend", name)


@pytest.mark.skipif(not find_spec("cityscapesscripts"), reason="Cityscapes' own scripts are not installed")
def test_facts_are_those_of_cityscapes():
    from cityscapesscripts.helpers.labels import labels

    scored = sorted((label for label in labels if label.trainId not in (255, -1)), key=lambda label: label.trainId)
    theirs = [(label.id, label.name, label.color, label.category) for label in scored]
    assert theirs == list(cityscapes.SCORED)
    assert max(label.id for label in labels) == cityscapes.LARGEST_ID
    assert {c for c, label in enumerate(scored) if label.hasInstances} == set(cityscapes.TYPICAL_PIXELS)


def test_there_and_back():
    assert (cityscapes.FROM_SERVER[cityscapes.SERVER_IDS] == np.arange(19)).all()
    assert (cityscapes.FROM_SERVER != 255).sum() == 19
    assert sorted(i for group in cityscapes.CATEGORIES.values() for i in group) == list(range(19))
