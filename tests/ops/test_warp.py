"""Warping, against a slow loop over pixels and against properties of ECN's eq. 2 and 3."""

import numpy as np
import pytest
import torch

from segmend.labels import void_of
from segmend.ops.warp import compose, inside, warp, warp_labels, warp_labels_reference


def slow_warp(map_, displacement):
    """Eq. 2 and 3, pixel by pixel, in float64, with the border value outside."""
    channels, height, width = map_.shape
    out = np.zeros_like(map_)
    for y in range(height):
        for x in range(width):
            sx = min(max(x - displacement[0, y, x], 0), width - 1)
            sy = min(max(y - displacement[1, y, x], 0), height - 1)
            x0, y0 = int(np.floor(sx)), int(np.floor(sy))
            for c in range(channels):
                for ky in (y0, y0 + 1):
                    for kx in (x0, x0 + 1):
                        weight = (1 - abs(sx - kx)) * (1 - abs(sy - ky))
                        if weight > 0:
                            out[c, y, x] += weight * map_[c, ky, kx]
    return out


@pytest.mark.parametrize("size", [(7, 9), (1, 5), (6, 1), (1, 1)])
def test_equals_the_formula_pixel_by_pixel(size):
    rng = np.random.default_rng(0)
    map_ = rng.random((3, *size))
    displacement = rng.normal(0, 3, (2, *size))
    got = warp(torch.from_numpy(map_)[None], torch.from_numpy(displacement)[None])[0]
    np.testing.assert_allclose(got.numpy(), slow_warp(map_, displacement), atol=1e-9)


def test_whole_pixels_shift_without_loss():
    map_ = torch.rand(1, 2, 5, 6)
    displacement = torch.zeros(1, 2, 5, 6)
    displacement[:, 0], displacement[:, 1] = 2, -1
    moved = warp(map_, displacement)
    assert torch.allclose(moved[..., :4, 2:], map_[..., 1:, :4], atol=1e-6)


def test_a_probability_map_stays_one():
    map_ = torch.randn(2, 4, 8, 8).softmax(1)
    moved = warp(map_, 20 * torch.randn(2, 2, 8, 8))
    assert torch.allclose(moved.sum(1), torch.ones(2, 8, 8), atol=1e-5)
    assert moved.min() >= 0


def test_gradients_reach_map_and_displacement():
    torch.manual_seed(0)
    map_ = torch.rand(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    displacement = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(warp, (map_, displacement))


def test_autocast_does_not_coarsen_the_coordinates():
    map_ = torch.arange(600.0).expand(1, 1, 2, 600).contiguous()
    displacement = torch.full((1, 2, 2, 600), 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        moved = warp(map_, displacement * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    assert torch.allclose(moved[0, 0, 0, 1:], map_[0, 0, 0, 1:] - 0.25, atol=1e-3)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected"):
        warp(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 5))


def test_zero_outside_is_that_of_a_map_with_a_rim_of_zeros():
    torch.manual_seed(0)
    map_, displacement = torch.rand(1, 2, 6, 7), 3 * torch.randn(1, 2, 6, 7)
    rim = torch.nn.functional.pad(map_, (9, 9, 9, 9))
    wide = torch.nn.functional.pad(displacement, (9, 9, 9, 9))
    assert torch.allclose(warp(map_, displacement, "zero"), warp(rim, wide)[..., 9:-9, 9:-9], atol=1e-5)


def test_inside_is_where_the_nearest_pixel_of_the_source_exists():
    torch.manual_seed(0)
    displacement = 3 * torch.randn(2, 2, 6, 7)
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    nearest = (x - displacement[:, 0]).round(), (y - displacement[:, 1]).round()
    expected = (nearest[0] >= 0) & (nearest[0] < 7) & (nearest[1] >= 0) & (nearest[1] < 6)
    assert torch.equal(inside(displacement), expected)
    assert 0.1 < expected.float().mean() < 0.9


def test_a_composition_moves_as_one_after_the_other():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(24.0), indexing="ij")
    plane = (2 * x + 3 * y)[None, None]  # bilinear sampling of a plane is exact
    first, second = (torch.rand(1, 2, 20, 24) for _ in range(2))
    at_once, twice = warp(plane, compose(first, second)), warp(warp(plane, first), second)
    assert torch.allclose(at_once[..., 3:-3, 3:-3], twice[..., 3:-3, 3:-3], atol=1e-4)


# ---- label maps ----


@pytest.mark.parametrize("warped", [warp_labels, warp_labels_reference])
def test_beyond_the_border_labels_continue_by_option(warped):
    labels, displacement = examples()
    found = warped(labels, displacement, "border")
    assert torch.equal(found.long(), by_one_hot(labels, displacement, 4).argmax(1))


def by_one_hot(labels, displacement, count):
    """Warped one-hot planes, the largest of them; ties and pixels from outside are the caller's business."""
    planes = torch.nn.functional.one_hot(labels.long(), count).permute(0, 3, 1, 2).double()
    return warp(planes, displacement.double())


def examples(dtype=torch.uint8, count=4, size=(2, 9, 11)):
    torch.manual_seed(0)
    blocks = torch.randint(0, count, (size[0], 3, 4))
    labels = torch.nn.functional.interpolate(blocks[:, None].double(), size=size[1:]).squeeze(1).to(dtype)
    return labels, torch.randn(size[0], 2, *size[1:]) * 3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("warped", [warp_labels, warp_labels_reference])
def test_labels_move_as_their_one_hot_planes(warped, dtype):
    labels, displacement = examples(dtype)
    found = warped(labels, displacement)
    assert found.dtype == dtype
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    sx, sy = x - displacement[:, 0], y - displacement[:, 1]
    inside = (sx >= -0.5) & (sx <= 10.5) & (sy >= -0.5) & (sy <= 8.5)
    assert torch.equal(found[inside].long(), by_one_hot(labels, displacement, 4).argmax(1)[inside])
    assert (found[~inside] == void_of(labels)).all()
    assert 0.1 < inside.float().mean() < 0.9


@pytest.mark.parametrize("warped", [warp_labels, warp_labels_reference])
def test_between_two_labels_the_smaller_id_is_taken(warped):
    labels = torch.tensor([[[5, 3, 3, 7]]], dtype=torch.uint8)
    half = torch.zeros(1, 2, 1, 4)
    half[:, 0] = 0.5
    assert warped(labels, half).tolist() == [[[5, 3, 3, 3]]]
    assert torch.equal(warped(labels, torch.zeros(1, 2, 1, 4)), labels)


def test_void_moves_like_a_label_and_comes_from_outside():
    labels = torch.tensor([[[1, 255, 255, 2]]], dtype=torch.uint8)
    shift = torch.zeros(1, 2, 1, 4)
    shift[:, 0] = 1
    assert warp_labels(labels, shift).tolist() == [[[255, 1, 255, 255]]]
    assert warp_labels(labels.int(), shift)[0, 0, 0] == 65535


@pytest.mark.parametrize("warped", [warp_labels, warp_labels_reference])
def test_a_batch_without_images_stays_one(warped):
    assert warped(torch.zeros(0, 4, 5, dtype=torch.uint8), torch.zeros(0, 2, 4, 5)).shape == (0, 4, 5)


def test_the_number_of_threads_does_not_change_labels():
    labels, displacement = examples(size=(2, 9, 11))
    torch.set_num_threads(4)
    try:
        assert torch.equal(warp_labels(labels, displacement), warp_labels_reference(labels, displacement))
    finally:
        torch.set_num_threads(1)


def test_labels_that_cannot_be_moved_are_refused():
    labels, displacement = examples()
    with pytest.raises(ValueError, match="uint8 or int32"):
        warp_labels(labels.long(), displacement)
    with pytest.raises(ValueError, match="expected"):
        warp_labels(labels[0], displacement)
    assert set(
        torch.library.opcheck(torch.ops.segmend.warp_labels.default, (labels, displacement, True)).values()
    ) == {"SUCCESS"}
