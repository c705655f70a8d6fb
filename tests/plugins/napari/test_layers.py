"""Labels of a plane: refined one by one or all, without taking pixels of others."""

import numpy as np
import pytest

import segmend
from segmend.labels import InvalidInput
from segmend.plugins.napari.layers import as_rgb, plane_index, snapped
from segmend.refiners import ObjectRefiner, load


def disc(x, radius):
    rows, columns = np.mgrid[:120, :260]
    return np.hypot(rows - 60, columns - x) < radius


@pytest.fixture(scope="module")
def refiner():
    return ObjectRefiner(load("universal"))


@pytest.fixture(scope="module")
def two():
    """An image of two discs that touch nearly, and labels 3 and 9 of them that are 6 px too small."""
    noise = np.random.default_rng(0).normal(0, 10, (120, 260, 3))
    inside = disc(80, 40) | disc(170, 40)
    image = (np.where(inside[..., None], (200, 120, 90), (60, 80, 70)) + noise).clip(0, 255).astype(np.uint8)
    return image, (3 * disc(80, 34) + 9 * disc(170, 34)).astype(np.int32)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_label_is_refined_as_a_region_and_others_stay(two, refiner):
    image, labels = two
    found = snapped(image, labels, [9], None, refiner)
    alone = segmend.refine_region(image, labels == 9)
    assert found.labels.dtype == labels.dtype
    assert ((found.labels == 9) == alone.mask).all()
    assert ((found.labels == 3) == (labels == 3)).all()
    assert found.expected_iou == {9: alone.expected_iou}
    assert iou(found.labels == 9, disc(170, 40)) > 0.95


def test_all_labels_are_refined_and_what_was_given_is_left_alone(two, refiner):
    image, labels = two
    before = labels.copy()
    found = snapped(image, labels, None, None, refiner)
    assert (labels == before).all()
    assert found.expected_iou.keys() == {3, 9}
    for label, x in ((3, 80), (9, 170)):
        assert iou(found.labels == label, disc(x, 40)) > 0.95


def test_a_label_takes_no_pixels_of_others(two, refiner):
    image, labels = two
    labels = labels.copy()
    labels[:, 180:] = np.where(disc(170, 34)[:, 180:], 5, 0)
    found = snapped(image, labels, [9], None, refiner).labels
    assert ((found == 5) == (labels == 5)).all()
    assert (found == 9).sum() > (labels == 9).sum()


def test_all_labels_in_the_view_alone(two, refiner):
    image, labels = two
    found = snapped(image, labels, None, (0, 0, 120, 120), refiner)
    assert found.expected_iou.keys() == {3}
    assert (found.labels[:, 120:] == labels[:, 120:]).all()
    assert (found.labels != labels).any()


@pytest.mark.parametrize(
    ("chosen", "region", "message"),
    [
        ([0], None, "select one other than 0"),
        ([4], None, "label 4 is not painted here"),
        ([9], (0, 0, 50, 50), "empty in the region"),
        (None, (0, 0, 20, 20), "no label to refine"),
    ],
)
def test_what_cannot_be_refined_is_said(two, refiner, chosen, region, message):
    with pytest.raises(InvalidInput, match=message):
        snapped(*two, chosen, region, refiner)


def test_labels_of_another_size_are_refused(two, refiner):
    with pytest.raises(InvalidInput, match="expected labels of 260 x 120 px, as the image, found 260 x 119"):
        snapped(two[0], two[1][:-1], [3], None, refiner)


def test_images_of_all_kinds_become_rgb():
    grey = np.array([[0, 300, 1000, 2000]], np.uint16)
    assert as_rgb(grey, (0, 1000))[0].tolist() == [[v] * 3 for v in (0, 76, 255, 255)]
    rgba = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    assert (as_rgb(rgba) == rgba[..., :3]).all()
    assert (as_rgb((rgba / 255).astype(np.float32)) == rgba[..., :3]).all()
    for values, limits in ((grey, (5, 5)), (grey, None), (np.zeros((2, 3, 4, 5)), (0, 1))):
        with pytest.raises(InvalidInput):
            as_rgb(values, limits)


def test_the_plane_that_is_shown():
    data = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    assert (data[plane_index((1.6, 0, 0), (1, 2), data.shape)] == data[2]).all()
    assert (data[plane_index((0, 3, 0), (0, 2), data.shape)] == data[:, 3]).all()
    with pytest.raises(InvalidInput, match="two dimensions"):
        plane_index((0, 0, 0), (0, 1, 2), data.shape)
    with pytest.raises(InvalidInput, match="shows nothing at 4"):
        plane_index((4, 0, 0), (1, 2), data.shape)
