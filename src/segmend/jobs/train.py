"""Train what a recipe describes: a segmenter, a corrector, or the parameters of a filter."""

from __future__ import annotations

import dataclasses
import inspect
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.data.dataset import Dataset
from segmend.data.files import write_whole
from segmend.data.sampling import CoarseSource, Sample, Samples
from segmend.data.transforms import training_view
from segmend.jobs.predict import predict
from segmend.jobs.progress import bar
from segmend.jobs.search import search
from segmend.labels import InvalidInput
from segmend.model_folder import save_model
from segmend.refiners.ecn import ECN, correction_loss
from segmend.refiners.spatial_propagation import SpatialPropagation, propagation_loss
from segmend.segmenters.base import Segmenter, import_network
from segmend.segmenters.features import load_imagenet_features
from segmend.segmenters.prediction import TestTime
from segmend.training.loop import fit
from segmend.training.recipe import (
    ECNOptions,
    FilterRecipe,
    Recipe,
    RefinerRecipe,
    SegmenterRecipe,
    SPNOptions,
    read_recipe,
    write_recipe,
)


def train(recipe: Recipe, out: Path, folds: int | None = None, quiet: bool = False) -> list[str]:
    """Train what the recipe says, into the folder `out`: a model folder, its log and its checkpoint.

    With `folds`, K more segmenters are trained, each without one part of the training split, and their
    maps of that part are written to ``out/out_of_fold/probs/ID.npz``: coarse maps as poor as those of
    pictures that the segmenter never saw.

    Returns:
        Messages about files that could not be read.

    Raises:
        InvalidInput: unusable data or options, or `out` holds the run of another recipe.
    """
    dataset = _training_data(recipe)
    if isinstance(recipe, FilterRecipe):
        return search(recipe, dataset, out, quiet)
    if folds is None:
        return _train_once(recipe, dataset, out, "train", quiet)
    if not isinstance(recipe, SegmenterRecipe):
        raise InvalidInput("folds are for segmenters: a corrector trains on their out-of-fold maps")
    broken: list[str] = []
    for index in range(folds):
        rest, part = dataset.fold(index, folds)
        title = f"fold {index + 1} of {folds}"
        run = out / "folds" / str(index)
        broken += _train_once(recipe, rest, run, title, quiet)
        maps = predict(
            run,
            part,
            out / "out_of_fold",
            test_time=TestTime(recipe.prediction.scales, recipe.prediction.mirror),
            probs=True,
            quiet=quiet,
        )
        broken += [f"{skipped.file}: {skipped.reason}" for skipped in maps.skipped]
    return list(dict.fromkeys(broken + _train_once(recipe, dataset, out, "all", quiet)))


def _training_data(recipe: Recipe) -> Dataset:
    dataset = recipe.data.open(recipe.data.train)
    if not isinstance(recipe, SegmenterRecipe) and recipe.coarse.train is not None:
        dataset = dataset.with_coarse(recipe.coarse.train)
    records = tuple(r for r in dataset if r.labels is not None)
    if not records:
        raise InvalidInput(f"{recipe.data.root}: no picture of the training split has a label map")
    return dataclasses.replace(dataset, records=records)


def _train_once(
    recipe: SegmenterRecipe | RefinerRecipe, dataset: Dataset, out: Path, title: str, quiet: bool
) -> list[str]:
    text = write_recipe(recipe)
    written = out / "recipe.yaml"
    if written.is_file() and read_recipe(written) != recipe:  # options that are newer than it have their defaults
        raise InvalidInput(f"{out}: holds the run of another recipe: choose another folder, or delete it")
    if (out / "model.safetensors").is_file():
        return []  # an earlier call finished it
    write_whole(written, text.encode())
    options, augmentation = recipe.optimisation, recipe.augmentation
    void = dataset.classes.void
    view = training_view(**augmentation.model_dump(), void=void)
    torch.manual_seed(options.seed)  # the first weights belong to the seed too
    if isinstance(recipe, SegmenterRecipe):
        model: Segmenter | ECN | SpatialPropagation = make_segmenter(recipe, dataset)
        coarse = None
    else:
        model = make_refiner(recipe, dataset)
        maps = recipe.coarse
        coarse = CoarseSource(maps.truth_share, maps.truth_steps * options.batch, maps.variation)
    held_out = _for_the_mask(recipe, dataset)
    samples = Samples(dataset, view, options.steps * options.batch, options.seed, coarse, held_out)
    with bar(title, options.steps, quiet) as progress, (out / "log.jsonl").open("a") as log:
        smoothed: float | None = None
        start = time.monotonic()

        def on_step(step: int, value: float) -> None:
            nonlocal smoothed
            if smoothed is None:
                progress.found(step - 1)  # a stopped run goes on at its step
            smoothed = value if smoothed is None else 0.98 * smoothed + 0.02 * value
            if step % 20 == 0 or step == options.steps:
                seconds = round(time.monotonic() - start, 1)
                log.write(json.dumps({"step": step, "loss": round(smoothed, 4), "seconds": seconds}) + "\n")
                log.flush()
            progress.advance(f"loss {smoothed:.3f}")

        def loss(network: nn.Module, batch: Sample) -> Tensor:
            if "coarse" not in batch:
                return _cross_entropy(network(batch["image"]), batch["labels"], void)
            if isinstance(model, SpatialPropagation):
                return propagation_loss(network(batch["image"], batch["coarse"]), batch["labels"], void)
            correction = network(batch["image"], batch["coarse"], mask_apart=bool(held_out))
            apart = batch["held_out"] if held_out else None
            return correction_loss(correction, batch["labels"], void, apart)

        kept, broken = fit(model, samples, loss, options, out, _is_pretrained, on_step)
    save_model(kept, out, _card(recipe, dataset, text))  # type: ignore[arg-type]
    return broken


def make_segmenter(recipe: SegmenterRecipe, dataset: Dataset) -> Segmenter:
    """The segmenter that a recipe describes; the number of classes goes to the argument that takes it."""
    accepted = inspect.signature(import_network(recipe.network)).parameters
    arguments: dict[str, Any] = {}
    for name in ("classes", "num_classes"):
        if name in accepted:
            arguments[name] = len(dataset.classes)
    if "encoder_weights" in accepted:
        arguments["encoder_weights"] = None  # smp's default downloads from a hub
    arguments |= recipe.arguments
    segmenter = Segmenter(dataset.classes, recipe.network, arguments, recipe.stride)
    if recipe.features == "imagenet":
        encoder = getattr(segmenter.network, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise InvalidInput(f"{recipe.network}: has no `encoder` to load ImageNet features into")
        inner = getattr(encoder, "model", encoder)
        load_imagenet_features(inner if isinstance(inner, nn.Module) else encoder)
    return segmenter


def make_refiner(recipe: RefinerRecipe, dataset: Dataset) -> ECN | SpatialPropagation:
    """The corrector that a recipe describes."""
    if recipe.ecn is not None:
        options: ECNOptions | SPNOptions = recipe.ecn
        network: ECN | SpatialPropagation = ECN(dataset.classes, **_arguments(options))
    else:
        assert recipe.spn is not None
        options = recipe.spn
        network = SpatialPropagation(dataset.classes, **_arguments(options))
    if options.features == "imagenet":
        if options.encoder is None:
            raise InvalidInput("features: the plain encoder has none; name an encoder")
        load_imagenet_features(network.encoder.image)  # type: ignore[arg-type]
    return network


def _arguments(options: ECNOptions | SPNOptions) -> dict[str, Any]:
    return options.model_dump(exclude={"features"})


def _for_the_mask(recipe: SegmenterRecipe | RefinerRecipe, dataset: Dataset) -> frozenset[str]:
    """IDs of the pictures that only the fusion mask learns on."""
    if isinstance(recipe, SegmenterRecipe) or recipe.ecn is None or recipe.ecn.branches != "both":
        return frozenset()
    order = np.random.default_rng(recipe.optimisation.seed).permutation(len(dataset))
    return frozenset(dataset.records[i].id for i in order[: round(recipe.mask_share * len(dataset))])


def _is_pretrained(name: str) -> bool:
    """Whether a parameter belongs to an encoder that may start from ImageNet features."""
    return name.startswith(("network.encoder.", "encoder.image."))


def _cross_entropy(logits: Tensor, target: Tensor, void: int) -> Tensor:
    known = (target != void).sum().clamp_min(1)
    return F.cross_entropy(logits.float(), target, ignore_index=void, reduction="sum") / known


def _card(recipe: SegmenterRecipe | RefinerRecipe, dataset: Dataset, text: str) -> str:
    what = "A segmenter" if isinstance(recipe, SegmenterRecipe) else "A corrector of coarse maps"
    return (
        f"# {what} trained with segmend\n\n"
        f"* data: {dataset.name}, {len(dataset)} pictures, {len(dataset.classes)} classes\n"
        f"* command: `segmend train recipe.yaml`, with this recipe:\n\n```yaml\n{text}```\n"
    )
