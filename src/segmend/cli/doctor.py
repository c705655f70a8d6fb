"""The command `doctor`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from segmend.cli.app import SKIPPED_SOME, app, console


@app.command()
def doctor(
    extras: Annotated[
        list[str] | None,
        typer.Argument(
            help="Extras that must be installed: train, offline, crf, formats, faces, video, tensorboard, ray, "
            "onnx, napari, all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check devices, native operations, weights and extras; exits with 1 if something is broken."""
    from segmend.jobs.doctor import examine

    marks = {"ok": "[green]ok[/green]", "missing": "[yellow]--[/yellow]", "broken": "[red]!![/red]"}
    findings = examine(extras or ())
    for finding in findings:
        advice = f" ({finding.advice})" if finding.advice else ""
        console.print(f"{marks[finding.state]} {finding.what:15} {escape(finding.found + advice)}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(SKIPPED_SOME)
