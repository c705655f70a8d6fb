"""Confidence: equal to its formula, and lower where labels are less probably right."""

import cv2
import numpy as np
import pytest
import torch

from segmend.ops.warp import warp
from segmend.video import Frame
from segmend.video.confidence import Coefficients, border_distance, confidence, photometric_error


def slow_distance(labels):
    """Distance to the next pixel with a neighbour of another label, by comparing all pixels."""
    height, width = labels.shape
    border = [
        (y, x)
        for y in range(height)
        for x in range(width)
        for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        if 0 <= ny < height and 0 <= nx < width and labels[ny, nx] != labels[y, x]
    ]
    rows, columns = np.mgrid[:height, :width]
    return np.min([np.hypot(rows - y, columns - x) for y, x in border], axis=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_distances_equal_those_between_all_pixels(dtype):
    labels = torch.zeros(20, 24, dtype=dtype)
    labels[5:12, 8:20] = 1
    labels[15:, :4] = 2
    found = border_distance(labels)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, slow_distance(labels.numpy()), rtol=0.08, atol=1e-6)
    assert torch.allclose(border_distance(labels.flip(1)).flip(1), found, rtol=1e-3)
    assert torch.allclose(border_distance(labels.mT).mT, found, rtol=1e-3)


def test_without_a_border_it_is_as_far_as_the_longer_side():
    assert (border_distance(torch.full((6, 9), 3, dtype=torch.uint8)) == 9).all()
    assert border_distance(torch.zeros(1, 1, dtype=torch.uint8)).tolist() == [[1]]


def test_the_photometric_error_equals_a_loop(texture):
    source, target = Frame(texture(7, 8, 0)), Frame(texture(7, 8, 1))
    displacement = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0))
    found = photometric_error(source, target, displacement)
    colours = [cv2.cvtColor(frame.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in (source, target)]
    moved = warp(torch.from_numpy(colours[0]).permute(2, 0, 1)[None], displacement[None])[0].permute(1, 2, 0)
    for y in range(7):
        for x in range(8):
            around = [(min(max(y + dy, 0), 6), min(max(x + dx, 0), 7)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            errors = [np.linalg.norm(colours[1][p] - moved[p].numpy()) for p in around]
            assert found[y, x].item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_true_motion_leaves_no_error(panning, constant):
    source, target = panning(2, 3, -2)
    right, wrong = (photometric_error(source, target, constant(*d))[8:-8, 8:-8] for d in ((3, -2), (0, 0)))
    assert right.max() < 1e-2
    assert wrong.mean() > 3


def test_confidence_equals_its_formula(texture):
    source, target = Frame(texture(12, 16, 0)), Frame(texture(12, 16, 1))
    labels = torch.zeros(12, 16, dtype=torch.uint8)
    labels[:, 6:] = 1
    displacement = torch.ones(2, 12, 16)
    c = Coefficients(3.0, -1.0, 0.5, -0.25)
    found = confidence(labels, source, target, displacement, 4, c)
    e = photometric_error(source, target, displacement).numpy()
    b = border_distance(labels).numpy()
    odds = c.constant + c.photometric * np.log(1 + e) + c.distance * np.log(1 + b) + c.steps * np.log(4)
    np.testing.assert_allclose(found, (1 - 0.2 * np.exp(-b / 1.5)) / (1 + np.exp(-odds)), rtol=1e-4)


def test_confidence_falls_with_error_beside_borders_and_with_time(texture):
    frame = Frame(texture(32, 48))
    labels = torch.zeros(32, 48, dtype=torch.uint8)
    labels[:, 24:] = 1
    still = torch.zeros(2, 32, 48)
    found = confidence(labels, frame, frame, still, 1)
    assert ((found >= 0) & (found <= 1)).all()
    row = found[16]
    assert (row[24:].diff() >= 0).all()
    assert row[24] < row[27] < row[40]
    assert torch.allclose(row, row.flip(0))
    assert (confidence(labels, frame, frame, still, 9) < found).float().mean() > 0.9
    previous = found
    for error in (10, 25, 60):
        brighter = Frame(np.clip(frame.rgb.astype(int) + error, 0, 255).astype(np.uint8))
        less = confidence(labels, frame, brighter, still, 1)
        assert (less < previous).all()
        previous = less
