"""The class-agnostic refiner that comes with the package."""

import numpy as np
import pytest
import torch

import segmend
from segmend.data.corruptions import low_resolution
from segmend.data.dataset import open_dataset
from segmend.labels import one_hot
from segmend.metrics import confusion_matrix, mean_iou
from segmend.refiners import UNIVERSAL, UniversalPropagation, load


@pytest.fixture(scope="module")
def universal():
    return load("universal")


def test_it_is_small_and_says_what_it_is(universal):
    assert isinstance(universal, UniversalPropagation)
    assert sum(file.stat().st_size for file in UNIVERSAL.iterdir()) < 12e6
    card = (UNIVERSAL / "README.md").read_text()
    for said in ("trained on", "terms", "made by", "mean"):
        assert said in card


def test_it_mends_low_resolution_and_leaves_the_truth(universal, synthetic):
    dataset = open_dataset(synthetic, "val")
    count = len(dataset.classes)
    for change, gain in ((lambda t: low_resolution(t, count, 8), 0.005), (lambda t: one_hot(t, count), -0.002)):
        before, after = (np.zeros((count, count + 1), np.int64) for _ in range(2))
        for record in dataset:
            truth = torch.from_numpy(dataset.labels(record))
            coarse = change(truth)
            refined = universal.refine(dataset.image(record), coarse)
            before += confusion_matrix(coarse.argmax(0).numpy(), truth.numpy(), count)
            after += confusion_matrix(refined.labels.numpy(), truth.numpy(), count)
        assert mean_iou(after) - mean_iou(before) > gain


def test_classes_that_are_not_there_change_nothing(universal):
    torch.manual_seed(0)
    image, coarse = torch.rand(3, 64, 80), torch.rand(3, 64, 80).softmax(dim=0)
    among_many = torch.zeros(100, 64, 80)
    among_many[[7, 40, 99]] = coarse
    few, many = universal.refine(image, coarse), universal.refine(image, among_many)
    assert torch.allclose(many.probabilities[[7, 40, 99]], few.probabilities, atol=1e-5)


def test_three_lines_of_python(synthetic):
    dataset = open_dataset(synthetic, "val")
    image, mask = dataset.image(dataset.records[0]), dataset.labels(dataset.records[0])
    refiner = segmend.load("universal")
    refined = refiner.refine(image, mask)
    assert refined.labels.shape == mask.shape
