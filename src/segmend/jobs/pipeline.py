"""Work over a folder: files are read and written in threads, beside the network; what is finished stays."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from segmend.data.files import InvalidFile
from segmend.data.remote import address, keep_copies
from segmend.devices import pick_device
from segmend.jobs.progress import Progress
from segmend.labels import InvalidInput
from segmend.report.results import Skipped

T = TypeVar("T")
Read = TypeVar("Read")
Made = TypeVar("Made")
Item = TypeVar("Item", contravariant=True)

AHEAD = 2
"""How many images are read ahead, and how many results may wait to be written. This bounds the memory."""


_ADDING = threading.Lock()


class OutOfSpace(InvalidInput):
    """The disk is full. The run stops, as every later image would fail too."""


@dataclass
class Outcome:
    """The outcome of a run over many items.

    Attributes:
        done: number of items that this run finished.
        kept: number of items that an earlier run had finished.
        skipped: items that could not be used, with the reason.
        counts: sums over the items that this run worked on, by name.
        seconds: time by part (``read``, ``network``, ``write``, which overlap) and ``total``; ``waited`` is the
            part of the total in which the network waited for files. Of several processes, parts are summed.
    """

    done: int = 0
    kept: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"read": 0.0, "network": 0.0, "write": 0.0, "waited": 0.0, "total": 0.0}
    )

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.done / self.seconds["total"] if self.seconds["total"] else 0.0

    def add(self, other: Outcome) -> None:
        """Add the outcome of other items of the run; the total stays this run's own."""
        self.done += other.done
        self.kept += other.kept
        self.skipped += other.skipped
        self.counts.update(other.counts)
        for part in self.seconds.keys() - {"total"}:
            self.seconds[part] += other.seconds[part]

    def timed(self, part: str, function: Callable[..., T]) -> Callable[..., T]:
        """The function, with its time added to a part."""

        def run(*arguments: object) -> T:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                with _ADDING:
                    self.seconds[part] += time.perf_counter() - start

        return run


class Worker(Protocol[Item, Read, Made]):
    """What a run does with each of its items, which are independent of each other.

    It is what a `Pipeline` needs, as an object that can be pickled: an engine may send it to other processes and
    machines. So it holds no list of items, and what it counts is summed from `counts`.
    """

    @property
    def out(self) -> Path:
        """The folder that it writes to."""

    def to(self, device: torch.device) -> None:
        """Move its network, if it has one, to a device: that of the machine that works, or the CPU to travel."""

    def name(self, item: Item, /) -> str:
        """How an item is called where it is listed as skipped."""

    def read(self, item: Item, /) -> Read | None:
        """What is worked on; None for an item that an earlier run has finished."""

    def work(self, item: Item, read: Read, /) -> Made:
        """What is made of it."""

    def write(self, item: Item, made: Made, /) -> None:
        """Write what was made."""

    def counts(self, made: Made, /) -> Mapping[str, int]:
        """Numbers of an item that are summed over the run (`Outcome.counts`)."""


class Engine(Protocol):
    """Where the items of a run are worked on."""

    def run(self, worker: Worker[T, Any, Any], items: Sequence[T], progress: Progress) -> Outcome:
        """Work through `items`.

        Raises:
            InvalidInput: the run cannot start, or must stop (`OutOfSpace`). What was finished stays.
        """


class LocalEngine:
    """All items in this process, one after another."""

    def run(self, worker: Worker[T, Any, Any], items: Sequence[T], progress: Progress) -> Outcome:
        """See `Engine`."""
        worker.to(pick_device())
        return Pipeline.of(worker).run(items, progress)


LOCAL = LocalEngine()


class Pipeline(Generic[T, Read, Made]):
    """Read, work and write over items, each item independent of the others.

    `read` and `write` run in threads; `work` runs in the caller's thread. `read` gives None for an item that an
    earlier run has finished: it is kept. An item that cannot be used (`InvalidInput`, or an `OSError` of its own,
    in any of the three) is listed and skipped. `counts` gives the numbers of an item that are summed over the run.
    """

    def __init__(
        self,
        name: Callable[[T], str],
        read: Callable[[T], Read | None],
        work: Callable[[T, Read], Made],
        write: Callable[[T, Made], None],
        counts: Callable[[Made], Mapping[str, int]] = lambda made: {},
    ) -> None:
        self.name, self.read, self.work, self.write, self.counts = name, read, work, write, counts

    @classmethod
    def of(cls, worker: Worker[T, Read, Made]) -> Pipeline[T, Read, Made]:
        """The pipeline of a worker."""
        return cls(worker.name, worker.read, worker.work, worker.write, worker.counts)

    def run(self, items: Iterable[T], progress: Progress) -> Outcome:
        """Work through `items`.

        Raises:
            OutOfSpace: the disk is full. What was finished stays.
        """
        outcome = Outcome()
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as writers:
            pending: deque[tuple[T, Made, Future[None]]] = deque()
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
                    pending.append((item, made, writers.submit(outcome.timed("write", self.write), item, made)))
                    while len(pending) > AHEAD:
                        self._finish(*pending.popleft(), outcome, progress)
            finally:
                while pending:
                    self._finish(*pending.popleft(), outcome, progress)
                outcome.seconds["total"] = time.perf_counter() - start
        return outcome

    def _read(self, item: T) -> Read | None:
        with keep_copies():  # a file is hashed and decoded
            return self.read(item)

    def _read_ahead(
        self, items: Iterable[T], readers: ThreadPoolExecutor, outcome: Outcome
    ) -> Iterator[tuple[T, Future[Read | None]]]:
        ahead: deque[tuple[T, Future[Read | None]]] = deque()
        for item in items:
            ahead.append((item, readers.submit(outcome.timed("read", self._read), item)))
            if len(ahead) > AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _finish(self, item: T, made: Made, writing: Future[None], outcome: Outcome, progress: Progress) -> None:
        wait([writing])
        outcome.counts.update(self.counts(made))
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
            outcome.skipped.append(Skipped(file=address(error.path), reason=error.reason))
        else:
            outcome.skipped.append(Skipped(file=self.name(item), reason=str(error)))
        progress.advance()
