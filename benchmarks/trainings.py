"""Compare trainings of one segmenter: train, predict and score every row with every seed, and make its table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from comparison import RECIPES, folder_of, spread

from segmend.data.dataset import Dataset
from segmend.data.files import write_json
from segmend.jobs.evaluate import Groups, evaluate
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.train import train
from segmend.metrics import Sparsity
from segmend.report.results import Evaluation, Scores, read_results
from segmend.segmenters.prediction import TestTime
from segmend.training.recipe import SegmenterRecipe, read_recipe


@dataclass(frozen=True)
class Row:
    """A training as the table calls it: ``key=value`` for the recipe, and the folder of another data set."""

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
    """Rows that differ in little, on one data set.

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
        """Folder of the label maps of a segmenter that is trained."""
        return self._run(row, seed) / "maps" / "labels"

    def outcome(self, row: Row, seed: int) -> Outcome:
        """Train one row with one seed, and score it; what an earlier call finished is kept."""
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

    def table(self, rows: tuple[Row, ...], columns: Columns, seeds: int, raw_figures: Path) -> str:
        """Markdown: a row a training, mean and spread (half the range) over seeds; and a file of raw figures."""
        lines = ["| training | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        raw: dict[str, dict[str, list[float]]] = {}
        for row in rows:
            outcomes = [self.outcome(row, seed) for seed in range(seeds)]
            raw[row.name] = {title: [column(o) for o in outcomes] for title, column in columns.items()}
            lines.append(f"| {row.name} | " + " | ".join(map(spread, raw[row.name].values())) + " |")
        write_json(raw_figures, raw)
        return "\n".join(lines)


def mean_of(names: tuple[str, ...]) -> Callable[[Outcome], float]:
    """Mean IoU of some classes, in points."""
    return lambda outcome: 100 * statistics.mean(outcome.scores.iou[name] or 0.0 for name in names)
