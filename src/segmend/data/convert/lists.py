"""Text files with a line for each image, or each label."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from segmend.data.convert.source import SourceDataset
from segmend.data.files import InvalidFile, atomic_write


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without empty lines and comments; a byte order mark is no part of the first."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"not readable as text ({error})") from None
    return [line for line in lines if line and not line.startswith("#")]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines atomically."""
    atomic_write(path, "".join(f"{line}\n" for line in lines).encode())


def skip_unlistable(source: SourceDataset) -> None:
    """Skip images whose name cannot be a line of a list, or would lead a reader out of the folder."""
    for item in source.items:
        if not _is_listable(item.id):
            source.skip(item.image, "its name cannot stand in a list of names: rename it")
    source.items = [item for item in source.items if _is_listable(item.id)]


def _is_listable(name: str) -> bool:
    wrong = re.search(r'^#|["\\]|^[A-Za-z]:|(^|/)[.]{2,}(/|$)', name)
    return name.isprintable() and name == name.strip() and not wrong
