"""Decisions of a review as lines of JSON that are only appended: ``OUT/decisions.jsonl``.

Each line is on disk before a decision counts as saved. A process that is killed leaves at most half a line at the
end, which is left out.
"""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from segmend import __version__
from segmend.data.files import InvalidFile
from segmend.labels import InvalidInput
from segmend.review import Decision

SCHEMA = 1
"""Version of the lines; a file with a higher one is refused."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Opened(_Line):
    """The folders, and the palette if any, that a review was opened with; the last such line holds."""

    kind: Literal["opened"] = "opened"
    schema_version: int = SCHEMA
    version: str = __version__
    images: str
    coarse: str
    refined: str
    palette: str | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """What the review was opened with, by option."""
        found = {"images": self.images, "coarse": self.coarse, "refined": self.refined, "palette": self.palette}
        return {name: Path(path) for name, path in found.items() if path is not None}


class Decided(_Line):
    """A decision on an image; of several the last holds. Without any region: it is undecided again.

    Attributes:
        inputs: hash of the files that were decided on.
        regions: how many regions they have.
    """

    kind: Literal["decided"] = "decided"
    id: str
    inputs: str
    regions: int
    accepted: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    time: str = ""


_LINES: TypeAdapter[Opened | Decided] = TypeAdapter(Annotated[Opened | Decided, Field(discriminator="kind")])


class Logged(NamedTuple):
    """A decision, and the hash of the files that it was made on."""

    inputs: str
    decision: Decision


class DecisionLog:
    """The decisions in a file; `open` allows to add more.

    Attributes:
        path: the file; it need not exist.
        decisions: by the ID of the image; the undecided are left out.
        opened: the folders that the review was opened with last; None for a new one.
        notes: what was left out, in sentences.

    Raises:
        InvalidFile: a line that is not one of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.decisions: dict[str, Logged] = {}
        self.opened: Opened | None = None
        self.notes: list[str] = []
        self._file: IO[bytes] | None = None
        self._whole = self._read()

    def _read(self) -> int:
        """Read all whole lines; how many bytes they have."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            self._take(self._parsed(line, f"line {number}"))
        if rest:
            self.notes.append(f"{self.path}: its last line was not written to its end, and is left out")
        return len(content) - len(rest)

    def _parsed(self, line: bytes, where: str) -> Opened | Decided:
        try:
            found = _LINES.validate_json(line)
            if isinstance(found, Decided):
                Decision(found.regions, found.accepted, found.kept)
        except (ValidationError, InvalidInput):
            raise InvalidFile(
                self.path,
                f"{where}: expected a decision of segmend review, found {line[:60].decode(errors='replace')!r}: "
                "choose another folder (--out), or restore the file",
            ) from None
        if isinstance(found, Opened) and found.schema_version > SCHEMA:
            raise InvalidFile(self.path, "written by a newer version of segmend: upgrade to read it")
        return found

    def _take(self, line: Opened | Decided) -> None:
        if isinstance(line, Opened):
            self.opened = line
            return
        decision = Decision(line.regions, line.accepted, line.kept)
        if decision.state == "undecided":
            self.decisions.pop(line.id, None)
        else:
            self.decisions[line.id] = Logged(line.inputs, decision)

    def open(self, images: Path, coarse: Path, refined: Path, palette: Path | None = None) -> None:
        """Get ready to add decisions on the maps of these folders. Half a line at the end is removed.

        Raises:
            InvalidFile: another process has it open.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)
        _lock(self._file, self.path)
        self._read_anew()
        self._file.truncate(self._whole)
        given = {"images": images, "coarse": coarse, "refined": refined, "palette": palette}
        opened = Opened.model_validate({name: path and str(path.absolute()) for name, path in given.items()})
        if self.opened is None or self.opened.paths != opened.paths:
            self._append(opened)

    def _read_anew(self) -> None:
        """Read again: another process may have added lines before this one had the lock."""
        self.decisions, self.opened, self.notes = {}, None, []
        self._whole = self._read()

    def add(self, identity: str, inputs: str, decision: Decision) -> None:
        """Write a decision; it is on disk when this returns."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._append(
            Decided(
                id=identity,
                inputs=inputs,
                regions=decision.regions,
                accepted=decision.accepted,
                kept=decision.kept,
                time=time,
            )
        )

    def _append(self, line: Opened | Decided) -> None:
        assert self._file is not None, "open it first"
        content = line.model_dump_json().encode() + b"\n"
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._whole)
            raise
        self._whole += len(content)
        self._take(line)

    def close(self) -> None:
        """End adding."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep other processes from adding, until this one ends; where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InvalidFile(path, "another review has it open: end that one first") from None
