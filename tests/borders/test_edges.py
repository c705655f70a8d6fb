"""Edges in any direction."""

import numpy as np
import pytest

from segmend.borders.edges import Edges

RAMP = np.repeat((np.arange(60, dtype=np.uint8) * 4)[None, :, None], 40, axis=0).repeat(3, axis=2)


@pytest.mark.parametrize("degrees", range(0, 180, 30))
def test_a_ramp_to_the_right_has_edges_by_the_cosine_of_the_angle(degrees):
    angle = np.radians(degrees)
    inner = np.s_[5:-5, 5:-5]
    edges = Edges.of(RAMP)
    found = edges.across_minus_along(np.sin(angle), np.cos(angle))[inner] / edges.strength()[inner]
    assert np.allclose(found, abs(np.cos(angle)) - abs(np.sin(angle)), atol=0.02)


def test_some_pixels_have_the_edges_of_the_whole():
    edges = Edges.of(RAMP)
    pixels = np.array([61, 75, 300])
    across = np.ones_like(RAMP[..., 0], dtype=float)
    whole = edges.across_minus_along(across, across)
    assert np.allclose(edges.at(pixels).across_minus_along(np.ones(3), np.ones(3)), whole.ravel()[pixels])


def test_an_image_of_one_colour_has_none():
    edges = Edges.of(np.full((8, 9, 3), 77, np.uint8))
    assert edges.strength().max() < 0.01
