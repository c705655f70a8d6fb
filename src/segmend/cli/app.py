"""The command line itself, where messages go, and how a run leaves."""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from segmend.invalid import InvalidInput

DONE, SKIPPED_SOME, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


class Interrupted(BaseException):
    """Ctrl-C. Typer would turn a `KeyboardInterrupt` into an exit without a word."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make image segmentation better from imperfect labels.",
)

console = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def main() -> None:
    """Run the command line, and leave with its exit code."""
    try:
        app()
    except InvalidInput as error:
        errors.print(f"[red]segmend:[/red] {escape(str(error))}")
        sys.exit(UNUSABLE)
    except (Interrupted, KeyboardInterrupt):
        errors.print("segmend: interrupted. Finished files are kept; the same command resumes.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.filename is None:  # a fault of the program rather than of a file
            raise
        errors.print(f"[red]segmend:[/red] {escape(f'{error.filename}: {error.strerror}')}")
        sys.exit(UNUSABLE)
