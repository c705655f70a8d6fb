"""The nearest of some pixels, for each pixel of a map."""

from __future__ import annotations

import cv2
import numpy as np


def nearest_chosen(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, the distance to the nearest chosen one and its flat index.

    Distances are OpenCV's with a mask of 5 x 5: exact to a twentieth.

    Args:
        chosen: ``bool [H, W]``; at least one pixel is chosen.

    Returns:
        The distance in pixels, ``float32 [H, W]``, and the index, ``int64 [H, W]``.

    >>> distance, index = nearest_chosen(np.array([[True, False, False, False, True]]))
    >>> distance.tolist(), index[0, [1, 3]].tolist()
    ([[0.0, 1.0, 2.0, 1.0, 0.0]], [0, 4])
    """
    distance, number = cv2.distanceTransformWithLabels(
        (~chosen).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.zeros(number.max() + 1, np.int64)
    index[number[chosen]] = np.flatnonzero(chosen)
    return distance, index[number]
