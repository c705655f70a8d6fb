"""The commands `demo` and `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.messages import check_folder, counted, finish
from segmend.cli.options import MaxPixels, Out, Quiet, RightAngles, Tolerance

WRITTEN = "segmend, voc, camvid, huggingface, coco, yolo, labelme, cvat, label-studio or geojson."
READ = (
    "segmend, voc, camvid, huggingface, coco, yolo, labelme, cvat, label-studio, geojson, cityscapes, kitti, "
    "mapillary, mapillary-2.0, ade20k, ade20k-full, helen, part-labels or cofw."
)


@app.command()
def demo(
    out: Out = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the data set and of the training.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Generate a synthetic data set, corrupt its masks, refine them with and without training, write a report."""
    from segmend.jobs.demo import demo as job

    check_folder(out)
    untrained, trained = job(out, seed, quiet)
    for how, shown in (("the universal refiner", untrained), ("a corrector trained on it", trained)):
        before, after = shown.scores.coarse_scores, shown.scores.scores
        assert before is not None
        change = f"mIoU {100 * before.mean_iou:.1f} -> {100 * after.mean_iou:.1f}"
        console.print(f"{how}: {change}; report: {escape(str(shown.report))}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write to.")],
    from_format: Annotated[str, typer.Option("--from", help=READ)],
    to_format: Annotated[str, typer.Option("--to", help=WRITTEN)] = "segmend",
    tolerance: Tolerance = 1.0,
    right_angles: RightAngles = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Convert a data set between formats. Images are copied, labels stay exact."""
    from segmend.data.annotations.polygons import OutlineOptions
    from segmend.data.convert import convert as job
    from segmend.data.files import MAX_PIXELS

    check_folder(destination)
    outlines = OutlineOptions(tolerance, right_angles)
    done = job(source, destination, from_format, to_format, max_pixels or MAX_PIXELS, outlines)
    for finding in done.findings:
        errors.print(escape(finding))
    skipped = [f"{file}: {reason}" for file, reason in done.skipped]
    finish(f"{counted(done.written)} written to {destination}", skipped, done.written > 0)
