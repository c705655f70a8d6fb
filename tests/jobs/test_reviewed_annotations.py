"""Annotations after a review: refined masks count where they were accepted."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.annotations import read_annotations
from segmend.data.annotations.annotations import Shape
from segmend.jobs.painted import painted
from segmend.jobs.review import LOG, open_review
from segmend.jobs.review_log import DecisionLog
from segmend.jobs.reviewed_annotations import write_reviewed
from segmend.labels import InvalidInput
from segmend.review import Decision


def box(left, right):
    mask = np.zeros((20, 30), bool)
    mask[5:15, left:right] = True
    return mask


@pytest.fixture
def both(tmp_path):
    """Two objects, and the same with masks that reach further to the right."""
    rings = [[left, 5, left + 8, 5, left + 8, 15, left, 15] for left in (2, 15)]
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "segmentation": [ring], "mine": i}
        for i, ring in enumerate(rings)
    ]
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": annotations}
    (tmp_path / "coarse.json").write_text(json.dumps(content))
    coarse = read_annotations(tmp_path / "coarse.json")
    stored = {i: coarse.stored(i, Shape(box(left, left + 12))) for i, left in enumerate((2, 15))}
    coarse.write(tmp_path / "refined", stored)
    return coarse, read_annotations(tmp_path / "refined" / "annotations.json")


def test_masks_are_refined_where_they_were_accepted(tmp_path, both):
    coarse, refined = both
    left_half = np.arange(30)[None].repeat(20, 0) < 15
    assert write_reviewed(coarse, refined, lambda place: left_half, tmp_path / "out") == 1
    found = read_annotations(tmp_path / "out" / "annotations.json")
    assert (found.mask(0, 20, 30) == box(2, 14)).all()
    assert isinstance(found.content["annotations"][0]["segmentation"], list)
    assert found.content["annotations"][1] == coarse.content["annotations"][1]


def test_nothing_accepted_is_the_file_as_it_was(tmp_path, both):
    assert write_reviewed(*both, lambda place: None, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "annotations.json").read_text()) == both[0].content


def test_other_objects_are_refused(tmp_path, both):
    coarse, _ = both
    content = {**coarse.content, "annotations": coarse.content["annotations"][:1]}
    (tmp_path / "less.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="in their order"):
        write_reviewed(coarse, read_annotations(tmp_path / "less.json"), lambda place: None, tmp_path / "out")


def test_a_review_of_annotations_writes_annotations(tmp_path, both):
    """By the command, with the decision that the page would save."""
    coarse, _ = both
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    (tmp_path / "a.png").rename(images / "a.png")
    given = {
        "images": images,
        "coarse": tmp_path / "coarse.json",
        "refined": tmp_path / "refined/annotations.json",
    }
    maps = painted({name: given[name] for name in ("coarse", "refined")}, out / "label_maps", images)
    log = DecisionLog(out / LOG)
    log.open(**given)
    review = open_review(images, maps.folders["coarse"], maps.folders["refined"], out)
    log.add("a", review.inputs("a"), Decision(regions=2, accepted=(2,), kept=(1,)))
    arguments = [x for name, path in given.items() for x in (f"--{name}", str(path))]
    result = CliRunner().invoke(app, ["review", "--apply", "--out", str(out), *arguments, "--quiet"])
    assert result.exit_code == 0, result.output
    assert "1 objects with another mask" in result.output
    found = read_annotations(out / "annotations.json")
    changed = [index for index in (0, 1) if (found.mask(index, 20, 30) != coarse.mask(index, 20, 30)).any()]
    assert len(changed) == 1
    refused = CliRunner().invoke(app, ["review", "--apply", "--in-place", "--out", str(out), "--quiet"])
    assert isinstance(refused.exception, InvalidInput) or refused.exit_code == 2
