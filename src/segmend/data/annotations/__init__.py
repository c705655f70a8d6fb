"""Formats of annotations: objects of images as annotation tools and models write them, one file each.

All but masks is written as it was read. The libraries of the formats read them into models of their own, which
lose keys that they do not know; so the files are read here, pycocotools decodes run lengths and paints polygons,
and shapely simplifies outlines.
"""

from __future__ import annotations

from pathlib import Path

from segmend.data.annotations.annotations import Annotations as Annotations
from segmend.data.annotations.coco import Coco
from segmend.data.annotations.cvat import Cvat
from segmend.data.annotations.geojson import GeoJson
from segmend.data.annotations.label_studio import LabelStudio
from segmend.data.annotations.labelme import Labelme
from segmend.data.annotations.polygons import masks_of_coco
from segmend.data.annotations.yolo import Yolo
from segmend.data.files import InvalidFile, kinds_in

ANNOTATIONS: dict[str, type[Annotations]] = {
    "coco": Coco,
    "yolo": Yolo,
    "labelme": Labelme,
    "cvat": Cvat,
    "label-studio": LabelStudio,
    "geojson": GeoJson,
}
"""Formats by the name that users type. A new one is a file with a subclass of `Annotations`, and a line here."""

SUFFIXES = (".json", ".geojson", ".xml", ".yaml", ".yml")
"""Of files that hold annotations."""


def is_annotations(path: Path) -> bool:
    """Whether a path is a file or a folder of annotations, not a folder of label maps or probability maps."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    if not path.is_dir() or (path / "results.json").is_file():
        return False
    kinds = kinds_in(path)
    return bool(kinds) and next(iter(kinds)) in (".json", ".geojson", ".txt") and format_of(path) is not None


def format_of(path: Path) -> type[Annotations] | None:
    """The format of a file or a folder; None where no one recognises it."""
    return next((one for one in ANNOTATIONS.values() if one.recognises(path)), None)


def read_annotations(path: Path | str) -> Annotations:
    """The annotations in a file or a folder, in whichever format.

    Raises:
        InvalidFile: not there, unreadable, in no known format, or without objects.
        InvalidInput: a package is missing.

    Example:
        >>> annotations = read_annotations("instances.json")  # doctest: +SKIP
        >>> annotations.title, len(annotations.objects), annotations.labels  # doctest: +SKIP
        ('COCO', 210, ('person', 'car'))
    """
    masks_of_coco()
    path = Path(path)
    if not path.exists():
        raise InvalidFile(path, "no such file")
    found = format_of(path)
    if found is None:
        titles = ", ".join(one.title for one in ANNOTATIONS.values())
        raise InvalidFile(path, f"no annotations in it: expected {titles}")
    annotations = found.read(path)
    if not annotations.objects:
        raise InvalidFile(path, f"no annotations in it: {found.title} without an object that has an outline")
    return annotations
