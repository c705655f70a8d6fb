"""What tests of video share: textures that move by known displacements."""

import cv2
import numpy as np
import pytest
import torch

from segmend.video import Frame


@pytest.fixture(scope="session")
def texture():
    """A function: a smooth random image of many colours, ``uint8 [height, width, 3]``."""

    def make(height, width, seed=0):
        noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), 2)
        low, high = smooth.min(), smooth.max()
        return ((smooth - low) / (high - low) * 255).round().astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def panning(texture):
    """A function: `count` frames of a texture that moves by (dx, dy) whole pixels from frame to frame."""

    def make(count, dx, dy, height=64, width=80, seed=0):
        rim_x, rim_y = abs(dx) * count, abs(dy) * count
        whole = texture(height + 2 * rim_y, width + 2 * rim_x, seed)
        corners = [(rim_y - t * dy, rim_x - t * dx) for t in range(count)]
        return [Frame(np.ascontiguousarray(whole[y : y + height, x : x + width])) for y, x in corners]

    return make


@pytest.fixture(scope="session")
def constant():
    """A function: the displacement ``float32 [2, height, width]`` that is (dx, dy) everywhere."""

    def make(dx, dy, height=64, width=80):
        return torch.tensor([dx, dy], dtype=torch.float32).view(2, 1, 1).expand(2, height, width).contiguous()

    return make
