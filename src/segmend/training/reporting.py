"""What a training reports while it runs: a progress bar, the training log, and scalars for TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TextIO

from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from segmend.labels import InvalidInput

TENSORBOARD = "tensorboard"
"""Folder of the scalars for TensorBoard, in that of the run."""


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

    def stepped(self, step: int, loss: float, learning_rate: float) -> None:
        """Step `step`, from 1, is done."""

    def scored(self, step: int, figures: dict[str, float]) -> None:
        """The model was validated after a step."""


class Scalars:
    """Writes the scalars of a run for TensorBoard, into its folder ``tensorboard``.

    Raises:
        InvalidInput: neither ``tensorboard`` nor ``tensorboardX`` is installed.
    """

    def __init__(self, run: Path) -> None:
        check_tensorboard()
        self.run = run
        self.logger: TensorBoardLogger | None = None

    def begin(self, step: int) -> None:
        """Step `step` is the first of this run; what a stopped run wrote of later ones no longer counts."""
        if self.logger is None:
            self.logger = TensorBoardLogger(self.run, TENSORBOARD, "", purge_step=step)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Write scalars by their tags."""
        assert self.logger is not None
        self.logger.log_metrics(scalars, step)

    def close(self) -> None:
        """Write what still waits in memory."""
        if self.logger is not None:
            self.logger.finalize("")


def check_tensorboard() -> None:
    """Raise `InvalidInput` where no package writes for TensorBoard."""
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        raise InvalidInput("--tensorboard needs tensorboard: pip install 'segmend[tensorboard]'")


class TrainingLog:
    """Writes a training to ``log.jsonl`` and to a progress bar for each stage.

    A line holds ``step``, ``loss`` (a moving average) and ``seconds``, or ``step`` and the figures of a
    validation; if there are several stages, also ``stage``, from 1.

    Args:
        steps: number of steps of each stage.
        scalars: also gets ``loss`` and ``learning_rate``, and the figures of a validation as
            ``validation/NAME``, by the step counted over all stages.
    """

    def __init__(self, file: TextIO, bar: Bar, steps: list[int], scalars: Scalars | None = None) -> None:
        self.file, self.bar, self.steps, self.scalars = file, bar, steps, scalars
        self.start = time.monotonic()

    @contextmanager
    def stage(self, index: int) -> Iterator[StageLog]:
        """The log of a stage, from 0, while it runs."""
        several = len(self.steps) > 1
        title = f"stage {index + 1} of {len(self.steps)}" if several else "train"
        with self.bar(title, self.steps[index]) as progress:
            yield _StageLog(self, progress, index, {"stage": index + 1} if several else {})

    def write(self, **line: float) -> None:
        """Another line."""
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()


class _StageLog:
    def __init__(self, log: TrainingLog, progress: Progress, index: int, stage: dict[str, float]) -> None:
        self.log, self.progress, self.stage = log, progress, stage
        self.steps, self.before = log.steps[index], sum(log.steps[:index])
        self.loss: float | None = None
        self.score = ""

    def stepped(self, step: int, loss: float, learning_rate: float) -> None:
        scalars = self.log.scalars
        if self.loss is None:
            self.progress.found(step - 1)  # a resumed stage starts at its step
            if scalars is not None:
                scalars.begin(self.before + step)
        self.loss = loss if self.loss is None else 0.98 * self.loss + 0.02 * loss
        if step % 20 == 0 or step == self.steps:
            seconds = round(time.monotonic() - self.log.start, 1)
            self.log.write(**self.stage, step=step, loss=round(self.loss, 4), seconds=seconds)
            if scalars is not None:
                scalars.write(self.before + step, {"loss": self.loss, "learning_rate": learning_rate})
        self.progress.advance(f"loss {self.loss:.3f}{self.score}")

    def scored(self, step: int, figures: dict[str, float]) -> None:
        self.log.write(**self.stage, step=step, **{name: round(value, 4) for name, value in figures.items()})
        if self.log.scalars is not None:
            tagged = {f"validation/{name}": value for name, value in figures.items()}
            self.log.scalars.write(self.before + step, tagged)
        name, value = next(iter(figures.items()))
        self.score = f", {name.replace('_', ' ')} {value:.3f}"
