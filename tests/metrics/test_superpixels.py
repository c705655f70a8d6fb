"""Accuracy over superpixels, against a loop."""

from collections import Counter

import numpy as np
import pytest

from segmend.labels import InvalidInput
from segmend.metrics import SuperpixelAccuracy, superpixel_counts


def test_the_most_frequent_class_of_each_superpixel_counts():
    rng = np.random.default_rng(1)
    superpixels = rng.integers(0, 12, (20, 25))
    prediction = np.where(rng.random((20, 25)) < 0.3, rng.integers(0, 3, (20, 25)), superpixels % 3).astype(
        np.uint8
    )
    prediction[superpixels == 4] = 255
    labels = np.array([0, 1, 2, 0, 1, 2, 1, 1, 255, 0, 1, 2], np.uint8)
    right = 0
    for number, true in enumerate(labels):
        seen = Counter(prediction[(superpixels == number) & (prediction != 255)].tolist())
        right += bool(seen) and true != 255 and min(c for c in seen if seen[c] == max(seen.values())) == true
    assert superpixel_counts(prediction, labels, superpixels, 3) == (right, 11)
    assert 5 < right < 11
    metric = SuperpixelAccuracy(3)
    for _ in range(2):
        metric.update(prediction, labels, superpixels)
    assert metric.compute().item() == right / 11


def test_a_superpixel_without_a_label_is_refused():
    with pytest.raises(InvalidInput, match=r"expected superpixels 0\.\.1, as there are 2 labels; found 0\.\.2"):
        superpixel_counts(np.zeros((1, 3), np.uint8), np.zeros(2, np.uint8), np.array([[0, 1, 2]]), 2)
    with pytest.raises(InvalidInput):
        superpixel_counts(np.zeros((1, 3), np.uint8), np.zeros(2, np.uint8), np.zeros((2, 3), int), 2)
