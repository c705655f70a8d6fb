"""``tags.json``: read for the images that there are, and written so that it can be read again."""

import json
import shutil

import numpy as np
import pytest
import torch

from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.probabilities import read_probabilities
from segmend.data.tags import read_tags
from segmend.dual import DualSegmentation, load_dual
from segmend.jobs import predicted_tags
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.predicted_tags import folder_of, open_tags
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model

CLASSES = Classes(("background", "cat", "dog", "cow"))
OPTIONS = PredictOptions(precision="32", quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_model(DualSegmentation(CLASSES, width=8, side=64, common=("background",)), folder)
    return folder


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "in/c"):
        write_image(tmp_path / "weak" / f"{name}.png", rng.integers(0, 256, (48, 64, 3), np.uint8))
    return open_dataset(tmp_path / "weak")


def tags_in(out):
    return read_tags(out / "tags.json", CLASSES)


def test_tags_are_the_networks_scores_without_the_background(model, images, tmp_path):
    predict(model, images, tmp_path / "out", OPTIONS)
    found = tags_in(tmp_path / "out")
    assert list(found) == ["weak"]
    assert list(found["weak"]) == ["a", "b", "in/c"]
    predictor = load_dual(model)
    for record in images:
        batch = torch.from_numpy(images.image(record)).permute(2, 0, 1)[None] / 255
        expected = predictor.predict(batch).tag_scores[0, 1:]
        assert found["weak"][record.id] == pytest.approx(
            dict(zip(CLASSES.names[1:], expected.tolist(), strict=True)), abs=1e-4
        )


def test_predicted_tags_can_be_given_again(model, images, tmp_path):
    predict(model, images, tmp_path / "out", OPTIONS)
    given = open_tags(tmp_path / "out" / "tags.json", images, model)
    (implied,) = given.findings
    assert "is taken to hold background" in implied
    assert given.of == tags_in(tmp_path / "out")["weak"]
    predict(model, images, tmp_path / "again", OPTIONS, tags=given.of)
    assert tags_in(tmp_path / "again") == tags_in(tmp_path / "out")
    certain = {"a": {"cat": 1.0}, "b": {}}
    predict(model, images, tmp_path / "hard", OPTIONS, tags=certain)
    found = json.loads((tmp_path / "hard" / "tags.json").read_text())["weak"]
    assert (found["a"], found["b"]) == (["cat"], [])
    assert found["in/c"] == tags_in(tmp_path / "out")["weak"]["in/c"]


def test_scores_of_certain_networks_are_no_hard_tags(model, images, tmp_path):
    network = load_dual(model).model
    with torch.no_grad():
        network.subnet3.bias.copy_(torch.tensor([99.0, 99, -99, 99]))
    save_model(network, tmp_path / "certain")
    predict(tmp_path / "certain", images, tmp_path / "out", OPTIONS)
    assert tags_in(tmp_path / "out")["weak"]["a"] == {"cat": 0.9999, "dog": 0.0001, "cow": 0.9999}


def test_a_run_that_was_cut_off_has_all_tags_in_the_end(model, images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    predict(model, images, tmp_path / "whole", OPTIONS)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(predicted_tags.TagsFile, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            predict(model, images.subset({"a", "b"}), out, OPTIONS)
    assert not (out / "tags.json").exists()
    assert predict(model, images, out, OPTIONS).kept == 2
    assert tags_in(out) == tags_in(tmp_path / "whole")
    (out / "tags" / "a.npz").unlink()
    assert predict(model, images, out, OPTIONS).kept == 2
    assert tags_in(out) == tags_in(tmp_path / "whole")
    assert predict(model, images.subset({"b"}), out, OPTIONS).kept == 1
    assert tags_in(out) == tags_in(tmp_path / "whole")  # those of images that were left out this time stay


def test_images_that_cannot_be_read_have_no_tags(model, images, tmp_path):
    (tmp_path / "weak" / "b.png").write_bytes(b"no image")
    run = predict(model, images, tmp_path / "out", OPTIONS)
    assert (run.done, len(run.skipped)) == (2, 1)
    assert list(tags_in(tmp_path / "out")["weak"]) == ["a", "in/c"]


@pytest.mark.parametrize("content", ['{"weak": {"z": ["cat"]}}', "[]", "nothing", '{"weak": ["a"]}'])
def test_tags_of_somebody_else_are_not_replaced(model, images, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tags.json").write_text(content)
    with pytest.raises(InvalidFile, match=r"tags\.json: was not written by predict"):
        predict(model, images, tmp_path / "out", OPTIONS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tags.json"]


def test_given_tags_are_of_the_split_that_is_predicted(model, images, tmp_path):
    assert folder_of(images) == tmp_path / "weak"
    with pytest.raises(InvalidInput, match="expected images, found none"):
        folder_of(images.subset(set()))
    path = tmp_path / "tags.json"
    path.write_text('{"train": {"a": ["dog"]}, "weak": {"a": ["cat"], "q": ["cow"]}}')
    given = open_tags(path, images, model)
    assert given.of == {"a": {"cat": 1.0}}
    without, missing, implied = given.findings
    assert "every tagged image is taken to hold background, which tags do not name" in implied
    assert "2 images have no tags, predicted without: b, in/c" in without
    assert f"has tags of an image that is not in {tmp_path / 'weak'}: q" in missing
    path.write_text('{"a.png": ["cat"]}')
    with pytest.raises(
        InvalidInput, match=r"expected tags of images in .*weak, such as a; its tags are of a\.png"
    ):
        open_tags(path, images, model)


def test_tags_of_a_split_of_a_data_set(model, images, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(tmp_path / "weak", root / "images" / "train")
    (root / "dataset.yaml").write_text("classes: [background, cat, dog, cow]")
    (root / "tags.json").write_text('{"train": {"b": ["cow"]}, "val": {"a": ["cat"]}}')
    dataset = open_dataset(root, "train")
    assert open_tags(root / "tags.json", dataset, model).of == {"b": {"cow": 1.0}}
    predict(model, dataset, tmp_path / "out", OPTIONS)  # tags that lie beside a data set are no evidence unasked
    assert len(tags_in(tmp_path / "out")["train"]["b"]) == 3


@pytest.mark.parametrize("step", ["write_json", "write_tags"])
def test_a_kill_while_tags_are_written_leaves_what_is_ours(model, images, tmp_path, monkeypatch, step):
    out, given = tmp_path / "out", {"a": {"cat": 1.0}}
    predict(model, images, out, OPTIONS)
    before = tags_in(out)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(predicted_tags, step, killed)
        with pytest.raises(KeyboardInterrupt):
            predict(model, images, out, OPTIONS, tags=given)
    assert tags_in(out) == before
    assert predict(model, images, out, OPTIONS, tags=given).kept == 3
    assert tags_in(out)["weak"] == {**before["weak"], **given}
    assert predict(model, images, out, OPTIONS, tags=given).kept == 3


def test_tags_that_were_edited_are_not_replaced(model, images, tmp_path):
    out = tmp_path / "out"
    predict(model, images, out, OPTIONS)
    edited = (out / "tags.json").read_text().replace('"cat": 0.', '"cat": 0.9', 1)
    (out / "tags.json").write_text(edited)
    with pytest.raises(InvalidFile, match=r"or was edited since: move it \(--tags reads it\)"):
        predict(model, images, out, OPTIONS)
    assert (out / "tags.json").read_text() == edited


def test_classes_that_given_tags_name_are_named_in_predicted_ones_too(model, images, tmp_path):
    given = {"a": {"background": 1.0, "cat": 1.0}}
    predict(model, images, tmp_path / "out", OPTIONS, tags=given)
    found = tags_in(tmp_path / "out")["weak"]
    assert found["a"] == given["a"]
    assert list(found["b"]) == list(CLASSES.names)


def test_a_tagged_image_holds_the_background_where_tags_do_not_name_it(model, images, tmp_path):
    options = PredictOptions(precision="32", probs=True, quiet=True)
    for name, tags in (("named", {"a": {"background": 1.0, "cat": 1.0}}), ("implied", {"a": {"cat": 1.0}})):
        predict(model, images.subset({"a"}), tmp_path / name, options, tags=tags)
    named, implied = (read_probabilities(tmp_path / name / "probs" / "a.npz") for name in ("named", "implied"))
    assert (named[0] > 0).any()
    np.testing.assert_array_equal(named, implied)
    predict(model, images.subset({"a"}), tmp_path / "none", options, tags={"a": {}})
    assert (read_probabilities(tmp_path / "none" / "probs" / "a.npz")[0] == 1).all()
