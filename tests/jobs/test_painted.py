"""Annotations painted into label maps for commands that read folders of them."""

import json

import numpy as np
import pytest
from PIL import Image

from segmend.data.files import InvalidFile
from segmend.jobs.painted import painted

SIZE = (30, 40)


def detections(folder, name, labels=("dog", "cat"), suffix=".png"):
    annotations = [
        {"id": i, "image_id": i, "category_id": i, "segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]]}
        for i in range(len(labels))
    ]
    content = {
        "images": [{"id": i, "file_name": f"{i}{suffix}", "height": 30, "width": 40} for i in range(len(labels))],
        "annotations": annotations,
        "categories": [{"id": i, "name": label} for i, label in enumerate(labels)],
    }
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def ids(folder):
    return {path.stem: sorted(set(np.asarray(Image.open(path)).ravel().tolist())) for path in folder.glob("*.png")}


def test_several_annotations_share_their_classes(tmp_path):
    truth, pred = detections(tmp_path, "a.json"), detections(tmp_path, "b.json", ("cat", "dog"))
    found = painted({"truth": truth, "pred": pred, "coarse": None}, tmp_path / "out")
    assert found.folders.keys() == {"truth", "pred"}
    assert ids(found.folders["truth"]) == {"0": [0, 1], "1": [0, 2]}
    assert ids(found.folders["pred"]) == {"0": [0, 2], "1": [0, 1]}
    assert "background, dog, cat" in found.findings[0]


def test_classes_of_a_data_set_are_used_where_they_have_all_labels(tmp_path):
    root = tmp_path / "set"
    (root / "labels" / "val").mkdir(parents=True)
    (root / "images" / "val").mkdir(parents=True)
    (root / "dataset.yaml").write_text("name: x\nclasses: [Cat, sky, dog]\n")
    found = painted({"truth": root / "labels" / "val", "pred": detections(tmp_path, "b.json")}, tmp_path / "out")
    assert ids(found.folders["pred"]) == {"0": [2, 255], "1": [0, 255]}
    assert found.folders["truth"] == root / "labels" / "val"
    again = painted({"truth": root, "pred": tmp_path / "b.json"}, tmp_path / "again")
    assert ids(again.folders["pred"]) == ids(found.folders["pred"])


def test_paths_that_are_no_annotations_stay(tmp_path):
    assert painted({"pred": tmp_path}, tmp_path / "out").folders == {"pred": tmp_path}
    assert not (tmp_path / "out").exists()


def test_a_second_run_leaves_nothing_of_the_first(tmp_path):
    painted({"pred": detections(tmp_path, "a.json")}, tmp_path / "out")
    found = painted({"pred": detections(tmp_path, "a.json", ("dog",))}, tmp_path / "out")
    assert ids(found.folders["pred"]).keys() == {"0"}


def test_folders_of_somebody_else_are_not_replaced(tmp_path):
    (tmp_path / "out" / "pred" / "labels").mkdir(parents=True)
    (tmp_path / "out" / "pred" / "labels" / "mine.png").write_bytes(b"x")
    with pytest.raises(InvalidFile, match="did not write"):
        painted({"pred": detections(tmp_path, "a.json")}, tmp_path / "out")


def test_sizes_come_from_the_images_where_annotations_have_none(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    (tmp_path / "labels" / "none.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    with pytest.raises(InvalidFile, match="--images"):
        painted({"pred": tmp_path / "labels"}, tmp_path / "out")
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "images" / "x.png")
    found = painted({"pred": tmp_path / "labels"}, tmp_path / "out2", tmp_path / "images")
    assert Image.open(found.folders["pred"] / "x.png").size == SIZE[::-1]
    assert ["none" in one.reason for one in found.skipped] == [True]
    (tmp_path / "images" / "none.png").write_bytes(b"cut")
    found = painted({"pred": tmp_path / "labels"}, tmp_path / "out2", tmp_path / "images")
    assert [one.file for one in found.skipped] == [str(tmp_path / "images" / "none.png")]
    assert ids(found.folders["pred"]).keys() == {"x"}


def test_objects_that_cannot_be_read_are_listed(tmp_path):
    path = detections(tmp_path, "a.json")
    path.write_text(path.read_text().replace("[[5, 5, 15, 5, 15, 15, 5, 15]]", "[[5, 5]]", 1))
    found = painted({"pred": path}, tmp_path / "out")
    assert "annotation 0" in found.skipped[0].reason
    assert ids(found.folders["pred"]) == {"0": [0], "1": [0, 2]}
