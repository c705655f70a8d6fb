"""The data set that predict writes: what it holds, what is kept, and what it does not replace."""

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.images import read_image, write_image
from segmend.data.masks import read_labels
from segmend.data.probabilities import read_probabilities
from segmend.dual import DualSegmentation
from segmend.jobs import predicted_dataset
from segmend.jobs.predict import PredictOptions, predict
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.segmenters import Segmenter

CLASSES = Classes(("background", "cat", "dog"))
OPTIONS = PredictOptions(precision="32", dataset="train", quiet=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    save_model(DualSegmentation(CLASSES, width=8, common=("background",), side=64), folder / "dual")
    arguments = {"in_channels": 3, "out_channels": 3, "kernel_size": 1}
    segmenter = Segmenter(CLASSES, "torch.nn.Conv2d", arguments)
    with torch.no_grad():
        assert isinstance(segmenter.network, nn.Conv2d)
        segmenter.network.weight.mul_(4)
    save_model(segmenter, folder / "segmenter")
    return folder


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "in/c.png"):
        write_image(tmp_path / "photos" / name, rng.integers(0, 256, (48, 64, 3), np.uint8))
    return open_dataset(tmp_path / "photos")


@pytest.mark.parametrize("kind", ["dual", "segmenter"])
def test_it_is_a_data_set_of_the_images_and_their_maps(models, images, tmp_path, kind):
    out = tmp_path / "out"
    run = predict(
        models / kind, images, out, PredictOptions(precision="32", dataset="train", probs=True, quiet=True)
    )
    assert (run.done, run.kept) == (3, 0)
    written = open_dataset(out, "train")
    assert written.classes == CLASSES
    assert [record.id for record in written] == ["a", "b", "in/c"]
    predict(models / kind, images, tmp_path / "plain", PredictOptions(precision="32", quiet=True))
    for before, record in zip(images, written, strict=True):
        assert record.image.read_bytes() == before.image.read_bytes()
        plain = read_labels(tmp_path / "plain" / "labels" / f"{record.id}.png")[0]
        np.testing.assert_array_equal(written.labels(record), plain)
        assert written.coarse(record).shape == (3, 48, 64)
        assert (record.tags is None) == (kind == "segmenter")
    assert predict(models / kind, images, out, OPTIONS).kept == 3


def test_splits_lie_beside_each_other(models, images, tmp_path):
    out = tmp_path / "out"
    predict(models / "dual", images, out, OPTIONS)
    predict(models / "dual", images.subset({"a"}), out, PredictOptions(precision="32", dataset="val", quiet=True))
    assert len(open_dataset(out, "train")) == 3
    (record,) = open_dataset(out, "val")
    assert record.tags == next(iter(open_dataset(out, "train"))).tags is not None


def test_labels_of_low_confidence_are_void(models, images, tmp_path):
    out = tmp_path / "out"
    options = PredictOptions(precision="32", dataset="train", min_confidence=0.6, probs=True, quiet=True)
    predict(models / "segmenter", images, out, options)
    written, shares = open_dataset(out, "train"), []
    for record in written:
        p = read_probabilities(out / "probs" / "train" / f"{record.id}.npz")
        labels, clear = written.labels(record), np.abs(p.max(0) - 0.6) > 1e-3  # float16 rounds
        np.testing.assert_array_equal((labels == 255)[clear], (p.max(0) < 0.6)[clear])
        np.testing.assert_array_equal(labels[labels != 255], p.argmax(0)[labels != 255])
        shares.append((labels == 255).mean())
    assert 0.05 < np.mean(shares) < 0.95
    with pytest.raises(InvalidFile, match="made with other weights or options"):
        predict(models / "segmenter", images, out, OPTIONS)
    with pytest.raises(InvalidInput, match="add --dataset SPLIT"):
        predict(models / "segmenter", images, tmp_path / "x", PredictOptions(min_confidence=0.6, quiet=True))


@pytest.mark.parametrize("step", ["remove", "write"])
def test_a_kill_between_any_two_files_leaves_an_image_that_is_made_again(
    models, images, tmp_path, monkeypatch, step
):
    out = tmp_path / "out"
    write_image(tmp_path / "photos" / "a.png", np.zeros((48, 64, 3), np.uint8))
    predict(models / "segmenter", images.subset({"b", "in/c"}), out, OPTIONS)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(predicted_dataset.PredictedDataset, step, killed)
        with pytest.raises(KeyboardInterrupt):
            predict(models / "segmenter", images, out, OPTIONS)
    run = predict(models / "segmenter", images, out, OPTIONS)
    assert (run.done, run.kept) == (1, 2)
    assert len(open_dataset(out, "train")) == 3


def test_an_image_that_changed_takes_the_place_of_the_earlier_one(models, images, tmp_path):
    out = tmp_path / "out"
    predict(models / "dual", images, out, OPTIONS)
    (tmp_path / "photos" / "b.jpg").unlink()
    write_image(tmp_path / "photos" / "b.png", np.zeros((40, 40, 3), np.uint8))
    run = predict(models / "dual", open_dataset(tmp_path / "photos"), out, OPTIONS)
    assert (run.done, run.remade, run.kept) == (1, 1, 2)
    assert sorted(path.name for path in (out / "images" / "train").glob("*.*")) == ["a.png", "b.png"]
    assert read_labels(out / "labels" / "train" / "b.png")[0].shape == (40, 40)


def test_images_that_reading_changes_are_written_as_they_were_read(models, images, tmp_path):
    chosen = open_dataset(tmp_path / "photos", bands=(2, 1, 0))
    predict(models / "segmenter", chosen, tmp_path / "out", OPTIONS)
    for record in open_dataset(tmp_path / "out", "train"):
        assert record.image.suffix == ".png"
        (before,) = chosen.subset({record.id})
        np.testing.assert_array_equal(read_image(record.image), chosen.image(before))


@pytest.mark.parametrize(
    ("there", "content", "message"),
    [
        ("dataset.yaml", "classes: [background, cat, dog]", "describes a data set that was not predicted"),
        (
            "dataset.yaml",
            "{classes: [sky], source: {labels: segmend predict}}",
            "describes a data set of other classes",
        ),
        ("images/train/a.jpg", "somebody's", "exists and was not written by this program"),
        ("labels/train/a.png", "somebody's", "exists and was not written by this program"),
        ("results.json", "{}", "was not written by refine or predict"),
    ],
)
def test_nothing_of_somebody_else_is_replaced(models, images, tmp_path, there, content, message):
    path = tmp_path / "out" / there
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InvalidFile, match=message):
        predict(models / "dual", images, tmp_path / "out", OPTIONS)
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == [path]
    assert path.read_text() == content


def test_maps_without_a_data_set_are_not_mixed_with_one(models, images, tmp_path):
    predict(models / "dual", images, tmp_path / "out", PredictOptions(precision="32", quiet=True))
    with pytest.raises(InvalidFile, match="holds maps that are no data set"):
        predict(models / "dual", images, tmp_path / "out", OPTIONS)


def test_maps_alone_are_not_added_to_a_data_set(models, images, tmp_path):
    predict(models / "dual", images, tmp_path / "out", OPTIONS)
    with pytest.raises(InvalidFile, match="out: is a data set of predicted maps: give --dataset SPLIT"):
        predict(models / "dual", images, tmp_path / "out", PredictOptions(precision="32", quiet=True))
    assert not (tmp_path / "out" / "labels" / "a.png").exists()


@pytest.mark.parametrize("out", ["photos", "photos/in/predicted"])
def test_images_are_not_written_among_those_that_are_read(models, images, tmp_path, out):
    with pytest.raises(InvalidFile, match="its images would lie among those of"):
        predict(models / "dual", images, tmp_path / out, OPTIONS)


@pytest.mark.parametrize("split", ["", ".", "..", "a/b", ".hidden", "..\\x"])
def test_a_split_is_a_plain_name(models, images, tmp_path, split):
    with pytest.raises(InvalidInput, match="expected the name of a split, as train"):
        predict(models / "dual", images, tmp_path / "out", PredictOptions(dataset=split, quiet=True))
    assert not (tmp_path / "out").exists()


def test_the_command_writes_what_evaluate_takes(models, images, tmp_path):
    out = tmp_path / "out"
    command = ["predict", str(models / "dual"), "--images", str(tmp_path / "photos"), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(app, [*command, "--dataset", "train", "--min-confidence", "0.4", "--page"])
    assert result.exit_code == 0, result.output
    assert (out / "steps.html").is_file()
    command = ["evaluate", "--truth", str(out), "--split", "train", "--pred", str(out / "labels" / "train")]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "scores.json"), "--quiet"])
    assert result.exit_code == 0, result.output
    assert "mIoU            100.0" in result.output
