"""What the network sees of a mask, against definitions pixel by pixel."""

import numpy as np
import pytest
from tests.borders.test_strength import scene

from segmend.borders.evidence import PLANES, border_evidence, up_to_border
from segmend.borders.neighbours import nearest_of_another_class
from segmend.borders.pairs import DESCRIPTION, PairProfiles
from segmend.borders.strength import REACH, border_strength


@pytest.fixture(scope="module", params=range(2))
def case(request):
    image, labels = scene(request.param)
    return image, labels, border_evidence(image, labels)


def test_the_rival_is_the_class_of_the_nearest_pixel_of_another_one(case):
    _, labels, evidence = case
    neighbours = nearest_of_another_class(labels)
    near = neighbours.distance - 0.5 < REACH
    assert (evidence.near == near).all()
    assert (evidence.rival[near] == labels.ravel()[neighbours.place][near]).all()
    assert (evidence.rival[~near] == labels[~near]).all()
    assert (evidence.planes[:, ~near] == 0).all()
    assert evidence.planes.shape == (PLANES, *labels.shape)
    assert np.isfinite(evidence.planes).all()


def test_signed_distances_are_negative_in_the_class_with_fewer_pixels(case):
    _, labels, evidence = case
    area = np.bincount(labels.ravel())
    near = evidence.near
    inside = area[labels[near]] < area[evidence.rival[near]]
    distance = nearest_of_another_class(labels).distance[near] - 0.5
    np.testing.assert_allclose(evidence.planes[0][near] * REACH, np.where(inside, -distance, distance), rtol=1e-5)


def test_each_pair_has_its_description(case):
    image, labels, evidence = case
    measured = border_strength(image, labels)
    own = PairProfiles([measured], measured.areas)
    assert (evidence.descriptions[0] == 0).all()
    for pair in measured.pairs.tolist():
        mask = evidence.near & (np.minimum(labels, evidence.rival) == pair[0])
        mask &= np.maximum(labels, evidence.rival) == pair[1]
        (row,) = np.unique(evidence.pair[mask])
        np.testing.assert_array_equal(evidence.descriptions[row], np.tile(own.describe(*pair), 2))
    assert evidence.descriptions.shape == (1 + len(measured.pairs), 2 * DESCRIPTION)


def test_the_folder_and_the_image_have_columns_of_their_own():
    (image, labels), (other, others) = scene(0), scene(5)
    measured = [border_strength(image, labels), border_strength(other, others)]
    folder = PairProfiles(measured, measured[0].areas)
    evidence = border_evidence(image, labels, folder)
    alone = border_evidence(image, labels)
    assert (evidence.descriptions[:, DESCRIPTION:] == alone.descriptions[:, DESCRIPTION:]).all()
    assert (evidence.descriptions[1:, :DESCRIPTION] != alone.descriptions[1:, :DESCRIPTION]).any()


def test_colours_and_edges_speak_for_the_class_that_a_pixel_belongs_to():
    """A square drawn 4 px too small: in the strip around it, all evidence is for the square."""
    image = np.full((64, 64, 3), (60, 80, 70), np.uint8)
    image[16:48, 16:48] = (200, 120, 90)
    labels = np.zeros((64, 64), np.uint8)
    labels[20:44, 20:44] = 1
    evidence = border_evidence(image, labels)
    strip, outside = np.s_[24:40, 17:19], np.s_[24:40, 9:13]
    beyond, ratio, around = evidence.planes[7], evidence.planes[9], evidence.planes[10]
    assert (evidence.rival[strip] == 1).all()
    for plane in (ratio, around):
        assert plane[strip].min() > 0.2
        assert plane[outside].max() < 0
    assert beyond[strip].min() > 0.6 > 0.3 > beyond[outside].max()


def test_a_mask_of_one_class_has_no_evidence():
    evidence = border_evidence(np.zeros((20, 30, 3), np.uint8), np.full((20, 30), 3, np.uint8))
    assert not evidence.near.any()
    assert not evidence.planes.any()
    assert (evidence.rival == 3).all()


def test_ids_do_not_matter_where_areas_differ():
    image, labels = scene(1)
    renamed = np.array([70000, 5, 12])[labels]
    one, other = border_evidence(image, labels), border_evidence(image, renamed)
    np.testing.assert_allclose(one.planes, other.planes, atol=1e-6)


def test_no_pixel_stays_between_the_border_and_pixels_that_go():
    y, x = np.mgrid[:60, :70]
    labels = (np.hypot(y - 30, x - 35) < 20).astype(np.uint8)
    place = nearest_of_another_class(labels).place
    depth = nearest_of_another_class(labels).distance
    share = np.where((labels == 1) & (depth < 6), 0.9, 0.0)
    share[(labels == 1) & (depth < 3)] = 0.1  # the outermost ring would stay
    share[(labels == 0) & (depth < 3)] = 0.2
    found = up_to_border(share, labels, place)
    assert (found[(labels == 1) & (depth < 5)] == 0.9).mean() > 0.94
    assert (found[labels == 0] == share[labels == 0]).all()
    assert (found >= share).all()
