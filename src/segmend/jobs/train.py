"""Train what a recipe describes: a segmenter, a corrector, or the parameters of a filter."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TextIO

from torch import nn

from segmend.data.dataset import Dataset
from segmend.data.files import atomic_write
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.progress import Progress, bar
from segmend.jobs.search import fit_appearance, search
from segmend.labels import InvalidInput
from segmend.metrics import mean_accuracy, mean_iou
from segmend.model_folder import save_model
from segmend.segmenters.base import Segmenter
from segmend.segmenters.prediction import TestTime
from segmend.training.loop import Check, fit
from segmend.training.plan import labelled, plan
from segmend.training.processes import rank, wait, world
from segmend.training.recipe import (
    FilterRecipe,
    Recipe,
    RefinerRecipe,
    SegmenterRecipe,
    UniversalRecipe,
    read_recipe,
    write_recipe,
)
from segmend.training.validation import validate


def train(recipe: Recipe, out: Path, folds: int | None = None, quiet: bool = False) -> list[str]:
    """Train what the recipe says, into the folder `out`: a model folder, its log and its checkpoint.

    With `folds`, K more segmenters are trained, each without one part of the training split, and their
    maps of that part are written to ``out/out_of_fold/probs/ID.npz``: coarse maps as poor as those of
    images that the segmenter never saw.

    Under ``torchrun`` all processes train together (see `fit`), and the first one writes.

    Returns:
        Messages about files that could not be read.

    Raises:
        InvalidInput: unusable data or options, or `out` holds the run of another recipe.
    """
    if isinstance(recipe, FilterRecipe):
        if world() > 1:
            raise InvalidInput("a filter's parameters are searched in one process: leave torchrun out")
        return search(recipe, labelled(recipe.data, recipe.coarse), out, quiet)
    if folds is None:
        return _train_once(recipe, None, out, "train", quiet)
    if not isinstance(recipe, SegmenterRecipe):
        raise InvalidInput("folds are for segmenters: a corrector trains on their out-of-fold maps")
    dataset = labelled(recipe.data)
    broken: list[str] = []
    for index in range(folds):
        rest, part = dataset.fold(index, folds)
        title = f"fold {index + 1} of {folds}"
        run = out / "folds" / str(index)
        broken += _train_once(recipe, rest, run, title, quiet)
        if rank() == 0:
            test_time = TestTime(recipe.prediction.scales, recipe.prediction.mirror)
            maps = predict(run, part, out / "out_of_fold", PredictOptions(test_time, probs=True, quiet=quiet))
            broken += [f"{skipped.file}: {skipped.reason}" for skipped in maps.skipped]
    return list(dict.fromkeys(broken + _train_once(recipe, dataset, out, "all", quiet)))


def _train_once(
    recipe: SegmenterRecipe | RefinerRecipe | UniversalRecipe,
    dataset: Dataset | None,
    out: Path,
    title: str,
    quiet: bool,
) -> list[str]:
    text = write_recipe(recipe)
    written = out / "recipe.yaml"
    if written.is_file() and read_recipe(written) != recipe:  # options that are newer than it have their defaults
        raise InvalidInput(f"{out}: holds the run of another recipe: choose another folder, or delete it")
    if (out / "model.safetensors").is_file():
        return []  # an earlier call finished it
    options, first = recipe.optimisation, rank() == 0
    planned = plan(_with_appearance(recipe, quiet or not first), dataset)
    if first:
        atomic_write(written, text.encode())
    with (
        bar(title, options.steps, quiet or not first) as progress,
        (out / "log.jsonl" if first else Path(os.devnull)).open("a") as log,
    ):
        training_log = _TrainingLog(log, progress, options.steps)
        unread: dict[str, None] = {}

        def score(model: nn.Module, step: int) -> float:
            assert planned.validation is not None
            confusion, messages = validate(model, planned.validation, options.precision)
            unread.update(dict.fromkeys(messages))
            training_log.scored(step, mean_accuracy(confusion), mean_iou(confusion))
            return mean_accuracy(confusion)

        shown = None if isinstance(recipe, UniversalRecipe) else recipe.validation
        check = Check(shown.every, score) if shown else None
        kept, broken = fit(
            planned.model, planned.samples, planned.loss, options, out, _is_pretrained, training_log.stepped, check
        )
    if first:
        save_model(kept, out, _card(kept, planned.data, text))  # type: ignore[arg-type]
    wait()
    return [*broken, *unread]


class _TrainingLog:
    """What a training tells of itself, into its log and beside its bar."""

    def __init__(self, log: TextIO, progress: Progress, steps: int) -> None:
        self.log, self.progress, self.steps = log, progress, steps
        self.start = time.monotonic()
        self.loss: float | None = None
        self.recall = ""

    def stepped(self, step: int, value: float) -> None:
        """A step is done; the loss that is told is a moving average."""
        if self.loss is None:
            self.progress.found(step - 1)  # a stopped run goes on at its step
        self.loss = value if self.loss is None else 0.98 * self.loss + 0.02 * value
        if step % 20 == 0 or step == self.steps:
            self._write(step=step, loss=round(self.loss, 4), seconds=round(time.monotonic() - self.start, 1))
        self.progress.advance(f"loss {self.loss:.3f}{self.recall}")

    def scored(self, step: int, mean_accuracy: float, mean_iou: float) -> None:
        """The validation split was scored after a step."""
        self._write(step=step, mean_accuracy=round(mean_accuracy, 4), mean_iou=round(mean_iou, 4))
        self.recall = f", recall {100 * mean_accuracy:.1f}"

    def _write(self, **told: float) -> None:
        self.log.write(json.dumps(told) + "\n")
        self.log.flush()


def _with_appearance(
    recipe: SegmenterRecipe | RefinerRecipe | UniversalRecipe, quiet: bool
) -> SegmenterRecipe | RefinerRecipe | UniversalRecipe:
    """The recipe with a number where it says that the weight of the appearance term is to be fitted."""
    if not isinstance(recipe, RefinerRecipe):
        return recipe
    name, options = ("ecn", recipe.ecn) if recipe.ecn is not None else ("spn", recipe.spn)
    if options is None or options.appearance != "fit":
        return recipe
    weight = fit_appearance(labelled(recipe.data, recipe.coarse), quiet)
    return recipe.model_copy(update={name: options.model_copy(update={"appearance": weight})})


def _is_pretrained(name: str) -> bool:
    """Whether a parameter belongs to an encoder that may start from ImageNet features."""
    return name.startswith(("network.encoder.", "encoder.image."))


def _card(model: nn.Module, data: str, text: str) -> str:
    what = "A segmenter" if isinstance(model, Segmenter) else "A corrector of coarse maps"
    return (
        f"# {what} trained with segmend\n\n"
        f"* data: {data}\n"
        f"* command: `segmend train recipe.yaml`, with this recipe:\n\n```yaml\n{text}```\n"
    )
