"""Sparsity, against scikit-image's components."""

import numpy as np
import pytest
import torch
from skimage.measure import label

from segmend.labels import InvalidInput
from segmend.metrics import Sparsity, sparsity


def components(labels, void=255):
    _, count = label(
        np.where(labels == void, -1, labels.astype(int)), background=-1, return_num=True, connectivity=2
    )
    return count


def test_the_difference_in_components():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 3, (6, 2, 30, 40)).astype(np.uint8)
    maps[:, 1, :, :5] = 255
    expected = []
    for predicted, true in maps:
        shown = np.where(true == 255, true, predicted)
        expected.append(abs(components(shown) - components(true)))
        assert sparsity(predicted, true, 3) == expected[-1]
    metric = Sparsity(3)
    metric.update(maps[:2, 0], maps[:2, 1])
    for predicted, true in maps[2:]:
        metric.update(torch.from_numpy(predicted), torch.from_numpy(true))
    assert metric.compute().item() == np.mean(expected)


def test_a_face_in_one_piece_is_not_sparse():
    truth = np.zeros((40, 40), np.uint8)
    truth[10:30, 10:30] = 1
    fragmented = truth.copy()
    fragmented[15, 15] = fragmented[20, 20] = 0  # two holes
    fragmented[2, 2] = 1  # and a speck
    assert sparsity(truth, truth, 2) == 0
    assert sparsity(fragmented, truth, 2) == 3
    with pytest.raises(InvalidInput, match="one shape"):
        sparsity(truth, truth[1:], 2)
