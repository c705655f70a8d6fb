"""What is usual in a folder: means by class, which rare classes share."""

import numpy as np
import pytest

from segmend.check import Seen, Usual


def measured(own):
    """An image of two halves whose labels have the given probability."""
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 1
    p = np.empty((3, 40, 60), np.float32)
    p[:] = (1 - own) / 2
    np.put_along_axis(p, labels[None].astype(np.int64), own, axis=0)
    image = np.where(labels[..., None] == 1, np.uint8(220), np.uint8(40)).repeat(3, axis=2)
    return Seen.of(image, p).measure(labels, 255)


def test_means_and_spreads_are_those_of_the_areas():
    images = [measured(own) for own in (0.5, 0.6, 0.7, 0.8)]
    usual = Usual.of(images, 3)
    logs = np.log(np.array((0.5, 0.6, 0.7, 0.8)) + 1e-4)
    assert usual.areas.tolist() == [4, 4, 0]
    assert usual.own == pytest.approx([logs.mean()] * 3, abs=1e-4)
    assert usual.spread == pytest.approx([logs.std() + 1e-3] * 3, abs=1e-3)
    assert usual.confusion[0, 0] == usual.confusion[1, 1] == 4 * 1200
    assert usual.middle[4] == pytest.approx(np.median(logs), abs=1e-4)


def test_an_image_that_differs_is_unusual():
    images = [measured(own) for own in (0.7, 0.72, 0.71, 0.7, 0.69, 0.2)]
    usual = Usual.of(images, 3)
    ordinary, odd = (usual.of_whole(images[index].whole) for index in (0, 5))
    assert np.abs(ordinary).max() < 1
    assert odd[4] < -3
    assert usual.of_classes(images[5].areas)[:, 1].min() > usual.of_classes(images[0].areas)[:, 1].max()


def test_a_folder_without_borders_has_none():
    labels = np.zeros((30, 30), np.uint8)
    p = np.stack((np.full((30, 30), 0.9, np.float32), np.full((30, 30), 0.1, np.float32)))
    one = Seen.of(np.zeros((30, 30, 3), np.uint8), p).measure(labels, 255)
    usual = Usual.of([one, one], 2)
    assert not usual.has_borders
    assert np.isfinite(usual.of_whole(one.whole)).all()
    assert np.isfinite(usual.of_specks(one.areas)).all()
