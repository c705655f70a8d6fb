"""A video frame in the forms that flow, motion and votes need, each made once."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from segmend.labels import as_image


class Frame:
    """A frame ``uint8 [H, W, 3]`` in RGB, with its conversions."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.rgb = rgb

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @cached_property
    def grey(self) -> np.ndarray:
        """``uint8 [H, W]``."""
        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)

    @cached_property
    def thumbnail(self) -> np.ndarray:
        """``uint8 [64, 64, 3]``."""
        return cv2.resize(self.rgb, (64, 64), interpolation=cv2.INTER_AREA)

    @cached_property
    def tensor(self) -> Tensor:
        """``float32 [3, H, W]`` in 0..1."""
        return as_image(self.rgb)

    @cached_property
    def lab(self) -> Tensor:
        """CIELAB, ``float32 [3, H, W]``: distances between colours are those that the eye sees."""
        lab = cv2.cvtColor(self.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        return torch.from_numpy(lab).permute(2, 0, 1)  # stays [H, W, 3] in memory, as votes read it
