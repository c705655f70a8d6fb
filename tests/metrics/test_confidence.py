"""Reliability and undone changes, against loops and torchmetrics' calibration error."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryCalibrationError

from segmend.metrics import calibration_error, confusion_by_threshold, confusion_matrix, reliability


@pytest.fixture
def maps():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, (20, 30)).astype(np.uint8)
    truth[:2] = 255
    refined, coarse = (
        np.where(rng.random(truth.shape) < 0.6, truth % 4, rng.integers(0, 4, truth.shape)) for _ in "ab"
    )
    confidence = (rng.integers(0, 256, truth.shape) / 255).astype(np.float32)
    return refined.astype(np.uint8), coarse.astype(np.uint8), confidence, truth


def test_each_pixel_is_in_the_bin_of_its_confidence():
    confidence = np.array([0.0, 0.049, 0.05, 0.35, 0.99, 1.0], np.float32)
    counts = reliability(confidence, np.array([True, False, True, True, False, True]))
    assert counts[:, 0].nonzero()[0].tolist() == [0, 1, 7, 19]
    assert counts[[0, 1, 7, 19], 0].tolist() == [2, 1, 1, 2]
    assert counts[[0, 1, 7, 19], 2].tolist() == [1, 1, 1, 1]
    assert counts[:, 1].sum() == pytest.approx(confidence.sum())


def test_the_calibration_error_is_that_of_torchmetrics(maps):
    _, _, confidence, truth = maps
    right = np.random.default_rng(0).random(truth.shape) < confidence**2
    inside = confidence < 1  # torchmetrics gives probability 1 a bin of its own
    own = calibration_error(reliability(confidence[inside], right[inside], bins=10))
    reference = BinaryCalibrationError(n_bins=10, norm="l1")
    expected = reference(torch.from_numpy(confidence[inside]).double(), torch.from_numpy(right[inside]).int())
    assert own == pytest.approx(expected.item(), abs=1e-6)
    assert np.isnan(calibration_error(np.zeros((10, 3))))


def test_changes_below_each_threshold_are_undone(maps):
    refined, coarse, confidence, truth = maps
    thresholds = np.arange(10, 20) / 20
    found = confusion_by_threshold(refined, truth, coarse, confidence, 4, thresholds)
    for threshold, confusion in zip(thresholds, found, strict=True):
        kept = np.where((refined != coarse) & (confidence < threshold), coarse, refined)
        assert (confusion == confusion_matrix(kept, truth, 4)).all()
