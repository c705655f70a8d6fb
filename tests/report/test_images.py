"""Maps as images: labels have the colours of their classes, and void is transparent."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from segmend.labels import Classes
from segmend.report import images
from segmend.report.cases import Change


def decode(address: str) -> np.ndarray:
    """``uint8 [H, W, 4]`` of a ``data:`` address."""
    _, content = address.split(",", 1)
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))


def test_labels_have_the_colours_of_their_classes_and_void_is_transparent() -> None:
    classes = Classes(("a", "b", "c"), ((10, 20, 30), (128, 128, 128), (0, 0, 0)))
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    found = decode(images.labels(labels, classes))
    assert found[0, 0].tolist() == [10, 20, 30, 255]
    assert found[0, 1].tolist() == [128, 128, 128, 255]
    assert found[1, 0].tolist() == [0, 0, 0, 255]
    assert found[1, 1, 3] == 0


def test_more_classes_than_a_palette_holds() -> None:
    classes = Classes.numbered(1000)
    labels = np.arange(1000, dtype=np.int32).reshape(20, 50)
    labels[0, 0] = 65535
    found = decode(images.labels(labels, classes))
    assert found[0, 0, 3] == 0
    assert found[19, 49].tolist() == [*classes.palette[999], 255]


def test_changes_show_correct_pixels_as_transparent() -> None:
    changes = np.array([list(Change)], np.uint8)
    found = decode(images.changes(changes))
    assert [tuple(pixel) for pixel in found[0, 1:].tolist()] == list(images.CHANGE_COLOURS.values())[1:]
    assert found[0, 0, 3] == 0


def test_grey_and_photo_keep_their_values() -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None], 16, axis=0)
    np.testing.assert_allclose(decode(images.grey(ramp))[..., 0], ramp, atol=4)
    colours = np.dstack([ramp, 255 - ramp, ramp])
    np.testing.assert_allclose(decode(images.photo(colours))[..., :3], colours, atol=8)


@pytest.mark.parametrize(
    ("reach", "scale"), [(0.0, 1), (0.3, 1), (1.0, 1), (1.1, 2), (4.0, 5), (6.0, 10), (10.0, 10), (32.0, 50)]
)
def test_scale_of_displacements_is_a_round_number_above_them(reach: float, scale: float) -> None:
    field = np.stack([np.full((8, 8), reach), np.zeros((8, 8))])
    assert images.displacement_scale(field) == scale


def test_scale_ignores_what_is_not_finite() -> None:
    field = np.full((2, 8, 8), np.nan)
    assert images.displacement_scale(field) == 1
    assert decode(images.displacement(field, 1.0))[..., :3].min() > 250


def test_displacement_has_the_colour_that_the_wheel_shows() -> None:
    wheel = decode(images.wheel()).astype(int)
    assert wheel[0, 0, 3] == 0
    middle = wheel.shape[0] // 2
    for vector, at in {(0.9, 0.0): (middle, -4), (0.0, 0.9): (-4, middle), (-0.9, 0.0): (middle, 3)}.items():
        field = np.broadcast_to(10 * np.array(vector)[:, None, None], (2, 16, 16))
        found = decode(images.displacement(field, 10.0))[8, 8, :3].astype(int)
        np.testing.assert_allclose(found, wheel[at][:3], atol=24)


def test_no_displacement_is_white() -> None:
    assert decode(images.displacement(np.zeros((2, 16, 16)), 5.0))[..., :3].min() > 250
