"""Tags from other formats: tables, captions, detections, and folders of images for each class.

`table`, `captions`, `coco`, `yolo` and `folders` each read one kind. They share `source`, the file or folder that
is read; `names`, what classes are called, with the words in `synonyms`; and `entries`, what was found. `sentences`
finds classes in captions. `matching` gives what was found to the images of a split.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from segmend.data.annotations.yolo import label_files
from segmend.data.dataset import Dataset
from segmend.data.description import named
from segmend.data.files import InvalidFile, find_files, found_instead
from segmend.data.images import IMAGE_SUFFIXES
from segmend.data.tags import Tags
from segmend.data.tags_from import captions, coco, folders, table, yolo
from segmend.data.tags_from.entries import Entries, counted
from segmend.data.tags_from.matching import match_images
from segmend.data.tags_from.names import ClassNames
from segmend.data.tags_from.source import Source
from segmend.labels import InvalidInput

KINDS: dict[str, Callable[[Source, ClassNames], Entries]] = {
    "csv": table.read,
    "captions": captions.read,
    "coco": coco.read,
    "yolo": yolo.read,
    "folders": folders.read,
}
"""Kinds of sources by the name that users type. A new one is a file with such a function, and a line here."""

SHOWN = {
    "csv": "a table of tags",
    "captions": "captions",
    "coco": "COCO detections",
    "yolo": "YOLO detections",
    "folders": "a folder of images for each class",
}
"""The kinds in words."""

LOOKED_AT = 20
"""Text files of a folder that are looked at to see what it holds."""


class TagsFound(NamedTuple):
    """Tags that were read from another format.

    Attributes:
        tags: of each image of the split that has an entry, by ID; empty where the entry names no class.
        findings: what was found and assumed, in sentences.
        skipped: files and images that could not be used, and why.
    """

    tags: dict[str, Tags]
    findings: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def read_tags_from(
    source: Path | str,
    dataset: Dataset,
    kind: str | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> TagsFound:
    """Read tags of the images of a split from a file or a folder in another format.

    Args:
        source: the file or folder.
        dataset: the split, with its classes.
        kind: a key of `KINDS` (None: as the source looks).
        synonyms: further words for classes, by class (see `names.read_synonyms`).

    Raises:
        InvalidInput: an unknown kind, a source that cannot be read as it, one without a class or without an image
            of the split, or a table with a tag that is no class.
    """
    given = Source(source)
    chosen = _kind(kind) if kind else _guess(given)
    entries = KINDS[chosen](given, ClassNames(dataset.classes, synonyms))
    if entries.unknown and not any(entries.tags.values()):
        raise InvalidFile(
            source,
            f"none of its names is a class: found {named(counted(entries.unknown), 5)}; "
            f"classes are {named(dataset.classes.names, 5)}: say what stands for a class with --synonyms FILE",
        )
    ids = [record.id for record in dataset]
    match = match_images(entries.tags, ids)
    if not match.tags and match.skipped:
        raise InvalidFile(source, f"no image that one entry fits: {': '.join(match.skipped[0])}")
    if not match.tags:
        raise InvalidFile(
            source,
            f"none of its {len(entries.tags)} entries has the name of an image of the split: entries are called "
            f"like {next(iter(entries.tags))!r}, images like {next(iter(ids), '')!r}",
        )
    assumed = "" if kind else " (--from reads it as another kind)"
    first = f"{given.path.name}: read as {SHOWN[chosen]}{assumed}"
    findings = dict.fromkeys((first, *given.findings, *entries.all_findings(), *match.findings))
    order = dataset.classes.names
    tags = {i: {name: given[name] for name in order if name in given} for i, given in match.tags.items()}
    return TagsFound({**tags}, tuple(findings), (*entries.skipped, *match.skipped))


def _kind(name: str) -> str:
    if name.lower() in KINDS:
        return name.lower()
    near = difflib.get_close_matches(name.lower(), KINDS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InvalidInput(f"--from {name}: expected {', '.join(KINDS)}{hint}")


def _guess(source: Source) -> str:
    """What a source looks like, by its suffix and its content."""
    if source.is_folder:
        return _guess_folder(source.path)
    if source.path.suffix.lower() in (".yaml", ".yml"):
        return "yolo"
    if not source.is_json:
        return "captions" if captions.is_caption_table(source.rows) else "csv"
    content = source.content
    if coco.is_coco(content):
        return "coco"
    if captions.is_captions(content):
        return "captions"
    if isinstance(content, dict) and content and all(isinstance(value, dict) for value in content.values()):
        raise InvalidFile(
            source.path, "looks like a tags.json already, which needs no conversion: copy it beside dataset.yaml"
        )
    raise InvalidFile(
        source.path, f"expected captions or COCO detections, found {str(content)[:60]!r}: say which with --from"
    )


def _guess_folder(folder: Path) -> str:
    texts = label_files(folder)
    if any(map(yolo.looks_like_boxes, islice((p for p in texts.values() if p.stat().st_size), LOOKED_AT))):
        return "yolo"
    if texts:
        return "captions"
    if find_files(folder, IMAGE_SUFFIXES):
        return "folders"
    raise InvalidFile(
        folder,
        "expected captions or detections as ID.txt, or a folder of images for each class, "
        f"found {found_instead(folder)}: give the file that holds the tags",
    )
