"""The nearest pixel of another class, against a search of all pixels."""

import numpy as np
import pytest

from segmend.borders.neighbours import nearest_of_another_class


@pytest.mark.parametrize("seed", range(4))
def test_no_pixel_of_another_class_is_nearer(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 4, (5, 6)), np.ones((4, 3), int))
    found = nearest_of_another_class(labels)
    down, right = found.offsets()
    places = np.argwhere(np.ones_like(labels))
    for y, x in places:
        others = places[labels.ravel() != labels[y, x]]
        nearest = np.hypot(*(others - (y, x)).T).min()
        there = y + down[y, x], x + right[y, x]
        assert np.hypot(down[y, x], right[y, x]) == pytest.approx(nearest, rel=0.05)
        assert found.distance[y, x] == pytest.approx(nearest, rel=0.05)
        assert labels[int(there[0]), int(there[1])] != labels[y, x]
        assert found.place[y, x] == there[0] * labels.shape[1] + there[1]


def test_a_mask_of_one_class_has_none():
    assert np.isinf(nearest_of_another_class(np.zeros((5, 7), np.uint8)).distance).all()
