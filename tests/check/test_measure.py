"""What is measured of a label map: areas, contradictions and borders."""

import numpy as np
import pytest

from segmend.check import Seen, step_for
from segmend.ops.blobs import label_components


def scene(step=1):
    """An image of a bright square on a dark ground, its labels, and probabilities that agree with them."""
    labels = np.zeros((60 * step, 80 * step), np.uint8)
    labels[20 * step : 40 * step, 30 * step : 60 * step] = 1
    image = np.where(labels[..., None] == 1, np.uint8(220), np.uint8(40)).repeat(3, axis=2)
    probabilities = np.full((3, *labels.shape), 0.1, np.float32)
    np.put_along_axis(probabilities, labels[None].astype(np.int64), 0.8, axis=0)
    return image, labels, probabilities


def test_areas_are_measured_as_by_hand():
    image, labels, p = scene()
    p[:, 25:30, 40:50] = np.array([0.2, 0.2, 0.6])[:, None, None]
    areas = Seen.of(image, p).measure(labels, 255).areas
    assert areas.label.tolist() == [0, 1]
    assert areas.box.tolist() == [[0, 0, 80, 60], [30, 20, 60, 40]]
    assert areas.pixels.tolist() == [4800 - 600, 600]
    assert areas.around.tolist() == [1, 0]
    assert areas.enclosed.tolist() == [1, 1]
    assert areas.rival.tolist() == [1, 2]
    inner = np.zeros((60, 80), bool)
    inner[24:36, 34:56] = True  # from five pixels inside: half of what the square reaches
    expected = np.log(p[1] + 1e-4)[inner].mean()
    assert areas.own[1] == pytest.approx(expected, abs=0.05)
    assert areas.edge[1] > 3


def test_a_contradiction_is_an_area_of_one_label_and_one_other_class():
    image, labels, p = scene()
    p[:, 5:15, 5:25] = np.array([0.1, 0.1, 0.8])[:, None, None]
    p[:, 20:40, 30:40] = np.array([0.1, 0.1, 0.8])[:, None, None]
    found = Seen.of(image, p).measure(labels, 255).contradictions
    assert found.label.tolist() == [0, 1]
    assert found.rival.tolist() == [2, 2]
    assert found.pixels.tolist() == [200, 200]
    assert found.area.tolist() == [1, 2]
    assert found.is_present.tolist() == [0, 0]
    assert found.far[0] == pytest.approx(1, abs=0.3)
    assert found.own.tolist() == pytest.approx([np.log(0.1001)] * 2, abs=1e-3)


def test_void_belongs_to_no_area_and_contradicts_nothing():
    image, labels, p = scene()
    labels[:10] = 255
    p[:, :10] = np.array([0.1, 0.1, 0.8])[:, None, None]
    found = Seen.of(image, p).measure(labels, 255)
    assert len(found.contradictions.number) == 0
    assert found.areas.pixels.sum() == 50 * 80
    assert found.areas.share.sum() == pytest.approx(1)
    assert found.confusion[:, 2].sum() == 50 * 80


def test_edges_lie_on_the_borders_of_right_labels_alone():
    image, labels, p = scene()
    right = Seen.of(image, p).measure(labels, 255).whole
    moved = Seen.of(image, p).measure(np.roll(labels, 6, axis=1), 255).whole
    assert right.edge_distance < 1.5 < moved.edge_distance
    assert right.edge_on_border > 2 * moved.edge_on_border
    assert right.lowest < moved.lowest


def test_a_large_image_is_measured_on_a_grid():
    small, large = scene(), scene(step=6)
    assert step_for(*large[1].shape) == 2
    fine, coarse = (Seen.of(image, p).measure(labels, 255) for image, labels, p in (small, large))
    assert coarse.step == 2
    assert coarse.areas.own == pytest.approx(fine.areas.own, abs=0.05)
    assert coarse.areas.share == pytest.approx(fine.areas.share)
    assert (coarse.areas.box * 2).tolist() == (fine.areas.box * 6).tolist()


def test_numbers_of_areas_are_those_of_the_components():
    image, labels, p = scene()
    labels[2:4, 2:4] = 2  # too small to be looked at
    found = Seen.of(image, p).measure(labels, 255).areas
    numbers = label_components(labels, 255)
    for number, label, pixels in zip(found.number, found.label, found.pixels, strict=True):
        assert (labels[numbers == number] == label).all()
        assert (numbers == number).sum() == pixels
    assert 2 not in found.label


def test_a_map_of_one_class_has_no_borders():
    image, labels, p = scene()
    found = Seen.of(image, p).measure(np.zeros_like(labels), 255)
    assert np.isnan(found.whole.edge_on_border)
    assert found.areas.around.tolist() == [-1]
    assert np.isnan(found.areas.edge).all()
