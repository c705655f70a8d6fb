"""Files of objects: masks of single objects, which may overlap, in the format of COCO.

A file is a JSON object with `images` and `annotations`, as COCO and most tools of annotation write it, or the bare
list of detections that models write. All that is not a mask stays as it is: ids, scores, attributes, order,
unknown keys.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile, read_json
from segmend.labels import InvalidInput

SUFFIX = ".json"

Annotation = dict[str, Any]


@dataclass(frozen=True)
class ObjectFile:
    """The content of a file of objects.

    Attributes:
        path: the file.
        content: as it was read.
    """

    path: Path
    content: dict[str, Any] | list[Annotation]

    @classmethod
    def read(cls, path: Path | str) -> ObjectFile:
        """Read a file.

        Raises:
            InvalidFile: it is not there, is not JSON, or holds no annotations.
            InvalidInput: pycocotools is not installed.
        """
        _masks_of_coco()
        path = Path(path)
        found = cls(path, read_json(path))
        listed = found.annotations
        if not isinstance(listed, list) or not listed:
            raise InvalidFile(
                path, "no annotations in it: expected `annotations` of COCO, or a list of detections"
            )
        for number, one in enumerate(listed, 1):
            if not isinstance(one, dict) or not isinstance(one.get("image_id"), str | int):
                raise InvalidFile(path, f"annotation {number}: expected `image_id`, found {one!r:.80}")
        images = found._images()
        if not isinstance(images, list) or not all(isinstance(one, dict) and "id" in one for one in images):
            raise InvalidFile(path, "`images`: expected a list of objects with `id` and `file_name`")
        return found

    @property
    def annotations(self) -> list[Annotation]:
        """All annotations, in the order of the file."""
        if isinstance(self.content, list):
            return self.content
        found: list[Annotation] = self.content.get("annotations", []) if isinstance(self.content, dict) else []
        return found

    def _images(self) -> Any:
        return self.content.get("images") or [] if isinstance(self.content, dict) else []

    def names(self) -> dict[str | int, str]:
        """For each id of an image that has annotations its file name, or the id without one."""
        listed = {one["id"]: str(one.get("file_name") or one["id"]) for one in self._images()}
        return {one["image_id"]: listed.get(one["image_id"], str(one["image_id"])) for one in self.annotations}

    def check_size(self, indices: Sequence[int], image: Path | str, height: int, width: int) -> None:
        """Raise `InvalidFile` where the file gives the image of some annotations, by index, another size."""
        ids = {self.annotations[index]["image_id"] for index in indices}
        for one in self._images():
            size = one.get("width"), one.get("height")
            if one["id"] in ids and None not in size and size != (width, height):
                turned = ": is it turned by its EXIF orientation?" if size == (height, width) else ""
                raise InvalidFile(
                    image,
                    f"{width} x {height} px, expected {size[0]} x {size[1]} as {self.path.name} says{turned}",
                )

    def by_image(self) -> dict[str | int, list[int]]:
        """For each id of an image the indices of its annotations."""
        found = defaultdict(list)
        for index, one in enumerate(self.annotations):
            found[one["image_id"]].append(index)
        return dict(found)

    def paired(self, images: Dataset) -> tuple[dict[str, list[int]], list[InvalidFile]]:
        """Indices of annotations by the ID of their image; and images that are not in the folder."""
        records = {record.id: record for record in images}
        by_stem = _unambiguous(records)
        found: dict[str, list[int]] = {}
        missing = []
        names, indices = self.names(), self.by_image()
        for image_id, name in names.items():
            stem = Path(name.replace("\\", "/")).with_suffix("").as_posix() if "." in name else name
            record = records.get(stem) or by_stem.get(stem.rpartition("/")[2]) or _numbered(records, stem)
            if record is None:
                count = len(indices[image_id])
                counted = "1 object" if count == 1 else f"{count} objects"
                missing.append(InvalidFile(self.path, f"no image called {name} for {counted}: left out"))
            else:
                found.setdefault(record.id, []).extend(indices[image_id])
        if not found:
            image = next(iter(records.values())).image if records else None
            shown = f"images are called like {image.name!r}" if image else "there are no images"
            raise InvalidFile(
                self.path,
                f"none of its images is in the folder: {shown}, here like {next(iter(names.values()))!r}",
            )
        return found, missing

    def with_annotations(self, replaced: Mapping[int, Annotation]) -> dict[str, Any] | list[Annotation]:
        """The content with some annotations, by index, replaced."""
        annotations = [replaced.get(index, one) for index, one in enumerate(self.annotations)]
        return annotations if isinstance(self.content, list) else {**self.content, "annotations": annotations}


def mask_of(annotation: Annotation, height: int, width: int) -> np.ndarray:
    """The mask of an annotation, ``bool [H, W]``, from polygons or a run-length encoding.

    Raises:
        InvalidInput: no mask, one that cannot be read, or one of an image of another size.
    """
    given = annotation.get("segmentation")
    if not given:
        raise InvalidInput("no mask (`segmentation`): only its box is known")
    masks = _masks_of_coco()
    try:
        if isinstance(given, dict):
            size = tuple(int(side) for side in given["size"])
            if size != (height, width):
                turned = ": is the image turned by its EXIF orientation?" if size == (width, height) else ""
                raise InvalidInput(
                    f"expected a mask of {width} x {height} px, as the image, found {size[1]} x {size[0]}{turned}"
                )
            compressed = isinstance(given["counts"], str | bytes)
            encoded = given if compressed else masks.frPyObjects(given, height, width)
        else:
            polygons = [given] if isinstance(given[0], int | float) else given
            if not all(len(part) >= 6 and len(part) % 2 == 0 for part in polygons):
                raise InvalidInput("expected polygons of three corners or more, as x, y, x, y, ...")
            encoded = masks.merge(masks.frPyObjects(polygons, height, width))
        decoded = np.asarray(masks.decode(encoded))
    except InvalidInput:
        raise
    except Exception as error:  # what is no encoding raises a dozen types
        raise InvalidInput(f"its mask cannot be read ({error})") from error
    return decoded.astype(bool)


def with_mask(annotation: Annotation, mask: np.ndarray) -> Annotation:
    """A copy of an annotation with another mask ``bool [H, W]``: compressed run lengths, its box and area."""
    masks = _masks_of_coco()
    encoded = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    found = copy.deepcopy(annotation)
    found["segmentation"] = {"size": list(mask.shape), "counts": encoded["counts"].decode()}
    found["bbox"] = [float(side) for side in masks.toBbox(encoded)]
    found["area"] = int(mask.sum())
    return found


def is_crowd(annotation: Annotation) -> bool:
    """Whether an annotation stands for a group of objects."""
    return bool(annotation.get("iscrowd"))


def _masks_of_coco() -> ModuleType:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise InvalidInput(
            f"files of objects need a package ({error.name}): pip install 'segmend[formats]'"
        ) from None
    found: ModuleType = mask
    return found


def _unambiguous(records: Mapping[str, Record]) -> dict[str, Record]:
    """Records by the last part of their ID, where only one has it."""
    found: dict[str, list[Record]] = defaultdict(list)
    for identity, record in records.items():
        found[identity.rpartition("/")[2]].append(record)
    return {name: several[0] for name, several in found.items() if len(several) == 1}


def _numbered(records: Mapping[str, Record], name: str) -> Record | None:
    """The one record whose name is a number, such as ``000000000139``, for an id without the zeros."""
    if not name.isdigit():
        return None
    found = [record for identity, record in records.items() if identity.isdigit() and int(identity) == int(name)]
    return found[0] if len(found) == 1 else None


def sampled(indices: Mapping[str, list[int]], images: int, objects: int) -> Iterator[tuple[str, int]]:
    """IDs and indices of annotations, evenly spread: of at most so many images, so many objects of each."""
    ids = list(indices)
    for at in np.unique(np.linspace(0, len(ids) - 1, min(images, len(ids))).astype(int)):
        several = indices[ids[at]]
        for index in np.unique(np.linspace(0, len(several) - 1, min(objects, len(several))).astype(int)):
            yield ids[at], several[index]
