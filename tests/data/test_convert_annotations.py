"""Conversion between label maps and annotations, ADE20K, and data sets of Hugging Face."""

import json

import numpy as np
import pytest
from PIL import Image

from segmend.data.annotations.polygons import OutlineOptions
from segmend.data.convert import convert
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.labels import Classes

EXACT = OutlineOptions(0)


@pytest.fixture
def dataset(tmp_path):
    """Two splits of two images each, with areas that touch, holes and void."""
    root = tmp_path / "set"
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(2):
            labels = np.kron(rng.integers(0, 4, (6, 8)), np.ones((5, 5))).astype(np.uint8)
            labels[labels == 3] = 255
            image = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{split}{number}.png")
            Image.fromarray(labels).save(root / "labels" / split / f"{split}{number}.png")
    (root / "dataset.yaml").write_text("name: set\nclasses: [background, sky, tree]\nvoid: 255\n")
    return root


def label_maps(root):
    return {
        (split, record.id): dataset.labels(record)
        for split in ("train", "val")
        for dataset in [open_dataset(root, split)]
        for record in dataset
    }


@pytest.mark.parametrize("name", ["coco", "yolo", "labelme", "cvat", "label-studio", "geojson"])
def test_label_maps_come_back_from_annotations(tmp_path, dataset, name):
    """All pixels of a class; void comes back as background, which is no object either."""
    there = convert(dataset, tmp_path / "there", "segmend", name, outlines=EXACT)
    back = convert(tmp_path / "there", tmp_path / "back", name)
    assert (there.written, back.written) == (4, 4)
    assert not back.skipped
    assert open_dataset(tmp_path / "back", "val").classes.names == ("background", "sky", "tree")
    before, after = label_maps(dataset), label_maps(tmp_path / "back")
    assert before.keys() == after.keys()
    for key, labels in before.items():
        assert (np.where(labels == 255, 0, labels) == after[key]).all()


def test_what_is_written_for_cvat_is_what_datumaro_reads(tmp_path, dataset):
    """A foreign reader, which looks for images in a folder of this name beside the annotations."""
    cvat = pytest.importorskip("datumaro.plugins.data_formats.cvat.base")
    convert(dataset, tmp_path / "there", "segmend", "cvat", outlines=EXACT)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "there" / "images" / "val").rename(tmp_path / "theirs" / "images")
    (tmp_path / "there" / "annotations_val.xml").rename(tmp_path / "theirs" / "val.xml")
    found = {item.id: item for item in cvat.CvatBase(str(tmp_path / "theirs" / "val.xml"))}
    for (split, name), labels in label_maps(dataset).items():
        if split == "val":
            areas = {0: 0.0, 1: 0.0}
            for polygon in found[name].annotations:
                areas[polygon.label] += polygon.get_area()
            assert areas == {i: (labels == i + 1).sum() for i in (0, 1)}


def test_neighbours_share_their_border_at_any_tolerance(tmp_path, dataset):
    convert(dataset, tmp_path / "there", "segmend", "coco", outlines=OutlineOptions(3))
    convert(tmp_path / "there", tmp_path / "back", "coco")
    for key, labels in label_maps(dataset).items():
        after = label_maps(tmp_path / "back")[key]
        assert (after == np.where(labels == 255, 0, labels)).mean() > 0.9


def test_label_maps_come_back_from_hugging_face(tmp_path, dataset):
    pytest.importorskip("datasets")
    convert(dataset, tmp_path / "there", "segmend", "huggingface")
    assert (tmp_path / "there" / "data" / "val-00000-of-00001.parquet").is_file()
    convert(tmp_path / "there", tmp_path / "back", "huggingface")
    assert open_dataset(tmp_path / "back", "val").classes.names == ("background", "sky", "tree")
    before, after = label_maps(dataset), label_maps(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)


def test_what_datasets_saved_is_read(tmp_path, dataset):
    datasets = pytest.importorskip("datasets")
    rows = {
        "pixel_values": [str(dataset / "images" / "val" / f"val{i}.png") for i in range(2)],
        "label": [str(dataset / "labels" / "val" / f"val{i}.png") for i in range(2)],
    }
    saved = datasets.Dataset.from_dict(rows)
    saved = saved.cast_column("pixel_values", datasets.Image()).cast_column("label", datasets.Image())
    datasets.DatasetDict({"validation": saved}).save_to_disk(str(tmp_path / "saved"))
    found = convert(tmp_path / "saved", tmp_path / "back", "huggingface")
    assert found.written == 2
    read = open_dataset(tmp_path / "back", "validation")
    assert read.classes.names == ("class 0", "class 1", "class 2")
    for number, record in enumerate(read):
        assert (read.labels(record) == np.asarray(Image.open(rows["label"][number]))).all()


def test_the_challenge_of_ade20k(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    names = [f"thing{i}, other name" for i in range(148)] + ["screen, door", "screen, crt"]
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{i}\t0.1\t1\t1\t{name}" for i, name in enumerate(names, 1))]
    for part in ("images/validation", "annotations/validation"):
        (root / part).mkdir(parents=True)
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(root / "images/validation/ADE_val_00000001.jpg")
    stored = np.array([[0, 1, 150], [2, 2, 0]], np.uint8)
    Image.fromarray(stored).save(root / "annotations/validation/ADE_val_00000001.png")
    convert(root, tmp_path / "out", "ade20k")
    found = open_dataset(tmp_path / "out", "val")
    assert len(found.classes) == 150
    assert found.classes.names[-2:] == ("screen", "screen 2")
    assert found.labels(next(iter(found))).tolist() == [[255, 0, 149], [1, 1, 255]]
    (root / "objectInfo150.txt").write_text("\n".join(lines[:9]))
    with pytest.raises(InvalidFile, match="expected 150 classes"):
        convert(root, tmp_path / "other", "ade20k")


def test_the_full_ade20k(tmp_path):
    root = tmp_path / "ADE20K_2021_17_01" / "images" / "ADE" / "training" / "urban" / "street"
    root.mkdir(parents=True)
    Image.fromarray(np.zeros((1, 3, 3), np.uint8)).save(root / "ADE_train_00000001.jpg")
    mask = np.array([[[110, 44, 7], [0, 0, 0], [20, 5, 9]]], np.uint8)
    Image.fromarray(mask).save(root / "ADE_train_00000001_seg.png")
    objects = [{"name": "sky", "name_ndx": 11 * 256 + 44}, {"name": "car, auto", "name_ndx": 2 * 256 + 5}]
    (root / "ADE_train_00000001.json").write_text(json.dumps({"annotation": {"object": objects}}))
    convert(tmp_path / "ADE20K_2021_17_01", tmp_path / "out", "ade20k-full")
    found = open_dataset(tmp_path / "out", "train")
    assert found.classes == Classes(("car 517", "sky 2860"), found.classes.palette)
    assert found.labels(next(iter(found))).tolist() == [[1, 255, 0]]


@pytest.mark.parametrize("name", ["coco", "yolo", "cvat", "ade20k", "ade20k-full", "huggingface"])
def test_other_folders_are_refused(tmp_path, name):
    if name == "huggingface":
        pytest.importorskip("datasets")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("nothing")
    with pytest.raises(InvalidFile, match="expected"):
        convert(tmp_path / "empty", tmp_path / "out", name)
