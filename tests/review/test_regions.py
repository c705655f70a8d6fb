"""Regions of difference, against slow versions that look at each pixel."""

import doctest

import numpy as np
import pytest
from scipy import ndimage

import segmend.review.decisions
import segmend.review.regions
from segmend.labels import InvalidInput
from segmend.review import change_weight, mean_of_regions, regions_of
from segmend.review.regions import MOST_REGIONS, SMALL_PIXELS


def _maps(seed, size=(60, 80)):
    """A coarse map of large areas, and one in which discs and single pixels have other ids."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(0, 4, (6, 8)), np.ones((10, 10), int)).astype(np.uint8)
    refined = coarse.copy()
    y, x = np.mgrid[: size[0], : size[1]]
    for _ in range(6):
        cy, cx, r = rng.integers(size[0]), rng.integers(size[1]), rng.integers(2, 9)
        refined[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = rng.integers(0, 6)
    for _ in range(8):
        refined[rng.integers(size[0]), rng.integers(size[1])] = 255
    return coarse, refined


def _slowly(coarse, refined):
    """Areas of changed pixels as sets of pixels: the large ones, largest first, and all small ones as one."""
    areas, count = ndimage.label(coarse != refined, np.ones((3, 3)))
    sets = [set(zip(*np.nonzero(areas == k), strict=True)) for k in range(1, count + 1)]
    least = max(SMALL_PIXELS, 0.0002 * coarse.size)
    large = sorted((s for s in sets if len(s) >= least), key=len, reverse=True)
    small = [s for s in sets if len(s) < least]
    return large, small


@pytest.mark.parametrize("seed", range(5))
def test_regions_are_the_connected_areas_of_changed_pixels_and_small_ones_are_one(seed):
    coarse, refined = _maps(seed)
    found = regions_of(coarse, refined)
    large, small = _slowly(coarse, refined)
    assert np.array_equal(found.numbers > 0, coarse != refined)
    assert [r.pixels for r in found.regions] == [len(s) for s in large] + ([sum(map(len, small))] if small else [])
    assert [r.parts for r in found.regions] == [1] * len(large) + ([len(small)] if small else [])
    expected = {frozenset(s) for s in large} | ({frozenset(set().union(*small))} if small else set())
    pixels = [frozenset(zip(*np.nonzero(found.numbers == r.number), strict=True)) for r in found.regions]
    assert set(pixels) == expected
    for region, own in zip(found.regions, pixels, strict=True):
        rows, columns = zip(*own, strict=True)
        assert region.box == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        changes = {}
        for place in own:
            pair = int(coarse[place]), int(refined[place])
            changes[pair] = changes.get(pair, 0) + 1
        assert {(c.before, c.after): c.pixels for c in region.changes} == changes
        assert [c.pixels for c in region.changes] == sorted(changes.values(), reverse=True)


def test_equal_maps_have_no_region_whatever_their_type():
    coarse = np.array([[0, 300], [65535, 7]], np.int32)
    found = regions_of(coarse, coarse.astype(np.int64))
    assert found.regions == ()
    assert not found.numbers.any()


def test_areas_beyond_the_most_are_decided_together():
    coarse = np.zeros((90, 450), np.uint8)
    refined = coarse.copy()
    for row in range(0, 90, 6):
        for column in range(0, 450, 6):
            refined[row : row + 4, column : column + 4] = 1
    found = regions_of(coarse, refined)
    assert len(found.regions) == MOST_REGIONS + 1
    assert found.regions[-1].parts == 15 * 75 - MOST_REGIONS
    assert found.numbers.max() == MOST_REGIONS + 1


def test_other_sizes_are_refused():
    with pytest.raises(InvalidInput, match="expected one size"):
        regions_of(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_the_weight_of_changes_and_their_mean_confidence_count_each_pixel():
    coarse, refined = _maps(0)
    confidence = np.random.default_rng(1).integers(0, 256, coarse.shape).astype(np.uint8)
    places = [p for p in np.ndindex(coarse.shape) if coarse[p] != refined[p]]
    assert change_weight(coarse, refined) == len(places)
    assert change_weight(coarse, refined, confidence) == pytest.approx(sum(confidence[p] / 255 for p in places))
    numbers, regions = regions_of(coarse, refined)
    expected = [confidence[numbers == r.number].mean() / 255 for r in regions]
    assert mean_of_regions(numbers, confidence) == pytest.approx(expected)


@pytest.mark.parametrize("module", [segmend.review.regions, segmend.review.decisions], ids=lambda m: m.__name__)
def test_examples_give_what_they_show(module):
    names = {"np": np, "Decision": segmend.review.Decision}
    assert doctest.testmod(module, extraglobs=names).failed == 0
