"""The folder of a training: its recipe, its log and checkpoint, and at the end the model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from segmend.data.files import atomic_write
from segmend.labels import InvalidInput
from segmend.model_folder import save_model
from segmend.training.loop import Stage, train
from segmend.training.options import Recipe
from segmend.training.processes import is_first
from segmend.training.reporting import Bar, Scalars, TrainingLog

RECIPE = "recipe.yaml"


def check_folder(out: Path, recipe: Recipe) -> None:
    """Raise `InvalidInput` if a folder holds the run of another recipe, or a model that no run here made."""
    try:
        # Options that are newer than the file have their defaults.
        same = type(recipe).model_validate(yaml.safe_load((out / RECIPE).read_text(encoding="utf-8"))) == recipe
    except FileNotFoundError:
        foreign = [name for name in ("model.safetensors", "config.json", "checkpoint.pt") if (out / name).exists()]
        if foreign:
            raise InvalidInput(f"{out}: holds {foreign[0]} of no recipe: choose another folder") from None
        return
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError):
        same = False
    if not same:
        raise InvalidInput(f"{out}: holds the run of another recipe: choose another folder, or delete it")


def write_recipe(out: Path, recipe: Recipe) -> None:
    """Mark a folder as that of a recipe."""
    atomic_write(out / RECIPE, recipe.to_yaml().encode())


def train_stages(
    stages: Callable[[Any, Bar], list[Stage]],
    title: str,
    recipe: Recipe,
    out: Path,
    bar: Bar,
    tensorboard: bool = False,
) -> list[str]:
    """Train the stages of a recipe into the folder `out`: a model folder, its training log and its checkpoint.

    Args:
        stages: of the recipe, with a progress bar for what it has to compute first.
        title: what the model is, for its card.
        tensorboard: also write scalars for TensorBoard, to ``out/tensorboard``.

    Returns:
        Messages about files that could not be read.

    Raises:
        InvalidInput: unusable data or options, or `out` holds the run of another recipe.
    """
    check_folder(out, recipe)
    if (out / "model.safetensors").is_file():
        return []  # an earlier call finished it
    made = stages(recipe, bar)
    if is_first():
        write_recipe(out, recipe)
    scalars = Scalars(out) if tensorboard and is_first() else None
    with (out / "log.jsonl" if is_first() else Path(os.devnull)).open("a") as file:
        log = TrainingLog(file, bar, [stage.optimisation.steps for stage in made], scalars)
        try:
            model, broken = train(made, out, log.stage)
        finally:
            if scalars is not None:
                scalars.close()
    if is_first():
        save_model(model, out, _card(title, made, recipe))  # type: ignore[arg-type]
    return broken


def _card(title: str, stages: list[Stage], recipe: Recipe) -> str:
    data = "; ".join(dict.fromkeys(stage.data for stage in stages))
    return (
        f"# {title} trained with segmend\n\n"
        f"* data: {data}\n"
        f"* command: `segmend train recipe.yaml`, with this recipe:\n\n```yaml\n{recipe.to_yaml()}```\n"
    )
