"""The command `propagate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.messages import check_folder, counted, finish, reported
from segmend.cli.options import (
    Bands,
    MaxPixels,
    Out,
    Overwrite,
    PaletteFile,
    Quiet,
    StoredIds,
    bands_of,
    classes_of,
    ids_of,
    one_of,
)

if TYPE_CHECKING:
    from segmend.report.results import Propagation


@app.command()
def propagate(
    frames: Annotated[Path, typer.Option(help="Folder of the frames of one or more videos, or a video file.")],
    labels: Annotated[Path, typer.Option(help="Folder of label maps of some of the frames, named like them.")],
    out: Out,
    method: Annotated[
        str,
        typer.Option(
            help="learned: a network corrects the optical flow; flow: optical flow; copy: nothing moves."
        ),
    ] = "learned",
    mode: Annotated[
        str, typer.Option(help="lp: real frames with propagated labels; jp: frames and labels both propagated.")
    ] = "lp",
    steps: Annotated[int, typer.Option(min=1, help="Propagate over up to this many frames to both sides.")] = 5,
    model: Annotated[
        str | None,
        typer.Option(help="For learned: a folder that `train motion` wrote (default: weights of the package)."),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(help="Optical flow by RAFT: a file with torchvision's weights (default: DIS of OpenCV)."),
    ] = None,
    align: Annotated[
        bool,
        typer.Option("--align/--no-align", help="Compare each frame with the labelled one directly, too: slower."),
    ] = True,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Labels of a lower confidence become void (lp).")
    ] = 0.75,
    refiner: Annotated[
        str | None, typer.Option(help="Refine propagated labels by their frame: as in `segmend refine` (lp).")
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="Use every N-th labelled frame, and score the result on the others.")
    ] = 1,
    split: Annotated[str, typer.Option(help="Split of the data set to write.")] = "train",
    details: Annotated[bool, typer.Option("--details", help="Also write the displacements (.npz).")] = False,
    classes: Annotated[
        str | None, typer.Option(help="Number of classes, or their names: sky,road,car (default: as labels hold).")
    ] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    bands: Bands = None,
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Propagate labels of some video frames to the frames around them, and write all as a data set."""
    from segmend.jobs.labelled_video import open_video
    from segmend.jobs.motions import make_motion
    from segmend.jobs.propagate import PropagateOptions
    from segmend.jobs.propagate import propagate as job
    from segmend.refiners import load

    check_folder(out)
    options = PropagateOptions(
        mode=one_of("mode", mode, "lp", "jp"),
        steps=steps,
        every=every,
        align=align,
        min_confidence=min_confidence,
        refiner=None if refiner is None else load(refiner),
        split=split,
        details=details,
        overwrite=overwrite,
        quiet=quiet,
    )
    motion = make_motion(one_of("method", method, "learned", "flow", "copy"), model, flow)
    video = open_video(
        frames,
        labels,
        classes=classes_of(classes),
        ids=ids_of("ids", ids) if ids else None,
        palette=palette,
        bands=bands_of(bands),
        max_pixels=max_pixels,
    )
    result = job(reported(video), motion, out, options)
    _print_propagation(result)
    frames_labelled = "1 labelled frame" if result.labelled == 1 else f"{result.labelled} labelled frames"
    parts = [f"{frames_labelled}, labels propagated to {counted(result.done)} in {out}"]
    if result.remade:
        parts.append(f"{result.remade} made again")
    if result.kept:
        parts.append(f"{result.kept} kept from an earlier run")
    message = f"{', '.join(parts)}; {result.frames_per_second:.1f} images per second"
    skipped = [f"{s.file}: {s.reason}" for s in result.skipped]
    finish(message, skipped, result.done + result.kept > 0)


def _print_propagation(result: Propagation) -> None:
    """What was kept of each class, how good labels are by distance, and what else a reader must know."""
    if result.mode == "lp":  # jointly propagated labels are all kept
        for name, share in result.kept_share.items():
            console.print(f"{escape(name):15} {100 * share:5.1f} % of the propagated pixels kept")
    for one in result.quality:
        found = f"{100 * one.kept:.1f} % kept, on {counted(one.images)}"
        if one.mean_iou is not None and one.pixel_accuracy is not None:
            found = f"mIoU {100 * one.mean_iou:.1f}, {100 * one.pixel_accuracy:.1f} % right of {found}"
        console.print(f"{one.distance} frame{'s' * (one.distance > 1)} away: {found}")
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
