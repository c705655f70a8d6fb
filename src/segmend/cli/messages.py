"""What commands print, and what they check before any work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer
from rich.markup import escape

from segmend.cli.app import SKIPPED_SOME, UNUSABLE, console, errors
from segmend.cli.options import bands_of

if TYPE_CHECKING:
    from segmend.data.dataset import Dataset
    from segmend.report.results import Run


class WithFindings(Protocol):
    """What was opened, with sentences on what was found and assumed."""

    @property
    def findings(self) -> Sequence[str]: ...


Opened = TypeVar("Opened", bound=WithFindings)


def check_folder(out: Path, takes_address: bool = False) -> None:
    """Before any work: `out` is a folder that can be written, or can be made, or such an address."""
    from segmend.data.files import check_writable_folder

    check_writable_folder(out, takes_address)


def check_file(out: Path) -> None:
    """Before any work: a file can be written at `out`."""
    from segmend.data.files import check_writable_file

    check_writable_file(out)


def open_images(folder: Path, bands: str | None, max_pixels: int | None) -> Dataset:
    from segmend.data.dataset import open_dataset

    return reported(limited(open_dataset(folder, bands=bands_of(bands)), max_pixels))


def reported(opened: Opened) -> Opened:
    """What was opened, such as a data set, after printing what was found and assumed then."""
    for finding in opened.findings:
        console.print(escape(finding))
    return opened


def limited(dataset: Dataset, max_pixels: int | None) -> Dataset:
    import dataclasses

    return dataset if max_pixels is None else dataclasses.replace(dataset, max_pixels=max_pixels)


def print_findings() -> None:
    """From now on, print what a training finds in its data, each sentence once."""
    import logging

    printed: set[str] = set()

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message not in printed:
                printed.add(message)
                console.print(escape(message))

    logger = logging.getLogger("segmend.training.options")
    logger.handlers = [Printer()]
    logger.setLevel(logging.INFO)


def finish_run(run: Run, out: Path) -> None:
    from segmend.data.remote import address

    parts = [f"{counted(run.done)} written to {address(out)}"]
    if run.remade:
        parts.append(f"{run.remade} of them made again")
    if run.kept:
        parts.append(f"{run.kept} kept from an earlier run")
    if run.changed is not None:
        parts.append(f"{100 * run.changed:.2g} % of pixels changed")
    if run.filled:
        parts.append(f"{run.filled} void pixels filled (--keep-void keeps them)")
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.seconds.items() if name != "total")
    message = f"{', '.join(parts)}; {run.images_per_second:.1f} images per second ({spent})"
    finish(message, [f"{s.file}: {s.reason}" for s in run.skipped], run.done + run.kept > 0)


def counted(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def finish(message: str, skipped: list[str], done: bool = True) -> None:
    """Print what was done, list what was skipped, and leave with the right code.

    Args:
        done: whether anything was done. If all inputs were skipped, the exit code is that of unusable input.
    """
    console.print(escape(message))
    if skipped:
        errors.print(f"[yellow]{len(skipped)} skipped:[/yellow]")
        for line in skipped:
            errors.print(f"  {escape(line)}")
        raise typer.Exit(SKIPPED_SOME if done else UNUSABLE)
