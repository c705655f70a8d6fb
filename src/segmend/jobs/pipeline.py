"""Work over a folder: files are read and written in threads, beside the network; what is finished stays."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from segmend.data.files import InvalidFile
from segmend.jobs.progress import Progress
from segmend.labels import InvalidInput
from segmend.report.results import Skipped

T = TypeVar("T")
Read = TypeVar("Read")
Made = TypeVar("Made")

AHEAD = 2
"""How many images are read ahead, and how many results may wait to be written. This bounds the memory."""


class OutOfSpace(InvalidInput):
    """The disk is full. The run stops, as every later image would fail too."""


@dataclass
class Outcome:
    """The outcome of a run over many items.

    Attributes:
        done: number of items that this run finished.
        kept: number of items that an earlier run had finished.
        skipped: items that could not be used, with the reason.
        seconds: time by part (``read``, ``network``, ``write``, which overlap) and ``total``; ``waited`` is the
            part of the total in which the network waited for files.
    """

    done: int = 0
    kept: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"read": 0.0, "network": 0.0, "write": 0.0, "waited": 0.0, "total": 0.0}
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.done / self.seconds["total"] if self.seconds["total"] else 0.0

    def timed(self, part: str, function: Callable[..., T]) -> Callable[..., T]:
        """The function, with its time added to a part."""

        def run(*arguments: object) -> T:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                with self._lock:
                    self.seconds[part] += time.perf_counter() - start

        return run


class Pipeline(Generic[T, Read, Made]):
    """Read, work and write over items, each item independent of the others.

    `read` and `write` run in threads; `work` runs in the caller's thread. `read` gives None for an item that an
    earlier run has finished: it is kept. An item that cannot be used (`InvalidInput`, or an `OSError` of its own,
    in any of the three) is listed and skipped.
    """

    def __init__(
        self,
        name: Callable[[T], str],
        read: Callable[[T], Read | None],
        work: Callable[[T, Read], Made],
        write: Callable[[T, Made], None],
    ) -> None:
        self.name, self.read, self.work, self.write = name, read, work, write

    def run(self, items: Iterable[T], progress: Progress) -> Outcome:
        """Work through `items`.

        Raises:
            OutOfSpace: the disk is full. What was finished stays.
        """
        outcome = Outcome()
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as writers:
            pending: deque[tuple[T, Future[None]]] = deque()
            try:
                for item, reading in self._read_ahead(items, readers, outcome):
                    waiting = time.perf_counter()
                    try:
                        found = reading.result()
                        outcome.seconds["waited"] += time.perf_counter() - waiting
                        if found is None:
                            outcome.kept += 1
                            progress.found()
                            continue
                        made = outcome.timed("network", self.work)(item, found)
                    except (InvalidInput, OSError) as error:
                        self._skip(item, error, outcome, progress)
                        continue
                    pending.append((item, writers.submit(outcome.timed("write", self.write), item, made)))
                    while len(pending) > AHEAD:
                        self._finish(*pending.popleft(), outcome, progress)
            finally:
                while pending:
                    self._finish(*pending.popleft(), outcome, progress)
                outcome.seconds["total"] = time.perf_counter() - start
        return outcome

    def _read_ahead(
        self, items: Iterable[T], readers: ThreadPoolExecutor, outcome: Outcome
    ) -> Iterator[tuple[T, Future[Read | None]]]:
        ahead: deque[tuple[T, Future[Read | None]]] = deque()
        for item in items:
            ahead.append((item, readers.submit(outcome.timed("read", self.read), item)))
            if len(ahead) > AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _finish(self, item: T, writing: Future[None], outcome: Outcome, progress: Progress) -> None:
        try:
            writing.result()
        except (InvalidInput, OSError) as error:
            self._skip(item, error, outcome, progress)
        else:
            outcome.done += 1
            progress.advance()

    def _skip(self, item: T, error: Exception, outcome: Outcome, progress: Progress) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(
                f"{error.filename or self.name(item)}: no space left on the disk: free some and run the same "
                "command again; what is finished is kept"
            ) from error
        if isinstance(error, InvalidFile):
            outcome.skipped.append(Skipped(file=str(error.path), reason=error.reason))
        else:
            outcome.skipped.append(Skipped(file=self.name(item), reason=str(error)))
        progress.advance()
