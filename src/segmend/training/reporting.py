"""What a training reports while it runs: a progress bar, and the training log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO


class Progress(Protocol):
    """A progress bar."""

    def advance(self, note: str = "") -> None:
        """Another step is done; `note` replaces the text beside the bar."""

    def found(self, steps: int = 1) -> None:
        """Steps that an earlier call has done; they do not count in the rate."""


Bar = Callable[[str, int], AbstractContextManager[Progress]]
"""A title and a number of steps to a progress bar."""


class StageLog(Protocol):
    """What a stage reports to."""

    def stepped(self, step: int, loss: float) -> None:
        """Step `step`, from 1, is done."""

    def scored(self, step: int, figures: dict[str, float]) -> None:
        """The model was validated after a step."""


class TrainingLog:
    """Writes a training to ``log.jsonl`` and to a progress bar for each stage.

    A line holds ``step``, ``loss`` (a moving average) and ``seconds``, or ``step`` and the figures of a
    validation; if there are several stages, also ``stage``, from 1.

    Args:
        steps: number of steps of each stage.
    """

    def __init__(self, file: TextIO, bar: Bar, steps: list[int]) -> None:
        self.file, self.bar, self.steps = file, bar, steps
        self.start = time.monotonic()

    @contextmanager
    def stage(self, index: int) -> Iterator[StageLog]:
        """The log of a stage, from 0, while it runs."""
        several = len(self.steps) > 1
        title = f"stage {index + 1} of {len(self.steps)}" if several else "train"
        with self.bar(title, self.steps[index]) as progress:
            yield _StageLog(self, progress, self.steps[index], {"stage": index + 1} if several else {})

    def write(self, **line: float) -> None:
        """Another line."""
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()


class _StageLog:
    def __init__(self, log: TrainingLog, progress: Progress, steps: int, stage: dict[str, float]) -> None:
        self.log, self.progress, self.steps, self.stage = log, progress, steps, stage
        self.loss: float | None = None
        self.score = ""

    def stepped(self, step: int, loss: float) -> None:
        if self.loss is None:
            self.progress.found(step - 1)  # a resumed stage starts at its step
        self.loss = loss if self.loss is None else 0.98 * self.loss + 0.02 * loss
        if step % 20 == 0 or step == self.steps:
            seconds = round(time.monotonic() - self.log.start, 1)
            self.log.write(**self.stage, step=step, loss=round(self.loss, 4), seconds=seconds)
        self.progress.advance(f"loss {self.loss:.3f}{self.score}")

    def scored(self, step: int, figures: dict[str, float]) -> None:
        self.log.write(**self.stage, step=step, **{name: round(value, 4) for name, value in figures.items()})
        name, value = next(iter(figures.items()))
        self.score = f", {name.replace('_', ' ')} {value:.3f}"
