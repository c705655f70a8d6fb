"""Train a class-agnostic refiner on several data sets at once."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segmend.data.class_agnostic import ClassAgnosticSamples
from segmend.data.corruptions import AnyCorruption
from segmend.data.sampling import CoarseSource, Sample, Samples
from segmend.labels import VOID
from segmend.refiners.universal import UniversalPropagation, universal_loss
from segmend.training.loop import Stage
from segmend.training.options import (
    Augmentation,
    CoarseOptions,
    DataOptions,
    Optimisation,
    Options,
    Recipe,
    summary,
)
from segmend.training.reporting import Bar


class TrainingSet(Options):
    """One of the data sets.

    `coarse.truth_share` of its samples (all, if it has no coarse maps) are corrupted ground truth.

    Attributes:
        share: of all samples, relative to the shares of the other sets.
    """

    data: DataOptions
    coarse: CoarseOptions = CoarseOptions()
    share: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> TrainingSet:
        if self.coarse.truth_steps:
            raise ValueError("`coarse.truth_steps` is for correctors; `coarse.truth_share` serves here")
        return self


class UniversalRecipe(Recipe):
    """Train a class-agnostic refiner (see `segmend.refiners.universal`).

    Attributes:
        slots: number of classes in a sample: the most probable ones in its coarse map.
    """

    task: Literal["universal"] = "universal"
    training_sets: list[TrainingSet] = Field(min_length=1)
    width: Literal["full", "half", "quarter"] = "quarter"
    connections: Literal[1, 3] = 3
    slots: int = Field(5, ge=2)
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _check(self) -> UniversalRecipe:
        if self.optimisation.schedule == "plateau":
            raise ValueError("the schedule `plateau` is for segmenters and correctors, which have a `validation`")
        return self


def stages(recipe: UniversalRecipe, bar: Bar) -> list[Stage]:
    """One stage."""
    options = recipe.optimisation
    sets = [one.data.training_set(one.coarse.train) for one in recipe.training_sets]
    samples = [
        Samples(
            dataset,
            recipe.augmentation.view(dataset.classes.void),
            options.samples,
            options.seed,
            CoarseSource(one.coarse.truth_share, 0, one.coarse.variation, AnyCorruption()),
        )
        for dataset, one in zip(sets, recipe.training_sets, strict=True)
    ]
    whole = sum(one.share for one in recipe.training_sets)
    shares = [one.share / whole for one in recipe.training_sets]
    mixture = ClassAgnosticSamples(samples, shares, options.samples, options.seed, recipe.slots)
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    model = UniversalPropagation(recipe.width, recipe.connections)
    return [Stage(model, mixture, _loss, options, "; ".join(map(summary, sets)))]


def _loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
    given = batch["border_error_px"] * batch["error_given"]
    refined = network(batch["image"], batch["coarse"], given)
    return universal_loss(refined, batch["labels"], VOID, batch["border_error_px"])
