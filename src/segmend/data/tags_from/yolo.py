"""Tags from a folder of YOLO detections: ``ID.txt`` with lines ``class x y w h [confidence]``."""

from __future__ import annotations

from pathlib import Path

from segmend.data.annotations.yolo import label_files, names_above, names_in
from segmend.data.files import InvalidFile, found_instead
from segmend.data.tags_from.entries import Entries
from segmend.data.tags_from.names import ClassNames
from segmend.data.tags_from.source import Source, read_text

BOX = 5
"""Numbers of a box: class, centre and size."""


def read(source: Source, names: ClassNames) -> Entries:
    """Tags of the boxes (or outlines) of each image; an empty file says that there is nothing in it.

    Files that cannot be read are skipped and listed.

    Raises:
        InvalidFile: no files of detections, or none that names the classes.
    """
    folder = source.path if source.is_folder else source.path.parent
    files = label_files(folder)
    if not files:
        raise InvalidFile(folder, f"expected detections as ID.txt, found {found_instead(folder)}")
    path, categories = _categories(folder, source)
    entries = Entries(names)
    entries.findings.append(f"names of the categories from {path}")
    entries.note_missing(categories.values(), "category")
    for identity, file in files.items():
        try:
            boxes = _boxes(file, categories)
        except InvalidFile as error:
            entries.skipped.append((str(file), error.reason))
            continue
        entries.list_image(identity)
        for name, score in boxes:
            entries.add_named(identity, name, score)
    if not entries.tags:
        raise InvalidFile(folder, f"none of its {len(files)} files can be read: {': '.join(entries.skipped[0])}")
    return entries


def looks_like_boxes(file: Path) -> bool:
    """Whether a file holds lines of numbers."""
    try:
        lines = [line.split() for line in read_text(file)[0].splitlines() if line.strip()]
        return bool(lines) and all(len(line) >= BOX for line in lines) and all(float(v) >= 0 for v in lines[0])
    except (InvalidFile, ValueError):
        return False


def _boxes(file: Path, categories: dict[int, str]) -> list[tuple[str, float]]:
    boxes = []
    for number, line in enumerate(read_text(file)[0].splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.split()]
        except ValueError:
            values = []
        if len(values) < BOX or values[0] != int(values[0]):
            raise InvalidFile(file, f"line {number}: expected `class x y w h [confidence]`, found {line!r:.60}")
        if int(values[0]) not in categories:
            raise InvalidFile(
                file, f"line {number}: class {int(values[0])} has no name, there are {len(categories)}"
            )
        score = values[BOX] if len(values) == BOX + 1 else 1.0  # outlines have more, and no confidence
        if not 0 <= score <= 1:
            raise InvalidFile(file, f"line {number}: expected a confidence in 0..1, found {score:g}")
        boxes.append((categories[int(values[0])], score))
    return boxes


def _categories(folder: Path, source: Source) -> tuple[Path, dict[int, str]]:
    """The names of the categories by number, and the file that says them: in the folder, or above it."""
    if not source.is_folder:
        found = names_in(source.path)
        if not found:
            raise InvalidFile(source.path, "expected a YAML file with `names`: {0: person, 1: car, ...}")
        return source.path, found
    path, found = names_above(folder)
    if path is None:
        raise InvalidFile(
            folder, "no names of the categories: expected a data.yaml with `names`, or a classes.txt"
        )
    return path, found
