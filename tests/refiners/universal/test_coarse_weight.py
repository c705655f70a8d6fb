"""Uncertainty of a coarse map near its label borders and far from them."""

import pytest
import torch

from segmend.refiners.universal.coarse_weight import CERTAIN, UNCERTAIN, Uncertainty, uncertainty


def halves(inside, band):
    """Two classes side by side, with a probability `inside` and, near their border, `band`: every fourth pixel."""
    largest = torch.full((20, 30), inside)
    largest[:, 12:18] = band
    left = torch.arange(30) < 15
    return torch.stack([torch.where(left, largest, 1 - largest), torch.where(left, 1 - largest, largest)])


def test_uncertainty_is_the_mean_of_one_minus_the_largest_probability():
    assert uncertainty(halves(0.9, 0.9)) == pytest.approx((0.1, 0.1), abs=1e-5)
    near = (3 * 0.1 + 6 * 0.49) / 9  # the border's column and 4 to each side, of which 6 are in the band
    assert uncertainty(halves(0.9, 0.51)) == pytest.approx((near, 0.1), abs=1e-5)
    assert uncertainty(halves(1.0, 1.0)) == (0, 0)


def test_void_does_not_count():
    void = halves(0.9, 0.9)
    void[:, :8] = 0.5
    assert uncertainty(void) == pytest.approx((0.1, 0.1), abs=1e-5)


def test_without_pixels_near_or_far_from_borders_it_is_zero():
    checkered = (torch.arange(20)[:, None] + torch.arange(20)) % 2
    nowhere_far = uncertainty(torch.stack([checkered * 0.4 + 0.3, 0.7 - checkered * 0.4]))
    assert nowhere_far == pytest.approx((0.3, 0), abs=1e-5)
    assert uncertainty(torch.stack([torch.full((9, 9), 0.8), torch.full((9, 9), 0.2)])).near_borders == 0


def test_shares_run_from_certain_to_uncertain():
    assert Uncertainty(CERTAIN, UNCERTAIN).shares() == pytest.approx((0, 1))
    assert Uncertainty((CERTAIN + UNCERTAIN) / 2, 0.5).shares() == pytest.approx((0.5, 1))
    assert Uncertainty(0.0, 0.0).shares() == (0, 0)
