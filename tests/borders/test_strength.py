"""Edge strength around borders, against a slow version that looks at every pixel."""

import cv2
import numpy as np
import pytest

from segmend.borders.edges import BLUR, FAINT
from segmend.borders.neighbours import nearest_of_another_class
from segmend.borders.strength import DISTANCES, REACH, SEARCHED, border_strength, smoothed


def scene(seed, size=48, classes=3):
    """An image of blotches and noise, and labels of other blotches."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(size=(size, size + 8, classes)), (0, 0), 5)
    labels = field.argmax(axis=2).astype(np.int64)
    image = rng.integers(0, 256, (classes, 3))[labels] + rng.normal(0, 20, (*labels.shape, 3))
    return image.clip(0, 255).astype(np.uint8), labels


def slow(image, labels):
    """The definition, pixel by pixel: {(low, high): [sum, number] of each bin}."""
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), BLUR)
    dx, dy = cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)
    mean = np.sqrt((dx**2 + dy**2).sum(axis=2)).mean() + FAINT
    distance, nearest = nearest_of_another_class(labels)
    found = {}
    for (y, x), own in np.ndenumerate(labels):
        there = divmod(int(nearest[y, x]), labels.shape[1])
        way = np.array((there[0] - y, there[1] - x))
        if distance[y, x] - 0.5 >= REACH:
            continue
        way = way / np.linalg.norm(way)
        across = np.linalg.norm(dy[y, x] * way[0] + dx[y, x] * way[1])
        along = np.linalg.norm(dy[y, x] * way[1] - dx[y, x] * way[0])
        other = labels[there]
        sums = found.setdefault((min(own, other), max(own, other)), np.zeros((2, 2 * REACH)))
        signed = (distance[y, x] - 0.5) * (-1 if own < other else 1)
        where = int(np.floor(signed)) + REACH if signed > 0 else REACH - 1 - int(np.floor(-signed))
        sums[:, where] += (across - along) / mean, 1
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_it_agrees_with_a_slow_version(seed):
    image, labels = scene(seed)
    measured = border_strength(image, labels)
    expected = slow(image, labels)
    assert [tuple(pair) for pair in measured.pairs.tolist()] == sorted(expected)
    for pair, strength, counts in zip(measured.pairs.tolist(), measured.strength, measured.counts, strict=True):
        np.testing.assert_allclose(strength, expected[tuple(pair)][0], atol=1e-3)
        np.testing.assert_array_equal(counts, expected[tuple(pair)][1])


def test_the_nearest_pixel_of_another_class_is_found():
    _, labels = scene(2, size=20, classes=4)
    distance, nearest = nearest_of_another_class(labels)
    grid = np.stack(np.indices(labels.shape), axis=-1).reshape(-1, 2)
    for (y, x), own in np.ndenumerate(labels):
        away = np.hypot(*(grid[labels.ravel() != own] - (y, x)).T)
        assert distance[y, x] == pytest.approx(away.min(), rel=0.05)  # OpenCV approximates with a mask of 5 x 5
        assert labels.ravel()[nearest[y, x]] != own


def test_ignored_pixels_do_not_count():
    image, labels = scene(3)
    ignored = np.zeros(labels.shape, bool)
    ignored[:, 20:] = True
    part, whole = border_strength(image, labels, ignored), border_strength(image, labels)
    assert part.counts.sum() < whole.counts.sum()
    assert part.counts.sum() == (nearest_of_another_class(labels)[0] - 0.5 < REACH)[:, :20].sum()


def test_the_strongest_edge_of_a_straight_border_is_where_it_is():
    image = np.zeros((96, 96, 3), np.uint8)
    image[:, 50:] = 200
    labels = np.zeros((96, 96), np.int64)
    labels[:, 44:] = 1  # the edge lies 6 px inside of class 1
    strongest = border_strength(image, labels).strongest[0]
    assert abs((strongest * DISTANCES).sum() / strongest.sum() - 6) <= 1
    assert strongest[np.abs(DISTANCES) > SEARCHED].sum() == 0


def test_a_mask_of_one_class_has_no_borders():
    measured = border_strength(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int64))
    assert measured.pairs.shape == (0, 2)
    assert measured.strength.shape == measured.counts.shape == measured.strongest.shape == (0, 2 * REACH)


def test_an_image_without_edges_has_no_strength():
    labels = np.zeros((40, 40), np.int64)
    labels[10:30, 10:30] = 1
    measured = border_strength(np.full((40, 40, 3), 90, np.uint8), labels)
    assert np.abs(measured.strength).max() == 0


def test_smoothing_keeps_a_flat_profile():
    np.testing.assert_allclose(smoothed(np.full((2, 2 * REACH), 3.0)), 3)
