"""Ids of another numbering are found in confusion matrices, and only there."""

import numpy as np
import pytest

from segmend.jobs.numbering import numbering_note, shifted_by
from segmend.metrics import confusion_matrix


def matrix(true, predicted, count):
    return confusion_matrix(np.asarray(predicted, np.uint8), np.asarray(true, np.uint8), count)


@pytest.fixture
def true():
    return np.random.default_rng(0).integers(0, 6, (40, 40))


@pytest.mark.parametrize("shift", [1, -1])
def test_ids_that_are_one_off_are_found_in_noisy_maps(true, shift):
    noisy = np.where(np.random.default_rng(1).random(true.shape) < 0.5, true, 3)
    confusion = matrix(true + 1, noisy + 1 - shift, 8)
    assert shifted_by(confusion, range(8)) == shift
    note = numbering_note(confusion, range(8), (), "the maps")
    assert f"one {'lower' if shift == 1 else 'higher'} than those of the ground truth" in note


def test_right_ids_are_not_one_off(true):
    noisy = np.where(np.random.default_rng(1).random(true.shape) < 0.3, true, 3)
    assert numbering_note(matrix(true, noisy, 6), range(6), (), "the maps") is None


@pytest.mark.parametrize("foreground", [0.03, 0.5, 0.97])
def test_inverted_masks_are_wrong_but_not_one_off(foreground):
    mask = np.random.default_rng(2).random((50, 50)) < foreground
    assert numbering_note(matrix(mask, ~mask, 2), range(2), (), "the maps") is None


def test_shifts_are_of_stored_ids():
    """Ids 10, 20, 30 have no neighbours, whatever classes stand for them."""
    true = np.repeat([0, 1, 2], 10)[None]
    confusion = matrix(true + 1, true, 4)
    assert shifted_by(confusion, [10, 20, 30, 40]) is None
    assert shifted_by(confusion, [10, 11, 12, 13]) == 1


def test_ids_that_nothing_shares_are_listed():
    true = np.repeat([3, 4], 10)[None]
    note = numbering_note(matrix(true, true - 3, 5), [0, 2, 13, 7, 11], (), "the coarse maps")
    assert "the ground truth has the ids 7, 11, the coarse maps have 0, 2" in note
    # ids that are no class are in the last column of the matrix, as void is
    void = np.full_like(true, 255)
    assert "the maps have 26" in numbering_note(matrix(true, void, 5), range(5), (26,), "the maps")
    assert numbering_note(matrix(true, void, 5), range(5), (), "the maps") is None


def test_no_pixels_no_note():
    assert numbering_note(np.zeros((3, 4), np.int64), range(3), (), "the maps") is None
