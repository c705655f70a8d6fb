"""The commands `export` and `publish`: models for other programs and other people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console
from segmend.cli.messages import check_file
from segmend.cli.options import one_of

if TYPE_CHECKING:
    from segmend.jobs.export import Part


def part_of(name: str) -> Part:
    return one_of("part", name, "maps", "masks")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Model folder, a repository on the hub, or universal.")],
    out: Annotated[Path, typer.Option(help="File to write, .onnx.")],
    part: Annotated[
        str | None,
        typer.Option(help="Of universal: its network for probability maps, or for masks (default: maps)."),
    ] = None,
) -> None:
    """Write a model as an ONNX file, for images of any size, and compare it with PyTorch."""
    from segmend.jobs.export import export as job

    check_file(out)
    done = job(model, out, None if part is None else part_of(part))
    console.print(f"{escape(str(out))}: {done.graph.kind}, {', '.join(done.graph.inputs)} to {done.graph.output}")
    if done.differences is None:
        console.print("Not compared with PyTorch, for which onnxruntime is needed: pip install 'segmend[onnx]'")
        return
    sizes = ", ".join(f"{batch} x {height} x {width}" for (batch, height, width), _ in done.differences)
    console.print(f"Largest difference from PyTorch: {done.largest:.1e} (batch x height x width: {sizes})")


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="Model folder.")],
    repository: Annotated[str, typer.Argument(help="Repository on the hub, user/name; made where it is missing.")],
    results: Annotated[
        Path | None,
        typer.Option(help="Scores for the model card: results.json of `segmend evaluate`.", show_default=False),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A repository that only you can read.")] = False,
) -> None:
    """Upload a model folder to the Hugging Face hub; its name then works wherever a model folder does."""
    from segmend.jobs.publish import publish as job

    done = job(folder, repository, results, private)
    console.print(escape(f"Published: {done.url}"))
    if not done.has_licence:
        console.print(
            escape(f"The model card names no licence: write `license: ...` into the head of {folder}/README.md")
        )
