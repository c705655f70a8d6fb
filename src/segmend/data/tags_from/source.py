"""A file or a folder with tags in another format: its text, what it holds as JSON, and its files."""

from __future__ import annotations

import csv
import json
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from segmend.data.files import ARCHIVES, InvalidFile, check_file

DELIMITERS = ",;\t|"
"""What may separate the columns of a table; spaces do where a file has none of these."""

CELL = 2**27
"""Characters that a cell of a table may have."""


class Row(NamedTuple):
    """A line of a table: its number in the file, from 1, and its cells without spaces around them."""

    line: int
    cells: list[str]


class Source:
    """A file or a folder that tags are read from. A file is read once, when its content is first asked for.

    Attributes:
        path: the file or folder.
        findings: what was assumed about its encoding.

    Raises:
        InvalidFile: there is none, it is an archive, or it is empty.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.findings: list[str] = []
        if not self.path.exists():
            raise InvalidFile(path, "no such file or folder")
        if self.path.is_dir():
            return
        check_file(self.path)
        if self.path.suffix.lower() in ARCHIVES:
            raise InvalidFile(path, "an archive, expected a file or a folder of tags: unpack it first")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def text(self) -> str:
        """The text of the file (see `read_text`)."""
        if self.is_folder:
            raise InvalidFile(self.path, "a folder, expected a file")
        text, found = read_text(self.path)
        self.findings += [found] if found else []
        return text

    @cached_property
    def is_json(self) -> bool:
        """Whether the file is meant to be JSON, or JSON lines: by its suffix or its first character."""
        return not self.is_folder and (
            self.path.suffix.lower() in (".json", ".jsonl", ".ndjson") or self.text.lstrip()[:1] in ("{", "[")
        )

    @cached_property
    def content(self) -> Any:
        """What the file holds as JSON; a list of its lines where each is JSON.

        Raises:
            InvalidFile: neither; the message gives the place.
        """
        try:
            return json.loads(self.text)
        except json.JSONDecodeError as error:
            lines = [line for line in self.text.splitlines() if line.strip()]
            if len(lines) < 2 or not _is_json_line(lines[0]):
                raise InvalidFile(self.path, f"not readable as JSON ({error})") from None
        content = []
        for number, line in enumerate(self.text.splitlines(), 1):
            try:
                content += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                raise InvalidFile(self.path, f"line {number}: not readable as JSON ({error})") from None
        return content

    @cached_property
    def rows(self) -> list[Row]:
        """The lines of the file as a table; empty ones are left out.

        Raises:
            InvalidFile: no line holds anything, or a quote that does not end.
        """
        text = self.text
        rows = _rows(self.path, text, _delimiter(text))
        if not rows:
            raise InvalidFile(self.path, "no line with content: copy or write it anew")
        return rows

    @cached_property
    def decimal_comma(self) -> bool:
        """Whether a comma may stand for a decimal point, because something else separates the columns."""
        return _delimiter(self.text) != ","


def read_text(path: Path) -> tuple[str, str]:
    """The text of a file in UTF-8, UTF-16 with a byte order mark, or else Windows-1252; and what was assumed.

    Raises:
        InvalidFile: unreadable, or no text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidFile(path, f"not readable ({error.strerror})") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), ""
        except UnicodeDecodeError:
            raise InvalidFile(path, "no text, though it starts like UTF-16: save it as UTF-8") from None
    if b"\0" in data:
        raise InvalidFile(path, "not a text file: expected CSV, JSON or lines of text")
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = (
            f"{path.name}: not UTF-8 (line {line}), read as Windows-1252: if accents are wrong, save it as UTF-8"
        )
        return data.decode("cp1252", errors="replace"), found


def _is_json_line(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def _rows(path: Path, text: str, delimiter: str) -> list[Row]:
    if not delimiter:
        return [Row(i, line.split()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    csv.field_size_limit(CELL)
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    if delimiter == "\t" and text.count('"') % 2:  # an inch in a caption, not the beginning of a quoted cell
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    rows = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            rows += [Row(reader.line_num, stripped)] if any(stripped) else []
    except csv.Error as error:
        raise InvalidFile(path, f"line {reader.line_num}: not readable as CSV ({error})") from None
    return rows


def _delimiter(text: str) -> str:
    """What separates the columns: what gives most lines the same number of several cells.

    Of several the one that comes first in the line counts, as the name of the image stands there alone. Empty
    where no line holds any of them.
    """
    lines = [line for line in text[: 2**16].splitlines() if line.strip()][:200]
    best, chosen = (0.0, 0), ""
    for delimiter in DELIMITERS:
        widths = Counter(len(cells) for cells in csv.reader(lines, delimiter=delimiter))
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
        if width > 1:
            rank = (count / sum(widths.values()), -lines[0].find(delimiter) if delimiter in lines[0] else -(2**16))
            best, chosen = max((best, chosen), (rank, delimiter))
    return chosen
