"""Label files in the ids of Cityscapes' server, and maps by models of dual image segmentation."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from segmend.cli import app
from segmend.coding import Coding
from segmend.data.cityscapes import CLASSES, SCORED
from segmend.data.dataset import open_dataset
from segmend.data.images import read_image, write_image
from segmend.data.masks import read_labels
from segmend.data.probabilities import read_probabilities
from segmend.dual import DualSegmentation
from segmend.jobs.predict import PredictOptions, predict
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.models import load_predictor
from segmend.segmenters.base import Segmenter
from segmend.segmenters.prediction import TestTime


class Columns(nn.Module):
    """Each column of an image is the class of its place."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, image):
        place = nn.functional.one_hot(torch.arange(image.shape[3]) % self.classes, self.classes)
        return 10.0 * place.T[None, :, None].expand(-1, -1, image.shape[2], -1)


@pytest.fixture
def segmenter(monkeypatch):
    def load(classes):
        model = Segmenter(classes, "torch.nn.Identity", {}, stride=1)
        model.network = Columns(len(classes))
        monkeypatch.setattr("segmend.jobs.predict.load_predictor", lambda name, *options: model)

    return load


def test_files_hold_the_servers_ids(segmenter, tmp_path):
    segmenter(CLASSES)
    write_image(tmp_path / "images" / "a.png", np.zeros((8, 40, 3), np.uint8))
    images = open_dataset(tmp_path / "images")
    predict("model", images, tmp_path / "out", PredictOptions(server_ids=True, quiet=True))
    labels, palette = read_labels(tmp_path / "out" / "labels" / "a.png")
    assert labels[0].tolist() == [SCORED[x % 19][0] for x in range(40)]
    assert not palette
    predict("model", images, tmp_path / "own", PredictOptions(quiet=True))
    labels, palette = read_labels(tmp_path / "own" / "labels" / "a.png")
    assert labels[0].tolist() == [x % 19 for x in range(40)]
    assert palette[0] == (128, 64, 128)


def test_other_classes_have_none(segmenter, tmp_path):
    segmenter(Classes.numbered(19))
    write_image(tmp_path / "images" / "a.png", np.zeros((8, 40, 3), np.uint8))
    with pytest.raises(InvalidInput, match="expected Cityscapes' classes"):
        predict(
            "model",
            open_dataset(tmp_path / "images"),
            tmp_path / "out",
            PredictOptions(server_ids=True, quiet=True),
        )


@pytest.mark.parametrize("ids", [(7, 26, 300), (0, 255)])
def test_files_hold_the_ids_of_the_masks_that_a_model_learned_from(segmenter, tmp_path, ids):
    segmenter(Coding(ids).classes)
    write_image(tmp_path / "images" / "a.png", np.zeros((4, len(ids), 3), np.uint8))
    predict("x", open_dataset(tmp_path / "images"), tmp_path / "out", PredictOptions(quiet=True))
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "labels" / "a.png")[0][0], ids)


@pytest.fixture(scope="module")
def dual(tmp_path_factory):
    """A folder of a model, and one of an image."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dual")
    save_model(DualSegmentation(Classes.numbered(3), width=8, common=("class 0",)), folder / "model")
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    write_image(folder / "images" / "a.png", image)
    return folder


def test_dual_segmentation_predicts_as_a_segmenter_does(dual, tmp_path):
    images = open_dataset(dual / "images")
    found = {}
    for name, given in {
        "plain": (False, None),
        "closed": (None, None),
        "steps": (False, 4),
        "mean": (False, (0, 4)),
    }.items():
        options = PredictOptions(TestTime((0.5, 1.0), mirror=True), "32", *given, probs=True, quiet=True)
        run = predict(dual / "model", images, tmp_path / name, options)
        assert (run.done, run.kept) == (1, 0)
        assert predict(dual / "model", images, tmp_path / name, options).kept == 1
        p = read_probabilities(tmp_path / name / "probs" / "a.npz")
        assert p.shape == (3, 40, 56)
        np.testing.assert_allclose(p.sum(0), 1, atol=5e-3)
        labels = read_labels(tmp_path / name / "labels" / "a.png")[0]
        assert (labels == p.argmax(0)).mean() > 0.99  # rounding to float16 makes ties
        found[name] = p
    assert np.abs(found["plain"] - found["closed"]).max() > 0.02
    assert np.abs(found["plain"] - found["steps"]).max() > 0.001
    np.testing.assert_allclose(found["mean"], (found["plain"] + found["steps"]) / 2, atol=0.02)
    with pytest.raises(InvalidInput, match="made with other weights or options"):
        predict(dual / "model", images, tmp_path / "plain", PredictOptions(probs=True, quiet=True))


def test_dual_segmentation_sees_images_at_the_size_of_its_training(dual, tmp_path):
    save_model(DualSegmentation(Classes.numbered(3), width=8, side=48), tmp_path / "model")
    image = cv2.resize(read_image(dual / "images" / "a.png"), (140, 100), interpolation=cv2.INTER_LINEAR)
    write_image(tmp_path / "large" / "a.png", image)
    seen = []
    predictor = load_predictor(tmp_path / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segmend.jobs.predict.load_predictor", lambda name, *options: predictor)
        own = predictor.predict
        patch.setattr(predictor, "predict", lambda x, tags: seen.append(x.shape) or own(x, tags))
        options = PredictOptions(TestTime((1.0, 0.5), tile=64, overlap=16), "32", quiet=True)
        predict(tmp_path / "model", open_dataset(tmp_path / "large"), tmp_path / "out", options)
    assert [tuple(shape) for shape in seen] == [(1, 3, 34, 48), (1, 3, 17, 24)]
    assert read_labels(tmp_path / "out" / "labels" / "a.png")[0].shape == (100, 140)


def test_the_command_takes_the_options_of_dual_segmentation(dual, tmp_path):
    def run(model, *options):
        command = ["predict", str(model), "--images", str(dual / "images"), "--out", str(tmp_path), "--quiet"]
        return CliRunner().invoke(app, [*command, *options])

    result = run(dual / "model", "--no-closed-form", "--inference-steps", "2", "--precision", "32")
    assert result.exit_code == 0
    assert read_labels(tmp_path / "labels" / "a.png")[0].shape == (40, 56)
    result = run(dual / "model", "--inference-steps", "2", "--precision", "32")
    assert isinstance(result.exception, InvalidInput)
    assert "made with other weights or options" in str(result.exception)
    segmenter = Segmenter(
        Classes.numbered(2), "torch.nn.Conv2d", {"in_channels": 3, "out_channels": 2, "kernel_size": 1}
    )
    save_model(segmenter, tmp_path / "segmenter")
    for options in (("--no-closed-form",), ("--page",), ("--tags", "tags.json"), ("--inference-steps", "0")):
        result = run(tmp_path / "segmenter", *options)
        assert isinstance(result.exception, InvalidInput)
        assert "leave it out" in str(result.exception)


@pytest.mark.parametrize("steps", ["-1", "2.5", "ten", "3,", "", "0,-5"])
def test_numbers_of_steps_are_whole_and_not_negative(dual, tmp_path, steps):
    command = ["predict", str(dual / "model"), "--images", str(dual / "images"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*command, "--inference-steps", steps])
    assert isinstance(result.exception, InvalidInput)
    assert f"--inference-steps {steps}: expected whole numbers from 0 on" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_tags_hold_the_map_and_images_of_other_tags_are_made_again(dual, tmp_path):
    shutil.copytree(dual / "images", tmp_path / "images")
    shutil.copy(dual / "images" / "a.png", tmp_path / "images" / "b.png")
    (tmp_path / "tags.json").write_text('{"a": ["class 2"], "c": ["class 1"]}')
    images, out = str(tmp_path / "images"), tmp_path / "out"
    command = ["predict", str(dual / "model"), "--images", images, "--out", str(out), "--probs", "--quiet"]
    given = [*command, "--precision", "32", "--tags", str(tmp_path / "tags.json")]

    def predicted():
        return [read_probabilities(out / "probs" / f"{name}.npz") for name in "ab"]

    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "1 image has no tags, predicted without: b" in result.output
    assert f"has tags of an image that is not in {images}: c" in result.output
    with_tags, without = predicted()
    assert (with_tags[1] == 0).all()
    assert (without[1] > 0).all()
    (tmp_path / "tags.json").write_text('{"any": {"a": {"class 1": 0.7}}}')
    result = CliRunner().invoke(app, given)
    assert "1 of them made again, 1 kept" in result.output
    scored, same = predicted()
    assert (scored[1] > 0).all()
    assert np.array_equal(same, without)
    tags = json.loads((out / "tags.json").read_text())["images"]
    assert tags["a"] == {"class 1": 0.7}
    assert sorted(tags["b"]) == ["class 1", "class 2"]
    (tmp_path / "tags.json").write_text('{"a": ["klass 2"]}')
    result = CliRunner().invoke(app, given)
    assert "a: the tag 'klass 2' is no class; did you mean 'class 2'?" in str(result.exception)


def test_predicted_probabilities_are_refined_as_any_coarse_map_is(dual, tmp_path):
    (tmp_path / "tags.json").write_text('{"a": ["class 1"]}')
    maps, images = str(tmp_path / "maps"), str(dual / "images")
    options = ("--inference-steps", "0,2", "--tags", str(tmp_path / "tags.json"))
    command = ["predict", str(dual / "model"), "--images", images, "--out", maps, "--probs", "--quiet", *options]
    assert CliRunner().invoke(app, command).exit_code == 0
    command = ["refine", "--images", images, "--coarse", maps, "--out", str(tmp_path / "refined"), "--quiet"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert set(np.unique(read_labels(tmp_path / "refined" / "labels" / "a.png")[0])) <= {0, 1}
