"""GeoJSON in pixels: ``ID.geojson`` with a feature for each object, as QuPath and programs of mapping write it."""

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
from segmend.data.annotations.polygons import Outline, mask_of_geometry
from segmend.data.files import InvalidFile, find_files, read_json, write_json
from segmend.labels import InvalidInput

SUFFIXES = (".geojson", ".json")
NAMES = ("label", "class", "name", "category", "classification")
"""Properties that name the class of a feature; `classification` of QuPath is an object with a `name`."""


class GeoJson(Annotations):
    """Polygons with parts and holes, x and y in pixels of the image; features of other kinds stay."""

    title = "GeoJSON"
    output = "annotations"
    is_folder = True

    def __init__(self, path: Path, files: Mapping[str, Path]) -> None:
        super().__init__(path)
        self.files = tuple(files.values())
        self._files = dict(files)
        self._contents = {identity: _content(file) for identity, file in files.items()}
        objects, self._places = [], []
        for place, (identity, content) in enumerate(self._contents.items()):
            for number, feature in enumerate(_features(content), 1):
                geometry = feature.get("geometry") if isinstance(feature, dict) else None
                if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
                    continue
                objects.append(
                    AnnotatedObject(
                        image=place,
                        label=_label_of(feature),
                        name=f"{self._files[identity].name}, feature {feature.get('id', number)}",
                        load=partial(_mask, geometry),
                        is_polygon=True,
                    )
                )
                self._places.append((identity, number - 1))
        self.images = tuple(AnnotatedImage(identity) for identity in files)
        self.objects = tuple(objects)
        self.labels = tuple(sorted({one.label for one in objects}))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if path.is_dir():
            return any(cls.recognises(file) for file in list(find_files(path, SUFFIXES).values())[:8])
        content = read_json(path) if path.suffix.lower() in SUFFIXES else None
        if isinstance(content, list):
            return bool(content) and isinstance(content[0], dict) and content[0].get("type") == "Feature"
        return isinstance(content, dict) and content.get("type") == "FeatureCollection"

    @classmethod
    def read(cls, path: Path) -> Self:
        files = {path.stem: path} if path.is_file() else find_files(path, SUFFIXES)
        if not files:
            raise InvalidFile(path, "expected files of GeoJSON (.geojson), found none")
        return cls(path, files)

    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        identity, number = self._places[index]
        found = copy.deepcopy(_features(self._contents[identity])[number])
        if expected_iou is not None:
            found["properties"] = {**(found.get("properties") or {}), "expected_iou": expected_iou}
        if shape is None:
            return found
        if shape.outline is None:
            raise InvalidInput("GeoJSON holds polygons, not pixels")
        found["geometry"] = {**found["geometry"], **_geometry(shape.outline)}
        return found

    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        changed: dict[str, dict[int, Stored]] = {identity: {} for identity in self._files}
        for index, one in replacements.items():
            identity, number = self._places[index]
            changed[identity][number] = one
        for identity, content in self._contents.items():
            features = [changed[identity].get(n, one) for n, one in enumerate(_features(content))]
            written = features if isinstance(content, list) else {**content, "features": features}
            write_json(folder / self.output / f"{identity}{self._files[identity].suffix}", written)

    @classmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        for split, images in splits.items():
            for image in images:
                features = [
                    {"type": "Feature", "properties": {"label": one.label}, "geometry": _geometry(one.outline)}
                    for one in image.objects
                ]
                path = root / "annotations" / split / f"{image.identity}.geojson"
                write_json(path, {"type": "FeatureCollection", "features": features})


def _geometry(outline: Outline) -> dict[str, Any]:
    import shapely

    parts = outline.geometry.geoms
    return as_geometry(shapely.orient_polygons(parts[0] if len(parts) == 1 else outline.geometry))


def as_geometry(geometry: Any) -> dict[str, Any]:
    """A geometry of shapely as GeoJSON has it."""
    from shapely.geometry import mapping

    return {"type": geometry.geom_type, "coordinates": _lists(mapping(geometry)["coordinates"])}


def _lists(value: Any) -> Any:
    return [_lists(one) for one in value] if isinstance(value, tuple | list) else round(value, 3)


def _content(file: Path) -> Any:
    content = read_json(file)
    if not isinstance(content, list) and not isinstance(_features(content), list):
        raise InvalidFile(file, "expected a FeatureCollection of GeoJSON")
    return content


def _features(content: Any) -> Any:
    if isinstance(content, list):
        return content
    return content.get("features") if isinstance(content, dict) else None


def _label_of(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties") or {}
    for key in NAMES:
        value = properties.get(key)
        value = value.get("name") if isinstance(value, dict) else value
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return "object"


def _mask(geometry: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The mask of a geometry.

    Raises:
        InvalidInput: coordinates that are none, or outside of the image altogether.
    """
    from shapely.geometry import shape

    try:
        found = shape(geometry)
        left, top, right, bottom = found.bounds
    except Exception as error:  # what is no geometry raises a dozen types
        raise InvalidInput(f"its geometry cannot be read ({error})") from error
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise InvalidInput(
            f"lies outside of the image ({left:g}..{right:g}, {top:g}..{bottom:g}): expected coordinates in "
            "pixels, not on a map"
        )
    return mask_of_geometry(found, height, width)
