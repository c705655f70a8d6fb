"""COCO: a JSON file with `images` and `annotations`, or the bare list of detections that models write."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from segmend.data.annotations.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    NewImage,
    Shape,
    Stored,
)
from segmend.data.annotations.polygons import mask_of_geometry, mask_of_rings, masks_of_coco, ring_of
from segmend.data.files import InvalidFile, read_json, write_json
from segmend.labels import InvalidInput

EXPECTED_IOU = "expected_iou"
"""Key of an annotation for the IoU with the ground truth that the refiner expects."""

NO_MASK = "no mask (`segmentation`): only its box is known"


class Coco(Annotations):
    """Polygons, of several parts, or run lengths, compressed or not; groups of objects (`iscrowd`).

    Polygons stay polygons, unless the new mask has holes, which they cannot hold: it becomes run lengths then.
    """

    title = "COCO"
    output = "annotations.json"

    def __init__(self, path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
        super().__init__(path)
        self.files = (path,)
        self.content = content
        self._annotations = _annotations_in(path, content)
        images = _listed(path, content, "images", "file_name")
        categories = _listed(path, content, "categories", "name")
        names = {one["id"]: str(one.get("name", one["id"])) for one in categories}
        places: dict[Any, int] = {}
        found: list[AnnotatedImage] = []
        for one in images:
            places[one["id"]] = len(found)
            found.append(AnnotatedImage(str(one.get("file_name") or one["id"]), _size_of(one)))
        objects = []
        for number, one in enumerate(self._annotations, 1):
            image_id = one["image_id"]
            if image_id not in places:
                places[image_id] = len(found)
                found.append(AnnotatedImage(str(image_id)))
            category = one.get("category_id")
            label = one.get("category_name", names.get(category, f"category {category}"))
            objects.append(
                AnnotatedObject(
                    image=places[image_id],
                    label=str(label),
                    name=f"annotation {one.get('id', f'number {number}')}",
                    load=partial(mask_of, one),
                    is_polygon=isinstance(one.get("segmentation"), list),
                    is_group=bool(one.get("iscrowd")),
                )
            )
        self.images, self.objects = tuple(found), tuple(objects)
        self.labels = tuple(dict.fromkeys([*names.values(), *(one.label for one in objects)]))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        content = read_json(path) if path.suffix.lower() == ".json" and path.is_file() else None
        if isinstance(content, dict):
            return isinstance(content.get("annotations"), list)
        return isinstance(content, list) and bool(content) and _names_image(content[0])

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(path, read_json(path))

    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        found = copy.deepcopy(self._annotations[index])
        if expected_iou is not None:
            found[EXPECTED_IOU] = expected_iou
        return found if shape is None else with_shape(found, shape)

    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        annotations = [replacements.get(index, one) for index, one in enumerate(self._annotations)]
        if isinstance(self.content, list):
            write_json(folder / self.output, annotations)
        else:
            write_json(folder / self.output, {**self.content, "annotations": annotations})

    @classmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        for split, images in splits.items():
            write_json(root / "annotations" / f"instances_{split}.json", _created(images, labels))


def _created(images: Sequence[NewImage], labels: Sequence[str]) -> dict[str, Any]:
    ids = {label: number for number, label in enumerate(labels, 1)}
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        height, width = image.size
        listed.append({"id": number, "file_name": image.name, "height": height, "width": width})
        for one in image.objects:
            mask = mask_of_geometry(one.outline.geometry, height, width)
            if not mask.any():
                continue
            annotations.append(
                with_shape(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": ids[one.label],
                        "segmentation": None,
                        "bbox": None,
                        "area": None,
                        "iscrowd": 0,
                    },
                    Shape(mask, one.outline),
                )
            )
    categories = [{"id": number, "name": label, "supercategory": ""} for label, number in ids.items()]
    return {"images": listed, "annotations": annotations, "categories": categories}


def with_shape(annotation: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """A copy of an annotation with another mask, its box and area."""
    masks = masks_of_coco()
    encoded = masks.encode(np.asfortranarray(shape.mask.astype(np.uint8)))
    found = dict(annotation)
    parts = shape.outline.geometry.geoms if shape.outline else ()
    if parts and not any(part.interiors for part in parts):
        rings = [ring_of(part.exterior) for part in parts]
        found["segmentation"] = [np.round(ring.ravel(), 2).tolist() for ring in rings]
    else:
        found["segmentation"] = {"size": list(shape.mask.shape), "counts": encoded["counts"].decode()}
    found["bbox"] = [float(side) for side in masks.toBbox(encoded)]
    found["area"] = int(shape.mask.sum())
    return found


def mask_of(annotation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of an annotation.

    Raises:
        InvalidInput: no mask, one that cannot be read, or one of an image of another size.
    """
    given = annotation.get("segmentation")
    if not given:
        raise InvalidInput(NO_MASK)
    try:
        if isinstance(given, dict):
            return _of_runs(given, height, width)
        return mask_of_rings([given] if isinstance(given[0], int | float) else given, height, width)
    except InvalidInput:
        raise
    except Exception as error:  # what is no encoding raises a dozen types
        raise InvalidInput(f"its mask cannot be read ({error})") from error


def _of_runs(given: dict[str, Any], height: int, width: int) -> np.ndarray:
    size = tuple(int(side) for side in given["size"])
    if size != (height, width):
        turned = ": is the image turned by its EXIF orientation?" if size == (width, height) else ""
        raise InvalidInput(
            f"expected a mask of {width} x {height} px, as the image, found {size[1]} x {size[0]}{turned}"
        )
    stored = given["counts"]
    counts = _unpacked(stored) if isinstance(stored, str | bytes) else [int(count) for count in stored]
    # pycocotools leaves what is not counted to chance.
    if sum(counts) != height * width or min(counts, default=0) < 0:
        total = height * width
        raise InvalidInput(f"its mask cannot be read: run lengths count {sum(counts)} pixels, expected {total}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def _unpacked(text: str | bytes) -> list[int]:
    """The run lengths in a compressed encoding: differences to the last but one, 5 bits in a sign of text."""
    counts: list[int] = []
    value = shift = 0
    for sign in text.encode() if isinstance(text, str) else text:
        bits = sign - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _annotations_in(path: Path, content: Any) -> list[dict[str, Any]]:
    listed = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(listed, list) or not listed:
        raise InvalidFile(path, "no annotations in it: expected `annotations` of COCO, or a list of detections")
    for number, one in enumerate(listed, 1):
        if not _names_image(one):
            raise InvalidFile(path, f"annotation {number}: expected `image_id`, found {one!r:.80}")
    return listed


def _names_image(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("image_id"), str | int)


def _listed(path: Path, content: Any, key: str, of: str) -> list[dict[str, Any]]:
    listed = content.get(key) or [] if isinstance(content, dict) else []
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "id" in one for one in listed):
        raise InvalidFile(path, f"`{key}`: expected a list of objects with `id` and `{of}`")
    return listed


def _size_of(image: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
