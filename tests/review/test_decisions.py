"""Decisions, and the label map that they make, pixel by pixel."""

import numpy as np
import pytest

from segmend.labels import InvalidInput
from segmend.review import Decision, combine, confirmed, regions_of


def _scene():
    coarse = np.random.default_rng(0).integers(0, 3, (30, 40)).astype(np.uint8)
    refined = coarse.copy()
    refined[2:9, 2:9], refined[20:28, 5:30], refined[5:15, 20:35] = 7, 8, 300 % 256
    return coarse, refined, regions_of(coarse, refined).numbers


@pytest.mark.parametrize(
    ("accepted", "kept", "state"),
    [
        ((), (), "undecided"),
        ((1, 2, 3), (), "accepted"),
        ((), (3, 1, 2), "kept"),
        ((2,), (1,), "partly"),
        ((3,), (2, 1), "mixed"),
    ],
)
def test_accepted_regions_are_refined_all_else_stays_coarse(accepted, kept, state):
    coarse, refined, numbers = _scene()
    decision = Decision(3, accepted, kept)
    made, seen = combine(coarse, refined, numbers, decision), confirmed(numbers, decision)
    assert decision.state == state
    assert made.dtype == coarse.dtype
    for place in np.ndindex(coarse.shape):
        assert made[place] == (refined if numbers[place] in accepted else coarse)[place]
        assert seen[place] == (numbers[place] in (*accepted, *kept))


def test_ids_beyond_the_type_of_the_coarse_map_are_kept():
    made = combine(
        np.zeros((1, 2), np.uint8), np.array([[0, 700]], np.int32), np.array([[0, 1]], np.uint8), Decision(1, (1,))
    )
    assert made.tolist() == [[0, 700]]


@pytest.mark.parametrize(("accepted", "kept"), [((0,), ()), ((4,), ()), ((1, 1), ()), ((1,), (1,)), ((), (-1,))])
def test_numbers_that_no_region_has_or_that_stand_twice_are_refused(accepted, kept):
    with pytest.raises(InvalidInput, match=r"expected each of the regions 1\.\.3"):
        Decision(3, accepted, kept)
