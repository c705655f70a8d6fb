"""Tidying label maps, against slow versions with scipy, and by its properties."""

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import segmend.tidy
from segmend.labels import VOID, VOID_16, InvalidInput
from segmend.tidy import Tidy, fill_holes, remove_islands, smooth_borders, tidy

EIGHT = np.ones((3, 3), bool)
FUNCTIONS = (remove_islands, fill_holes, smooth_borders)
MAPS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 2, VOID])
)


def areas_map(seed, count=4, size=(60, 80), noise=0.03):
    """Areas with rough borders, and single pixels of other classes; a part is void."""
    rng = np.random.default_rng(seed)
    planes = [ndimage.gaussian_filter(rng.normal(size=size), 5) for _ in range(count)]
    labels = np.argmax(planes, axis=0).astype(np.uint8)
    wrong = rng.random(size) < noise
    labels[wrong] = rng.integers(0, count, int(wrong.sum()))
    labels[ndimage.gaussian_filter(rng.normal(size=size), 4) > 0.07] = VOID
    return labels


def slow_islands(labels, sizes, void=VOID):
    """Islands one by one, votes counted in a loop, round after round while any island has a neighbour."""
    found, pending = labels.astype(int).copy(), []
    for value in np.unique(labels[labels != void]):
        areas, count = ndimage.label(labels == value, EIGHT)
        pending += [areas == i for i in range(1, count + 1) if (areas == i).sum() < sizes[value]]
    for island in pending:
        found[island] = -1
    while pending:
        new = []
        for island in pending:
            votes = {}
            for y, x in zip(*np.nonzero(island), strict=True):
                for value in found[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].ravel().tolist():
                    if value not in (-1, void):
                        votes[value] = votes.get(value, 0) + 1
            new.append(min(votes, key=lambda value: (-votes[value], value)) if votes else -1)
        if max(new) == -1:
            for island in pending:
                found[island] = labels[island]
            break
        for island, value in zip(pending, new, strict=True):
            found[island] = value
        pending = [island for island, value in zip(pending, new, strict=True) if value == -1]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_islands_get_the_class_around_them_as_counted_one_by_one(seed):
    labels = areas_map(seed)
    sizes = {0: 9, 1: 9, 2: 2, 3: 30}
    found = remove_islands(labels, 9, {2: 2, 3: 30})
    assert (found != labels).any()
    np.testing.assert_array_equal(found, slow_islands(labels, sizes))


@settings(max_examples=200, deadline=None)
@given(MAPS, st.integers(0, 8))
def test_no_island_is_left_but_those_that_only_void_is_around(labels, size):
    found = remove_islands(labels, size, void=(VOID,))
    np.testing.assert_array_equal(found, slow_islands(labels, dict.fromkeys(range(3), size)))
    np.testing.assert_array_equal(remove_islands(found, size, void=(VOID,)), found)
    parts, _ = ndimage.label(labels != VOID, EIGHT)
    for value in range(3):
        areas, count = ndimage.label(found == value, EIGHT)
        for i in range(1, count + 1):
            part = parts == parts[areas == i][0]
            # What is left among void alone held no larger area.
            assert (areas == i).sum() >= size or (found[part] == labels[part]).all()


@pytest.mark.parametrize("seed", range(4))
def test_holes_are_those_of_binary_fill_holes(seed):
    labels = areas_map(seed, count=3, noise=0.06)
    for value in range(3):
        mask = labels == value
        holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
        small = np.isin(holes, [i for i in range(1, count + 1) if (holes == i).sum() < 12])
        expected = np.where(small & (labels != VOID), value, labels)
        found = fill_holes(labels, 0, {value: 12})
        assert (found != labels).any()
        np.testing.assert_array_equal(found, expected)


def test_of_holes_inside_holes_the_outer_one_counts():
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 1
    labels[4, 4] = 2
    assert (fill_holes(labels, 2) == np.where(labels == 2, 1, labels)).all()
    assert (fill_holes(labels, 30) == 0).all()
    assert (fill_holes(labels, 30, {0: 0}) == np.where(labels == 2, 1, labels)).all()


def test_a_hole_at_the_edge_of_the_image_is_none_and_one_closed_diagonally_is():
    labels = np.ones((5, 5), np.uint8)
    labels[0, 2] = labels[2, 2] = 0
    labels[3, 1] = 2  # touches the hole by a corner
    found = fill_holes(labels, 5)
    assert found[0, 2] == 0
    assert found[1:].min() == found[1:].max() == 1


def test_a_checkerboard_becomes_the_larger_class_within_its_edge():
    labels = np.indices((151, 151)).sum(axis=0).astype(np.uint8) % 2
    labels[1] = 1
    found = fill_holes(labels, 2)
    assert (found[1:-1, 1:-1] == 1).all()
    np.testing.assert_array_equal(fill_holes(1 - labels, 2), 1 - found)  # whichever id it has


@settings(max_examples=200, deadline=None)
@given(MAPS, st.integers(0, 12))
def test_holes_are_filled_once_and_for_all(labels, size):
    found = fill_holes(labels, size, void=(VOID,))
    np.testing.assert_array_equal(fill_holes(found, size, void=(VOID,)), found)


@pytest.mark.parametrize("sizes", [{}, {1: 0.5, 3: 3.0}, {2: 0}])
def test_borders_follow_the_vote_of_scipys_filter(sizes):
    labels = areas_map(1)
    values = [0, 1, 2, 3]
    shares = []
    for value in values:
        sigma = sizes.get(value, 1.5)
        votes, valid = ((labels == value).astype(float), (labels != VOID).astype(float))
        radius = int(np.ceil(4 * sigma))
        if sigma:
            votes, valid = (
                ndimage.gaussian_filter(v, sigma, mode="reflect", radius=radius) for v in (votes, valid)
            )
        shares.append(votes / np.maximum(valid, 1e-6))
    best = np.argmax(shares, axis=0)
    ordered = np.sort(shares, axis=0)
    decided = ordered[-1] - ordered[-2] > 1e-4
    found = smooth_borders(labels, 1.5, sizes)
    assert (found != labels).any()
    agrees = found == np.where(labels == VOID, VOID, best)
    assert agrees[decided].all()
    assert decided.mean() > 0.99


def test_straight_borders_stay_bumps_go_and_a_class_without_a_size_keeps_its_pixels():
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 1
    np.testing.assert_array_equal(smooth_borders(labels, 3), labels)
    bump, line = labels.copy(), labels.copy()
    bump[10, 18:20] = 1
    np.testing.assert_array_equal(smooth_borders(bump, 3), labels)
    line[30] = 2
    assert not (smooth_borders(line, 3) == 2).any()
    np.testing.assert_array_equal(smooth_borders(line, 3, {2: 0}) == 2, line == 2)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_mirrored_maps_give_mirrored_results_and_ids_do_not_matter(function, seed):
    labels = areas_map(seed)
    found = function(labels, 6)
    np.testing.assert_array_equal(function(labels[::-1].T, 6), found[::-1].T)
    table = np.full(256, VOID_16, np.int32)
    table[:4] = (7, 1000, 5000, 60000)
    np.testing.assert_array_equal(function(table[labels], 6), table[found])
    np.testing.assert_array_equal(
        function(table[labels].astype(np.int64) * 10**6, 6, void=(VOID_16 * 10**6,)),
        table[found].astype(np.int64) * 10**6,
    )


@settings(max_examples=150, deadline=None)
@given(MAPS, st.data())
def test_confirmed_pixels_and_void_never_change_and_no_class_appears(labels, data):
    confirmed = data.draw(hnp.arrays(bool, labels.shape))
    for found in (
        *(function(labels, 5, void=(VOID,), confirmed=confirmed) for function in FUNCTIONS),
        tidy(labels, Tidy(5, 5, 1.0, {1: {"islands": 2}}), void=(VOID,), confirmed=confirmed),
    ):
        assert (found[confirmed] == labels[confirmed]).all()
        assert ((found == VOID) == (labels == VOID)).all()
        assert set(np.unique(found)) <= set(np.unique(labels))


def test_an_area_with_a_confirmed_pixel_is_no_island_and_no_hole():
    labels = np.zeros((7, 7), np.uint8)
    labels[3, 3:5] = 1
    confirmed = np.zeros((7, 7), bool)
    confirmed[3, 3] = True
    for function in (remove_islands, fill_holes):
        assert (function(labels, 9) == 0).all()
        np.testing.assert_array_equal(function(labels, 9, confirmed=confirmed), labels)


@pytest.mark.parametrize("options", [Tidy(5, 5, 2), Tidy(5), Tidy(0, 5), Tidy(0, 0, 40)])
@pytest.mark.parametrize(
    "labels",
    [
        np.array([[3]], np.uint8),
        np.full((4, 5), VOID, np.uint8),
        np.full((1, 6), VOID_16, np.int32),
        np.full((6, 1), 2, np.int64),
        np.array([[True]]),
    ],
)
def test_one_pixel_one_class_and_void_alone_stay(labels, options):
    found = tidy(labels, options)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found, labels)


def test_what_comes_back_is_of_the_kind_of_what_is_given():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[4, 4] = False
    for given_map in (mask, mask.astype(np.uint8) * 255, torch.from_numpy(mask), torch.from_numpy(mask).long()):
        found = fill_holes(given_map, 2)
        assert type(found) is type(given_map)
        assert found.dtype == given_map.dtype
        assert found[4, 4] == given_map[1, 1]
        assert given_map[4, 4] == 0  # the given map is not changed
    targets = torch.from_numpy(np.where(mask, 1, 255))  # long targets: 255 beside other ids is void
    targets[0, 0] = 0
    assert fill_holes(targets, 2)[4, 4] == 255
    view = torch.from_numpy(mask).flip(0).T[::2]
    assert fill_holes(view, 2).shape == view.shape


def test_borders_holes_and_islands_come_in_this_order():
    labels = areas_map(2)
    expected = remove_islands(fill_holes(smooth_borders(labels, 1.5), 8), 20, {1: 4})
    np.testing.assert_array_equal(tidy(labels, Tidy(20, 8, 1.5, {1: {"islands": 4}})), expected)
    np.testing.assert_array_equal(remove_islands(expected, 20, {1: 4}), expected)


def test_a_class_that_smoothing_removes_has_no_holes_to_fill():
    labels = np.zeros((30, 30), np.uint8)
    labels[15, 10:20] = 1
    labels[5:12, 5:12] = 2
    assert set(np.unique(tidy(labels, Tidy(0, 5, 2)))) == {0, 2}


def test_sizes_are_read_from_text_and_written_as_such():
    text = "islands=50,holes=40,smooth=1.5,traffic light:islands=20,traffic light:smooth=0,3:holes=5"
    sizes = Tidy.parse(text)
    assert sizes == Tidy(50, 40, 1.5, {"traffic light": {"islands": 20, "smooth": 0}, "3": {"holes": 5}})
    assert str(sizes) == text
    by_id = sizes.of_ids({"traffic light": 6, "3": 3})
    assert by_id.sizes("islands") == {6: 20}
    assert by_id.sizes("smooth") == {6: 0}
    assert Tidy.parse(" car : islands = 20 ").by_class == {"car": {"islands": 20}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found ''"),
        ("islands", "found 'islands'"),
        ("island=50", "found 'island=50'"),
        ("islands=-5", "found 'islands=-5'"),
        ("islands=nan", "found 'islands=nan'"),
        ("islands=5,,smooth=1", "found ''"),
        ("islands=5,islands=6", "islands twice"),
        ("car:islands=5,car:islands=6", "car:islands twice"),
        ("islands=0,smooth=0", "nothing to tidy"),
        ("smooth=1000", "up to 64 for smooth, found 1000"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        Tidy.parse(text)


def test_classes_that_are_not_there_are_refused():
    sizes = Tidy.parse("bus:islands=5")
    with pytest.raises(InvalidInput, match="no class is called bus; there are sky, car, or their ids"):
        sizes.of_ids({"0": 0, "1": 1, "sky": 0, "car": 1})
    with pytest.raises(InvalidInput, match="by the ids of classes, found bus"):
        tidy(np.zeros((3, 3), np.uint8), sizes)
    with pytest.raises(InvalidInput, match="called by two names: car, 1"):
        Tidy.parse("car:islands=5,1:holes=3").of_ids({"1": 1, "car": 1})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_no_label_map_is_refused(function):
    for wrong in (np.zeros((3, 4)), np.zeros((2, 3, 4), np.uint8), np.zeros((0, 3), np.uint8)):
        with pytest.raises(InvalidInput, match=r"expected a label map \[H, W\] of integers"):
            function(wrong, 5)
    with pytest.raises(InvalidInput, match="one size"):
        function(np.zeros((3, 4), np.uint8), 5, confirmed=np.zeros((4, 3), bool))
    with pytest.raises(InvalidInput, match="size in pixels from 0"):
        function(np.zeros((3, 4), np.uint8), -1)


def test_examples_give_what_they_show():
    assert doctest.testmod(segmend.tidy, extraglobs={"np": np}).failed == 0
