"""Progress with rate and time left: what jobs report to, and the bar that the command line shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text


class Progress(Protocol):
    """What a job tells about its progress."""

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Another step is done (or several at once); `note` replaces the text beside the bar."""


class Silent:
    """Tells nobody."""

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Nothing."""


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: RichTask) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


@contextmanager
def bar(title: str, total: int, quiet: bool = False) -> Iterator[Progress]:
    """A progress bar on standard error with rate and time left; nothing where `quiet`."""
    if quiet:
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(title, total=total, note="")

        class Shown:
            def advance(self, note: str = "", steps: int = 1) -> None:
                rich.update(task, advance=steps)
                if note:
                    rich.update(task, note=note)

        yield Shown()
