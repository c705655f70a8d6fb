"""Maps as small as a screen needs them."""

import numpy as np
import pytest

from segmend.review import regions_of, shown


@pytest.mark.parametrize(("size", "side", "factor"), [((50, 70), 70, 1), ((50, 70), 69, 2), ((7, 101), 20, 6)])
def test_a_square_shows_its_smallest_region_and_no_region_vanishes(size, side, factor):
    rng = np.random.default_rng(0)
    coarse = rng.choice([3, 200, 4000], size)
    refined = coarse.copy()
    refined[2:6, 10:30], refined[6, 60], refined[1, 1] = 9, 9, 12
    numbers, regions = regions_of(coarse, refined)
    found = shown(coarse, refined, numbers, side)
    height, width = -(-size[0] // factor), -(-size[1] // factor)
    assert found.factor == factor
    assert found.ids == (3, 9, 12, 200, 4000)
    assert found.numbers.shape == found.coarse.shape == found.refined.shape == (height, width)
    assert set(np.unique(found.numbers)) == {0, *(r.number for r in regions)}
    for row, column in np.ndindex(height, width):
        square = np.s_[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        number = numbers[square].max()
        pairs = set(
            zip(coarse[square][numbers[square] == number], refined[square][numbers[square] == number], strict=True)
        )
        assert found.numbers[row, column] == number
        assert (found.ids[found.coarse[row, column]], found.ids[found.refined[row, column]]) in pairs


def test_more_ids_than_colours_share_their_numbers():
    coarse = np.arange(600).reshape(20, 30)
    found = shown(coarse, coarse, np.zeros((20, 30), np.uint8), 30)
    assert found.coarse.ravel().tolist() == [i % 255 for i in range(600)]
