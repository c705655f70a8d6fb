"""The page of the steps of inference: what it shows of which images."""

import numpy as np
import pytest
import torch

from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.dual import DualSegmentation
from segmend.jobs.inference_page import ON_PAGE
from segmend.jobs.predict import PredictOptions, predict
from segmend.labels import Classes
from segmend.model_folder import save_model

CLASSES = Classes(("background", "cat", "dog"))
OPTIONS = PredictOptions(precision="32", page=True, quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_model(DualSegmentation(CLASSES, width=8, side=32, common=("background",)), folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(ON_PAGE + 1):
        write_image(tmp_path / "photos" / f"{number:02d}.png", rng.integers(0, 256, (24, 40, 3), np.uint8))
    return tmp_path / "photos"


def test_each_image_has_its_steps_and_the_closed_form(model, photos, tmp_path):
    predict(model, open_dataset(photos), tmp_path / "out", OPTIONS, tags={"01": {"dog": 1.0}, "02": {"cat": 0.3}})
    page = (tmp_path / "out" / "steps.html").read_text()
    assert f"{ON_PAGE + 1} images; the first {ON_PAGE} are here" in page
    assert page.count('<section class="case">') == ON_PAGE
    for title in ("Image", "No steps", "5 steps", "10 steps", "30 steps", "Closed form"):
        assert page.count(f"<b>{title}</b>") == ON_PAGE
    assert page.count("<img") == 11 * ON_PAGE
    assert page.count("given: ") == 2
    assert "given: dog<" in page
    assert "given: cat 0.30<" in page
    assert "error 0." in page


def test_images_that_cannot_be_read_are_listed(model, photos, tmp_path):
    (photos / "03.png").write_bytes(b"broken")
    predict(model, open_dataset(photos), tmp_path / "out", OPTIONS)
    page = (tmp_path / "out" / "steps.html").read_text()
    assert page.count('<section class="case">') == ON_PAGE - 1
    assert "03.png" in page


def test_it_is_written_again_but_not_over_somebody_elses(model, photos, tmp_path):
    images = open_dataset(photos).subset({"00"})
    predict(model, images, tmp_path / "out", OPTIONS)
    assert predict(model, images, tmp_path / "out", OPTIONS).kept == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "steps.html").write_text("mine")
    with pytest.raises(InvalidFile, match="does not hold a page of segmend"):
        predict(model, images, tmp_path / "other", OPTIONS)
    assert (tmp_path / "other" / "steps.html").read_text() == "mine"
