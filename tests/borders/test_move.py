"""Moving borders: against the definition, and what never happens."""

import cv2
import numpy as np
import pytest

from segmend.borders.move import LEAST_KEPT, ROUNDING, Move, moved

VOID = 255


def blobs(seed, size=60):
    """Labels of three classes over a background, with void around some."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(size=(size, size, 4)), (0, 0), 6)
    field[..., 0] += 0.02
    labels = field.argmax(axis=2).astype(np.uint8)
    labels[:4] = VOID
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_growing_gives_each_pixel_to_the_nearest_class(seed):
    labels = blobs(seed)
    result = moved(labels, 2, over=0, void=VOID)
    places = np.argwhere((labels != 0) & (labels != VOID))
    for y, x in np.argwhere(labels == 0):
        away = np.hypot(*(places - (y, x)).T)
        if away.min() <= 2:
            near = {labels[tuple(place)] for place in places[away <= away.min() + 0.1]}
            assert result[y, x] in near
        elif away.min() > 2 + 2 * ROUNDING:
            assert result[y, x] == 0
    assert (result[labels != 0] == labels[labels != 0]).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pixels", [-4, -2, 2, 4])
def test_classes_never_swap_and_void_stays(seed, pixels):
    labels = blobs(seed)
    result = moved(labels, pixels, over=0, void=VOID)
    changed = result != labels
    assert changed.any()
    assert ((labels == 0) | (result == 0))[changed].all()
    assert ((labels == 0)[changed] == (pixels > 0)).all()
    assert (result[:4] == VOID).all()
    for name in np.unique(labels):
        assert (result == name).sum() >= LEAST_KEPT * (labels == name).sum() - 1
    assert result.dtype == labels.dtype


def test_growing_undoes_shrinking_of_a_disc():
    y, x = np.mgrid[:80, :90]
    distance = np.hypot(y - 40, x - 45)
    disc, smaller = ((distance <= radius).astype(np.uint8) for radius in (25, 20))
    assert (moved(smaller, 5, over=0, void=VOID) != disc).mean() < 0.01
    assert (moved(disc, -5, over=0, void=VOID) != smaller).mean() < 0.01


def test_two_classes_that_touch_keep_their_border():
    labels = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0]])
    assert moved(labels, 2, over=0, void=VOID).tolist() == [[0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0]]
    assert moved(labels, -2, over=0, void=VOID).tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0]]


def test_thin_structures_stay_and_others_move():
    labels = np.zeros((40, 60), np.uint8)
    labels[5:7] = 1  # two pixels wide
    labels[15:35, 20:40] = 2
    result = moved(labels, -4, over=0, void=VOID)
    assert (result == 1).sum() == (labels == 1).sum()
    assert (result == 2).sum() == 12 * 12


@pytest.mark.parametrize("value", [0, 1, VOID])
def test_a_mask_of_one_class_stays(value):
    labels = np.full((8, 8), value, np.uint8)
    assert (moved(labels, 3, over=0, void=VOID) == labels).all()


def test_a_move_shifts_masks_and_spares_classes():
    labels = np.array([[0, 0, 0, 1, 1, 0, 0, 2, 2, 0, 0, 0]])
    assert Move(0, 0, right=1)(labels, VOID).tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 2, 2, 0, 0]]
    assert Move(1, 0, classes=(1,))(labels, VOID).tolist() == [[0, 0, 1, 1, 1, 1, 0, 2, 2, 0, 0, 0]]
    assert Move(1, 0)(labels, VOID).tolist() == [[0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0]]


def test_a_move_in_words():
    names = ("sky", "tree", "bird")
    assert Move(2.5, 0, classes=(1, 2)).described(names) == "borders with sky are moved by +2.5 px"
    assert Move(-2, 0, classes=(1,)).described(names).endswith("-2.0 px, but for those of bird")
    assert Move(0, 0, -3, 4).described(names) == "masks are moved by -3 px to the right and +4 px down"
