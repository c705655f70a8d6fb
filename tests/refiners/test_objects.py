"""Masks of single objects: on a crop, at the object's scale."""

import cv2
import numpy as np
import pytest
import torch

from segmend.labels import InvalidInput
from segmend.refiners import BorderNetwork, GuidedFilter, load
from segmend.refiners.objects import (
    LARGEST,
    MARGIN,
    MOST_ENLARGED,
    SIDE,
    ObjectCrop,
    ObjectRefiner,
    expected_iou,
    surroundings,
)


def disc(size, centre, radius):
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def scene(size=(300, 400), centre=(150, 200), radius=60, seed=0):
    """An image of a disc, and the disc."""
    mask = disc(size, centre, radius)
    noise = np.random.default_rng(seed).normal(0, 10, (*size, 3))
    image = np.where(mask[..., None], (200, 120, 90), (60, 80, 70)) + noise
    return image.clip(0, 255).astype(np.uint8), mask


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_small_object_is_cut_out_as_it_is():
    image, mask = scene(radius=20)
    crop = ObjectCrop.of(image, mask)
    assert crop.mask.shape == (39 + 2 * MARGIN, 39 + 2 * MARGIN)
    assert (crop.image == image[crop.window]).all()
    assert (crop.mask == mask[crop.window]).all()


@pytest.mark.parametrize(
    ("radius", "side", "expected"),
    [(350, 100, 100), (20, 100, 100), (9, 100, 17 * MOST_ENLARGED), (600, None, LARGEST), (350, None, 699)],
)
def test_objects_get_the_given_size(radius, side, expected):
    image, mask = scene((1300, 1300), (650, 650), radius)
    crop = ObjectCrop.of(image, mask, side)
    inside = np.flatnonzero(crop.mask.any(axis=1))
    assert inside[-1] + 1 - inside[0] == pytest.approx(expected, abs=2)
    assert crop.enlarged(crop.mask.astype(np.float32)).shape == mask[crop.window].shape


def test_crops_end_at_the_sides_of_the_image():
    image, mask = scene(centre=(5, 398), radius=30)
    crop = ObjectCrop.of(image, mask)
    assert crop.window[0].start == 0
    assert crop.window[1].stop == 400


@pytest.mark.parametrize("mask", [np.zeros((300, 400), bool), np.ones((300, 401), bool)])
def test_empty_masks_and_other_sizes_are_refused(mask):
    with pytest.raises(InvalidInput, match=r"empty|expected one size"):
        ObjectCrop.of(scene()[0], mask)


def test_a_refiner_of_a_number_of_classes_is_refused():
    class OfCities(GuidedFilter):
        num_classes = 21

    with pytest.raises(InvalidInput, match="21"):
        ObjectRefiner(OfCities())


def test_objects_that_are_all_too_small_become_larger():
    given = [scene(radius=radius, seed=radius) for radius in (40, 50, 60, 70)]
    small = [disc((300, 400), (150, 200), radius - 6) for radius in (40, 50, 60, 70)]
    objects = ObjectRefiner(load("universal")).of_folder([(i, m) for (i, _), m in zip(given, small, strict=True)])
    for (image, truth), mask in zip(given, small, strict=True):
        refined = objects.refine(image, mask)
        assert iou(refined.mask, truth) > iou(mask, truth) + 0.1


def test_the_scale_follows_errors_that_grow_with_the_object():
    radii = (60, 90, 120, 180, 240)
    given = [scene((640, 640), (320, 320), radius, radius) for radius in radii]
    masks = [disc((640, 640), (320, 320), 0.85 * radius) for radius in radii]
    refiner = ObjectRefiner(load("universal"))
    objects = refiner.of_folder([(image, mask) for (image, _), mask in zip(given, masks, strict=True)])
    assert objects.side == SIDE
    fixed = [disc((640, 640), (320, 320), radius - 6) for radius in radii]
    objects = refiner.of_folder([(image, mask) for (image, _), mask in zip(given, fixed, strict=True)])
    assert objects.side is None


def test_only_what_changed_comes_from_a_reduced_crop():
    """Details that the reduced crop does not hold stay."""
    image, mask = scene((900, 900), (450, 450), 350)
    mask[::7, ::5] = False
    refined = ObjectRefiner(load("unchanged"), 100).refine(image, mask)
    assert (refined.mask == mask).all()


def test_an_object_never_vanishes():
    class Emptying(GuidedFilter):
        def refine_batch(self, image, coarse, border_error_px=None):
            found = super().refine_batch(image, coarse)
            return type(found).of(torch.eye(2)[0].view(1, 2, 1, 1).expand_as(coarse).contiguous(), coarse)

    image, mask = scene()
    refined = ObjectRefiner(Emptying()).refine(image, mask)
    assert (refined.mask == mask).all()
    assert refined.expected_iou == 0


def test_expected_iou_of_certain_probabilities_is_the_iou():
    truth, mask = disc((60, 80), (30, 40), 20), disc((60, 80), (33, 42), 17)
    assert expected_iou(truth.astype(np.float32), mask) == pytest.approx(iou(truth, mask))


def test_expected_iou_is_about_the_mean_over_drawn_ground_truths():
    rng = np.random.default_rng(0)
    probability = cv2.GaussianBlur(disc((60, 80), (30, 40), 20).astype(np.float32), (0, 0), 4)
    mask = probability > 0.5
    drawn = [iou(rng.random(mask.shape) < probability, mask) for _ in range(200)]
    assert expected_iou(probability, mask) == pytest.approx(np.mean(drawn), abs=0.005)


def test_networks_that_look_at_no_folder_refine_too():
    image, mask = scene()
    torch.manual_seed(0)
    assert ObjectRefiner(BorderNetwork().eval()).of_folder([]).refine(image, mask).mask.shape == mask.shape


@pytest.mark.parametrize("radius", [20, 60, 200])
def test_the_surroundings_of_an_object_are_all_that_its_crops_need(radius):
    image, mask = scene((900, 1000), (450, 300), radius)
    part = surroundings(image, mask)
    assert part[0].base is None
    for side in (None, SIDE):
        whole, cut = ObjectCrop.of(image, mask, side), ObjectCrop.of(*part, side)
        assert (whole.image == cut.image).all()
        assert (whole.mask == cut.mask).all()
