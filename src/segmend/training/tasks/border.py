"""Train the class-agnostic refiner of masks on simulated folders of several data sets."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from segmend.data.sampling import Sample
from segmend.refiners.border_network import BorderNetwork
from segmend.training.border_samples import RIVAL, UNDECIDED, BorderSamples
from segmend.training.loop import Stage
from segmend.training.options import DataOptions, Optimisation, Options, Recipe, summary
from segmend.training.reporting import Bar

COST_OFFSET = 0.006
"""Added to a sample's cost before its logarithm. Without it, masks that are exact would outweigh all others."""

FEWEST = 50
"""Pixels near borders that a sample needs to count."""


class LabelledSet(Options):
    """One of the data sets, with good masks.

    Attributes:
        share: of all simulated folders, relative to the shares of the other sets.
    """

    data: DataOptions
    share: float = Field(1.0, gt=0)


class BorderRecipe(Recipe):
    """Train a `segmend.refiners.border_network.BorderNetwork`.

    Attributes:
        crop: side of the square crops, in pixels.
    """

    task: Literal["border"] = "border"
    training_sets: list[LabelledSet] = Field(min_length=1)
    width: Literal["full", "half", "quarter"] = "quarter"
    crop: int = Field(192, ge=32)
    optimisation: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _check(self) -> BorderRecipe:
        if self.optimisation.schedule == "plateau":
            raise ValueError("the schedule `plateau` is for segmenters and correctors, which have a `validation`")
        return self


def stages(recipe: BorderRecipe, bar: Bar) -> list[Stage]:
    """One stage."""
    options = recipe.optimisation
    sets = [one.data.training_set() for one in recipe.training_sets]
    whole = sum(one.share for one in recipe.training_sets)
    shares = [one.share / whole for one in recipe.training_sets]
    samples = BorderSamples(sets, shares, options.samples, options.seed, recipe.crop)
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    return [Stage(BorderNetwork(recipe.width), samples, _loss, options, "; ".join(map(summary, sets)))]


def _loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
    names = ("image", "planes", "pair", "descriptions", "border_error_px")
    logits = network(*(batch[name] for name in names))  # type: ignore[literal-required]
    return border_loss(logits, batch["target"])  # type: ignore[typeddict-item]


def border_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over samples of ``log(cost + COST_OFFSET)``, the cost being the mean cross-entropy of decided pixels.

    Args:
        logits: that a pixel is its rival's, ``[B, H, W]``.
        target: ``[B, H, W]`` (see `segmend.training.border_samples`).
    """
    valid = target != UNDECIDED
    costs = F.binary_cross_entropy_with_logits(logits, (target == RIVAL).float(), reduction="none") * valid
    pixels = valid.sum(dim=(1, 2))
    cost = costs.sum(dim=(1, 2)) / pixels.clamp_min(1)
    counts = pixels >= FEWEST
    return ((cost + COST_OFFSET).log() * counts).sum() / counts.sum().clamp_min(1)
