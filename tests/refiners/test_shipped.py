"""The weights of the class-agnostic refiner that come with the package."""

import numpy as np
import pytest
import torch

import segmend
from segmend.data.corruptions import low_resolution
from segmend.data.dataset import open_dataset
from segmend.labels import one_hot
from segmend.metrics import confusion_matrix, mean_iou
from segmend.refiners import UNIVERSAL, UniversalRefiner, load


@pytest.fixture(scope="module")
def universal():
    return load("universal")


def test_it_is_small_and_says_what_it_is(universal):
    assert isinstance(universal, UniversalRefiner)
    assert sum(file.stat().st_size for file in UNIVERSAL.iterdir()) < 12e6


def test_its_card_has_a_licence_data_with_terms_uses_limits_and_a_short_table():
    header, _, card = (UNIVERSAL / "README.md").read_text().removeprefix("---\n").partition("---\n")
    assert "license: apache-2.0" in header
    for heading in ("Intended use", "Limits", "Results", "Training", "Licence"):
        assert f"## {heading}" in card
    gains = [line for line in card.splitlines() if line.startswith(("| segmenters", "| 1/"))]
    assert 0 < len(gains) <= 8
    assert "Apache License" in (UNIVERSAL / "LICENSE").read_text()
    notice = (UNIVERSAL / "NOTICE").read_text()
    for data in ("PASCAL VOC 2012", "DAVIS 2016", "Synthetic images"):
        assert data in notice
        assert data.lower() in card.lower()


def test_it_refines_low_resolution_and_keeps_the_ground_truth(universal, synthetic):
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


def test_absent_classes_change_nothing(universal):
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
