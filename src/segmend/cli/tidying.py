"""The command `tidy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segmend.cli.app import app
from segmend.cli.messages import check_folder, counted, finish, reported
from segmend.cli.options import MaxPixels, Out, Overwrite, PaletteFile, Quiet, StoredIds, classes_of, ids_of


@app.command()
def tidy(
    masks: Annotated[Path, typer.Option(help="Folder of label files, or one that refine or predict wrote.")],
    out: Out,
    sizes: Annotated[
        str,
        typer.Option(
            "--tidy",
            metavar="SIZES",
            help="Islands, holes and bumps up to these sizes in pixels go; of one class: car:islands=20.",
        ),
    ] = "islands=50,holes=50,smooth=2",
    confirmed: Annotated[
        Path | None,
        typer.Option(help="Folder of masks by ID (0 and 255), where pixels are confirmed and never change."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Number of classes, or their names: sky,road,car (default: as they hold).")
    ] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Remove small islands, fill small holes and smooth borders in a folder of masks, without images."""
    from segmend.data.dataset import open_masks
    from segmend.data.files import MAX_PIXELS
    from segmend.jobs.tidy import TidyOptions, masks_in, tidy_masks
    from segmend.tidy import Tidy

    check_folder(out)
    options = TidyOptions(Tidy.parse(sizes), confirmed, overwrite, quiet)
    opened = open_masks(
        masks_in(masks),
        classes=classes_of(classes),
        ids=ids_of("ids", ids) if ids else None,
        palette=palette,
        max_pixels=max_pixels or MAX_PIXELS,
    )
    run = tidy_masks(reported(opened), out, options)
    changed = "" if run.changed is None else f", {100 * run.changed:.2g} % of pixels changed"
    kept = f", {run.kept} kept from an earlier run" if run.kept else ""
    message = f"{counted(run.done)} tidied in {out}{changed}{kept}; {run.images_per_second:.1f} per second"
    finish(message, [f"{s.file}: {s.reason}" for s in run.skipped], run.done + run.kept > 0)
