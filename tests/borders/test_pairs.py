"""Profiles of pairs of classes: orientation, and support from similar pairs."""

import numpy as np
import pytest

from segmend.borders.pairs import DESCRIPTION, SHARED_BORDER, PairProfiles
from segmend.borders.strength import DISTANCES, REACH, BorderStrength


def measured(pairs, places, border=400, areas=None):
    """An image with an edge at one distance from the border of each pair, positive in its higher class."""
    shape = (len(pairs), 2 * REACH)
    strength, strongest, counts = np.zeros(shape), np.zeros(shape), np.full(shape, float(border))
    for row, place in enumerate(places):
        at = int(np.flatnonzero(place == DISTANCES)[0])
        strength[row, at], strongest[row, at] = 2.0 * border, border
    ids = {id_ for pair in pairs for id_ in pair}
    sides = np.zeros((2, len(pairs), 4, 2 * REACH))
    areas = areas or dict.fromkeys(ids, 9)
    return BorderStrength(np.array(pairs).reshape(-1, 2), strength, counts, strongest, sides, areas)


def place_of(profiles, pair):
    return DISTANCES[profiles.describe(*pair)[: 2 * REACH].argmax()]


@pytest.mark.parametrize(("areas", "expected"), [({0: 900, 1: 100}, -5.5), ({0: 100, 1: 900}, 5.5)])
def test_distances_are_negative_inside_the_smaller_class(areas, expected):
    profiles = PairProfiles([measured([(0, 1)], [5.5], areas=areas)], areas)
    assert profiles.is_inner(1, 0) == (areas[1] < areas[0])
    assert place_of(profiles, (0, 1)) == expected
    share = profiles.share_inside(0, 1)
    assert share[0] == 0
    assert share[-1] == pytest.approx(1)
    assert share[int(expected + REACH - 3)] < 0.1 < 0.9 < share[int(expected + REACH + 4)]


def test_images_add_up():
    areas = {0: 900, 1: 100}
    one, other = measured([(0, 1)], [3.5], areas=areas), measured([(0, 1)], [3.5], border=200, areas=areas)
    both = PairProfiles([one, other], areas)
    assert both.images == 2
    assert PairProfiles([one], areas).images == 1
    assert place_of(both, (0, 1)) == -3.5


def test_a_pair_with_little_border_has_the_profile_of_its_kind():
    areas = {0: 900, 1: 100, 2: 90, 3: 80}
    # with the largest class edges lie 4 px outside; between others on the border
    images = [measured([(0, 1), (0, 2), (1, 2)], [-4.5, -4.5, 0.5], areas=areas)]
    profiles = PairProfiles(images, areas)
    assert place_of(profiles, (0, 3)) == 4.5
    assert abs(place_of(profiles, (1, 3))) == 0.5
    many = PairProfiles([*images, measured([(0, 3)], [6.5], border=10 * SHARED_BORDER, areas=areas)], areas)
    assert place_of(many, (0, 3)) == -6.5
    few = PairProfiles([*images, measured([(0, 3)], [6.5], border=2, areas=areas)], areas)
    assert place_of(few, (0, 3)) == 4.5


def test_without_borders_no_place_is_preferred():
    profiles = PairProfiles([], {})
    described = profiles.describe(0, 1)
    assert described.shape == (DESCRIPTION,)
    assert not described.any()
    np.testing.assert_allclose(profiles.share_inside(0, 1), np.linspace(0, 1, 2 * REACH + 1))
