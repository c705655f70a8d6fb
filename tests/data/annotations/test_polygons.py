"""Masks as polygons and back: exact at tolerance 0, without gaps at any, valid always."""

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from segmend.data.annotations.polygons import (
    Cropped,
    OutlineOptions,
    mask_of_geometry,
    mask_of_rings,
    outlines_of,
    single_ring,
)
from segmend.labels import InvalidInput

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 13), st.integers(1, 13)))


def label_map(seed, size=(40, 50), classes=5):
    """Smooth random areas that touch each other."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(classes, 6, 7))
    fine = np.kron(noise, np.ones((1, 8, 8)))[:, : size[0], : size[1]]
    fine += np.linspace(0, 2, size[1]) * rng.normal(size=(classes, 1, 1))
    return fine.argmax(0)


def crops(labels):
    return [Cropped.of(labels == i) for i in np.unique(labels)]


@given(MASKS)
@settings(deadline=None)
def test_a_crop_is_put_back_where_it_was(mask):
    assert (Cropped.of(mask).whole(*mask.shape) == mask).all()


@given(MASKS)
@settings(deadline=None)
def test_outlines_without_tolerance_are_the_mask(mask):
    (outline,) = outlines_of([Cropped.of(mask)], OutlineOptions(tolerance=0))
    assert outline.geometry.is_valid
    assert outline.geometry.area == mask.sum()
    assert outline.error_px == 0
    assert (mask_of_geometry(outline.geometry, *mask.shape) == mask).all()


@given(MASKS)
@settings(deadline=None)
def test_one_ring_around_parts_and_holes_is_the_mask(mask):
    (outline,) = outlines_of([Cropped.of(mask)], OutlineOptions(tolerance=0))
    if mask.any():
        assert (mask_of_rings([single_ring(outline.geometry)], *mask.shape) == mask).all()


@given(st.integers(0, 10**6), st.floats(0.5, 6))
@settings(max_examples=25, deadline=None)
def test_areas_that_tile_an_image_tile_it_afterwards(seed, tolerance):
    labels = label_map(seed)
    outlines = [one.geometry for one in outlines_of(crops(labels), OutlineOptions(tolerance))]
    assert all(one.is_valid and not one.is_empty for one in outlines)
    whole = shapely.union_all(outlines)
    assert sum(one.area for one in outlines) == pytest.approx(whole.area)  # no overlaps
    assert sum(len(part.interiors) for part in shapely.get_parts(whole)) == 0  # no gaps


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_overlaps_are_kept(seed):
    one, other = (np.isin(label_map(seed), wanted) for wanted in ((0, 1), (1, 2)))
    outlines = outlines_of([Cropped.of(one), Cropped.of(other)], OutlineOptions(0))
    shared = shapely.intersection(*(outline.geometry for outline in outlines))
    assert shared.area == (one & other).sum()


@given(st.integers(0, 10**6), st.floats(0.5, 6))
@settings(max_examples=25, deadline=None)
def test_the_error_is_the_distance_of_the_borders(seed, tolerance):
    mask = label_map(seed) == 0
    (exact,), (simple,) = (outlines_of([Cropped.of(mask)], OutlineOptions(t)) for t in (0, tolerance))
    if mask.any():
        slow = shapely.hausdorff_distance(shapely.boundary(exact.geometry), shapely.boundary(simple.geometry))
        assert simple.error_px == pytest.approx(slow, abs=0.5)
        assert shapely.get_num_coordinates(simple.geometry) <= shapely.get_num_coordinates(exact.geometry)


@pytest.mark.parametrize("angle", [0, 17, 40])
def test_right_angles_find_the_corners_of_a_building(angle):
    truth = shapely.affinity.rotate(
        shapely.Polygon([(20, 20), (80, 20), (80, 50), (50, 50), (50, 80), (20, 80)]), angle, origin=(50, 50)
    )
    mask = mask_of_geometry(truth, 100, 100)
    border = mask & ~ndimage.binary_erosion(mask)
    rough = mask & ~(border & (np.random.default_rng(0).random(mask.shape) < 0.4))
    (outline,) = outlines_of([Cropped.of(rough)], OutlineOptions(3, right_angles=True))
    ring = np.asarray(max(outline.geometry.geoms, key=lambda part: part.area).exterior.coords)
    edges = np.diff(ring, axis=0)
    turns = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.pairwise(edges)]
    assert np.abs(turns).max() < 1e-6
    assert outline.geometry.is_valid
    assert outline.geometry.intersection(truth).area / outline.geometry.union(truth).area > 0.93


def test_what_has_no_right_angles_keeps_its_angles():
    y, x = np.mgrid[:90, :90]
    thin = np.abs(y - x) < 3
    plain, angled = (outlines_of([Cropped.of(thin & (x < 80))], OutlineOptions(1, a))[0] for a in (False, True))
    assert angled.geometry.is_valid
    assert plain.geometry.intersection(angled.geometry).area > 0.8 * plain.geometry.area


@given(st.integers(1, 3), st.integers(1, 3), st.floats(0, 6))
@settings(deadline=None)
def test_no_object_is_too_small_to_keep_a_pixel(height, width, tolerance):
    mask = np.zeros((9, 9), bool)
    mask[4 : 4 + height, 3 : 3 + width] = True
    (outline,) = outlines_of([Cropped.of(mask)], OutlineOptions(tolerance))
    assert mask_of_geometry(outline.geometry, 9, 9).any()


def test_what_cannot_be_outlined():
    with pytest.raises(InvalidInput, match="0 pixels or more"):
        OutlineOptions(-1)
    (empty,) = outlines_of([Cropped.of(np.zeros((3, 4), bool))])
    assert empty.geometry.is_empty
    assert outlines_of([]) == []
    with pytest.raises(InvalidInput, match="three corners"):
        mask_of_rings([np.zeros((2, 2))], 5, 5)
    with pytest.raises(InvalidInput, match="three corners"):
        mask_of_rings([np.full((4, 2), np.nan)], 5, 5)


def test_corners_far_outside_cost_nothing():
    (height, width), far = (9, 12), 1e9
    ring = np.array([[-far, 3], [far, 3], [far, 6], [-far, 6]])
    mask = mask_of_rings([ring], height, width)
    assert mask[3:6].all()
    assert not mask[:3].any()
    assert not mask[6:].any()
