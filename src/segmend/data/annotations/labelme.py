"""labelme: a JSON file for each image, with its `shapes`."""

from __future__ import annotations

import base64
import copy
import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from segmend.data.annotations.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    NewImage,
    Shape,
    Stored,
)
from segmend.data.annotations.polygons import Outline, mask_of_rings, single_ring
from segmend.data.files import InvalidFile, find_files, read_json, write_json
from segmend.labels import InvalidInput

AREAS = ("polygon", "rectangle", "circle", "mask")
"""Kinds of shapes that have an area; points and lines stay as they are."""

CORNERS_OF_CIRCLE = 72

VERSION = "5.5.0"
"""Of labelme, whose files are written."""


class Labelme(Annotations):
    """A file, or a folder of files, of labelme: polygons, rectangles, circles, and masks of pixels.

    A polygon has one ring: parts and holes are joined to it by bridges of no width. Rectangles and circles become
    polygons where their mask changes. The embedded image (`imageData`) stays, and is read only when it is written.
    """

    title = "labelme"
    output = "annotations"
    is_folder = True

    def __init__(self, path: Path, files: Mapping[str, Path]) -> None:
        super().__init__(path)
        self.files = tuple(files.values())
        self._files = dict(files)
        images, objects, self._shapes, self._places = [], [], [], []
        for place, (identity, file) in enumerate(self._files.items()):
            content = _content(file)
            images.append(AnnotatedImage(_image_name(identity, content), _size_of(content)))
            for number, one in enumerate(content["shapes"]):
                if not isinstance(one, dict) or not isinstance(one.get("points"), list):
                    raise InvalidFile(file, f"shape {number + 1}: expected `points`, found {one!r:.60}")
                kind = one.get("shape_type") or "polygon"
                if kind not in AREAS:
                    continue
                objects.append(
                    AnnotatedObject(
                        image=place,
                        label=str(one.get("label")),
                        name=f"{file.name}, shape {number + 1}",
                        load=partial(_mask, one),
                        is_polygon=kind != "mask",
                    )
                )
                self._shapes.append(one)
                self._places.append((identity, number))
        self.images, self.objects = tuple(images), tuple(objects)
        self.labels = tuple(sorted({one.label for one in objects}))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if path.is_dir():
            return any(cls.recognises(file) for file in list(find_files(path, (".json",)).values())[:8])
        content = read_json(path) if path.suffix.lower() == ".json" else None
        return isinstance(content, dict) and isinstance(content.get("shapes"), list)

    @classmethod
    def read(cls, path: Path) -> Self:
        if path.is_file():
            return cls(path, {path.stem: path})
        files = find_files(path, (".json",))
        if not files:
            raise InvalidFile(path, "expected files of labelme (.json), found none")
        return cls(path, files)

    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        found = copy.deepcopy(self._shapes[index])
        if expected_iou is not None:
            found["expected_iou"] = expected_iou
        if shape is None:
            return found
        if shape.outline is None:
            y, x = np.nonzero(shape.mask)
            top, bottom, left, right = (int(v) for v in (y.min(), y.max(), x.min(), x.max()))
            buffer = io.BytesIO()
            part = shape.mask[top : bottom + 1, left : right + 1]
            Image.fromarray(part.astype(np.uint8)).save(buffer, format="PNG")
            found["points"] = [[float(left), float(top)], [float(right), float(bottom)]]
            found["mask"] = base64.b64encode(buffer.getvalue()).decode()
            return found
        found["shape_type"] = "polygon"
        found["points"] = _points(shape.outline)
        return found

    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        changed: dict[str, dict[int, Stored]] = {identity: {} for identity in self._files}
        for index, one in replacements.items():
            identity, number = self._places[index]
            changed[identity][number] = one
        for identity, file in self._files.items():
            content = _content(file)
            shapes = [changed[identity].get(number, one) for number, one in enumerate(content["shapes"])]
            write_json(folder / self.output / f"{identity}.json", {**content, "shapes": shapes})

    @classmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        for split, images in splits.items():
            for image in images:
                path = root / "annotations" / split / f"{image.identity}.json"
                up = "../" * len(path.parent.relative_to(root).parts)
                shapes: list[dict[str, Any]] = [
                    {
                        "label": one.label,
                        "points": _points(one.outline),
                        "group_id": None,
                        "description": "",
                        "shape_type": "polygon",
                        "flags": {},
                        "mask": None,
                    }
                    for one in image.objects
                ]
                content: dict[str, Any] = {
                    "version": VERSION,
                    "flags": {},
                    "shapes": shapes,
                    "imagePath": f"{up}images/{split}/{image.name}",
                    "imageData": None,
                    "imageHeight": image.size[0],
                    "imageWidth": image.size[1],
                }
                write_json(path, content)


def _points(outline: Outline) -> list[list[float]]:
    return [[round(x, 3), round(y, 3)] for x, y in single_ring(outline.geometry).tolist()]


def _content(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InvalidFile(file, "expected a file of labelme with `shapes`")
    return content


def _image_name(identity: str, content: Mapping[str, Any]) -> str:
    """The image's name: that of the file where `imagePath` agrees with it or is missing, else `imagePath`."""
    given = str(content.get("imagePath") or "").replace("\\", "/").rpartition("/")[2]
    return identity if not given or Path(given).stem == identity.rpartition("/")[2] else given


def _size_of(content: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _mask(shape: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The mask of a shape.

    Raises:
        InvalidInput: points that are none, or pixels that cannot be read.
    """
    kind = shape.get("shape_type") or "polygon"
    try:
        points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InvalidInput("expected `points` as [[x, y], ...]") from None
    if kind == "mask":
        return _pixels(shape, points, height, width)
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "circle" and len(points) == 2:
        angles = np.linspace(0, 2 * np.pi, CORNERS_OF_CIRCLE, endpoint=False)
        radius = np.hypot(*(points[1] - points[0]))
        points = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], -1)
    return mask_of_rings([points], height, width)


def _pixels(shape: Mapping[str, Any], points: np.ndarray, height: int, width: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
            part = np.asarray(image.convert("L") if image.mode == "1" else image) > 0
        left, top = np.rint(points[0]).astype(int)
        found = np.zeros((height, width), bool)
        found[top : top + part.shape[0], left : left + part.shape[1]] |= part
        return found
    except Exception as error:  # what is no image raises a dozen types
        raise InvalidInput(f"its mask cannot be read ({error})") from error
