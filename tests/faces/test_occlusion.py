"""The occlusion pipeline, step by step, against scipy's morphology and components."""

import numpy as np
import pytest
from scipy import ndimage

from segmend.faces.occlusion import FACE_SIDE, Amplification, factor_occlusions, fill_hull

SIZE = (300, 260)


def circle(x, y, radius):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def round_outline(x=130, y=150, radius=100):
    angles = np.linspace(0, 2 * np.pi, 468)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def face():
    """A round face: a bar covers its mouth, a spot its brow, one pixel is an error, an ear sticks out."""
    mask = circle(130, 150, 100)
    mask[180:220, 60:200] = False
    mask[80:110, 110:150] = False
    mask[150, 100] = False
    mask[140:160, 225:240] = True
    return mask


def test_the_residual_is_what_the_contour_has_and_the_teacher_has_not(face):
    found = factor_occlusions([round_outline()], face, amplification=None)
    difference = found.contour.astype(int) - face.astype(int)
    assert difference.min() == -1  # the ear
    assert (found.residual == np.maximum(0, difference)).all()
    assert (found.amplified == found.residual).all()
    assert np.count_nonzero(found.contour ^ circle(130, 150, 100)) < 500  # the rim


@pytest.mark.parametrize("amplification", [Amplification(), Amplification((9, 15), 1, 31)])
def test_amplified_is_eroded_and_dilated_for_the_size_of_the_face(face, amplification):
    found = factor_occlusions([round_outline()], face, amplification)
    scale = 200 / FACE_SIDE
    width, height, diameter = (
        max(1, 2 * round((scale * size - 1) / 2) + 1) for size in (*amplification.erode, amplification.dilate)
    )
    eroded = ndimage.binary_erosion(
        found.residual, np.ones((height, width)), iterations=amplification.times, border_value=1
    )
    reach = diameter // 2
    grown = ndimage.distance_transform_edt(~eroded) <= reach
    # OpenCV's ellipse is a circle up to the pixels of its rim.
    inner = ndimage.distance_transform_edt(~eroded) <= reach - 1
    assert (found.amplified | ~inner).all()
    assert (~found.amplified | (ndimage.distance_transform_edt(~eroded) <= reach + 1)).all()
    assert abs(int(found.amplified.sum()) - int(grown.sum())) < 0.1 * grown.sum()
    assert not found.amplified[150, 100]


def test_blobs_are_background_face_and_a_number_for_each_occluder(face):
    found = factor_occlusions([round_outline()], face)
    assert found.blobs.dtype == np.int32
    assert sorted(np.unique(found.blobs)) == [0, 1, 2, 3]
    assert found.blobs[200, 130] != found.blobs[95, 130]
    assert min(found.blobs[200, 130], found.blobs[95, 130]) == 2
    assert (found.blobs[~found.amplified] == face[~found.amplified]).all()
    assert (found.labels == np.where(found.amplified, 2, face)).all()
    assert found.labels.dtype == np.uint8


def test_faces_are_factored_each_for_itself(face):
    small = round_outline(40, 30, 25)
    both = face | circle(40, 30, 25)
    both[25:35, 20:60] = False
    found = factor_occlusions([round_outline(), small], both)
    assert found.contour[30, 40]
    assert found.labels[30, 40] == 2  # a small face's occluder is measured by the small face
    assert found.labels[200, 130] == 2
    nothing = factor_occlusions([], both)
    assert not nothing.contour.any()
    assert (nothing.labels == both).all()


def test_an_outline_may_reach_out_of_the_image():
    mask = fill_hull(np.array([[-50.0, -50.0], [40.0, -20.0], [30.0, 60.0], [-30.0, 40.0]]), (80, 90))
    assert mask[0, 0]
    assert not mask[70, 80]
