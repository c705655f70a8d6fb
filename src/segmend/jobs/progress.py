"""Progress with rate and time left: what jobs report to, and the bar that the command line shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.table import Column
from rich.text import Text

SILENCE = 30.0
"""Seconds after which a file or a pipe, which has no bar that moves, gets another line."""


class Progress(Protocol):
    """To whom a job reports its progress."""

    def advance(self, note: str = "") -> None:
        """Report another finished step; `note` replaces the text beside the bar."""

    def found(self, steps: int = 1) -> None:
        """Report steps that an earlier run has finished; they do not count in the rate."""


class Silent:
    """Shows nothing."""

    def advance(self, note: str = "") -> None:
        """Nothing."""

    def found(self, steps: int = 1) -> None:
        """Nothing."""


class _Pace(ProgressColumn):
    """Steps a second since the start, time spent and time left."""

    def render(self, task: RichTask) -> Text:
        spent = task.finished_time or task.elapsed or 0.0
        made = task.completed - task.fields["found"]
        if not made or not spent or task.total is None:
            return Text(_clock(spent))
        left = (task.total - task.completed) * spent / made
        return Text(f"{made / spent:.1f}/s {_clock(spent)}, {_clock(left)} left")


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def bar(title: str, total: int, quiet: bool = False) -> Iterator[Progress]:
    """A progress bar on standard error with rate and time left; nothing where `quiet`.

    Where standard error is no terminal, a line now and then and one at the end.
    """
    if quiet:
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),  # in a narrow terminal the bar gives way
        _Pace(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(title, total=total, note="", found=0)

        class Shown:
            printed = rich.get_time()

            def advance(self, note: str = "") -> None:
                rich.update(task, advance=1)
                if note:
                    rich.update(task, note=note)
                due = rich.get_time() - self.printed >= SILENCE
                if not rich.console.is_terminal and not rich.finished and due:
                    rich.console.print(rich.get_renderable())
                    self.printed = rich.get_time()

            def found(self, steps: int = 1) -> None:
                before = rich.tasks[task].fields["found"]
                rich.update(task, advance=steps, found=before + steps)

        yield Shown()
