"""Search the parameters of a filter, a refiner that has no weights to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import torch
from pydantic import Field

from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import write_json
from segmend.devices import available_cores
from segmend.labels import InvalidInput
from segmend.metrics import confusion_matrix, mean_iou
from segmend.refiners import DenseCRF, GuidedFilter, dense_crf, guided_filter, save_filter
from segmend.training.folder import check_folder, write_recipe
from segmend.training.options import DataOptions, Options, Recipe
from segmend.training.processes import world
from segmend.training.reporting import Bar, Progress

Filter = DenseCRF | GuidedFilter

KEPT = 4
"""Each round keeps a quarter of the settings, and the next one tries them on up to three times as many images."""


class CoarseMaps(Options):
    """Coarse maps for a search: their folder."""

    train: Path


class FilterRecipe(Recipe):
    """Search the parameters of a filter on training images with coarse maps.

    `trials` random settings are tried on `images` images, the best quarter of them on three times as many, and so
    on until one is left. A second search with settings near the best one follows.
    """

    task: Literal["filter"] = "filter"
    data: DataOptions
    coarse: CoarseMaps
    filter: Literal["crf", "guided"]
    trials: int = Field(32, ge=1)
    images: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)


class Round(TypedDict):
    """How many images a round used, and the mIoU of its settings, best first."""

    images: int
    mean_iou: list[float]


def run(recipe: FilterRecipe, out: Path, bar: Bar, tensorboard: bool = False) -> list[str]:
    """Search the parameters with the best mIoU, and write them to `out`, a folder that `segmend.load` reads.

    ``search.json`` beside them holds every round's figures.

    Returns:
        Messages about files that could not be read.

    Raises:
        InvalidInput: unusable data, several processes, `tensorboard`, or `out` holds the run of another recipe.
    """
    if world() > 1:
        raise InvalidInput("a filter's parameters are searched in one process: leave torchrun out")
    if tensorboard:
        raise InvalidInput("a filter's parameters are searched, not trained step by step: leave --tensorboard out")
    check_folder(out, recipe)
    if (out / "config.json").is_file():
        return []  # an earlier call finished it
    dataset = recipe.data.training_set(recipe.coarse.train)
    best, history, broken = search(recipe, dataset, bar)
    write_recipe(out, recipe)
    write_json(out / "search.json", {"recipe": recipe.model_dump(mode="json"), "rounds": history})
    save_filter(best, out)
    return broken


def search(recipe: FilterRecipe, dataset: Dataset, bar: Bar) -> tuple[Filter, list[Round], list[str]]:
    """The setting with the best mIoU on `dataset`, every round's figures, and messages about unreadable files.

    The mean is over the classes that the data set's scores are averaged over. The default setting is among the
    random ones, and the best one so far among those near it, so the result is never worse than the default.
    """
    rng = np.random.default_rng(recipe.seed)
    order = [dataset.records[i] for i in rng.permutation(len(dataset))]
    rounds = list(_rounds(recipe.trials, recipe.images, len(order)))
    total = 2 * sum(settings * images for settings, images in rounds)
    best, ranges = _default(recipe)
    history: list[Round] = []
    broken: dict[str, None] = {}
    with (
        bar("search", total) as progress,
        ProcessPoolExecutor(available_cores(), mp_context=get_context("spawn"), initializer=_one_thread) as pool,
    ):
        for draw in (_anywhere, _nearby):
            settings = [best] + [draw(best, ranges, rng) for _ in range(recipe.trials - 1)]
            for kept, images in rounds:
                settings = settings[:kept]
                scores = [_score(s, dataset, order[:images], pool, progress, broken) for s in settings]
                best_first = sorted(range(len(settings)), key=lambda i: -scores[i])
                settings = [settings[i] for i in best_first]
                history.append({"images": images, "mean_iou": [scores[i] for i in best_first]})
            best = settings[0]
    return best, history, list(broken)


Ranges = dict[str, tuple[float, float]]


def _default(recipe: FilterRecipe) -> tuple[Filter, Ranges]:
    default = DenseCRF() if recipe.filter == "crf" else GuidedFilter()
    return default, _ranges(default)


def _ranges(setting: Filter) -> Ranges:
    return dense_crf.SEARCHED if isinstance(setting, DenseCRF) else guided_filter.SEARCHED


def drawn_settings(default: Filter, count: int, seed: int) -> list[Filter]:
    """The default setting of a filter, and random ones: `count` in all."""
    rng = np.random.default_rng(seed)
    return [default, *(_anywhere(default, _ranges(default), rng) for _ in range(count - 1))]


def _anywhere(setting: Filter, ranges: Ranges, rng: np.random.Generator) -> Filter:
    """A setting drawn evenly, on a log scale, from the whole range of each parameter."""
    return _changed(setting, {n: float(np.exp(rng.uniform(*np.log(ends)))) for n, ends in ranges.items()})


def _nearby(setting: Filter, ranges: Ranges, rng: np.random.Generator) -> Filter:
    """A setting with each parameter larger or smaller by a third or so, within its range."""
    factors = np.exp(rng.normal(0, 0.3, len(ranges)))
    drawn = zip(ranges.items(), factors, strict=True)
    return _changed(setting, {n: float(np.clip(getattr(setting, n) * f, *ends)) for (n, ends), f in drawn})


def _changed(setting: Filter, drawn: dict[str, float]) -> Filter:
    whole = {name: round(value) for name, value in drawn.items() if isinstance(getattr(setting, name), int)}
    return type(setting)(**(dataclasses.asdict(setting) | drawn | whole))


def _rounds(settings: int, images: int, available: int) -> Iterator[tuple[int, int]]:
    """How many settings are tried on how many images, round by round, until one is the best."""
    images = min(images, available)
    while settings > 1:
        yield settings, images
        settings = max(1, settings // KEPT) if images < available else 1
        images = min(available, images * (KEPT - 1))


def _score(
    setting: Filter,
    dataset: Dataset,
    records: list[Record],
    pool: ProcessPoolExecutor,
    progress: Progress,
    broken: dict[str, None],
) -> float:
    """mIoU of a setting over some records; files that cannot be read are added to `broken`."""
    total = np.zeros((len(dataset.classes), len(dataset.classes) + 1), np.int64)
    jobs = [pool.submit(_confusion, setting, dataset, record) for record in records]
    for job in jobs:
        found = job.result()
        if isinstance(found, str):
            broken[found] = None
        else:
            total += found
        progress.advance()
    return mean_iou(total, dataset.scored_ids)


def _confusion(setting: Filter, dataset: Dataset, record: Record) -> np.ndarray | str:
    """Confusion matrix of one refined image, or why its files cannot be used."""
    count = len(dataset.classes)
    try:
        image, coarse = pair_coarse(dataset, record)
        refined = setting.refine(image, coarse, count).labels
        return confusion_matrix(refined, dataset.labels(record), count)
    except InvalidInput as error:
        return str(error)


def _one_thread() -> None:
    torch.set_num_threads(1)
