"""What covers a face: its full contour without what a teacher sees of it (SVC, section 3.1, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from segmend.ops.blobs import components

BACKGROUND, FACE, OCCLUSION = range(3)

FACE_SIDE = 500.0
"""Side in pixels of a face for which the paper's sizes are meant."""


@dataclass(frozen=True)
class Amplification:
    """How a residual becomes occluders: specks go, what stays grows over the face.

    More of an occluder than there is serves those who fill it in better than less.

    Attributes:
        erode: width and height of the rectangle that erodes, for a face of `FACE_SIDE` pixels.
        times: how often it does.
        dilate: diameter of the circle that dilates, for such a face.
    """

    erode: tuple[int, int] = (25, 7)
    times: int = 2
    dilate: int = 45

    def __call__(self, residual: np.ndarray, side: float) -> np.ndarray:
        """The amplified mask ``bool [H, W]`` of a residual on a face of `side` pixels."""
        scale = side / FACE_SIDE
        width, height, diameter = (_odd(scale * size) for size in (*self.erode, self.dilate))
        rectangle = cv2.getStructuringElement(cv2.MORPH_RECT, (width, height))
        circle = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
        left = cv2.erode(residual.astype(np.uint8), rectangle, iterations=self.times)
        return cv2.dilate(left, circle).astype(bool)


PAPER = Amplification()
"""As the paper has it."""


class Occlusions(NamedTuple):
    """Every step of Fig. 2, ``[H, W]`` each.

    Attributes:
        contour: f, the full face as its outline has it, bool.
        face: f_occ, what the teacher sees of it, bool.
        residual: rho = max(0, f - f_occ) (eq. 1), bool.
        amplified: the residual after erosion and dilation, bool.
        blobs: C, ``int32``: 0 background, 1 face, from 2 a number for each occluder.
    """

    contour: np.ndarray
    face: np.ndarray
    residual: np.ndarray
    amplified: np.ndarray
    blobs: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """y, ``uint8 [H, W]``: background, face and occlusion are 0, 1 and 2 (eq. 2)."""
        return np.minimum(self.blobs, OCCLUSION).astype(np.uint8)


def fill_hull(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The convex hull of points ``[N, 2]`` (x, y) as a mask ``bool [H, W]``; it may reach out of the image."""
    mask = np.zeros(size, np.uint8)
    hull = cv2.convexHull(np.round(outline).astype(np.int32))
    return cv2.fillConvexPoly(mask, hull, 1).astype(bool)


def factor_occlusions(
    outlines: Sequence[np.ndarray], face: np.ndarray, amplification: Amplification | None = PAPER
) -> Occlusions:
    """Factor what covers faces out of an image's background.

    Args:
        outlines: of each face, points ``[N, 2]`` (x, y) in pixels whose convex hull is all of it.
        face: the teacher's mask ``bool [H, W]`` of the faces as far as they are seen.
        amplification: None takes the residual as it is, as for masks that were made by hand.
    """
    contour, amplified = np.zeros(face.shape, bool), np.zeros(face.shape, bool)
    for outline in outlines:
        own = fill_hull(outline, face.shape)
        contour |= own
        side = float((outline.max(axis=0) - outline.min(axis=0)).max())
        amplified |= own & ~face if amplification is None else amplification(own & ~face, side)
    blobs = np.where(amplified, components(amplified) + FACE, face)
    return Occlusions(contour, face, contour & ~face, amplified, blobs.astype(np.int32))


def _odd(size: float) -> int:
    """The nearest odd number of at least 1."""
    return max(1, 2 * round((size - 1) / 2) + 1)
