"""The command `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console
from segmend.cli.messages import check_folder, counted, finish, reported
from segmend.cli.options import (
    Bands,
    EngineName,
    Images,
    MaxPixels,
    Out,
    Overwrite,
    PaletteFile,
    Quiet,
    StoredIds,
    Workers,
    bands_of,
    engine_of,
    ids_of,
)


@app.command()
def check(
    images: Images,
    coarse: Annotated[Path, typer.Option(help="What to check: a folder of label maps, or annotations.")],
    out: Out,
    probs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of probability maps (.npz) by models that were not trained on these labels, as train "
            "--folds writes (default: what the universal refiner makes of the labels)."
        ),
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes (default: as the maps hold).")] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    bands: Bands = None,
    max_pixels: MaxPixels = None,
    engine: EngineName = "local",
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find labels that are wrong: images and regions, ranked by how likely they are, with suggestions."""
    from segmend.data.files import MAX_PIXELS
    from segmend.jobs.check import PAGE, open_checked
    from segmend.jobs.check import check as job
    from segmend.jobs.painted import painted
    from segmend.report.check import lines_of, sentences_of

    where = engine_of(engine, workers)
    check_folder(out)
    paths = reported(painted({"coarse": coarse}, out / "label_maps", images, max_pixels or MAX_PIXELS))
    pairs, evidence, unpaired = open_checked(
        images,
        paths.folders["coarse"],
        probs,
        classes,
        ids=ids_of("ids", ids) if ids else None,
        palette=palette,
        bands=bands_of(bands),
        max_pixels=max_pixels or MAX_PIXELS,
    )
    run = job(
        reported(pairs),
        out,
        evidence,
        paths.all_skipped(unpaired),
        folders=(images, coarse),
        overwrite=overwrite,
        quiet=quiet,
        engine=where,
    )
    for sentence in sentences_of(run):
        console.print(escape(sentence))
    for line in lines_of(run):
        console.print(escape(line))
    kept = f", {run.kept} of them measured by an earlier run" if run.kept else ""
    message = f"{counted(len(run.checked))} checked{kept}; page: {out / PAGE}"
    finish(message, [f"{s.file}: {s.reason}" for s in run.skipped])
