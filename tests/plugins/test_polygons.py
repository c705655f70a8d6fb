"""Polygons and masks, against another implementation and against themselves."""

import doctest

import numpy as np
import pytest
from skimage.measure import points_in_poly

from segmend.labels import InvalidInput
from segmend.plugins import polygons
from segmend.plugins.polygons import filled, outlines


def disc(radius, size=(80, 100), centre=(40, 50)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.hypot(rows + 0.5 - centre[0], columns + 0.5 - centre[1]) < radius


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("seed", range(5))
def test_a_pixel_is_inside_where_its_centre_is_nearly(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(7)) * 2 * np.pi
    radii = 20 + 18 * rng.random(7)  # without spikes thinner than a pixel
    corners = np.stack((50 + radii * np.cos(angles), 40 + radii * np.sin(angles)), 1)
    rows, columns = np.mgrid[:80, :100]
    centres = np.stack((columns.ravel() + 0.5, rows.ravel() + 0.5), 1)
    wanted = points_in_poly(centres, corners).reshape(80, 100)
    found = filled(corners, 80, 100)
    differ = found != wanted
    assert differ.sum() <= 0.06 * wanted.sum() + 8
    # Where they differ, the border passes through the pixel: neighbours are of both kinds.
    padded = np.pad(wanted, 1)
    around = sum(padded[1 + r : 81 + r, 1 + c : 101 + c].astype(int) for r in (-1, 0, 1) for c in (-1, 0, 1))
    assert ((around > 0) & (around < 9))[differ].all()


def test_what_is_outside_the_image_is_cut_off():
    assert (filled([(-50, -50), (150, -50), (150, 150), (-50, 150)], 80, 100)).all()
    assert not filled([(200, 0), (300, 0), (300, 50)], 80, 100).any()
    assert (filled([(-1e9, 10), (1e9, 10), (1e9, 20), (-1e9, 20)], 80, 100) == filled_rows(10, 20)).all()


def filled_rows(top, bottom):
    mask = np.zeros((80, 100), bool)
    mask[top:bottom] = True
    return mask


@pytest.mark.parametrize("radius", [4, 12, 30])
def test_an_outline_gives_its_mask_back(radius):
    (outline,) = outlines(disc(radius))
    assert len(outline) <= 40
    assert iou(filled(outline, 80, 100), disc(radius)) > (0.9 if radius == 4 else 0.96)


def test_parts_come_by_size_and_crumbs_and_holes_do_not():
    mask = disc(20, centre=(40, 70)) & ~disc(5, centre=(40, 70))
    mask |= disc(10, centre=(40, 20))
    mask[2, 2] = True
    found = outlines(mask)
    assert [round(one.mean(axis=0)[0] / 10) for one in found] == [7, 2]
    assert iou(filled(found[0], 80, 100), disc(20, centre=(40, 70))) > 0.95


def test_masks_of_few_pixels_have_outlines():
    mask = np.zeros((10, 12), bool)
    assert outlines(mask) == []
    mask[3, 4] = True
    (outline,) = outlines(mask)
    assert (filled(outline, 10, 12) == mask).all()


@pytest.mark.parametrize(
    "corners", [None, [(1, 2), (3, 4)], [(1, 2, 3)] * 4, [("a", 1)] * 3, [(np.nan, 1)] * 3, 5]
)
def test_what_is_no_polygon_is_refused(corners):
    with pytest.raises(InvalidInput, match="three corners"):
        filled(corners, 10, 10)


def test_examples_give_what_they_show():
    assert doctest.testmod(polygons, extraglobs={"np": np}).failed == 0
