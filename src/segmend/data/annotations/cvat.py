"""CVAT for images 1.1: an XML file with polygons and masks of each image."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self
from xml.etree import ElementTree

import numpy as np

from segmend.data.annotations.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    NewImage,
    Shape,
    Stored,
)
from segmend.data.annotations.polygons import Ring, mask_of_rings, single_ring
from segmend.data.files import InvalidFile, atomic_write
from segmend.labels import InvalidInput

AREAS = ("polygon", "mask")
"""Kinds of shapes that have an outline; boxes, points and lines stay as they are."""


class Cvat(Annotations):
    """Polygons and masks; attributes, groups, tracks of other kinds and comments stay.

    A polygon has one ring: parts and holes are joined to it by bridges of no width. Shapes cover each other by
    their `z_order`, which is their level.
    """

    title = "CVAT"
    output = "annotations.xml"

    def __init__(self, path: Path, root: ElementTree.Element) -> None:
        super().__init__(path)
        self.files = (path,)
        self._root = root
        images, objects, self._elements = [], [], []
        for place, image in enumerate(root.iter("image")):
            images.append(AnnotatedImage(image.get("name", image.get("id", "")), _size_of(path, image)))
            for number, element in enumerate(image, 1):
                if element.tag not in AREAS:
                    continue
                load = _of_polygon if element.tag == "polygon" else _of_runs
                objects.append(
                    AnnotatedObject(
                        image=place,
                        label=element.get("label", ""),
                        name=f"{images[-1].name}, {element.tag} {number}",
                        load=partial(load, dict(element.attrib)),
                        is_polygon=element.tag == "polygon",
                        level=int(element.get("z_order", 0)),
                    )
                )
                self._elements.append(element)
        self.images, self.objects = tuple(images), tuple(objects)
        named = [name.text or "" for name in root.iterfind("./meta//labels/label/name")]
        self.labels = tuple(dict.fromkeys([*named, *(one.label for one in objects)]))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if path.suffix.lower() != ".xml" or not path.is_file():
            return False
        try:
            return bool(next(ElementTree.iterparse(path, ("start",)))[1].tag == "annotations")
        except (ElementTree.ParseError, StopIteration):
            return False

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            builder = ElementTree.TreeBuilder(insert_comments=True)
            root = ElementTree.XML(path.read_bytes(), ElementTree.XMLParser(target=builder))
        except (ElementTree.ParseError, OSError) as error:
            raise InvalidFile(path, f"not readable as XML ({error})") from None
        if root.tag != "annotations":
            raise InvalidFile(path, "expected `annotations` of CVAT for images 1.1")
        return cls(path, root)

    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        if shape is None:
            return dict(self._elements[index].attrib)
        if shape.outline is not None:
            return {"points": _points(single_ring(shape.outline.geometry))}
        y, x = np.nonzero(shape.mask)
        top, bottom, left, right = (int(v) for v in (y.min(), y.max(), x.min(), x.max()))
        part = shape.mask[top : bottom + 1, left : right + 1].ravel()
        changes = np.flatnonzero(np.diff(part)) + 1
        runs = np.diff([0, *changes, len(part)])
        counts = [0, *runs] if part[0] else runs
        return {
            "rle": ", ".join(str(int(count)) for count in counts),
            "left": str(left),
            "top": str(top),
            "width": str(right - left + 1),
            "height": str(bottom - top + 1),
        }

    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        before = {index: dict(self._elements[index].attrib) for index in replacements}
        try:
            for index, attributes in replacements.items():
                self._elements[index].attrib.update(attributes)
            buffer = io.BytesIO()
            ElementTree.ElementTree(self._root).write(buffer, encoding="utf-8", xml_declaration=True)
        finally:
            for index, attributes in before.items():
                self._elements[index].attrib = attributes
        atomic_write(folder / self.output, buffer.getvalue() + b"\n")

    @classmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        for split, images in splits.items():
            tree = ElementTree.Element("annotations")
            ElementTree.SubElement(tree, "version").text = "1.1"
            task = ElementTree.SubElement(ElementTree.SubElement(tree, "meta"), "task")
            listed = ElementTree.SubElement(task, "labels")
            for label in labels:
                ElementTree.SubElement(ElementTree.SubElement(listed, "label"), "name").text = label
            for number, image in enumerate(images):
                attributes = {"id": str(number), "name": image.name}
                attributes |= {"width": str(image.size[1]), "height": str(image.size[0])}
                element = ElementTree.SubElement(tree, "image", attributes)
                for one in image.objects:
                    points = _points(single_ring(one.outline.geometry))
                    shape = {
                        "label": one.label,
                        "source": "manual",
                        "occluded": "0",
                        "points": points,
                        "z_order": "0",
                    }
                    ElementTree.SubElement(element, "polygon", shape)
            ElementTree.indent(tree)
            content: bytes = ElementTree.tostring(tree, encoding="utf-8", xml_declaration=True)
            atomic_write(root / f"annotations_{split}.xml", content + b"\n")


def _points(ring: Ring) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in ring.tolist())


def _size_of(path: Path, image: ElementTree.Element) -> tuple[int, int] | None:
    try:
        return int(image.attrib["height"]), int(image.attrib["width"])
    except KeyError:
        return None
    except ValueError:
        raise InvalidFile(path, f"image {image.get('name')}: expected `width` and `height` in pixels") from None


def _of_polygon(attributes: Mapping[str, str], height: int, width: int) -> np.ndarray:
    try:
        points = [[float(value) for value in point.split(",")] for point in attributes["points"].split(";")]
        ring = np.asarray(points).reshape(-1, 2)
    except (KeyError, ValueError):
        raise InvalidInput("expected `points` as x,y;x,y;...") from None
    return mask_of_rings([ring], height, width)


def _of_runs(attributes: Mapping[str, str], height: int, width: int) -> np.ndarray:
    """The mask of run lengths by rows inside a box, the first one outside of the object."""
    try:
        runs = [int(value) for value in attributes["rle"].split(",")]
        left, top, across, down = (int(float(attributes[key])) for key in ("left", "top", "width", "height"))
        part = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(down, across)
        found = np.zeros((height, width), bool)
        found[top : top + down, left : left + across] = part
    except (KeyError, ValueError) as error:
        raise InvalidInput(f"its mask cannot be read ({error})") from None
    return found
