"""A small folder of images and masks whose exact borders are known."""

import cv2
import numpy as np
import pytest
import torch

from segmend.data.corruptions import grow
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.pairs import open_pairs


@pytest.fixture
def write_scene():
    """A function that writes an image and its mask."""
    return _write_scene


@pytest.fixture
def shrunk():
    """A function that makes a mask 5 px too small."""
    return _shrunk


@pytest.fixture
def opened():
    """A function that opens the images and masks of a folder."""
    return _opened


def _write_scene(root, name, seed, change=lambda labels: labels, size=(120, 150)):
    """An image of an ellipse of class 1 and one of class 2, and a mask: the exact one, changed."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, np.uint8)
    for label, x in ((1, 40), (2, 110)):
        centre = x + int(rng.integers(-6, 6)), int(rng.integers(45, 75))
        cv2.ellipse(labels, centre, rng.integers(17, 26, 2).tolist(), float(rng.integers(180)), 0, 360, label, -1)
    colours = np.array(((60, 70, 60), (190, 120, 90), (90, 150, 210)))
    image = colours[labels] + cv2.GaussianBlur(rng.normal(0, 40, (*size, 3)), (0, 0), 1.5)
    write_image(root / "images" / f"{name}.png", image.clip(0, 255).astype(np.uint8))
    write_labels(root / "masks" / f"{name}.png", change(labels))


def _shrunk(labels):
    return grow(torch.from_numpy(labels), -5).numpy()


def _opened(root):
    return open_pairs(root / "images", root / "masks").dataset
