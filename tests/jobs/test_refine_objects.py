"""`segmend refine` over files of objects."""

import json

import numpy as np
import pytest
from PIL import Image

from segmend.data.annotations import read_annotations
from segmend.data.annotations.annotations import Shape
from segmend.data.annotations.coco import mask_of, with_shape
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.jobs.refine_objects import refine_objects
from segmend.labels import InvalidInput
from segmend.refiners import GuidedFilter, load

SIZE = (120, 160)


def with_mask(one, mask):
    return with_shape(one, Shape(mask))


def disc(centre, radius):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


DISCS = [((40, 50), 26), ((80, 110), 30)]


@pytest.fixture
def folder(tmp_path):
    """Six images of two discs each, all masks 6 px too small; they overlap with a third, exact one."""
    (tmp_path / "images").mkdir()
    annotations = []
    for number in range(6):
        noise = np.random.default_rng(number).normal(0, 8, (*SIZE, 3))
        image = np.full((*SIZE, 3), (60, 80, 70)) + noise
        for centre, radius in DISCS:
            image[disc(centre, radius)] += (130, 50, 20)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / f"{number}.png")
        for centre, radius in DISCS:
            one = {"id": len(annotations), "image_id": number, "category_id": 5, "score": 0.5, "mine": [1]}
            annotations.append(with_mask(one, disc(centre, radius - 6)))
    annotations[3]["iscrowd"] = 1
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(6)],
        "annotations": annotations,
        "categories": [{"id": 5, "name": "disc"}],
        "mine": {"a": 1},
    }
    (tmp_path / "objects.json").write_text(json.dumps(content))
    return tmp_path


def run(folder, refiner="universal", **options):
    objects = read_annotations(folder / "objects.json")
    images = open_dataset(folder / "images")
    return refine_objects(load(refiner), images, objects, folder / "out", quiet=True, **options)


def output(folder):
    return json.loads((folder / "out" / "annotations.json").read_text())


def test_masks_get_better_and_all_else_stays(folder):
    found = run(folder)
    before, after = json.loads((folder / "objects.json").read_text()), output(folder)
    assert (found.done, found.objects, found.changed) == (6, 11, 11)
    assert found.look.moved
    assert before["annotations"][3] == after["annotations"][3]  # a crowd
    for index, (old, new) in enumerate(zip(before["annotations"], after["annotations"], strict=True)):
        truth = disc(*DISCS[index % 2])
        if index != 3:
            mask = mask_of(new, *SIZE)
            assert (mask & truth).sum() / (mask | truth).sum() > 0.9
            assert 0.5 < new.pop("expected_iou") <= 1
            assert new["area"] == mask.sum()
        drop = ("segmentation", "bbox", "area")
        assert {k: v for k, v in old.items() if k not in drop} == {k: v for k, v in new.items() if k not in drop}
    del before["annotations"], after["annotations"]
    assert before == after


def test_a_second_run_keeps_what_is_finished_and_makes_what_changed(folder):
    run(folder)
    first = output(folder)
    content = json.loads((folder / "objects.json").read_text())
    content["annotations"][0]["score"] = 0.75
    (folder / "objects.json").write_text(json.dumps(content))
    again = run(folder)
    assert (again.done, again.kept, again.objects) == (1, 5, 11)
    first["annotations"][0]["score"] = 0.75
    assert output(folder) == first


def test_a_run_that_was_stopped_while_it_wrote_resumes(folder):
    run(folder)
    first = output(folder)
    (folder / "out" / "results.json").unlink()
    again = run(folder)
    assert (again.done, again.kept) == (0, 6)
    assert output(folder) == first


def test_other_weights_are_refused_without_overwrite(folder):
    run(folder)
    with pytest.raises(InvalidFile, match="--overwrite"):
        run(folder, "guided")
    assert run(folder, "guided", overwrite=True).done == 6


def test_files_of_somebody_else_are_not_replaced(folder):
    (folder / "out").mkdir()
    (folder / "out" / "annotations.json").write_text("{}")
    with pytest.raises(InvalidFile, match="is there already"):
        run(folder)
    (folder / "out" / "annotations.json").unlink()
    (folder / "out" / "objects").mkdir()
    (folder / "out" / "objects" / "2.json").write_text("{}")
    with pytest.raises(InvalidFile, match="not written by this program"):
        run(folder)


def test_the_input_is_never_the_output(folder):
    (folder / "objects.json").rename(folder / "annotations.json")
    objects = read_annotations(folder / "annotations.json")
    with pytest.raises(InvalidFile, match="an input"):
        refine_objects(GuidedFilter(), open_dataset(folder / "images"), objects, folder, quiet=True)


def test_what_cannot_be_refined_stays_and_is_listed(folder):
    content = json.loads((folder / "objects.json").read_text())
    content["annotations"][0]["segmentation"] = None
    content["annotations"][1]["segmentation"] = [[1, 2]]
    content["annotations"][4] = with_mask(content["annotations"][4], np.zeros(SIZE, bool))
    content["annotations"][5] = with_mask(content["annotations"][5], np.ones((9, 9), bool))
    (folder / "objects.json").write_text(json.dumps(content))
    (folder / "images" / "4.png").write_bytes(b"")
    (folder / "images" / "5.png").unlink()
    found = run(folder)
    reasons = [one.reason for one in found.skipped]
    for expected in ("only its box", "three corners", "empty", "9 x 9", "0 bytes", "no image called 5.png"):
        assert any(expected in reason for reason in reasons), expected
    assert any("annotation 0" in one.file for one in found.skipped)
    assert found.objects == 12 - 1 - 4 - 2 - 2
    after = output(folder)["annotations"]
    assert [after[i] for i in (0, 1, 3, 4, 5, 8, 9, 10, 11)] == [
        content["annotations"][i] for i in (0, 1, 3, 4, 5, 8, 9, 10, 11)
    ]


def test_a_refiner_of_a_number_of_classes_is_refused(folder):
    class OfCities(GuidedFilter):
        num_classes = 21

    objects = read_annotations(folder / "objects.json")
    with pytest.raises(InvalidInput, match="21"):
        refine_objects(OfCities(), open_dataset(folder / "images"), objects, folder / "out", quiet=True)
    assert not (folder / "out").exists()
