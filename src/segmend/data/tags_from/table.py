"""Tags from a table (CSV): an image and a tag a line, an image and all its tags, or a column for each class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from segmend.data.description import named
from segmend.data.files import InvalidFile
from segmend.data.tags import nearest
from segmend.data.tags_from.entries import Entries, counted_images
from segmend.data.tags_from.names import ClassNames, key
from segmend.data.tags_from.source import Row, Source

IMAGE_COLUMNS = (
    *("image", "filename", "file", "imagename", "imagefile", "imagepath", "filepath", "path", "img", "images"),
    *("imageid", "imgid", "id", "name", "picture", "photo", "files"),
)
"""Names of the column of images in the form of `key`; of several the first counts."""

TAG_COLUMNS = ("tag", "label", "class", "classname", "labelname", "category", "object")
SCORE_COLUMNS = ("score", "confidence", "conf", "probability", "prob")
NOTHING = ("", "none", "nan", "null", "[]")
"""Cells that say that there is no tag."""

SWITCHES = {"": 0.0, "no": 0.0, "false": 0.0, "n": 0.0, "yes": 1.0, "true": 1.0, "y": 1.0, "x": 1.0}
"""Cells of a column of a class that are no numbers."""


class Columns(NamedTuple):
    """What the columns of a table are, by their numbers.

    Attributes:
        image: the column of images.
        tags: the columns of tags; of the last one on all cells, where `open_end`.
        score: the column of scores, or None.
        classes: columns of classes, and the class of each.
    """

    image: int
    tags: tuple[int, ...] = ()
    open_end: bool = False
    score: int | None = None
    classes: tuple[tuple[int, str], ...] = ()


def read(source: Source, names: ClassNames) -> Entries:
    """Tags of a table.

    Raises:
        InvalidFile: a tag that is no class, or a cell that cannot be; the message names the lines.
    """
    if source.is_json:
        raise InvalidFile(source.path, "JSON, expected a table: give another kind with --from, or none")
    entries = Entries(names)
    rows = source.rows
    header = _header(rows, names)
    body = rows[1:] if header else rows
    if not header and max(len(row.cells) for row in body) == 1:
        raise InvalidFile(
            source.path, f"no tags in it: expected an image and its tags, found {body[0].cells[0]!r:.80}"
        )
    columns = _columns(source, header, body, names)
    wrong: dict[str, int] = {}
    for row in body:
        if len(row.cells) <= columns.image or not row.cells[columns.image]:
            raise InvalidFile(source.path, f"line {row.line}: no image: {' '.join(row.cells)!r:.80}")
        image = row.cells[columns.image]
        entries.list_image(image)
        for name, score in _tags(source, columns, row, names):
            if not entries.add_named(image, name, score):
                wrong.setdefault(name, row.line)
    if not entries.tags:
        raise InvalidFile(source.path, "no line below the header: expected an image and its tags in each line")
    if wrong:
        raise InvalidFile(source.path, _no_classes(wrong, names))
    if columns.classes:
        entries.note_missing([name for _, name in columns.classes], "column")
    entries.findings.append(_found(columns, header, len(body), len(entries.tags)))
    return entries


def _no_classes(wrong: Mapping[str, int], names: ClassNames) -> str:
    """What tags are no class, with the line where each is first."""
    (first, line), *others = wrong.items()
    also = [f"{name!r} (line {number})" for name, number in others]
    return (
        f"line {line}: the tag {first!r} is no class{nearest(first, names.classes.names)}. "
        + (f"Also no class: {named(also)}. " if also else "")
        + "Correct them, or say what they mean with --synonyms FILE"
    ).replace("?. ", "? ")


def image_column(header: Sequence[str]) -> int:
    """The number of the column of images, by the names of columns in the form of `key`; the first by default."""
    return next((header.index(name) for name in IMAGE_COLUMNS if name in header), 0)


def _header(rows: Sequence[Row], names: ClassNames) -> list[str]:
    """The first line, if it names columns; empty otherwise."""
    cells = rows[0].cells
    keys = [key(cell) for cell in cells]
    titled = any(name in IMAGE_COLUMNS for name in keys) or any(_is_tags(name) for name in keys[1:])
    if titled and not (len(cells) == 1 and len(rows) == 1):
        return cells
    below = [cell for row in rows[1:] for cell in row.cells[1:]]
    numbers = bool(below) and all(_number(cell, True) is not None for cell in below)
    return cells if numbers and any(names.find(cell) for cell in cells[1:]) else []


def _columns(source: Source, header: Sequence[str], body: Sequence[Row], names: ClassNames) -> Columns:
    width = max(len(row.cells) for row in body) if body else len(header)
    if not header:
        thirds = [row.cells[2] for row in body if len(row.cells) == 3]
        if len(thirds) == len(body) and all(_number(cell, source.decimal_comma) is not None for cell in thirds):
            return Columns(0, (1,), score=2)
        return Columns(0, (1,), open_end=True)
    keys = [key(name) for name in header]
    image = image_column(keys)
    others = [n for n in range(len(header)) if n != image]
    if not others:
        raise InvalidFile(source.path, f"expected a column of tags beside {header[image]!r}")
    tags = tuple(n for n in others if _is_tags(keys[n]))
    cells = [row.cells[n] for row in body for n in others if n < len(row.cells)]
    wide = not tags or all(names.find(header[n]) for n in others)
    if wide and body and all(_number(cell, source.decimal_comma) is not None for cell in cells):
        wrong = [header[n] for n in others if not names.find(header[n])]
        if wrong:
            what = f"the column {wrong[0]!r} is no class{nearest(wrong[0], names.classes.names)}"
            advice = f"{what}. Correct or remove it, or give --synonyms FILE".replace("?. ", "? ")
            raise InvalidFile(source.path, advice)
        return Columns(image, classes=tuple((n, header[n]) for n in others))
    score = next((n for n in others if keys[n] in SCORE_COLUMNS), None)
    tags = tags or tuple(n for n in others if n != score)[:1]
    return Columns(image, tags, open_end=tags[-1] == len(header) - 1 and width > len(header), score=score)


def _tags(source: Source, columns: Columns, row: Row, names: ClassNames) -> Iterator[tuple[str, float]]:
    """The names and scores in a line."""
    cells = row.cells
    for n, name in columns.classes:
        yield name, _score(source, row, cells[n] if n < len(cells) else "", name)
    score = 1.0
    if columns.score is not None:
        score = _score(source, row, cells[columns.score] if columns.score < len(cells) else "", "the tag")
    numbers = [*columns.tags, *(range(columns.tags[-1] + 1, len(cells)) if columns.open_end else ())]
    for n in numbers:
        for name in _split(cells[n] if n < len(cells) else "", names):
            yield name, score


def _split(cell: str, names: ClassNames) -> list[str]:
    """The tags in a cell: itself, or its parts between ``;`` or ``|``, commas or spaces."""
    cell = cell.strip()
    if re.fullmatch(r"[\[({].*[\])}]", cell):  # as Python writes a list
        cell = cell[1:-1].strip()
    cell = cell.strip("'\" ")
    if key(cell) in NOTHING and not names.find(cell):
        return []
    words = cell.split()
    found = names.find(cell)
    if found and (names.is_exact(cell, found) or len(words) == 1 or not all(map(names.find, words))):
        return [cell]
    for sign in (r"[;|]", r","):
        if re.search(sign, cell):
            return [name for part in re.split(sign, cell) for name in _split(part, names)]
    return words if any(names.find(word) for word in words) else [cell]


def _score(source: Source, row: Row, cell: str, what: str) -> float:
    score = _number(cell, source.decimal_comma)
    if score is None or not 0 <= score <= 1:
        percent = ": divide by 100" if score is not None and 1 < score <= 100 else ""
        raise InvalidFile(
            source.path, f"line {row.line}: expected a score of {what} in 0..1, found {cell!r}{percent}"
        )
    return score


def _number(cell: str, decimal_comma: bool) -> float | None:
    if cell.casefold() in SWITCHES:
        return SWITCHES[cell.casefold()]
    try:
        return float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return None


def _is_tags(name: str) -> bool:
    singular = name.rstrip("0123456789")
    return any(singular in (one, f"{one}s", f"{one}es", f"{one[:-1]}ies") for one in TAG_COLUMNS)


def _found(columns: Columns, header: Sequence[str], lines: int, images: int) -> str:
    """What a table holds, in words."""
    count = counted_images(images)
    if columns.classes:
        return f"{count}, {len(columns.classes)} classes in columns"
    shown = "a header" if header else "no header: the first column is the image"
    scored = ", with scores" if columns.score is not None else ""
    used = (columns.image, columns.score, *columns.tags)
    ignored = [name for n, name in enumerate(header) if n not in used and name]
    beside = f"; not used: {', '.join(ignored)}" if ignored else ""
    return f"{lines} line{'s' * (lines > 1)} of {count}{scored}, {shown}{beside}"
