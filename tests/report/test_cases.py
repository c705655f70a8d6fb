"""The comparison of label maps, and how they are shrunk. How cases are read is in test_collect.py."""

import numpy as np

from segmend.report.cases import Change, compare, shrink


def test_compare_tells_each_fate_of_a_pixel_apart() -> None:
    truth = np.array([[0, 0, 0, 0, 0, 255]], np.uint8)
    coarse = np.array([[0, 1, 0, 1, 1, 1]], np.uint8)
    refined = np.array([[0, 0, 1, 2, 1, 0]], np.uint8)
    expected = [Change.RIGHT, Change.CORRECTED, Change.DEGRADED, Change.STILL_WRONG, Change.MISSED, Change.VOID]
    assert compare(refined, truth, coarse).tolist() == [expected]


def test_compare_without_coarse_knows_only_right_and_wrong() -> None:
    truth, refined = np.array([[0, 0, 255]], np.uint8), np.array([[0, 1, 1]], np.uint8)
    assert compare(refined, truth).tolist() == [[Change.RIGHT, Change.MISSED, Change.VOID]]


def test_compare_takes_wide_label_maps() -> None:
    truth, refined = np.array([[300, 65535]], np.int32), np.array([[300, 255]], np.int32)
    assert compare(refined, truth).tolist() == [[Change.RIGHT, Change.VOID]]


def test_shrink_takes_the_pixels_at_the_centres() -> None:
    values = np.arange(36).reshape(6, 6)
    assert shrink(values, (2, 3)).tolist() == [[7, 9, 11], [25, 27, 29]]
    np.testing.assert_array_equal(shrink(values, (6, 6)), values)
