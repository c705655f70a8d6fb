"""Compare trainings of one segmenter: train, predict and score every row with every seed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from comparison import RECIPES, folder_of

from segmend.data.dataset import Dataset
from segmend.jobs.evaluate import Groups, evaluate
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.train import train
from segmend.metrics import Sparsity
from segmend.report.results import Evaluation, Scores, read_results
from segmend.segmenters.prediction import TestTime
from segmend.training.recipe import read_recipe
from segmend.training.tasks.segmenter import SegmenterRecipe


@dataclass(frozen=True)
class Row:
    """A training: its name in the table, ``key=value`` for the recipe, and the folder of another data set."""

    name: str
    overrides: tuple[str, ...] = ()
    data: Path | None = None

    @property
    def folder(self) -> str:
        return folder_of(self.name)


@dataclass(frozen=True)
class Outcome:
    """Scores of one trained segmenter, and the sparsity of its maps."""

    scores: Scores
    sparsity: float


Columns = Mapping[str, Callable[[Outcome], float]]


@dataclass(frozen=True)
class Trainings:
    """Trainings of one recipe with different options, on one data set.

    Attributes:
        runs: folder for everything that is trained and written.
        recipe: file in the repository's ``recipes``.
        data: folder of the data set that rows train on, unless they name another.
        truth: the records that are scored.
        groups: classes that have an F-measure together.
    """

    runs: Path
    recipe: str
    data: Path
    truth: Dataset
    overrides: tuple[str, ...] = ()
    groups: Groups | None = None

    def labels(self, row: Row, seed: int) -> Path:
        """Folder of the label maps of a trained segmenter."""
        return self._run(row, seed) / "maps" / "labels"

    def outcome(self, row: Row, seed: int) -> Outcome:
        """Train one row with one seed, and score it; results of an earlier call are kept."""
        out, labels = self._run(row, seed), self.labels(row, seed)
        options = (f"data.root={row.data or self.data}", *self.overrides, *row.overrides)
        recipe = read_recipe(RECIPES / f"{self.recipe}.yaml", (*options, f"optimisation.seed={seed}"))
        assert isinstance(recipe, SegmenterRecipe)
        train(recipe, out / "segmenter")
        results = out / "results.json"
        if not results.is_file():
            shown = TestTime(recipe.prediction.scales, recipe.prediction.mirror)
            predict(out / "segmenter", self.truth, out / "maps", PredictOptions(shown))
            evaluate(self.truth, labels, None, results, groups=self.groups or {})
        found = read_results(results)
        assert isinstance(found, Evaluation)
        return Outcome(found.scores, self._sparsity(labels))

    def _run(self, row: Row, seed: int) -> Path:
        return self.runs / row.folder / str(seed)

    def _sparsity(self, labels: Path) -> float:
        torn = Sparsity(len(self.truth.classes))
        maps = self.truth.with_coarse(labels)
        for record in maps:
            torn.update(maps.coarse(record), maps.labels(record))
        return float(torn.compute())

    def figures(self, rows: tuple[Row, ...], columns: Columns, seeds: int) -> dict[str, dict[str, list[float]]]:
        """A value for each seed, by row and column."""
        found = {}
        for row in rows:
            outcomes = [self.outcome(row, seed) for seed in range(seeds)]
            found[row.name] = {title: [column(o) for o in outcomes] for title, column in columns.items()}
        return found


def mean_of(names: tuple[str, ...]) -> Callable[[Outcome], float]:
    """Mean IoU of some classes, in points."""
    return lambda outcome: 100 * statistics.mean(outcome.scores.iou[name] or 0.0 for name in names)
