"""Occluders of a face: its full contour minus the visible face of a teacher (SVC, section 3.1, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from segmend.ops.blobs import components

BACKGROUND, FACE, OCCLUSION = range(3)

FACE_SIDE = 500.0
"""Side of the face in pixels to which the paper's sizes refer."""


@dataclass(frozen=True)
class Amplification:
    """Turn a residual into occluders: erosion removes specks, dilation extends the rest over the face.

    The result covers too much rather than too little: inpainting, its use in the paper, needs all of an occluder.

    Attributes:
        erode: width and height of the rectangle for erosion, for a face of `FACE_SIDE` pixels.
        times: number of erosions.
        dilate: diameter of the circle for dilation, for such a face.
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
        eroded = cv2.erode(residual.astype(np.uint8), rectangle, iterations=self.times)
        return cv2.dilate(eroded, circle).astype(bool)


PAPER = Amplification()
"""The paper's values."""


class Occlusions(NamedTuple):
    """Every step of Fig. 2, ``[H, W]`` each.

    Attributes:
        contour: f, the full face inside its outline, bool.
        face: f_occ, the visible face as the teacher labels it, bool.
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
        found: np.ndarray = np.minimum(self.blobs, OCCLUSION).astype(np.uint8)
        return found


def fill_hull(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The convex hull of points ``[N, 2]`` (x, y) as a mask ``bool [H, W]``; points may lie outside the image."""
    mask = np.zeros(size, np.uint8)
    hull = cv2.convexHull(np.round(outline).astype(np.int32))
    return cv2.fillConvexPoly(mask, hull, 1).astype(bool)


def factor_occlusions(
    outlines: Sequence[np.ndarray], face: np.ndarray, amplification: Amplification | None = PAPER
) -> Occlusions:
    """Separate the occluders of faces from the background.

    Args:
        outlines: of each face, points ``[N, 2]`` (x, y) in pixels whose convex hull is the full face.
        face: the teacher's mask ``bool [H, W]`` of the visible faces.
        amplification: None leaves the residual as it is, for masks that were drawn by hand.
    """
    contour, amplified = np.zeros(face.shape, bool), np.zeros(face.shape, bool)
    for outline in outlines:
        full = fill_hull(outline, face.shape)
        contour |= full
        side = float((outline.max(axis=0) - outline.min(axis=0)).max())
        amplified |= full & ~face if amplification is None else amplification(full & ~face, side)
    blobs = np.where(amplified, components(amplified) + FACE, face)
    return Occlusions(contour, face, contour & ~face, amplified, blobs.astype(np.int32))


def _odd(size: float) -> int:
    """The nearest odd number of at least 1."""
    return max(1, 2 * round((size - 1) / 2) + 1)
