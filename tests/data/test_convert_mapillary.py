"""Mapillary Vistas in its published layouts."""

import json

import numpy as np
import pytest

from segmend.data.convert import convert
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.masks import write_labels

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
LABELS = [
    {"name": "animal--bird", "readable": "Bird", "color": [165, 42, 42], "instances": True, "evaluate": True},
    {
        "name": "void--unlabeled",
        "readable": "Unlabeled",
        "color": [0, 0, 0],
        "instances": False,
        "evaluate": False,
    },
    {"name": "nature--sky", "readable": "Sky", "color": [70, 130, 180], "instances": False, "evaluate": True},
]
PALETTE = tuple(tuple(label["color"]) for label in LABELS)
MASKS = {"config.json": "labels", "config_v1.2.json": "v1.2/labels", "config_v2.0.json": "v2.0/labels"}


def publish(root, config, labels=LABELS, ids=None):
    """A release with an image in each split, and one in `training` that has no mask."""
    ids = np.random.default_rng(1).integers(0, len(LABELS), (20, 30)).astype(np.uint8) if ids is None else ids
    root.mkdir(exist_ok=True)
    (root / config).write_text(json.dumps({"labels": labels, "version": 1.2, "mapping": "public"}))
    for part, key in (("training", "aaaa"), ("validation", "bbbb"), ("testing", "cccc")):
        write_image(root / part / "images" / f"{key}.jpg", PHOTO)
        if part != "testing":
            write_labels(root / part / MASKS[config] / f"{key}.png", ids, PALETTE)
    return ids


@pytest.mark.parametrize(
    ("config", "name"),
    [("config.json", "mapillary"), ("config_v1.2.json", "mapillary"), ("config_v2.0.json", "mapillary-2.0")],
)
def test_a_release(tmp_path, config, name):
    ids = publish(tmp_path / "a", config)
    write_image(tmp_path / "a" / "training" / "images" / "dddd.jpg", PHOTO)
    done = convert(tmp_path / "a", tmp_path / "out", name)
    assert (done.written, done.unlabelled) == (3, 1)
    assert [(file.rpartition("/")[2], "no label map" in why) for file, why in done.skipped] == [("dddd.jpg", True)]
    for split, key in (("train", "aaaa"), ("val", "bbbb")):
        dataset = open_dataset(tmp_path / "out", split)
        assert dataset.classes.names == ("animal--bird", "nature--sky")
        assert dataset.classes.palette == ((165, 42, 42), (70, 130, 180))
        (record,) = dataset
        assert record.id == key
        assert (dataset.labels(record) == np.array([0, 255, 1])[ids]).all()
    (unlabelled,) = open_dataset(tmp_path / "out", "test")
    assert unlabelled.labels is None


def test_a_release_of_two_versions_has_both(tmp_path):
    publish(tmp_path / "a", "config_v1.2.json")
    publish(tmp_path / "a", "config_v2.0.json", [*LABELS, LABELS[0] | {"name": "marking--discrete--ambiguous"}])
    for name, count in (("mapillary", 2), ("mapillary-2.0", 3)):
        assert convert(tmp_path / "a", tmp_path / name, name).written == 3
        assert len(open_dataset(tmp_path / name, "train").classes) == count


@pytest.mark.parametrize(
    "content", ["{}", "[", '{"labels": [{"name": "a", "color": [0, 0, 0]}]}', '{"labels": [1]}', '{"labels": []}']
)
def test_a_broken_list_of_classes_is_named(tmp_path, content):
    publish(tmp_path / "a", "config.json")
    (tmp_path / "a" / "config.json").write_text(content)
    with pytest.raises(InvalidFile, match=r"config\.json: expected a list `labels`"):
        convert(tmp_path / "a", tmp_path / "out", "mapillary")


def test_ids_without_a_class_are_listed(tmp_path):
    publish(tmp_path / "a", "config.json", ids=np.full((20, 30), 9, np.uint8))
    done = convert(tmp_path / "a", tmp_path / "out", "mapillary")
    assert [why for _, why in done.skipped] == ["expected ids 0..2 or 255 for void, found 9"] * 2


def test_masks_whose_palette_is_in_another_order_go_by_their_colours(tmp_path):
    publish(tmp_path / "a", "config.json")
    ids = np.random.default_rng(2).integers(0, len(LABELS), (20, 30)).astype(np.uint8)
    for part, key in (("training", "aaaa"), ("validation", "bbbb")):
        write_labels(tmp_path / "a" / part / "labels" / f"{key}.png", ids, PALETTE[::-1])
    convert(tmp_path / "a", tmp_path / "out", "mapillary")
    dataset = open_dataset(tmp_path / "out", "train")
    assert (dataset.labels(dataset.records[0]) == np.array([1, 255, 0])[ids]).all()
