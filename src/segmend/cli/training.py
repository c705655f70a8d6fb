"""The commands `train` and `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console
from segmend.cli.messages import check_folder, finish, finish_run, open_images, print_findings, reported
from segmend.cli.options import (
    Bands,
    EngineName,
    Images,
    MaxPixels,
    Out,
    Overwrite,
    PrecisionOption,
    Probs,
    Quantised,
    Quiet,
    Tile,
    Workers,
    counts_of,
    engine_of,
    numbers_of,
    precision_of,
)
from segmend.invalid import InvalidInput


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
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write losses, learning rate and scores to OUT/tensorboard."),
    ] = False,
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

    check_folder(out)
    if is_first():
        print_findings()
    broken = job(read_recipe(recipe, overrides or []), out, folds, quiet, tensorboard)
    if is_first():
        finish(f"Trained: {out}", broken)


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
    engine: EngineName = "local",
    workers: Workers = None,
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

    where = engine_of(engine, workers)
    check_folder(out, takes_address=True)
    if overlap >= tile:
        raise InvalidInput(f"--overlap {overlap}: must be less than the tile of {tile}")
    if model in REFINERS and not Path(model).exists():
        raise InvalidInput(f"{model}: a refiner, not a segmenter: use segmend refine --refiner {model}")
    options = PredictOptions(
        test_time=TestTime(numbers_of(scales), mirror, tile, overlap),
        precision=precision_of(precision),
        closed_form=closed_form,
        inference_steps=None if inference_steps is None else counts_of("inference-steps", inference_steps),
        server_ids=server_ids,
        probs=probs,
        quantised=quantised,
        dataset=dataset,
        min_confidence=min_confidence,
        page=page,
        overwrite=overwrite,
        quiet=quiet,
    )
    opened = open_images(images, bands, max_pixels)
    given = None if tags is None else reported(open_tags(tags, opened, model)).of
    run = job(model, opened, out, options, tags=given, engine=where)
    if page:
        console.print(f"Page: {escape(str(out / 'steps.html'))}")
    finish_run(run, out)
