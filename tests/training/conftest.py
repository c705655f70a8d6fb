"""A small data set with label maps and tags, and what a training reports of it."""

import logging

import numpy as np
import pytest

from segmend.data.description import write_description
from segmend.data.files import write_json
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.labels import Classes


@pytest.fixture
def write_one():
    """A function that writes an image of noise, with a square of class `label`."""
    return _write_one


def _write_one(root, split, name, label=None, seed=0):
    """An image of noise, with a square of class `label`."""
    image = np.random.default_rng(seed).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    write_image(root / "images" / split / f"{name}.png", image)
    if label is not None:
        labels = np.zeros((32, 40), np.uint8)
        labels[8:24, 8:24] = label
        write_labels(root / "labels" / split / f"{name}.png", labels)


@pytest.fixture
def root(tmp_path):
    """Six labelled images and three with tags; the first has the tags of its label map."""
    root = tmp_path / "pets"
    write_description(root, "pets", Classes(("ground", "cat", "dog")))
    for index in range(6):
        _write_one(root, "train", f"t{index}", 1 + index % 2, index)
    for index in range(3):
        _write_one(root, "weak", f"w{index}", None, 10 + index)
    write_json(root / "tags.json", {"train": {"t0": ["cat"]}, "weak": {"w0": ["cat"], "w1": ["dog"], "w2": []}})
    return root


@pytest.fixture
def found(caplog):
    """A function that gives what was reported."""
    caplog.set_level(logging.INFO, logger="segmend.training.options")
    return lambda: [record.getMessage() for record in caplog.records]
