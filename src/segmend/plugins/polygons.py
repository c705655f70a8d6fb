"""Outlines of masks: polygons in pixels. The first pixel is the square from (0, 0) to (1, 1)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from segmend.labels import InvalidInput

SUBPIXELS = 4
"""Parts of a pixel's side in which polygons are filled and traced."""

TOLERANCE = 1.0
"""By how many pixels an outline may be off, so that it has few corners."""

SMALLEST_PART = 0.1
"""Parts of a mask below this share of its largest part get no outline."""


def as_corners(given: Any) -> np.ndarray:
    """The corners ``float [N, 2]`` of a polygon.

    Raises:
        InvalidInput: fewer than three corners, or no numbers.
    """
    try:
        corners = np.asarray(given, float)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise InvalidInput("expected a polygon of three corners or more, as x, y of each")
    return corners


def filled(corners: Any, height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of a polygon: pixels of which half or more is inside. What is outside is cut off.

    Args:
        corners: ``[N, 2]``, x and y of each.

    Raises:
        InvalidInput: fewer than three corners, or no numbers.

    Example:
        >>> filled([(1, 1), (3, 1), (3, 2), (1, 2)], 3, 4).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    points = as_corners(corners)
    # Corners far outside would overflow; a margin keeps the sides that enter the image where they are, nearly.
    points = points.clip((-width, -height), (2 * width, 2 * height))
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    mask = np.zeros((height, width), bool)
    if right <= left or bottom <= top:
        return mask
    fine = np.zeros(((bottom - top) * SUBPIXELS, (right - left) * SUBPIXELS), np.uint8)
    # Of OpenCV's pixels the centres are whole numbers. Fractions are given in 1/16 of a pixel.
    scaled = ((points - (left, top)) * SUBPIXELS - 0.5) * 16
    cv2.fillPoly(fine, [np.rint(scaled).astype(np.int32)], 255, shift=4)
    shares = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    mask[top:bottom, left:right] = shares > 127
    return mask


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Polygons ``[N, 2]`` of the connected parts of a mask ``bool [H, W]``, the largest first; holes are filled.

    They are off by about `TOLERANCE` pixels. Parts much smaller than the largest are left out (`SMALLEST_PART`).

    Example:
        >>> mask = np.zeros((20, 30), bool)
        >>> mask[5:15, 10:20] = True
        >>> sorted(map(tuple, outlines(mask)[0].round().astype(int).tolist()))
        [(10, 5), (10, 15), (20, 5), (20, 15)]
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    fine = part.repeat(SUBPIXELS, axis=0).repeat(SUBPIXELS, axis=1)
    contours = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    least = SMALLEST_PART * cv2.contourArea(contours[0])
    kept = [contours[0], *(one for one in contours[1:] if cv2.contourArea(one) >= least)]
    # The contour runs through the centres of the outermost parts of pixels, half such a part inside the border.
    found = [((one + 0.5) / SUBPIXELS) + (columns[0], rows[0]) for one in map(_simplified, kept)]
    return found


def _simplified(contour: np.ndarray) -> np.ndarray:
    """Few corners ``[N, 2]`` of a contour ``[n, 1, 2]``; all where too few would be left, as of a single pixel."""
    simple = cv2.approxPolyDP(contour, TOLERANCE * SUBPIXELS, closed=True)
    return np.asarray(simple if len(simple) >= 3 else contour)[:, 0]
