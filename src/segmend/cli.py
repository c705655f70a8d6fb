"""The command line: one function a command, only parsing and messages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from segmend.invalid import InvalidInput

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make image segmentation better from imperfect labels.",
)

WORTH_SAYING = 0.0005
"""Gain in mIoU (0..1) that shows in a figure with one decimal."""

WRITTEN = "segmend, voc or camvid."
READ = "segmend, voc, camvid, cityscapes, kitti, mapillary, mapillary-2.0, helen, part-labels or cofw."

DONE, SKIPPED_SOME, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

Out = Annotated[Path, typer.Option(help="Folder to write to.")]
Images = Annotated[Path, typer.Option(help="Folder of images.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make again what is finished.")]
MaxPixels = Annotated[int | None, typer.Option(help="Refuse images with more pixels.")]
Probs = Annotated[bool, typer.Option("--probs", help="Also write probability maps (.npz).")]
Quantised = Annotated[bool, typer.Option("--quantised", help="Probabilities as 0..255: half the size.")]
PrecisionOption = Annotated[str, typer.Option(help="32, bf16, or auto: bf16 where the hardware is fast at it.")]
Tile = Annotated[int, typer.Option(min=64, help="Images with a larger side are cut into tiles.")]

console = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def main() -> None:
    """Run the command line, and leave with its exit code."""
    try:
        app()
    except InvalidInput as error:
        errors.print(f"[red]segmend:[/red] {escape(str(error))}")
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        errors.print("segmend: interrupted; what is finished is kept, the same command goes on from there")
        sys.exit(INTERRUPTED)


@app.command()
def demo(
    out: Out = Path("demo"),
    seed: Annotated[int, typer.Option(help="Draws another data set.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Generate a synthetic data set, corrupt its masks, refine them with and without training, and report."""
    from segmend.jobs.demo import demo as job

    untrained, trained = job(out, seed, quiet)
    for how, shown in (("the universal refiner", untrained), ("a corrector trained on it", trained)):
        before, after = shown.scores.coarse_scores, shown.scores.scores
        assert before is not None
        told = f"mIoU {100 * before.mean_iou:.1f} -> {100 * after.mean_iou:.1f}"
        console.print(f"{how}: {told}; report: {escape(str(shown.report))}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Data set to read.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write to.")],
    from_format: Annotated[str, typer.Option("--from", help=READ)],
    to_format: Annotated[str, typer.Option("--to", help=WRITTEN)] = "segmend",
    max_pixels: MaxPixels = None,
) -> None:
    """Convert a data set between formats, labels without loss."""
    from segmend.data.convert import convert as job
    from segmend.data.files import MAX_PIXELS

    done = job(source, destination, from_format, to_format, max_pixels or MAX_PIXELS)
    _finish(f"{_counted(done.written)} written to {destination}", [f"{f}: {r}" for f, r in done.skipped])


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or the name of a recipe that comes with segmend, such as ecn_few_images; "
            "any other name lists them."
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value for the recipe, such as optimisation.steps=100.")
    ] = None,
    out: Out = Path("run"),
    folds: Annotated[
        int | None, typer.Option(min=2, help="Also train this many segmenters, and write out-of-fold maps.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a segmenter or a refiner, or search a filter's parameters; a stopped training resumes.

    Paths in a recipe are relative to the working directory: segmend train ecn_few_images data.root=my_data
    coarse.train=my_coarse_maps
    """
    try:
        from segmend.jobs.train import train as job
        from segmend.training.processes import is_first
        from segmend.training.recipe import read_recipe
    except ModuleNotFoundError as error:
        raise InvalidInput(f"training needs a package ({error.name}): pip install 'segmend[train]'") from None

    broken = job(read_recipe(recipe, overrides or []), out, folds, quiet)
    if is_first():
        _finish(f"Trained: {out}", broken)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Model folder, or a repository on the hub.")],
    images: Images,
    out: Out,
    probs: Probs = False,
    quantised: Quantised = False,
    scales: Annotated[str, typer.Option(help="Show the image at these sizes, as 0.5,1,2.")] = "1",
    mirror: Annotated[bool, typer.Option("--mirror", help="And mirrored.")] = False,
    tile: Tile = 1024,
    overlap: Annotated[int, typer.Option(min=0, help="Pixels that neighbouring tiles share.")] = 128,
    server_ids: Annotated[
        bool, typer.Option("--server-ids", help="Label files as the servers of Cityscapes and KITTI expect them.")
    ] = False,
    precision: PrecisionOption = "auto",
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Predict label maps (and probability maps) of a folder of images."""
    from segmend.jobs.predict import predict as job
    from segmend.segmenters.prediction import TestTime

    if overlap >= tile:
        raise InvalidInput(f"--overlap {overlap}: must be less than the tile of {tile}")
    run = job(
        model,
        _images(images, max_pixels),
        out,
        test_time=TestTime(_numbers(scales), mirror, tile, overlap),
        probs=probs,
        quantised=quantised,
        precision=_precision(precision),
        overwrite=overwrite,
        server_ids=server_ids,
        quiet=quiet,
    )
    _finish_run(run, out)


@app.command()
def refine(
    images: Images,
    coarse: Annotated[Path, typer.Option(help="Folder of coarse maps: label files or .npz probabilities.")],
    out: Out,
    refiner: Annotated[
        str, typer.Option(help="universal, crf, guided, a folder that train wrote, or a hub repository.")
    ] = "universal",
    classes: Annotated[int | None, typer.Option(help="Number of classes (default: as the maps hold).")] = None,
    logits: Annotated[bool, typer.Option("--logits", help="The .npz files hold logits.")] = False,
    probs: Probs = False,
    details: Annotated[bool, typer.Option("--details", help="Also what the refiner can show.")] = False,
    quantised: Quantised = False,
    tile: Tile = 1152,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=1, help="Keep the coarse label where a change is less sure (default: the refiner's own)."
        ),
    ] = None,
    border_error_px: Annotated[
        float | None,
        typer.Option(min=0, help="Pixels by which borders are off, where known; for class-agnostic refiners."),
    ] = None,
    precision: PrecisionOption = "auto",
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Refine a folder of coarse maps."""
    from segmend.jobs.refine import open_pairs
    from segmend.jobs.refine import refine as job
    from segmend.refiners import UniversalPropagation, load

    method = load(refiner)
    if border_error_px is not None:
        if not isinstance(method, UniversalPropagation):
            raise InvalidInput(f"--border-error-px: {refiner} has no use for it, a class-agnostic refiner has")
        method.border_error_px = border_error_px
    pairs, unpaired = open_pairs(images, coarse, method, classes, max_pixels)
    run = job(
        method,
        pairs,
        out,
        name=refiner,
        probs=probs,
        details=details,
        quantised=quantised,
        tile=tile,
        min_confidence=min_confidence,
        logits=logits,
        precision=_precision(precision),
        overwrite=overwrite,
        quiet=quiet,
        unpaired=unpaired,
    )
    if run.changed == 0:
        bolder = "--min-confidence 0.5 lets the refiner change what it is less sure of"
        if isinstance(method, UniversalPropagation) and not method.border_error_px:
            bolder = f"--border-error-px tells it by how many pixels borders are off, {bolder}"
        console.print(f"No label changed. Where masks are known to be wrong: {bolder}.")
    _finish_run(run, out)


@app.command()
def occlusions(
    images: Images,
    masks: Annotated[Path, typer.Option(help="Folder of a teacher's label maps or probabilities.")],
    face: Annotated[str, typer.Option(help="Ids in them that are face, as 1,2,3.")],
    out: Out,
    split: Annotated[str, typer.Option(help="Split of the data set that is written.")] = "train",
    every: Annotated[bool, typer.Option("--every", help="All faces, not the largest alone.")] = False,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="The masks were made by hand: take the residual as it is.")
    ] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Also a page with images of every step.")] = False,
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Label what covers faces: a data set of background, face and occlusion."""
    from segmend.faces.occlusion import PAPER
    from segmend.jobs.occlusions import label_occlusions as job
    from segmend.jobs.refine import open_pairs

    ids = _ids(face)
    pairs, unpaired = open_pairs(images, masks, max_pixels=max_pixels)
    outcome = job(
        pairs,
        out,
        face=ids,
        split=split,
        every=every,
        amplification=None if by_hand else PAPER,
        steps=steps,
        overwrite=overwrite,
        quiet=quiet,
        unpaired=unpaired,
    )
    kept = f", {outcome.kept} kept from before" if outcome.kept else ""
    skipped = [f"{s.file}: {s.reason}" for s in outcome.skipped]
    _finish(f"{_counted(outcome.done)} labelled in {out}{kept}; {outcome.rate:.1f} a second", skipped)


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="Folder of true label maps.")],
    pred: Annotated[Path, typer.Option(help="Folder of maps to score.")],
    coarse: Annotated[Path | None, typer.Option(help="Folder of the coarse maps, to compare with.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images, for the report.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes (default: as the truth holds).")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="F-measure of classes together: lips=upper,lower.")
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option(help="True classes that are one in the maps: eye=left,right.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Results file to write.")] = Path("results.json"),
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
) -> None:
    """Score maps against the truth, before and after."""
    from segmend.data.dataset import open_masks
    from segmend.jobs.evaluate import evaluate as job

    dataset = _limited(open_masks(truth, images=images, classes=classes), max_pixels)
    result = job(dataset, pred, coarse, out, quiet, _groups("group", group), _groups("merge", merge))
    before = result.coarse_scores
    rows = [("mIoU", "mean_iou"), ("pixel accuracy", "pixel_accuracy"), ("boundary IoU", "boundary_iou")]
    for title, name in rows:
        after = 100 * getattr(result.scores, name)
        text = f"{title:15} {after:5.1f}"
        if before is not None:
            text = f"{title:15} {100 * getattr(before, name):5.1f} -> {after:5.1f}"
        console.print(text)
    if result.degraded is not None and result.improved is not None:
        console.print(f"improved {result.improved:.0%}, degraded {result.degraded:.0%} of images")
    sure = result.confidence
    if sure is not None and sure.best.mean_iou - sure.thresholds[0].mean_iou >= WORTH_SAYING:
        told = f"mIoU {100 * sure.best.mean_iou:.1f}, {sure.best.degraded:.0%} degraded"
        console.print(f"with refine --min-confidence {sure.best.below:g}, on these images: {told}")
    _finish(f"Results: {out}", [f"{s.file}: {s.reason}" for s in result.skipped])


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results that evaluate wrote.")],
    out: Annotated[Path | None, typer.Option(help="Page to write (default: report.html beside it).")] = None,
) -> None:
    """Show results on one page that opens anywhere."""
    from segmend.report.page import write_report

    console.print(f"Report: {escape(str(write_report(results, out)))}")


@app.command()
def doctor() -> None:
    """Say what this installation can do: devices, the fast operations, extras, and what to do about the rest."""
    from segmend.jobs.doctor import examine

    for finding in examine():
        mark = "[green]ok[/green]" if finding.good else "[yellow]--[/yellow]"
        advice = f" ({finding.advice})" if finding.advice else ""
        console.print(f"{mark} {finding.what:15} {escape(finding.found + advice)}")


def _images(folder: Path, max_pixels: int | None):  # type: ignore[no-untyped-def]
    from segmend.data.dataset import open_dataset

    return _limited(open_dataset(folder), max_pixels)


def _limited(dataset, max_pixels: int | None):  # type: ignore[no-untyped-def]
    import dataclasses

    return dataset if max_pixels is None else dataclasses.replace(dataset, max_pixels=max_pixels)


def _groups(option: str, texts: list[str] | None) -> dict[str, tuple[str, ...]]:
    groups = {}
    for text in texts or []:
        name, equals, members = text.partition("=")
        if not (name and equals and members):
            raise InvalidInput(f"--{option} {text}: expected a name and the classes it joins, as lips=upper,lower")
        groups[name] = tuple(members.split(","))
    return groups


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) <= 0:
        raise InvalidInput(f"--scales {text}: expected positive numbers with commas between, as 0.5,1,2")
    return numbers


def _ids(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise InvalidInput(f"--face {text}: expected ids with commas between, as 1,2,3")
    return tuple(int(part) for part in parts)


def _precision(name: str):  # type: ignore[no-untyped-def]
    if name not in ("auto", "32", "bf16"):
        raise InvalidInput(f"--precision {name}: expected auto, 32 or bf16")
    return name


def _finish_run(run, out: Path) -> None:  # type: ignore[no-untyped-def]
    part = {name: seconds for name, seconds in run.seconds.items() if name != "total"}
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in part.items())
    kept = f", {run.kept} kept from before" if run.kept else ""
    changed = f", {100 * run.changed:.2g} % of pixels changed" if run.changed is not None else ""
    message = (
        f"{_counted(run.done)} written to {out}{kept}{changed}; {run.images_per_second:.1f} a second ({spent})"
    )
    _finish(message, [f"{s.file}: {s.reason}" for s in run.skipped])


def _counted(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _finish(message: str, skipped: list[str]) -> None:
    """Say what was done, list what was skipped, and leave with the right code."""
    console.print(escape(message))
    if skipped:
        errors.print(f"[yellow]{len(skipped)} skipped:[/yellow]")
        for line in skipped:
            errors.print(f"  {escape(line)}")
        raise typer.Exit(SKIPPED_SOME)
