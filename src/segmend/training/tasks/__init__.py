"""The methods that can be trained: one file each, with its recipe and what it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from segmend.training.folder import train_stages
from segmend.training.options import Recipe
from segmend.training.reporting import Bar
from segmend.training.tasks import border, corrector, dual, filter, motion, segmenter, universal

R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Task(Generic[R]):
    """A method that can be trained.

    Attributes:
        recipe: the class of its recipes.
        run: trains what a recipe describes into a folder, resuming what it finds there; gives back messages about
            files that could not be read. The last argument: whether scalars for TensorBoard are written too. Tasks
            of gradient descent share `train_stages`.
        folds: splits a recipe for out-of-fold maps; None for tasks that do not train segmenters.
    """

    recipe: type[R]
    run: Callable[[R, Path, Bar, bool], list[str]]
    folds: Callable[[R, int], list[segmenter.Fold]] | None = None


TASKS: dict[str, Task[Any]] = {
    "segmenter": Task(
        segmenter.SegmenterRecipe, partial(train_stages, segmenter.stages, "A segmenter"), segmenter.folds
    ),
    "corrector": Task(
        corrector.CorrectorRecipe, partial(train_stages, corrector.stages, "A corrector of coarse maps")
    ),
    "universal": Task(
        universal.UniversalRecipe, partial(train_stages, universal.stages, "A class-agnostic refiner")
    ),
    "border": Task(border.BorderRecipe, partial(train_stages, border.stages, "A class-agnostic refiner of masks")),
    "filter": Task(filter.FilterRecipe, filter.run),
    "motion": Task(motion.MotionRecipe, partial(train_stages, motion.stages, "Motion between video frames")),
    "dual": Task(dual.DualRecipe, partial(train_stages, dual.stages, "Dual image segmentation")),
}
"""By the value of ``task`` in recipes."""
