"""Train what a recipe describes, and predict out-of-fold maps."""

from __future__ import annotations

from pathlib import Path

from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.progress import bar
from segmend.labels import InvalidInput
from segmend.training.folder import check_folder
from segmend.training.options import Recipe
from segmend.training.processes import is_first, leave
from segmend.training.reporting import Bar, check_tensorboard
from segmend.training.tasks import TASKS


def train(
    recipe: Recipe, out: Path, folds: int | None = None, quiet: bool = False, tensorboard: bool = False
) -> list[str]:
    """Train what the recipe describes into the folder `out`, which `segmend.load` then reads.

    With `folds`, so many more segmenters are trained in ``out/folds``, each without one part of the training
    split. Their maps of that part are written to ``out/out_of_fold/probs/ID.npz``: coarse maps with the errors
    that a segmenter makes on new images.

    With `tensorboard`, losses, learning rates and the scores of validations are also written to
    ``out/tensorboard``, those of folds to ``out/folds/N/tensorboard``.

    A training that was stopped resumes. Under ``torchrun`` all processes train together, and the first one writes.

    Returns:
        Messages about files that could not be read.

    Raises:
        InvalidInput: unusable data or options, `out` holds the run of another recipe, or nothing that writes for
            TensorBoard is installed.
    """
    task = TASKS[recipe.task]
    check_folder(out, recipe)
    if tensorboard:
        check_tensorboard()
    if folds is None:
        broken = task.run(recipe, out, _bar("", quiet), tensorboard)
        leave()
        return broken
    if task.folds is None:
        raise InvalidInput("folds are for segmenters: a corrector trains on their out-of-fold maps")
    broken = []
    for index, fold in enumerate(task.folds(recipe, folds)):
        run = out / "folds" / str(index)
        broken += task.run(fold.recipe, run, _bar(f"fold {index + 1} of {folds}: ", quiet), tensorboard)
        if is_first():
            options = PredictOptions(fold.test_time, probs=True, quiet=quiet)
            maps = predict(run, fold.held_out, out / "out_of_fold", options)
            broken += [f"{skipped.file}: {skipped.reason}" for skipped in maps.skipped]
    broken += task.run(recipe, out, _bar("all: ", quiet), tensorboard)
    leave()
    return list(dict.fromkeys(broken))


def _bar(prefix: str, quiet: bool) -> Bar:
    return lambda title, total: bar(prefix + title, total, quiet or not is_first())
