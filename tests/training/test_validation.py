"""Scores while training are those of the finished maps, whoever makes them."""

import shutil

import numpy as np
import pytest
import torch

from segmend.data.dataset import open_dataset
from segmend.data.masks import write_labels
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.refine import RefineOptions, refine
from segmend.labels import InvalidInput
from segmend.metrics import confusion_matrix, mean_accuracy, mean_iou
from segmend.model_folder import save_model
from segmend.refiners.base import Refinement, Refiner
from segmend.segmenters import Segmenter
from segmend.training.options import Optimisation
from segmend.training.processes import launch
from segmend.training.tasks import corrector, segmenter
from segmend.training.validation import scoring, validate


@pytest.fixture
def fabric():
    return launch(Optimisation(precision="32"))


def of_files(dataset, maps):
    written = dataset.with_coarse(maps)
    counts = [
        confusion_matrix(written.coarse(r), written.labels(r), len(written.classes)) for r in written.records
    ]
    return np.sum(counts, axis=0)


def parser_of(classes):
    torch.manual_seed(0)
    arguments = {"classes": len(classes), "width": 8}
    return Segmenter(classes, "segmend.segmenters.faces.FaceParser", arguments, 4).eval()


def test_of_a_segmenter(synthetic, tmp_path, fabric):
    dataset = open_dataset(synthetic, "val")
    network = parser_of(dataset.classes)
    found, broken = validate(network.to(fabric.device), dataset, segmenter.make_labels, fabric)
    save_model(network, tmp_path / "model", "")
    predict(tmp_path / "model", dataset, tmp_path / "maps", PredictOptions(precision="32", quiet=True))
    differences = np.abs(found - of_files(dataset, tmp_path / "maps" / "labels")).sum()
    assert differences <= (0.01 * found.sum() if torch.cuda.is_available() else 0)  # of TF32
    assert found.sum() == 4 * 64 * 96
    assert broken == []
    scores = scoring(dataset, 5, segmenter.make_labels).score(network, fabric)
    assert list(scores.figures.items()) == [("mean_accuracy", mean_accuracy(found)), ("mean_iou", mean_iou(found))]


class Brighten(torch.nn.Module, Refiner):
    """A corrector with a parameter, which labels the brighter half of an image as class 0."""

    def __init__(self):
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(0.5))

    def refine_batch(self, image, coarse, border_error_px=None):
        bright = (image.mean(dim=1, keepdim=True) > self.threshold).float()
        first = torch.zeros_like(coarse)
        first[:, 0] = 1
        return Refinement.of(coarse + bright * (first - coarse), coarse)


def test_of_a_corrector(synthetic, coarse, tmp_path, fabric):
    dataset = open_dataset(synthetic, "val").with_coarse(coarse / "val")
    found, _ = validate(Brighten().to(fabric.device), dataset, corrector.make_labels, fabric)
    run = refine(Brighten(), dataset, tmp_path / "maps", RefineOptions(precision="32", quiet=True))
    assert np.array_equal(found, of_files(dataset, tmp_path / "maps" / "labels"))
    assert run.changed


def test_unreadable_images_are_left_out_and_named(synthetic, tmp_path, fabric):
    root = tmp_path / "data"
    shutil.copytree(synthetic, root)
    dataset = open_dataset(root, "val")
    network = parser_of(dataset.classes).to(fabric.device)
    dataset.records[0].image.write_bytes(b"no image")
    found, broken = validate(network, dataset, segmenter.make_labels, fabric)
    assert found.sum() == 3 * 64 * 96
    assert len(broken) == 1
    assert str(dataset.records[0].image) in broken[0]
    for record in dataset:
        record.image.write_bytes(b"no image")
    with pytest.raises(InvalidInput, match=r"no labelled pixel of the validation split .*the first: .*no"):
        validate(network, dataset, segmenter.make_labels, fabric)


def test_a_split_of_void_alone_is_refused(synthetic, tmp_path, fabric):
    root = tmp_path / "data"
    shutil.copytree(synthetic, root)
    dataset = open_dataset(root, "val")
    for record in dataset:
        write_labels(record.labels, np.full((64, 96), 255, np.uint8))
    network = parser_of(dataset.classes).to(fabric.device)
    with pytest.raises(InvalidInput, match=r"no labelled pixel of the validation split can be read$"):
        validate(network, dataset, segmenter.make_labels, fabric)
