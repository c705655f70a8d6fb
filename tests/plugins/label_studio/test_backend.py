"""What the backend answers to tasks of Label Studio."""

import numpy as np
import pytest

import segmend
from segmend.labels import InvalidInput
from segmend.plugins.label_studio import Backend
from segmend.plugins.label_studio.regions import mask_of
from segmend.refiners import ObjectRefiner, load


@pytest.fixture(scope="module")
def backend(photo):
    """A backend for which all images are one."""
    return Backend(ObjectRefiner(load("universal")), {"/data/upload/1/a.png": photo}.__getitem__)


@pytest.fixture
def task(region, disc):
    return {
        "id": 5,
        "data": {"photo": "/data/upload/1/a.png"},
        "annotations": [],
        "predictions": [{"id": 1, "model_version": "rough", "result": [region(disc(34))]}],
    }


@pytest.fixture
def asked(config):
    """A function: a request of Label Studio for tasks, with a context or without."""

    def request(*tasks, context=None):
        params = {"login": None, "password": None, "context": context}
        return {"tasks": list(tasks), "project": "1.1", "label_config": config, "params": params}

    return request


def test_a_region_that_was_drawn_is_refined_alone(backend, asked, task, region, disc, photo):
    for kind in ("brushlabels", "polygonlabels"):
        drawn = region(disc(34), kind)
        answered = backend.predict(asked(task, context={"result": [drawn, {"type": "choices"}]}))
        (prediction,) = answered["results"]
        (refined,) = prediction["result"]
        wanted = segmend.refine_region(photo, mask_of(drawn, 120, 160), refiner=backend.refiner)
        differ = mask_of(refined, 120, 160) != wanted.mask
        assert differ.sum() <= (0 if kind == "brushlabels" else 0.02 * wanted.mask.sum())
        assert refined["score"] == prediction["score"] == pytest.approx(wanted.expected_iou, abs=1e-4)
        assert prediction["model_version"] == answered["model_version"] == backend.model_version


def test_the_latest_annotation_comes_before_predictions(backend, asked, task, region, disc):
    task["annotations"] = [
        {"id": 8, "updated_at": "2026-01-03", "was_cancelled": True, "result": [region(disc(34), id="cancelled")]},
        {"id": 7, "updated_at": "2026-01-02", "result": [region(disc(34), id="latest")]},
        {"id": 9, "updated_at": "2026-01-01", "result": [region(disc(34), id="older")]},
        {"id": 10, "updated_at": "2026-01-04", "result": []},
    ]
    (prediction,) = backend.predict(asked(task))["results"]
    assert [item["id"] for item in prediction["result"]] == ["latest"]


def test_own_predictions_are_not_refined_again(backend, asked, task, region, disc):
    own = {"id": 2, "model_version": backend.model_version, "result": [region(disc(34), id="own")]}
    task["predictions"].append(own)
    (prediction,) = backend.predict(asked(task))["results"]
    assert [item["id"] for item in prediction["result"]] == ["Ab3"]


def test_what_has_no_mask_is_copied_in_its_place(backend, asked, task, region, disc):
    choice = {
        "id": "Ef5",
        "type": "choices",
        "from_name": "quality",
        "to_name": "img",
        "value": {"choices": ["no"]},
    }
    given = [region(disc(34)), choice, region(disc(30), "polygonlabels", id="Cd4")]
    task["predictions"][0]["result"] = given
    (prediction,) = backend.predict(asked(task))["results"]
    assert [item["id"] for item in prediction["result"]] == ["Ab3", "Ef5", "Cd4"]
    assert prediction["result"][1] == choice


def test_a_task_that_cannot_be_refined_gets_no_prediction_and_a_reason(backend, asked, task, region, disc):
    empty = {**task, "id": 6, "predictions": []}
    small = {**task, "id": 7, "predictions": [{"id": 3, "result": [region(disc(5, (9, 9), (20, 20)))]}]}
    void = {**task, "id": 8, "predictions": [{"id": 3, "result": [region(np.zeros((120, 160), bool))]}]}
    answered = backend.predict(asked(empty, task, small, void))
    assert [bool(one) for one in answered["results"]] == [False, True, False, False]
    assert answered["errors"].keys() == {"6", "7", "8"}
    assert "no annotation or prediction" in answered["errors"]["6"]
    assert "region Ab3: expected a region of 160 x 120 px" in answered["errors"]["7"]
    assert "region Ab3: no pixel in it" in answered["errors"]["8"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": None}, "a list of tasks"),
        ({"tasks": ["text"]}, "a list of tasks"),
        ({"label_config": None}, "as XML"),
        ({"label_config": "<View>"}, "not readable as XML"),
        ({"label_config": '<!DOCTYPE x [<!ENTITY a "b">]><View/>'}, "as XML"),
        ({"label_config": "<View><Text name='t' value='$t'/></View>"}, "no image"),
        ({"params": {"context": {"result": [{"type": "rectanglelabels", "value": {}}]}}}, "brush or polygon"),
        ({"params": {"context": {"result": "text"}}}, "brush or polygon"),
        ({"params": {"context": "text"}}, "context"),
        ({"params": "text"}, "context"),
    ],
)
def test_other_requests_are_refused(backend, asked, task, change, message):
    with pytest.raises(InvalidInput, match=message):
        backend.predict(asked(task) | change)


def test_a_region_of_an_image_that_the_task_lacks_is_refused(backend, asked, task, region, disc):
    with pytest.raises(InvalidInput, match="no image 'other' in the task: the project's are img"):
        backend.predict(asked(task, context={"result": [region(disc(34), to_name="other")]}))
    with pytest.raises(InvalidInput, match="no image 'img' in the task"):
        backend.predict(asked({**task, "data": {}}, context={"result": [region(disc(34))]}))
