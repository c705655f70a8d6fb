"""Annotations painted into label maps, for commands that read folders of label maps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segmend.data.annotations import Annotations, is_annotations, read_annotations
from segmend.data.annotations.annotations import classes_of, label_map
from segmend.data.dataset import Dataset, dataset_above, open_dataset
from segmend.data.description import describe, named, write_description
from segmend.data.files import MAX_PIXELS, InvalidFile, check_claim, write_json
from segmend.data.masks import write_labels
from segmend.labels import Classes
from segmend.report.results import Skipped

MARKER, SPLIT = "painted.json", "all"


@dataclass(frozen=True)
class Painted:
    """Folders of label maps instead of annotations.

    Attributes:
        folders: by the name that each path was given with; paths that are no annotations are as they were.
        findings: what was painted, and into which classes, in sentences.
        skipped: objects and images that could not be used.
        annotations: names of the paths that are annotations.
    """

    folders: dict[str, Path]
    findings: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    annotations: frozenset[str] = frozenset()

    def all_skipped(self, others: Sequence[Skipped]) -> list[Skipped]:
        """What was skipped, and what the command skipped beside it: each file once."""
        files = {one.file for one in self.skipped}
        return [*self.skipped, *(one for one in others if one.file not in files)]


def painted(
    paths: Mapping[str, Path | None], out: Path, images: Path | None = None, max_pixels: int = MAX_PIXELS
) -> Painted:
    """Paint those of some paths that are annotations into ``out/NAME/labels/all``.

    They share their classes: those of a path that lies in a data set, if these have all their labels; else the
    background and all their labels, in order.

    Args:
        paths: by a name for each.
        images: folder of the images, for annotations that do not give their sizes, and for the names of the maps.

    Raises:
        InvalidFile: annotations that cannot be read, or whose images have no known size.
    """
    given = {name: path for name, path in paths.items() if path is not None}
    read = {name: read_annotations(path) for name, path in given.items() if is_annotations(path)}
    if not read:
        return Painted(given)
    classes = _shared_classes(read, [path for name, path in given.items() if name not in read])
    known = None if images is None else open_dataset(images, max_pixels=max_pixels)
    folders, findings, skipped = dict(given), [], []
    for name, one in read.items():
        root = out / name
        check_claim(root, MARKER, {"painted": str(one.path.resolve())})
        shutil.rmtree(root / "labels", ignore_errors=True)  # of an earlier state of the annotations
        write_json(root / MARKER, {"painted": str(one.path.resolve())})
        skipped += _paint(one, classes, root / "labels" / SPLIT, known)
        write_description(root, one.path.stem, classes)
        folders[name] = root / "labels" / SPLIT
        findings.append(
            f"{one.path}: {one.title}, {len(one.objects)} objects painted into label maps "
            f"of {len(classes)} classes ({named(classes.names, 12)}): {root}"
        )
    return Painted(folders, tuple(findings), tuple(skipped), frozenset(read))


def _shared_classes(read: Mapping[str, Annotations], others: list[Path]) -> Classes:
    found = classes_of(read.values())
    for path in others:
        root = path if (path / "dataset.yaml").is_file() else dataset_above(path)
        if root is not None:
            known = describe(root).classes
            if {name.lower() for name in found.names[1:]} <= {name.lower() for name in known.names}:
                return known
    return found


def _paint(annotations: Annotations, classes: Classes, folder: Path, images: Dataset | None) -> list[Skipped]:
    skipped = []
    records = {} if images is None else {record.id: record for record in images}
    ids: dict[int, str] = {}
    if images is not None:
        places, missing = annotations.paired(images)
        ids = {place: identity for identity, place in places.items()}
        skipped += [Skipped(file=str(error.path), reason=error.reason) for error in missing]
    for place, image in enumerate(annotations.images):
        if images is not None and place not in ids:
            continue
        identity = ids.get(place) or image.identity
        size = image.size
        if size is None and images is not None:
            try:
                height, width = images.image(records[identity]).shape[:2]
            except InvalidFile as error:
                skipped.append(Skipped(file=str(error.path), reason=error.reason))
                continue
            size = height, width
        if size is None:
            reason = f"the size of {image.name} is not in it: give the folder of images (--images)"
            raise InvalidFile(annotations.path, reason)
        labels, failed = label_map(annotations, place, classes, *size)
        skipped += [Skipped(file=str(annotations.path), reason=reason) for reason in failed]
        write_labels(folder / f"{identity}.png", labels, classes.palette)
    return skipped
