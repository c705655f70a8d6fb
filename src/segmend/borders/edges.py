"""Edges of an image, in any direction."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

BLUR = 0.8
"""Standard deviation in pixels, before edges are measured."""

FAINT = 0.01
"""Added to the mean edge strength, so that rounding in an image of one colour is no edge."""


class Edges(NamedTuple):
    """Structure tensor of the image's Lab colours, and the mean edge strength.

    Attributes:
        xx, yy, xy: sums over the colours of products of derivatives, ``float32 [H, W]``.
        mean: the image's mean edge strength.
    """

    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    mean: float

    @classmethod
    def of(cls, image: np.ndarray) -> Edges:
        """The edges of an image ``uint8 [H, W, 3]``."""
        lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
        blurred = cv2.GaussianBlur(lab, (0, 0), BLUR)
        by_x, by_y = (np.asarray(cv2.Sobel(blurred, cv2.CV_32F, *order)) for order in ((1, 0), (0, 1)))
        xx, yy, xy = (np.einsum("hwc,hwc->hw", a, b) for a, b in ((by_x, by_x), (by_y, by_y), (by_x, by_y)))
        return cls(xx, yy, xy, float(np.sqrt(xx + yy).mean()) + FAINT)

    def strength(self) -> np.ndarray:
        """As a share of the image's mean, ``[H, W]``."""
        found: np.ndarray = np.sqrt(self.xx + self.yy) / self.mean
        return found

    def at(self, pixels: np.ndarray) -> Edges:
        """Those of some pixels, by their flat index."""
        xx, yy, xy = (plane.ravel()[pixels] for plane in self[:3])
        return Edges(xx, yy, xy, self.mean)

    def across_minus_along(self, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
        """Strength in the direction (dy, dx) minus that at a right angle, as a share of the image's mean."""
        length = np.hypot(dy, dx)
        y, x = dy / length, dx / length
        across = np.maximum(x * x * self.xx + 2 * x * y * self.xy + y * y * self.yy, 0)
        along = np.maximum(self.xx + self.yy - across, 0)
        difference: np.ndarray = (np.sqrt(across) - np.sqrt(along)) / self.mean
        return difference
