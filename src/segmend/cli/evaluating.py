"""The commands `evaluate` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.messages import check_file, finish, reported
from segmend.cli.options import MaxPixels, PaletteFile, Quiet, StoredIds, classes_of, groups_of, ids_of

if TYPE_CHECKING:
    from segmend.report.results import Evaluation

WORTH_SAYING = 0.0005
"""Gain in mIoU (0..1) that shows in a figure with one decimal."""


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="Ground truth: a folder of label maps, a data set, or annotations.")],
    pred: Annotated[
        Path, typer.Option(help="Maps to score: a folder of label files or .npz probabilities, or annotations.")
    ],
    coarse: Annotated[Path | None, typer.Option(help="The coarse maps, to compare with.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images, for the report.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the data set that --truth names.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Number of classes, or their names: sky,road,car (default: those in all maps)."),
    ] = None,
    ids: StoredIds = None,
    palette: PaletteFile = None,
    group: Annotated[
        list[str] | None, typer.Option(help="F-measure of classes together: lips=upper,lower.")
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(help="True classes that are one class in the maps: eye=left,right."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Results file to write.")] = Path("results.json"),
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
) -> None:
    """Score maps against ground truth, and compare them with the coarse maps."""
    from segmend.data.files import MAX_PIXELS
    from segmend.jobs.evaluate import evaluate as job
    from segmend.jobs.evaluate import open_truth
    from segmend.jobs.painted import painted

    check_file(out)
    limit = max_pixels or MAX_PIXELS
    given = {"truth": truth, "pred": pred, "coarse": coarse}
    paths = reported(painted(given, out.parent / "label_maps", images, limit))
    truth, pred = paths.folders["truth"], paths.folders["pred"]
    coarse = paths.folders.get("coarse")
    maps = [pred] if coarse is None else [pred, coarse]
    dataset = open_truth(
        truth,
        maps,
        images=images,
        split=split,
        classes=classes_of(classes),
        ids=None if ids is None else ids_of("ids", ids),
        palette=palette,
        max_pixels=limit,
    )
    dataset = reported(dataset)
    result = job(dataset, pred, coarse, out, quiet, groups_of("group", group), groups_of("merge", merge))
    _print_scores(result)
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
    finish(f"Results: {out}", [f"{s.file}: {s.reason}" for s in (*paths.skipped, *result.skipped)])


def _print_scores(result: Evaluation) -> None:
    before = result.coarse_scores
    rows = [("mIoU", "mean_iou"), ("pixel accuracy", "pixel_accuracy"), ("boundary IoU", "boundary_iou")]
    for title, name in rows:
        after = 100 * getattr(result.scores, name)
        text = f"{title:15} {after:5.1f}"
        if before is not None:
            text = f"{title:15} {100 * getattr(before, name):5.1f} -> {after:5.1f}"
        console.print(text)
    if before is not None:
        ratio = result.corrected_to_degraded
        pixels = "" if ratio is None else f"; {ratio:.1f} pixels corrected for each degraded one"
        console.print(f"improved {result.improved:.0%}, degraded {result.degraded:.0%} of images{pixels}")
    confidence = result.confidence
    if confidence is not None and confidence.best.mean_iou - confidence.thresholds[0].mean_iou >= WORTH_SAYING:
        best = confidence.best
        scores = f"mIoU {100 * best.mean_iou:.1f}, {best.degraded:.0%} degraded"
        console.print(f"with refine --min-confidence {best.min_confidence:g}, on these images: {scores}")


@app.command()
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Results of evaluate, or of propagate (several are compared).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write (default: report.html beside the first results).")
    ] = None,
) -> None:
    """Show results on one page that opens anywhere."""
    from segmend.report.page import write_report

    check_file(out or results[0].parent / "report.html")
    console.print(f"Report: {escape(str(write_report(results, out)))}")
