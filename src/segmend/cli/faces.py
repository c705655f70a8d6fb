"""The command `occlusions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segmend.cli.app import app
from segmend.cli.messages import check_folder, counted, finish, reported
from segmend.cli.options import Bands, Images, MaxPixels, Out, Overwrite, Quiet, bands_of, ids_of


@app.command()
def occlusions(
    images: Images,
    masks: Annotated[Path, typer.Option(help="Folder of a teacher's label maps or probabilities.")],
    face: Annotated[str, typer.Option(help="Ids in them that are face, as 1,2,3.")],
    out: Out,
    split: Annotated[str, typer.Option(help="Split of the data set to write.")] = "train",
    every: Annotated[bool, typer.Option("--every", help="All faces, not only the largest.")] = False,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="The masks were drawn by hand: do not amplify the residual.")
    ] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Also write a page with every step.")] = False,
    bands: Bands = None,
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Label occluders of faces: write a data set of background, face and occlusion."""
    from segmend.faces.occlusion import PAPER
    from segmend.jobs.occlusions import OcclusionOptions
    from segmend.jobs.occlusions import label_occlusions as job
    from segmend.jobs.refine import open_pairs

    check_folder(out)
    ids = ids_of("face", face)
    pairs, unpaired = open_pairs(images, masks, bands=bands_of(bands), max_pixels=max_pixels)
    options = OcclusionOptions(
        face=ids,
        split=split,
        every=every,
        amplification=None if by_hand else PAPER,
        steps=steps,
        overwrite=overwrite,
        quiet=quiet,
    )
    outcome = job(reported(pairs), out, options, unpaired=unpaired)
    kept = f", {outcome.kept} kept from an earlier run" if outcome.kept else ""
    skipped = [f"{s.file}: {s.reason}" for s in outcome.skipped]
    message = f"{counted(outcome.done)} labelled in {out}{kept}; {outcome.rate:.1f} per second"
    finish(message, skipped, outcome.done + outcome.kept > 0)
