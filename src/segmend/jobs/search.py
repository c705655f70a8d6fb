"""Search what is not learned by gradients: a filter's parameters, and the weight of the appearance term."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import write_json
from segmend.devices import available_cores
from segmend.jobs.progress import Progress, bar
from segmend.labels import InvalidInput, as_image, as_probabilities, most_likely
from segmend.metrics import confusion_matrix, mean_iou
from segmend.refiners import DenseCRF, GuidedFilter, dense_crf, guided_filter, save_filter
from segmend.refiners.appearance import appearance_at_pixels, combined
from segmend.training.recipe import FilterRecipe

Filter = DenseCRF | GuidedFilter
KEEP = 4
"""Each round keeps one setting in so many, and tries it on so many times the images."""


APPEARANCE_WEIGHTS = (0.0, 0.25, 0.5, 1.0)
FITTED_ON = 500
"""Most images on which these are compared; fifty are too few, as rare classes then decide."""


def search(recipe: FilterRecipe, dataset: Dataset, out: Path, quiet: bool = False) -> list[str]:
    """Find the parameters with the best mIoU on `dataset`, and write them as a folder that `load` reads.

    The mean is over the classes that the data set's scores are averaged over. Random settings over the whole
    range, the default among them, are halved round by round; then settings near the best one are.
    ``search.json`` beside it holds every round's figures.

    Returns:
        Messages about files that could not be read.
    """
    rng = np.random.default_rng(recipe.seed)
    order = [dataset.records[i] for i in rng.permutation(len(dataset))]
    rounds = list(_rounds(recipe.trials, recipe.images, len(order)))
    total = 2 * sum(settings * images for settings, images in rounds)
    best, ranges = _default(recipe)
    history = []
    broken: dict[str, None] = {}
    with (
        bar("search", total, quiet) as progress,
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
    save_filter(best, out)
    write_json(out / "search.json", {"recipe": recipe.model_dump(mode="json"), "rounds": history})
    return list(broken)


Ranges = dict[str, tuple[float, float]]


def _default(recipe: FilterRecipe) -> tuple[Filter, Ranges]:
    if recipe.filter == "crf":
        return DenseCRF(), dense_crf.SEARCHED
    return GuidedFilter(), guided_filter.SEARCHED


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
        settings = max(1, settings // KEEP) if images < available else 1
        images = min(available, images * (KEEP - 1))


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


def fit_appearance(dataset: Dataset, quiet: bool = False) -> float:
    """The weight of the appearance term (see `with_appearance`) with the best mIoU, of `APPEARANCE_WEIGHTS`.

    The mean is over the classes that the data set's scores are averaged over.

    The term gains on blurred maps, and loses on sharp ones and where objects have the colours of their
    surroundings. 0 where there are no coarse maps; files that cannot be read do not count.
    """
    records = [record for record in dataset if record.coarse is not None]
    if len(records) > FITTED_ON:
        records = [records[i] for i in np.linspace(0, len(records) - 1, FITTED_ON).astype(int)]
    count = len(dataset.classes)
    totals = {weight: np.zeros((count, count + 1), np.int64) for weight in APPEARANCE_WEIGHTS}
    with bar("appearance", len(records), quiet) as progress, torch.inference_mode():
        for record in records:
            progress.advance()
            try:
                pixels, map_ = pair_coarse(dataset, record)
                labels, image, coarse = (
                    dataset.labels(record),
                    as_image(pixels)[None],
                    as_probabilities(map_, count)[None],
                )
            except InvalidInput:
                continue  # training lists it
            appearance = appearance_at_pixels(image, coarse)
            for weight, total in totals.items():
                total += confusion_matrix(most_likely(combined(coarse, appearance, weight))[0], labels, count)
    return max(APPEARANCE_WEIGHTS, key=lambda weight: mean_iou(totals[weight], dataset.scored_ids))
