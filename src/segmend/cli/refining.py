"""The commands `refine`, `tune` and `inspect`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.messages import check_folder, counted, finish, finish_run, open_images, reported
from segmend.cli.options import (
    Bands,
    EngineName,
    Images,
    MaxPixels,
    Out,
    Overwrite,
    PaletteFile,
    PrecisionOption,
    Probs,
    Quantised,
    Quiet,
    RightAngles,
    StoredIds,
    Tidied,
    Tile,
    Tolerance,
    Workers,
    bands_of,
    engine_of,
    ids_of,
    precision_of,
)
from segmend.invalid import InvalidInput

if TYPE_CHECKING:
    from segmend.data.annotations.polygons import OutlineOptions
    from segmend.data.dataset import Dataset
    from segmend.jobs.refine import RefineOptions
    from segmend.refiners import Refiner


@app.command()
def refine(
    images: Images,
    coarse: Annotated[
        Path,
        typer.Option(
            help="Coarse maps: a folder of label files or .npz probabilities; or annotations (a file or a folder)."
        ),
    ],
    out: Out,
    refiner: Annotated[
        str,
        typer.Option(
            help="universal, offset, crf, guided, a folder that train or tune wrote, or a hub repository."
        ),
    ] = "universal",
    classes: Annotated[int | None, typer.Option(help="Number of classes (default: as the maps hold).")] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    bands: Bands = None,
    logits: Annotated[bool, typer.Option("--logits", help="The .npz files hold logits.")] = False,
    probs: Probs = False,
    details: Annotated[bool, typer.Option("--details", help="Also write confidence and changes (.npz).")] = False,
    quantised: Quantised = False,
    tidy: Tidied = None,
    tile: Tile = 1152,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0.5, max=1, help="Undo changes with a lower confidence (default: the refiner chooses)."),
    ] = None,
    border_error_px: Annotated[
        float | None,
        typer.Option(help="Border error of the masks in pixels, where known; for class-agnostic refiners."),
    ] = None,
    keep_void: Annotated[
        bool, typer.Option("--keep-void", help="Void pixels stay void; default: filled.")
    ] = False,
    tolerance: Tolerance = 1.0,
    right_angles: RightAngles = False,
    precision: PrecisionOption = "auto",
    max_pixels: MaxPixels = None,
    engine: EngineName = "local",
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Refine a folder of coarse maps, or the objects of annotations (COCO, YOLO, labelme, CVAT, ...)."""
    from segmend.data.annotations import is_annotations
    from segmend.data.annotations.polygons import OutlineOptions
    from segmend.jobs.refine import RefineOptions, open_pairs
    from segmend.jobs.refine import refine as job
    from segmend.refiners import load
    from segmend.refiners.base import check_options
    from segmend.report.inspection import sentence_of_maps, sentences_of_look
    from segmend.tidy import Tidy

    where = engine_of(engine, workers)
    check_folder(out, takes_address=True)
    method = load(refiner)
    options = RefineOptions(
        min_confidence=min_confidence,
        border_error_px=border_error_px,
        keep_void=keep_void,
        logits=logits,
        tile=tile,
        precision=precision_of(precision),
        probs=probs,
        details=details,
        quantised=quantised,
        tidy=None if tidy is None else Tidy.parse(tidy),
        overwrite=overwrite,
        quiet=quiet,
    )
    check_options(method, min_confidence, border_error_px, tile)
    outlines = OutlineOptions(tolerance, right_angles)
    if is_annotations(coarse):
        only_maps = {"engine": None if engine == "local" else engine, "workers": workers}
        _check_for_objects(options, classes=classes, ids=ids, palette=palette, **only_maps)
        opened = open_images(images, bands, max_pixels)
        _refine_objects(method, refiner, opened, coarse, out, outlines, overwrite, quiet)
        return
    if outlines != OutlineOptions():
        raise InvalidInput("--tolerance, --right-angles: for annotations, not for folders of maps: leave it out")
    pairs, unpaired = open_pairs(
        images,
        coarse,
        method,
        classes,
        ids=ids_of("ids", ids) if ids else None,
        palette=palette,
        bands=bands_of(bands),
        max_pixels=max_pixels,
    )
    reported(pairs)
    run = job(method, pairs, out, options, name=refiner, unpaired=unpaired, engine=where)
    for sentence in sentences_of_look(run.look) if run.look else ():
        console.print(escape(sentence))
    if run.far_uncertainty is not None:
        console.print(escape(sentence_of_maps(run.far_uncertainty)))
    if run.done and run.changed == 0:
        bolder = "--min-confidence 0.5 keeps every change of the refiner"
        if method.takes_border_error and border_error_px is None:
            bolder = f"--border-error-px gives the refiner the border error in pixels, {bolder}"
        console.print(f"The refiner changed no label. Where masks are known to be wrong: {bolder}.")
    finish_run(run, out)


def _check_for_objects(options: RefineOptions, **others: object) -> None:
    """Raise `InvalidInput` where an option is given that does nothing for annotations."""
    default = type(options)()
    given = [name for name, value in vars(options).items() if value != getattr(default, name)]
    given += [name for name, value in others.items() if value is not None]
    unused = [f"--{name.replace('_', '-')}" for name in given if name not in ("overwrite", "quiet")]
    if unused:
        raise InvalidInput(f"{', '.join(unused)}: for folders of maps, not for annotations: leave it out")


def _refine_objects(
    method: Refiner,
    name: str,
    images: Dataset,
    coarse: Path,
    out: Path,
    outlines: OutlineOptions,
    overwrite: bool,
    quiet: bool,
) -> None:
    from segmend.data.annotations import read_annotations
    from segmend.jobs.refine_objects import refine_objects as job
    from segmend.report.inspection import sentences_of_look

    found = read_annotations(coarse)
    console.print(
        escape(f"{coarse}: {found.title}, {len(found.objects)} objects of {counted(len(found.by_image))}")
    )
    run = job(method, images, found, out, outlines=outlines, name=name, overwrite=overwrite, quiet=quiet)
    for sentence in sentences_of_look(run.look, "object") if run.look else ():
        console.print(escape(sentence))
    if run.object_side:
        console.print(f"errors grow with the objects: refined at one size, a longest side of {run.object_side} px")
    quality = "" if run.expected_iou is None else f", expected IoU {100 * run.expected_iou:.0f} on average"
    kept = f"; {counted(run.kept)} kept from an earlier run" if run.kept else ""
    message = f"{run.objects} objects of {counted(run.done + run.kept)} in {out / found.output}"
    drawn = f", polygons within {run.outline_error_px:.1f} px" if run.outline_error_px else ""
    message += f", {run.changed} changed{quality}{drawn}{kept}"
    finish(message, [f"{s.file}: {s.reason}" for s in run.skipped], run.objects > 0)


@app.command()
def tune(
    images: Images,
    coarse: Annotated[
        Path, typer.Option(help="Coarse maps: a folder of label files or .npz probabilities, or annotations.")
    ],
    truth: Annotated[Path, typer.Option(help="Good masks for 3 or more of the images: a folder, or annotations.")],
    out: Out,
    classes: Annotated[int | None, typer.Option(help="Number of classes (default: as the masks hold).")] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    logits: Annotated[bool, typer.Option("--logits", help="The .npz files hold logits.")] = False,
    training: Annotated[
        bool, typer.Option("--train/--no-train", help="With 40 good masks or more also train correctors on them.")
    ] = True,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
) -> None:
    """Choose by a few good masks how a folder is refined; the result is for `segmend refine --refiner`."""
    from segmend.data.files import MAX_PIXELS
    from segmend.jobs.painted import painted
    from segmend.jobs.tune import TuneOptions, open_labelled
    from segmend.jobs.tune import tune as job
    from segmend.report.tuning import best_of_each, sentence_of

    check_folder(out)
    limit = max_pixels or MAX_PIXELS
    paths = reported(painted({"coarse": coarse, "truth": truth}, out / "label_maps", images, limit))
    labelled, folder, unpaired = open_labelled(
        images,
        paths.folders["coarse"],
        paths.folders["truth"],
        classes=classes,
        ids=ids_of("ids", ids) if ids else None,
        palette=palette,
        max_pixels=limit,
    )
    reported(labelled)
    options = TuneOptions(train=training, logits=logits, quiet=quiet)
    result = job(labelled, out, options, folder=folder, unpaired=paths.all_skipped(unpaired))
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
    for one in best_of_each(result):
        console.print(f"{one.name:36} {100 * one.gain:+5.1f} mIoU, if unlucky {100 * one.unlucky:+5.1f}")
    console.print(escape(sentence_of(result)))
    finish(f"Refine with: segmend refine --refiner {out}", [f"{s.file}: {s.reason}" for s in result.skipped])


@app.command()
def inspect(
    images: Images,
    coarse: Annotated[
        Path, typer.Option(help="Masks: a folder of label files or .npz probabilities, or annotations.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json and inspection.html (default: text alone).")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes (default: as the masks hold).")] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    bands: Bands = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
) -> None:
    """Say what a folder of masks holds, and how well its borders fit the images, without ground truth."""
    from segmend.data.files import MAX_PIXELS
    from segmend.data.pairs import open_pairs
    from segmend.jobs.inspection import PAGE
    from segmend.jobs.inspection import inspect as job
    from segmend.jobs.painted import painted
    from segmend.report.inspection import sentences_of
    from segmend.report.results import Skipped

    if out is not None:
        check_folder(out)
    with ExitStack() as stack:
        where = stack.enter_context(TemporaryDirectory()) if out is None else out / "label_maps"
        paths = reported(painted({"coarse": coarse}, Path(where), images, max_pixels or MAX_PIXELS))
        pairs, unpaired = open_pairs(
            images,
            paths.folders["coarse"],
            classes=classes,
            ids=ids_of("ids", ids) if ids else None,
            palette=palette,
            bands=bands_of(bands),
            max_pixels=max_pixels or MAX_PIXELS,
        )
        skipped = paths.all_skipped([Skipped(file=str(error.path), reason=error.reason) for error in unpaired])
        found = job(reported(pairs), out, skipped, quiet)
    for sentence in sentences_of(found):
        console.print(escape(sentence))
    page = "" if out is None else f"; page: {out / PAGE}"
    finish(f"{counted(found.images)} inspected{page}", [f"{s.file}: {s.reason}" for s in found.skipped])
