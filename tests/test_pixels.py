"""Stored values become 8-bit RGB by rules that a folder's images share."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from segmend.labels import InvalidInput
from segmend.pixels import (
    ImageReading,
    is_transparency,
    orientation_in,
    parse_bands,
    scaled,
    to_rgb,
    turned,
    value_range,
)

INT, FLOAT = np.dtype(np.uint16), np.dtype(np.float32)


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest", "black", "white"),
    [
        (INT, 0, 0, 0, 255),
        (INT, 3, 200, 0, 255),
        (INT, 0, 255, 0, 255),
        (INT, 0, 256, 0, 511),
        (INT, 0, 3920, 0, 4095),
        (INT, 0, 4095, 0, 4095),
        (INT, 0, 4096, 0, 8191),
        (INT, 0, 40_000, 0, 65_535),
        (INT, 0, 100_000, 0, 131_071),
        (INT, -1000, 3000, -1000, 3000),
        (FLOAT, 0, 0, 0, 1),
        (FLOAT, 0.2, 0.7, 0, 1),
        (FLOAT, -1e-7, 1 + 1e-6, 0, 1),
        (FLOAT, 0, 1.5, 0, 2),
        (FLOAT, 0, 2, 0, 2),
        (FLOAT, 0, 100, 0, 128),
        (FLOAT, 0, 200, 0, 255),
        (FLOAT, 0, 255, 0, 255),
        (FLOAT, 0, 255.5, 0, 511),
        (FLOAT, 0, 3920.5, 0, 4095),
        (FLOAT, -2.1, 2.6, -2.1, 2.6),
        (FLOAT, -5, -5, -5, -4),
    ],
)
def test_the_range_is_the_fewest_bits_that_hold_the_highest_value(
    dtype: np.dtype, lowest: float, highest: float, black: float, white: float
) -> None:
    assert value_range(dtype, lowest, highest) == (black, white)


def test_values_are_scaled_as_one_would_by_hand() -> None:
    values = np.array([0, 1, 8, 2047, 2048, 3920, 4095, 5000], np.uint16)
    by_hand = [min(round(v * 255 / 4095), 255) for v in values.tolist()]
    assert scaled(values, (0, 4095)).tolist() == by_hand
    assert scaled(np.array([0, 257, 65535], np.uint16), (0, 65535)).tolist() == [0, 1, 255]
    assert scaled(np.array([-2, 0, 2, np.nan, np.inf, -np.inf], np.float32), (-2, 2)).tolist() == [
        0,
        128,
        255,
        0,
        255,
        0,
    ]


def test_transparency_is_mostly_none_or_full() -> None:
    disc = np.hypot(*np.mgrid[-40:40, -40:40])
    assert is_transparency((np.clip(30.5 - disc, 0, 1) * 255).astype(np.uint8))  # a cut-out with a soft edge
    assert is_transparency(np.full((4, 5), 255, np.uint8))
    assert is_transparency(np.array([[0, 65535]], np.uint16))
    infrared = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    assert not is_transparency(infrared)
    assert not is_transparency(np.zeros((4, 5), np.uint8))  # all of the image would be gone
    assert not is_transparency(np.full((4, 5), 17, np.uint8))


def test_transparent_pixels_lie_over_black_and_bands_are_chosen() -> None:
    values = np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], np.uint8)
    assert to_rgb(values, has_alpha=True).tolist() == [[[200, 100, 50], [0, 0, 0]]]
    assert to_rgb(values, has_alpha=False).tolist() == [[[200, 100, 50]] * 2]
    assert to_rgb(values, True, ImageReading(transparency=False)).tolist() == [[[200, 100, 50]] * 2]
    half = np.array([[[200, 100, 50, 128]]], np.uint8)
    assert to_rgb(half, True, ImageReading(transparency=True)).tolist() == [[[100, 50, 25]]]
    assert to_rgb(values, True, ImageReading(bands=(3, 0, 1))).tolist() == [[[255, 200, 100], [0, 200, 100]]]
    with pytest.raises(InvalidInput, match="band 5 was asked for, found 4 bands"):
        to_rgb(values, True, ImageReading(bands=(4, 0, 1)))
    assert to_rgb(values[..., :1], False, ImageReading(bands=(3, 0, 1))).tolist() == [[[200] * 3] * 2]  # grey


def test_deep_colours_are_scaled_together_and_by_the_folder_where_it_is_known() -> None:
    values = np.array([[[0, 1000, 500]]], np.uint16)
    assert to_rgb(values).tolist() == [[[0, round(1000 / 1023 * 255), round(500 / 1023 * 255)]]]
    folder = ImageReading(integers=(0, 4095), floats=(0, 2))
    assert to_rgb(values, reading=folder).tolist() == [[[0, round(1000 / 4095 * 255), round(500 / 4095 * 255)]]]
    assert to_rgb(values / 1000, reading=folder).tolist() == [[[0, 128, 64]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_maps_are_turned_as_pillow_turns_images(orientation: int) -> None:
    values = np.arange(15, dtype=np.uint8).reshape(3, 5)
    image = Image.fromarray(values)
    image.getexif()[0x0112] = orientation
    assert orientation_in(image) == orientation
    upright = np.asarray(ImageOps.exif_transpose(image))

    np.testing.assert_array_equal(turned(values, orientation), upright)
    np.testing.assert_array_equal(turned(np.stack([values, values + 1]), orientation), [upright, upright + 1])
    np.testing.assert_array_equal(turned(values[..., None], orientation, (0, 1)), upright[..., None])


def test_an_orientation_that_is_none_is_upright() -> None:
    image = Image.new("L", (3, 2))
    image.getexif()[0x0112] = 9
    assert orientation_in(image) == 1


def test_bands_are_counted_from_one_by_users() -> None:
    assert parse_bands("4, 1,2") == (3, 0, 1)
    for text in ("1,2", "0,1,2", "1,2,3,4", "a,b,c", "", "1,-2,3"):
        with pytest.raises(InvalidInput, match="expected three numbers from 1 on, as 1,2,3"):
            parse_bands(text)
