"""The nearest chosen pixel, against all distances."""

import numpy as np
import pytest

from segmend.ops.nearest import nearest_chosen


@pytest.mark.parametrize("share", [0.01, 0.1, 0.9])
def test_it_is_the_nearest_of_all(share):
    chosen = np.random.default_rng(0).random((23, 31)) < share
    chosen[5, 7] = True
    distance, index = nearest_chosen(chosen)
    places = np.argwhere(chosen)
    for (y, x), found in np.ndenumerate(distance):
        away = np.hypot(*(places - (y, x)).T)
        assert found == pytest.approx(away.min(), rel=0.05)
        there = divmod(int(index[y, x]), chosen.shape[1])
        assert chosen[there]
        assert np.hypot(there[0] - y, there[1] - x) <= 1.05 * away.min()
