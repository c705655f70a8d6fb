"""How each image of a propagated data set was made: ``manifest.jsonl``, one line for each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segmend.data.files import InvalidFile, atomic_write

MANIFEST = "manifest.jsonl"

Method = Literal["given", "copy", "flow", "learned"]
Mode = Literal["lp", "jp"]


@dataclass(frozen=True)
class Source:
    """A labelled frame, and how many frames after it (negative: before it) the propagated one is."""

    frame: str
    steps: int


@dataclass(frozen=True)
class Entry:
    """How an image of a propagated data set was made.

    Attributes:
        id: of its record in the data set.
        split: of the data set.
        frame: ID of the video frame that it shows.
        sources: the labelled frames that its labels come from; none for a frame that was labelled by hand.
        method: how labels were moved; ``given`` for those that were labelled by hand.
        mode: ``lp``: the real frame with propagated labels; ``jp``: frame and labels both propagated.
        model: name and hash of the motion that was used.
        confidence: mean over all pixels, 0..1.
        kept: for each class that occurs, by name, how many of its pixels were kept, and of how many; the others
            are void.
    """

    id: str
    split: str
    frame: str
    sources: tuple[Source, ...] = ()
    method: Method = "given"
    mode: Mode = "lp"
    model: str = ""
    confidence: float = 1.0
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def distance(self) -> int:
        """Frames to the nearest labelled frame among the sources; 0 where it is labelled itself."""
        return min((abs(source.steps) for source in self.sources), default=0)

    @property
    def labelled(self) -> tuple[str, ...]:
        """IDs of the labelled frames that its labels come from, nearest first; its own where it is one itself."""
        nearest_first = sorted(self.sources, key=lambda source: abs(source.steps))
        return tuple(source.frame for source in nearest_first) or (self.frame,)

    @property
    def kept_share(self) -> float:
        """Share of the pixels with a label that were kept; 1 where none has one."""
        labelled = sum(n for _, n in self.kept.values())
        return sum(k for k, _ in self.kept.values()) / labelled if labelled else 1.0


def read_manifest(root: Path | str) -> dict[tuple[str, str], Entry]:
    """The entries of ``ROOT/manifest.jsonl`` by split and ID; none where the file does not exist.

    Of several lines for one image the last counts. A line that was cut off, as by a kill, is left out.

    Raises:
        InvalidFile: a line that is no entry.
    """
    return {(entry.split, entry.id): entry for entry in _entries(Path(root) / MANIFEST)}


def append_entry(root: Path | str, entry: Entry) -> None:
    """Add an entry to ``ROOT/manifest.jsonl``."""
    path = Path(root) / MANIFEST
    with path.open("a+b") as file:
        if file.tell() and not _ends_with_newline(path):  # a kill cut the last line off
            file.write(b"\n")
        file.write(_line(entry))


def write_manifest(root: Path | str, entries: Iterable[Entry]) -> None:
    """Write ``ROOT/manifest.jsonl`` anew."""
    atomic_write(Path(root) / MANIFEST, b"".join(map(_line, entries)))


def _line(entry: Entry) -> bytes:
    text = json.dumps(dataclasses.asdict(entry), ensure_ascii=False)
    return text.encode(errors="backslashreplace") + b"\n"


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _entries(path: Path) -> Iterator[Entry]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:  # a kill may have cut a character in two
        for number, line in enumerate(file, 1):
            try:
                content: dict[str, Any] = json.loads(line)
            except ValueError:
                continue  # cut off by a kill; what it described is made again
            try:
                sources = tuple(Source(**source) for source in content.pop("sources"))
                kept = {name: (int(k), int(n)) for name, (k, n) in content.pop("kept").items()}
                yield Entry(**content, sources=sources, kept=kept)
            except (TypeError, KeyError, ValueError, AttributeError):
                raise InvalidFile(path, f"line {number} is not an entry that `segmend propagate` wrote") from None
