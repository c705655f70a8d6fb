"""The command line: one function a command, only parsing and messages."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from segmend.invalid import InvalidInput


class Interrupted(BaseException):
    """Ctrl-C. Typer would turn a `KeyboardInterrupt` into an exit without a word."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    cls=_Commands,
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
StoredIds = Annotated[
    str | None,
    typer.Option("--ids", help="The id in the masks of each class, as 0,85,170 (default: as they hold)."),
]
PaletteFile = Annotated[
    Path | None, typer.Option("--palette", help="Read masks by colour: a file with lines `name: r,g,b`.")
]
Bands = Annotated[
    str | None, typer.Option("--bands", help="Bands that are red, green and blue, from 1 (default: 1,2,3).")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make everything again; files that others wrote are never replaced.")
]
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
    except (Interrupted, KeyboardInterrupt):
        errors.print("segmend: interrupted. Finished files are kept; the same command resumes.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.filename is None:  # a fault of the program rather than of a file
            raise
        errors.print(f"[red]segmend:[/red] {escape(f'{error.filename}: {error.strerror}')}")
        sys.exit(UNUSABLE)


@app.command()
def demo(
    out: Out = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the data set and of the training.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Generate a synthetic data set, corrupt its masks, refine them with and without training, write a report."""
    from segmend.jobs.demo import demo as job

    _check_folder(out)
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
    max_pixels: MaxPixels = None,
) -> None:
    """Convert a data set between formats. Images are copied, labels stay exact."""
    from segmend.data.convert import convert as job
    from segmend.data.files import MAX_PIXELS

    _check_folder(destination)
    done = job(source, destination, from_format, to_format, max_pixels or MAX_PIXELS)
    for finding in done.findings:
        errors.print(escape(finding))
    skipped = [f"{file}: {reason}" for file, reason in done.skipped]
    _finish(f"{_counted(done.written)} written to {destination}", skipped, done.written > 0)


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

    _check_folder(out)
    if is_first():
        _print_findings()
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
    closed_form: Annotated[
        bool | None,
        typer.Option(
            "--closed-form/--no-closed-form",
            help="Sharpen maps by each image's features and colours; for models of `task: dual` (default: yes).",
            show_default=False,
        ),
    ] = None,
    inference_steps: Annotated[
        str | None,
        typer.Option(
            help="Gradient steps on the image loss, or several numbers, whose maps are averaged: 0,10,30; "
            "for models of `task: dual` (default: 0).",
            show_default=False,
        ),
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Tags of the images (tags.json), to which maps are held; for models of `task: dual`.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="Write a data set with this split: images, label maps and tags."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="With --dataset: less probable labels become void (default: none)."),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Also write steps.html: inference on some images; for models of `task: dual`."
        ),
    ] = False,
    precision: PrecisionOption = "auto",
    bands: Bands = None,
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Predict label maps (and probability maps) of a folder of images.

    Models of `task: dual` also predict tags.json, the classes in each image.
    """
    from segmend.jobs.predict import PredictOptions
    from segmend.jobs.predict import predict as job
    from segmend.jobs.predicted_tags import open_tags
    from segmend.refiners import REFINERS
    from segmend.segmenters.prediction import TestTime

    _check_folder(out)
    if overlap >= tile:
        raise InvalidInput(f"--overlap {overlap}: must be less than the tile of {tile}")
    if model in REFINERS and not Path(model).exists():
        raise InvalidInput(f"{model}: a refiner, not a segmenter: use segmend refine --refiner {model}")
    options = PredictOptions(
        test_time=TestTime(_numbers(scales), mirror, tile, overlap),
        precision=_precision(precision),
        closed_form=closed_form,
        inference_steps=None if inference_steps is None else _counts("inference-steps", inference_steps),
        server_ids=server_ids,
        probs=probs,
        quantised=quantised,
        dataset=dataset,
        min_confidence=min_confidence,
        page=page,
        overwrite=overwrite,
        quiet=quiet,
    )
    opened = _images(images, bands, max_pixels)
    given = None if tags is None else _reported(open_tags(tags, opened, model)).of
    run = job(model, opened, out, options, tags=given)
    if page:
        console.print(f"Page: {escape(str(out / 'steps.html'))}")
    _finish_run(run, out)


@app.command()
def refine(
    images: Images,
    coarse: Annotated[
        Path,
        typer.Option(
            help="Folder of coarse maps: label files or .npz probabilities; or a file of objects (COCO, .json)."
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
    precision: PrecisionOption = "auto",
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Refine a folder of coarse maps, or a file of objects."""
    from segmend.jobs.refine import RefineOptions, open_pairs
    from segmend.jobs.refine import refine as job
    from segmend.refiners import load
    from segmend.refiners.base import check_options
    from segmend.report.inspection import sentences_of_look

    _check_folder(out)
    method = load(refiner)
    options = RefineOptions(
        min_confidence=min_confidence,
        border_error_px=border_error_px,
        keep_void=keep_void,
        logits=logits,
        tile=tile,
        precision=_precision(precision),
        probs=probs,
        details=details,
        quantised=quantised,
        overwrite=overwrite,
        quiet=quiet,
    )
    check_options(method, min_confidence, border_error_px, tile)
    if coarse.suffix.lower() == ".json" or coarse.is_file():
        _check_for_objects(options, classes=classes, ids=ids, palette=palette)
        _refine_objects(method, refiner, _images(images, bands, max_pixels), coarse, out, overwrite, quiet)
        return
    pairs, unpaired = open_pairs(
        images,
        coarse,
        method,
        classes,
        ids=_ids("ids", ids) if ids else None,
        palette=palette,
        bands=_bands(bands),
        max_pixels=max_pixels,
    )
    _reported(pairs)
    run = job(method, pairs, out, options, name=refiner, unpaired=unpaired)
    for sentence in sentences_of_look(run.look) if run.look else ():
        console.print(escape(sentence))
    if run.done and run.changed == 0:
        bolder = "--min-confidence 0.5 keeps every change of the refiner"
        if method.takes_border_error and border_error_px is None:
            bolder = f"--border-error-px gives the refiner the border error in pixels, {bolder}"
        console.print(f"No label changed. Where masks are known to be wrong: {bolder}.")
    _finish_run(run, out)


def _check_for_objects(options, **others: object) -> None:  # type: ignore[no-untyped-def]
    """Raise `InvalidInput` where an option is given that does nothing for files of objects."""
    default = type(options)()
    given = [name for name, value in vars(options).items() if value != getattr(default, name)]
    given += [name for name, value in others.items() if value is not None]
    unused = [f"--{name.replace('_', '-')}" for name in given if name not in ("overwrite", "quiet")]
    if unused:
        raise InvalidInput(f"{', '.join(unused)}: for folders of maps, not for files of objects: leave it out")


def _refine_objects(method, name: str, images, coarse: Path, out: Path, overwrite: bool, quiet: bool) -> None:  # type: ignore[no-untyped-def]
    from segmend.data.objects import ObjectFile
    from segmend.jobs.refine_objects import ANNOTATIONS
    from segmend.jobs.refine_objects import refine_objects as job
    from segmend.report.inspection import sentences_of_look

    objects = ObjectFile.read(coarse)
    console.print(escape(f"{coarse}: {len(objects.annotations)} objects of {_counted(len(objects.by_image()))}"))
    run = job(method, images, objects, out, name=name, overwrite=overwrite, quiet=quiet)
    for sentence in sentences_of_look(run.look, "object") if run.look else ():
        console.print(escape(sentence))
    if run.object_side:
        console.print(f"errors grow with the objects: refined at one size, a longest side of {run.object_side} px")
    quality = "" if run.expected_iou is None else f", expected IoU {100 * run.expected_iou:.0f} on average"
    kept = f"; {_counted(run.kept)} kept from an earlier run" if run.kept else ""
    message = f"{run.objects} objects of {_counted(run.done + run.kept)} in {out / ANNOTATIONS}"
    message += f", {run.changed} changed{quality}{kept}"
    _finish(message, [f"{s.file}: {s.reason}" for s in run.skipped], run.objects > 0)


@app.command()
def tune(
    images: Images,
    coarse: Annotated[Path, typer.Option(help="Folder of coarse maps: label files or .npz probabilities.")],
    truth: Annotated[Path, typer.Option(help="Folder of good masks for 3 or more of the images.")],
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
    from segmend.jobs.tune import TuneOptions, open_labelled
    from segmend.jobs.tune import tune as job
    from segmend.report.tuning import best_of_each, sentence_of

    _check_folder(out)
    labelled, folder, unpaired = open_labelled(
        images,
        coarse,
        truth,
        classes=classes,
        ids=_ids("ids", ids) if ids else None,
        palette=palette,
        max_pixels=max_pixels or MAX_PIXELS,
    )
    _reported(labelled)
    options = TuneOptions(train=training, logits=logits, quiet=quiet)
    result = job(labelled, out, options, folder=folder, unpaired=unpaired)
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
    for one in best_of_each(result):
        console.print(f"{one.name:36} {100 * one.gain:+5.1f} mIoU, if unlucky {100 * one.unlucky:+5.1f}")
    console.print(escape(sentence_of(result)))
    _finish(f"Refine with: segmend refine --refiner {out}", [f"{s.file}: {s.reason}" for s in result.skipped])


@app.command()
def inspect(
    images: Images,
    coarse: Annotated[Path, typer.Option(help="Folder of masks: label files or .npz probabilities.")],
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
    from segmend.report.inspection import sentences_of
    from segmend.report.results import Skipped

    if out is not None:
        _check_folder(out)
    pairs, unpaired = open_pairs(
        images,
        coarse,
        classes=classes,
        ids=_ids("ids", ids) if ids else None,
        palette=palette,
        bands=_bands(bands),
        max_pixels=max_pixels or MAX_PIXELS,
    )
    skipped = [Skipped(file=str(error.path), reason=error.reason) for error in unpaired]
    found = job(_reported(pairs), out, skipped, quiet)
    for sentence in sentences_of(found):
        console.print(escape(sentence))
    page = "" if out is None else f"; page: {out / PAGE}"
    _finish(f"{_counted(found.images)} inspected{page}", [f"{s.file}: {s.reason}" for s in found.skipped])


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

    _check_folder(out)
    ids = _ids("face", face)
    pairs, unpaired = open_pairs(images, masks, bands=_bands(bands), max_pixels=max_pixels)
    options = OcclusionOptions(
        face=ids,
        split=split,
        every=every,
        amplification=None if by_hand else PAPER,
        steps=steps,
        overwrite=overwrite,
        quiet=quiet,
    )
    outcome = job(_reported(pairs), out, options, unpaired=unpaired)
    kept = f", {outcome.kept} kept from an earlier run" if outcome.kept else ""
    skipped = [f"{s.file}: {s.reason}" for s in outcome.skipped]
    message = f"{_counted(outcome.done)} labelled in {out}{kept}; {outcome.rate:.1f} per second"
    _finish(message, skipped, outcome.done + outcome.kept > 0)


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

    _check_folder(out)
    options = PropagateOptions(
        mode=_one_of("mode", mode, "lp", "jp"),
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
    motion = make_motion(_one_of("method", method, "learned", "flow", "copy"), model, flow)
    video = open_video(
        frames,
        labels,
        classes=_classes(classes),
        ids=_ids("ids", ids) if ids else None,
        palette=palette,
        bands=_bands(bands),
        max_pixels=max_pixels,
    )
    result = job(_reported(video), motion, out, options)
    _print_propagation(result)
    frames_labelled = "1 labelled frame" if result.labelled == 1 else f"{result.labelled} labelled frames"
    parts = [f"{frames_labelled}, labels propagated to {_counted(result.done)} in {out}"]
    if result.remade:
        parts.append(f"{result.remade} made again")
    if result.kept:
        parts.append(f"{result.kept} kept from an earlier run")
    message = f"{', '.join(parts)}; {result.frames_per_second:.1f} images per second"
    skipped = [f"{s.file}: {s.reason}" for s in result.skipped]
    _finish(message, skipped, result.done + result.kept > 0)


def _print_propagation(result) -> None:  # type: ignore[no-untyped-def]
    """What was kept of each class, how good labels are by distance, and what else a reader must know."""
    if result.mode == "lp":  # jointly propagated labels are all kept
        for name, share in result.kept_share.items():
            console.print(f"{escape(name):15} {100 * share:5.1f} % of the propagated pixels kept")
    for one in result.quality:
        found = f"{100 * one.kept:.1f} % kept, on {_counted(one.images)}"
        if one.mean_iou is not None and one.pixel_accuracy is not None:
            found = f"mIoU {100 * one.mean_iou:.1f}, {100 * one.pixel_accuracy:.1f} % right of {found}"
        console.print(f"{one.distance} frame{'s' * (one.distance > 1)} away: {found}")
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="Ground truth: a folder of label maps, or a data set.")],
    pred: Annotated[Path, typer.Option(help="Folder of maps to score: label files or .npz probabilities.")],
    coarse: Annotated[Path | None, typer.Option(help="Folder of the coarse maps, to compare with.")] = None,
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

    _check_file(out)
    maps = [pred] if coarse is None else [pred, coarse]
    dataset = open_truth(
        truth,
        maps,
        images=images,
        split=split,
        classes=_classes(classes),
        ids=None if ids is None else _ids("ids", ids),
        palette=palette,
        max_pixels=max_pixels or MAX_PIXELS,
    )
    dataset = _reported(dataset)
    result = job(dataset, pred, coarse, out, quiet, _groups("group", group), _groups("merge", merge))
    _print_scores(result)
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
    _finish(f"Results: {out}", [f"{s.file}: {s.reason}" for s in result.skipped])


def _print_scores(result) -> None:  # type: ignore[no-untyped-def]
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


def _classes(text: str | None):  # type: ignore[no-untyped-def]
    """A number of classes, or classes by their names."""
    from segmend.labels import Classes

    if text is None:
        return None
    if text.strip().lstrip("+-").isdigit():
        if int(text) < 1:
            raise InvalidInput(f"--classes {text}: expected a number of at least 1, or names: sky,road,car")
        return int(text)
    return Classes(tuple(name.strip() for name in text.split(",") if name.strip()))


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
        none = f"; {_counted(done.empty)} without a class" if done.empty else ""
        above = f", score above {PRESENT:g}" if done.scored else ""
        console.print(escape(f"images with each class{above}: {counts or 'none'}{none}"))
    kept = f"; {done.kept} kept the tags that they had (--overwrite replaces them)" if done.kept else ""
    skipped = [f"{file}: {reason}" for file, reason in done.skipped]
    _finish(f"{_counted(done.written)} tagged in {done.out}{kept}", skipped, done.written + done.kept > 0)


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

    _check_folder(out)
    result = job(dataset, out, CleanTagsOptions(tuple(dict.fromkeys(split)), train_split, labelled, quiet))
    for note in result.notes:
        errors.print(f"[yellow]note:[/yellow] {escape(note)}")
    console.print(
        f"estimated noise: {100 * result.wrong:.0f} % of the given tags are wrong, {100 * result.drop:.0f} % of "
        f"the classes in an image are not given ({_counted(result.labelled)} labelled)"
    )
    console.print(f"tags removed: {result.removed}, added: {result.added}; page: {escape(str(out / 'tags.html'))}")
    file = out / "tags.json"
    message = f"Tags of {_counted(result.images)}: {file}; to train with them: segmend train dual tags={file}"
    _finish(message, [f"{s.file}: {s.reason}" for s in result.skipped])


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

    _check_file(out or results[0].parent / "report.html")
    console.print(f"Report: {escape(str(write_report(results, out)))}")


@app.command()
def doctor(
    extras: Annotated[
        list[str] | None,
        typer.Argument(
            help="Extras that must be installed: train, offline, crf, formats, faces, video, all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check devices, native operations, weights and extras; exits with 1 if something is broken."""
    from segmend.jobs.doctor import examine

    marks = {"ok": "[green]ok[/green]", "missing": "[yellow]--[/yellow]", "broken": "[red]!![/red]"}
    findings = examine(extras or ())
    for finding in findings:
        advice = f" ({finding.advice})" if finding.advice else ""
        console.print(f"{marks[finding.state]} {finding.what:15} {escape(finding.found + advice)}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(SKIPPED_SOME)


def _images(folder: Path, bands: str | None, max_pixels: int | None):  # type: ignore[no-untyped-def]
    from segmend.data.dataset import open_dataset

    return _reported(_limited(open_dataset(folder, bands=_bands(bands)), max_pixels))


def _reported(dataset):  # type: ignore[no-untyped-def]
    """The data set, after printing what was found and assumed when its folders were opened."""
    for finding in dataset.findings:
        console.print(escape(finding))
    return dataset


def _print_findings() -> None:
    """From now on, print what a training finds in its data, each sentence once."""
    import logging

    printed: set[str] = set()

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message not in printed:
                printed.add(message)
                console.print(escape(message))

    logger = logging.getLogger("segmend.training.options")
    logger.handlers = [Printer()]
    logger.setLevel(logging.INFO)


def _bands(text: str | None) -> tuple[int, int, int] | None:
    from segmend.pixels import parse_bands

    return None if text is None else parse_bands(text)


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


def _counts(option: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidInput(f"--{option} {text}: expected whole numbers from 0 on with commas between, as 0,10,30")
    return tuple(int(part) for part in parts)


def _ids(option: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise InvalidInput(f"--{option} {text}: expected ids with commas between, as 1,2,3")
    return tuple(int(part) for part in parts)


def _one_of(option: str, value: str, *allowed: str):  # type: ignore[no-untyped-def]
    if value not in allowed:
        raise InvalidInput(f"--{option} {value}: expected {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _precision(name: str):  # type: ignore[no-untyped-def]
    if name not in ("auto", "32", "bf16"):
        raise InvalidInput(f"--precision {name}: expected auto, 32 or bf16")
    return name


def _check_folder(out: Path) -> None:
    """Before any work: `out` is a folder that can be written, or can be made."""
    from segmend.data.files import check_writable_folder

    check_writable_folder(out)


def _check_file(out: Path) -> None:
    """Before any work: a file can be written at `out`."""
    from segmend.data.files import check_writable_file

    check_writable_file(out)


def _finish_run(run, out: Path) -> None:  # type: ignore[no-untyped-def]
    parts = [f"{_counted(run.done)} written to {out}"]
    if run.remade:
        parts.append(f"{run.remade} of them made again")
    if run.kept:
        parts.append(f"{run.kept} kept from an earlier run")
    if run.changed is not None:
        parts.append(f"{100 * run.changed:.2g} % of pixels changed")
    if run.filled:
        parts.append(f"{run.filled} void pixels filled (--keep-void keeps them)")
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.seconds.items() if name != "total")
    message = f"{', '.join(parts)}; {run.images_per_second:.1f} images per second ({spent})"
    _finish(message, [f"{s.file}: {s.reason}" for s in run.skipped], run.done + run.kept > 0)


def _counted(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _finish(message: str, skipped: list[str], done: bool = True) -> None:
    """Print what was done, list what was skipped, and leave with the right code.

    Args:
        done: whether anything was done. If all inputs were skipped, the exit code is that of unusable input.
    """
    console.print(escape(message))
    if skipped:
        errors.print(f"[yellow]{len(skipped)} skipped:[/yellow]")
        for line in skipped:
            errors.print(f"  {escape(line)}")
        raise typer.Exit(SKIPPED_SOME if done else UNUSABLE)


if __name__ == "__main__":  # python -m segmend.cli is python -m segmend
    runpy.run_module("segmend", run_name="__main__")
