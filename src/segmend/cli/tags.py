"""The commands `tags convert` and `tags clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.messages import check_folder, counted, finish
from segmend.cli.options import Out, Quiet

tags_app = typer.Typer(no_args_is_help=True, help="Tags: the classes that are in images, without saying where.")
app.add_typer(tags_app, name="tags")


@tags_app.command("convert")
def convert_tags(
    source: Annotated[Path, typer.Argument(help="File or folder of tags in another format.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    split: Annotated[str, typer.Option(help="Split of the data set whose images they are of.")],
    from_kind: Annotated[
        str | None,
        typer.Option("--from", help="csv, captions, coco, yolo or folders (default: as the source looks)."),
    ] = None,
    synonyms: Annotated[
        Path | None, typer.Option(help="More words for classes: a YAML file with lines `class: word, word`.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (default: tags.json of the data set).")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the tags that an image has already.")
    ] = False,
) -> None:
    """Read tags from a table, captions, detections or folders, and write them into tags.json."""
    from segmend.jobs.convert_tags import PRESENT
    from segmend.jobs.convert_tags import convert_tags as job

    done = job(source, data, split, kind=from_kind, synonyms=synonyms, out=out, overwrite=overwrite)
    for finding in done.findings:
        console.print(escape(finding))
    if done.written:
        counts = ", ".join(f"{name} {count}" for name, count in done.per_class.items())
        none = f"; {counted(done.empty)} without a class" if done.empty else ""
        above = f", score above {PRESENT:g}" if done.scored else ""
        console.print(escape(f"images with each class{above}: {counts or 'none'}{none}"))
    kept = f"; {done.kept} kept the tags that they had (--overwrite replaces them)" if done.kept else ""
    skipped = [f"{file}: {reason}" for file, reason in done.skipped]
    finish(f"{counted(done.written)} tagged in {done.out}{kept}", skipped, done.written + done.kept > 0)


@tags_app.command("clean")
def clean_tags(
    dataset: Annotated[Path, typer.Argument(help="Data set with dataset.yaml and tags.json.")],
    split: Annotated[list[str], typer.Option(help="Split whose tags are cleaned; may be given several times.")],
    out: Out,
    labelled: Annotated[
        Path | None,
        typer.Option(help="IDs of the labelled images, one in each line (default: all that have a label map)."),
    ] = None,
    train_split: Annotated[str, typer.Option(help="Split of the labelled images.")] = "train",
    quiet: Quiet = False,
) -> None:
    """Estimate how noisy tags are, and clean them: write the probability of each class in each image."""
    from segmend.jobs.clean_tags import CleanTagsOptions
    from segmend.jobs.clean_tags import clean_tags as job

    check_folder(out)
    result = job(dataset, out, CleanTagsOptions(tuple(dict.fromkeys(split)), train_split, labelled, quiet))
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
    console.print(
        f"estimated noise: {100 * result.wrong:.0f} % of the given tags are wrong, {100 * result.drop:.0f} % of "
        f"the classes in an image are not given ({counted(result.labelled)} labelled)"
    )
    console.print(f"tags removed: {result.removed}, added: {result.added}; page: {escape(str(out / 'tags.html'))}")
    file = out / "tags.json"
    message = f"Tags of {counted(result.images)}: {file}; to train with them: segmend train dual tags={file}"
    finish(message, [f"{s.file}: {s.reason}" for s in result.skipped])
