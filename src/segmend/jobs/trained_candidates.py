"""Correctors that are trained on the good masks of `segmend tune`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.jobs.outputs import hash_of
from segmend.jobs.progress import bar
from segmend.metrics import confusion_matrix
from segmend.refiners import load

FOLDS = 2
"""Each good mask is refined by a corrector that was trained on the other part."""


class Trained(NamedTuple):
    """A corrector to be trained.

    Attributes:
        recipe: its name in the package, without the suffix.
        steps: of the training: fewer than the recipe's, as it is trained several times.
    """

    recipe: str
    steps: int


TRAINED = {"ECN": Trained("ecn_few_images", 400), "SPN": Trained("spn_few_images", 300)}
"""What is tried, by method."""


def trained(labelled: Dataset, kind: Trained, out: Path, fold: int | None = None, quiet: bool = False) -> Path:
    """The folder of a corrector, trained if an earlier call did not train it on the same files.

    Args:
        labelled: records with image, coarse map and labels.
        fold: the part that it is not trained on; None: it is trained on all.

    Raises:
        ImportError: the packages for training are not installed.
    """
    from segmend.training.folder import train_stages
    from segmend.training.recipe import read_recipe
    from segmend.training.tasks.corrector import CorrectorRecipe, stages_of

    first = labelled.records[0]
    assert first.image is not None
    assert first.coarse is not None
    overrides = [f"data.root={first.image.parent}", f"coarse.train={first.coarse.parent}"]
    overrides += ["data.train=null", f"optimisation.steps={kind.steps}", "optimisation.workers=0"]
    if fold is not None:
        overrides.append(f"data.leave_out=[{fold},{FOLDS}]")
    recipe = read_recipe(kind.recipe, overrides)
    assert isinstance(recipe, CorrectorRecipe)
    rest = labelled if fold is None else labelled.fold(fold, FOLDS)[0]
    files = [file for record in labelled for file in (record.image, record.coarse, record.labels)]
    name = f"{kind.recipe}-{hash_of(*files)}"
    folder = out / (name if fold is None else f"{name}-without-{fold}")
    title = kind.recipe if fold is None else f"{kind.recipe}, fold {fold + 1} of {FOLDS}"
    train_stages(
        lambda recipe, progress: stages_of(rest, recipe, progress),
        "A corrector of coarse maps",
        recipe,
        folder,
        lambda what, total: bar(f"{title}: {what}", total, quiet),
    )
    return folder


def out_of_fold(labelled: Dataset, kind: Trained, out: Path, logits: bool, quiet: bool) -> np.ndarray:
    """Confusion matrices ``[images, C, C + 1]`` of all records, each refined by a corrector that never saw it.

    Raises:
        ImportError: the packages for training are not installed.
    """
    found: dict[str, np.ndarray] = {}
    classes = len(labelled.classes)
    for fold in range(FOLDS):
        refiner = load(trained(labelled, kind, out, fold, quiet))
        part: tuple[Record, ...] = labelled.fold(fold, FOLDS)[1].records
        for record in part:
            image, coarse = pair_coarse(labelled, record, as_stored=True)
            refined = refiner.refine(image, coarse, logits=logits)
            found[record.id] = confusion_matrix(refined.labels.numpy(), labelled.labels(record), classes)
    return np.stack([found[record.id] for record in labelled])
