"""Tags from captions: a class is in an image if a caption mentions it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segmend.data.description import named
from segmend.data.files import InvalidFile, find_files, found_instead
from segmend.data.tags_from.entries import Entries, counted, counted_images
from segmend.data.tags_from.names import ClassNames, key
from segmend.data.tags_from.sentences import mentions
from segmend.data.tags_from.source import Row, Source, read_text
from segmend.data.tags_from.table import IMAGE_COLUMNS, image_column

CAPTION_COLUMNS = ("caption", "captions", "text", "description", "sentence", "sentences", "comment", "raw")
"""Names of what holds captions, in the form of `key`."""

FLICKR = re.compile(r"(.+)#\d+$")
"""How Flickr30k names a caption: ``image.jpg#0``."""

SENTENCE = frozenset(("a", "an", "the", "of", "on", "in", "with", "is", "are", "and", "at", "to", "near"))
"""Words that stand in captions, and not in names."""

NAME = 2
"""Words of a text up to which it is taken as a name."""


def read(source: Source, names: ClassNames) -> Entries:
    """Tags from a folder of ``ID.txt``, JSON (lines) or a table; a class counts if any caption has it."""
    entries = Entries(names)
    lookalikes: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    count = 0
    for image, caption in _captions(source, entries):
        if not caption.strip():
            continue
        count += 1
        entries.list_image(image)
        found = mentions(caption, names)
        if not found and len(caption.split()) <= NAME:  # a tag rather than a caption
            entries.unknown[caption.strip()] += 1
        for mention in found:
            if mention.class_name is None:
                lookalikes[mention.words] += 1
            elif mention.denied:
                denied[mention.class_name] += 1
            else:
                entries.note(mention.words, mention.class_name)
                entries.add(image, mention.class_name)
    if not count:
        raise InvalidFile(source.path, "no captions in it: expected an image and a text in each entry")
    entries.findings.append(f"{count} captions of {counted_images(len(entries.tags))}")
    if denied:
        entries.findings.append(f"mentioned as absent: {named(counted(denied), 6)}")
    if lookalikes:
        entries.findings.append(f"phrases that only look like a class: {named(counted(lookalikes), 6)}")
    return entries


def is_captions(content: Any) -> bool:
    """Whether JSON content looks like captions."""
    if isinstance(content, dict):
        given = content.get("annotations")
        if isinstance(given, list):
            return any(isinstance(one, dict) and "caption" in one for one in given[:100])
        if isinstance(content.get("images"), list):
            return any(isinstance(one, dict) and "sentences" in one for one in content["images"][:100])
        return bool(content) and all(isinstance(value, str | list) for value in content.values())
    return isinstance(content, list) and any(isinstance(one, dict) and _caption_key(one) for one in content[:100])


def is_caption_table(rows: list[Row]) -> bool:
    """Whether a table looks like captions: by the name of a column, image names with ``#0``, or sentences."""
    first = rows[0].cells
    if any(key(cell) in CAPTION_COLUMNS for cell in first):
        return True
    if len(first) > 1 and FLICKR.match(first[0]):
        return True
    texts = [" ".join(row.cells[1:]).casefold().split() for row in rows[:50]]
    return sum(len(text) > 2 and not SENTENCE.isdisjoint(text) for text in texts) > len(texts) / 2


def _captions(source: Source, entries: Entries) -> Iterator[tuple[str, str]]:
    if source.is_folder:
        return _of_folder(source.path, entries)
    if source.is_json:
        return _of_json(source.path, source.content)
    return _of_table(source)


def _of_folder(folder: Path, entries: Entries) -> Iterator[tuple[str, str]]:
    files = find_files(folder, (".txt",))
    if not files:
        raise InvalidFile(folder, f"expected captions as ID.txt, found {found_instead(folder)}")
    for identity, path in files.items():
        try:
            text, found = read_text(path)
        except InvalidFile as error:
            entries.skipped.append((str(path), error.reason))
            continue
        if found and not any("Windows-1252" in finding for finding in entries.findings):
            entries.findings.append(found)
        for line in text.splitlines():
            yield identity, line


def _of_json(path: Path, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        yield from _of_coco(path, content)
        return
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        content = content["images"]
    if isinstance(content, dict):
        for image, given in content.items():
            yield from ((image, text) for text in _texts(path, image, given))
        return
    if not isinstance(content, list):
        raise InvalidFile(path, f"expected captions, found {content!r:.60}")
    for number, entry in enumerate(content, 1):
        caption, image = (_caption_key(entry), _image_key(entry)) if isinstance(entry, dict) else ("", "")
        if not caption or not image:
            missing = "no image" if caption else "no caption"
            raise InvalidFile(
                path, f"entry {number}: {missing}: expected keys like image and caption, found {entry!r:.80}"
            )
        yield from ((str(entry[image]), text) for text in _texts(path, f"entry {number}", entry[caption]))


def _of_coco(path: Path, content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    images = content.get("images")
    files = {
        one["id"]: str(one.get("file_name") or one["id"])
        for one in (images if isinstance(images, list) else [])
        if isinstance(one, dict) and isinstance(one.get("id"), str | int)
    }
    for number, one in enumerate(content["annotations"], 1):
        if not isinstance(one, dict) or "caption" not in one or not isinstance(one.get("image_id"), str | int):
            raise InvalidFile(path, f"annotation {number}: expected image_id and caption, found {one!r:.80}")
        image = one["image_id"]
        yield from ((files.get(image, str(image)), text) for text in _texts(path, image, one["caption"]))


def _of_table(source: Source) -> Iterator[tuple[str, str]]:
    rows = source.rows
    header = [key(cell) for cell in rows[0].cells]
    where = next((header.index(name) for name in CAPTION_COLUMNS if name in header), None)
    if where is None:
        where, image, body = 1, 0, rows
    else:
        image, body = image_column(header), rows[1:]
        if image == where:
            raise InvalidFile(source.path, f"expected a column of images beside {rows[0].cells[where]!r}")
    for line, cells in body:
        if len(cells) <= max(where, image):
            raise InvalidFile(
                source.path, f"line {line}: expected an image and a caption, found {' '.join(cells)!r:.80}"
            )
        name = cells[image]
        flickr = FLICKR.match(name)
        last = where == len(header) - 1 or (where == 1 and body is rows)
        text = ", ".join(cells[where:]) if last else cells[where]  # a caption may hold the sign between columns
        yield (flickr.group(1) if flickr else name), text


def _texts(path: Path, where: object, given: Any) -> list[str]:
    """The captions of an image: a text, or a list of texts or of what holds a text."""
    texts = []
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, dict):
            one = one.get(_caption_key(one))
        if not isinstance(one, str):
            raise InvalidFile(path, f"{where}: expected a caption or a list of captions, found {given!r:.80}")
        texts.append(one)
    return texts


def _caption_key(entry: dict[str, Any]) -> str:
    return next((k for name in CAPTION_COLUMNS for k in entry if key(k) == name), "")


def _image_key(entry: dict[str, Any]) -> str:
    return next((k for name in IMAGE_COLUMNS for k in entry if key(k) == name), "")
