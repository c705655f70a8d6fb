"""The border profile of a folder finds by how much masks are off, without ground truth."""

import cv2
import numpy as np
import pytest
import torch

from segmend.borders import REACH, BorderProfile, BorderStrength, border_strength, evident_move
from segmend.data.corruptions import grow, moved_by

IMAGES = 12


def scene(seed):
    """An image of three ellipses of two classes on a background, with noise, and its exact labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((140, 180), np.uint8)
    for number in range(3):
        centre = rng.integers(40, 100), rng.integers(35, 100)
        axes = rng.integers(18, 32, 2).tolist()
        cv2.ellipse(labels, centre, axes, float(rng.integers(180)), 0, 360, 1 + number % 2, -1)
    colours = np.array(((60, 70, 60), (190, 120, 90), (90, 150, 210)))
    image = colours[labels] + cv2.GaussianBlur(rng.normal(0, 40, (140, 180, 3)), (0, 0), 1.5)
    return image.clip(0, 255).astype(np.uint8), labels


def profile_of(change=lambda labels: labels, images=IMAGES):
    scenes = (scene(seed) for seed in range(images))
    return BorderProfile.of([border_strength(image, change(labels)) for image, labels in scenes])


def grown(pixels):
    return lambda labels: grow(torch.from_numpy(labels), pixels).numpy()


@pytest.mark.parametrize("pixels", [-6, -4, 4, 6])
def test_the_offset_of_masks_that_are_too_small_or_too_large_is_found(pixels):
    profile = profile_of(grown(pixels))
    offset = profile.offset()
    assert offset.is_evident
    assert offset.pixels == pytest.approx(-pixels, abs=1)
    assert offset.low <= offset.pixels <= offset.high
    assert profile.offset(1).is_evident
    assert profile.offset(2).is_evident


def test_exact_masks_have_no_evident_offset():
    profile = profile_of()
    offset, precision = profile.offset(), profile.precision()
    assert not offset.is_evident
    assert abs(offset.pixels) < 1
    assert precision.on_border > 0.8
    assert precision.border_error_px < 1
    assert not precision.are_of_other_images
    assert profile.classes == (1, 2)


def test_the_order_of_ids_does_not_matter():
    one = profile_of(grown(-5))
    other = profile_of(lambda labels: 2 - grown(-5)(labels))
    assert (one.largest, other.largest) == (0, 2)
    assert other.classes == (0, 1)
    np.testing.assert_allclose(one.curve(1), other.curve(1))
    np.testing.assert_allclose(one.curve(2), other.curve(0))
    assert one.offset() == other.offset()


def test_an_evident_offset_is_no_imprecision():
    assert profile_of(grown(-6)).precision().border_error_px < 1.5


def test_masks_of_other_images_are_found():
    scenes = [scene(seed) for seed in range(IMAGES)]
    shuffled = [border_strength(scenes[i][0], scenes[(i + 5) % IMAGES][1]) for i in range(IMAGES)]
    profile = BorderProfile.of(shuffled)
    assert profile.precision().are_of_other_images
    assert not profile.offset().is_evident


def test_one_image_gives_what_it_can():
    offset = profile_of(grown(-6), images=1).offset()
    assert offset.pixels == pytest.approx(6, abs=1)
    assert not offset.is_evident


def test_masks_without_borders_have_an_empty_profile():
    profile = profile_of(np.zeros_like)
    assert profile.classes == ()
    assert not profile.offset().is_evident
    assert not profile.precision().are_of_other_images
    assert profile.curve().shape == (2 * REACH,)
    assert BorderProfile.of([]).offset().pixels == 0


def moved_right_and_down(right, down):
    return lambda labels: moved_by(torch.from_numpy(labels), down, right).numpy()


@pytest.mark.parametrize(("right", "down"), [(5, 4), (-4, 0), (0, -6)])
def test_the_shift_of_masks_is_found_and_is_no_offset(right, down):
    profile = profile_of(moved_right_and_down(right, down))
    shift = profile.shift()
    assert shift.right == pytest.approx(right, abs=1)
    assert shift.down == pytest.approx(down, abs=1)
    assert not profile.offset().is_evident
    move = evident_move(profile)
    assert (move.right, move.down, move.pixels) == (-shift.right, -shift.down, 0)


@pytest.mark.parametrize("pixels", [-5, 0, 5])
def test_masks_that_are_too_small_or_too_large_are_not_shifted(pixels):
    profile = profile_of(grown(pixels))
    assert profile.shift() == (0, 0)
    move = evident_move(profile)
    assert move is None if pixels == 0 else (move.classes, move.right, move.down) == ((1, 2), 0, 0)


def test_a_class_that_is_exact_does_not_follow_the_others():
    def change(labels):
        return np.where(labels == 2, 2, np.where(grown(-6)(labels) == 1, 1, 0)).astype(np.uint8)

    profile = profile_of(change)
    assert profile.offset(1).is_evident
    assert profile.followers(6.0) == (1,)


def test_more_borders_lie_on_edges_after_the_right_move():
    exact, small = profile_of(), profile_of(grown(-5))
    assert exact.share_on_border > 0.8 > 0.3 > small.share_on_border
    assert BorderProfile.of([]).share_on_border == 0


@pytest.mark.parametrize(("left", "is_evident"), [(5.5, True), (-5.5, False)])
def test_a_side_with_edges_at_the_mirrored_place_makes_an_offset_a_shift(left, is_evident):
    """The right borders have strong edges 5 px outside, the left ones weaker edges, outside or inside."""
    sides = np.zeros((2, 1, 4, 2 * REACH))
    sides[1] = 500.0
    sides[0, 0, 0, int(5.5 + REACH)] = 12 * 500
    sides[0, 0, 1, int(left + REACH)] = 4 * 500
    strength, counts = sides.sum(axis=2)
    image = BorderStrength(np.array([[0, 1]]), strength, counts, strength, sides, {0: 900, 1: 100})
    # distances are positive in the higher class; the lower one is the largest
    mirrored = BorderStrength(
        image.pairs, *(sums[:, ::-1] for sums in image.sums), sides[:, :, [1, 0, 3, 2], ::-1], image.areas
    )
    offset = BorderProfile.of([mirrored] * 6).offset()
    assert offset.pixels == pytest.approx(5.5, abs=1)
    assert offset.is_evident == is_evident
