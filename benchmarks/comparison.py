"""Compare refiners over coarse maps: train, mend and score each, and make the table of docs/results.md.

Every stage keeps what an earlier call finished, so a stopped benchmark goes on. The functions here are
what the scripts in the folders beside this file share.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from segmend.data.dataset import Dataset
from segmend.jobs.evaluate import evaluate
from segmend.jobs.predict import predict
from segmend.jobs.refine import open_pairs, refine
from segmend.jobs.train import train
from segmend.refiners import load
from segmend.report.page import write_report
from segmend.report.results import Evaluation, Run, Scores, read_results
from segmend.training.recipe import FilterRecipe, Recipe, read_recipe

FOLDS = 5
DATA = Path("../shared/data")
RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class Method:
    """A refiner in the comparison.

    Attributes:
        name: as the table calls it.
        recipe: file in the repository's ``recipes``.
        overrides: ``key=value`` for it.
        seeds: trainings with different seeds; a search has one.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    seeds: int = 1

    @property
    def folder(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


METHODS = (
    Method("guided filter", "guided"),
    Method("dense CRF", "crf"),
    Method("ECN, propagation only", "ecn_few_pictures", ("ecn.branches=propagation",), seeds=3),
    Method("ECN, replacement only", "ecn_few_pictures", ("ecn.branches=replacement",), seeds=3),
    Method("ECN", "ecn_few_pictures", seeds=3),
)
"""What every data set is compared on."""


@dataclass(frozen=True)
class Comparison:
    """Coarse maps of one kind over one data set, and the methods that mend them.

    Attributes:
        runs: folder for everything that is trained and written.
        kind: recipe of the segmenter that makes the coarse maps.
        data: ``key=value`` for every recipe: where the data is.
        segmenter: more of them for the segmenter.
    """

    runs: Path
    kind: str
    split: str
    data: tuple[str, ...]
    segmenter: tuple[str, ...]
    methods: tuple[Method, ...]

    @property
    def folder(self) -> Path:
        return self.runs / self.kind

    def truth(self) -> Dataset:
        """The records that are scored."""
        return read_recipe(RECIPES / f"{self.kind}.yaml", self.data).data.open(self.split)

    def make_coarse(self) -> tuple[Path, Path]:
        """Folders of the coarse maps of the training split (out of fold) and of the scored split."""
        recipe = read_recipe(RECIPES / f"{self.kind}.yaml", (*self.data, *self.segmenter))
        segmenter = self.folder / "segmenter"
        train(recipe, segmenter, folds=FOLDS)
        predict(segmenter, self.truth(), self.folder / self.split, probs=True)
        return segmenter / "out_of_fold" / "probs", self.folder / self.split / "probs"

    def mend(self, method: Method, seed: int, out_of_fold: Path, coarse: Path) -> Evaluation:
        """Train one method with one seed, mend the scored split, and score it."""
        out = self.folder / method.folder / str(seed)
        results = out / "results.json"
        if results.is_file():
            done = read_results(results)
            assert isinstance(done, Evaluation)
            return done
        overrides = [*self.data, *method.overrides, f"coarse.train={out_of_fold}"]
        train(_seeded(read_recipe(RECIPES / f"{method.recipe}.yaml", overrides), seed), out / "refiner")
        refiner = load(out / "refiner")
        truth = self.truth()
        images = truth.records[0].image
        assert images is not None
        pairs, _ = open_pairs(images.parent, coarse, refiner)
        refine(refiner, pairs, out / "mended", name=method.name, details=True)
        evaluation = evaluate(truth, out / "mended" / "labels", coarse, results)
        write_report(results)
        return evaluation

    def run(self) -> dict[str, list[Evaluation]]:
        """All methods and seeds; the first row is the coarse maps themselves."""
        out_of_fold, coarse = self.make_coarse()
        found = {}
        for method in self.methods:
            found[method.name] = [self.mend(method, s, out_of_fold, coarse) for s in range(method.seeds)]
        return found


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    if isinstance(recipe, FilterRecipe):
        return recipe.model_copy(update={"seed": seed})
    optimisation = recipe.optimisation.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"optimisation": optimisation})


COLUMNS = {
    "mIoU": lambda s: s.mean_iou,
    "accuracy": lambda s: s.pixel_accuracy,
    "boundary IoU": lambda s: s.boundary_iou,
    "trimap 3 px": lambda s: s.trimap[2],
    "trimap 10 px": lambda s: s.trimap[9],
    "trimap 20 px": lambda s: s.trimap[19],
}


def table(found: dict[str, list[Evaluation]]) -> str:
    """Markdown: a row a method, mean and spread (half the range) over seeds, all figures in points."""
    lines = ["| refiner | " + " | ".join(COLUMNS) + " | made worse | ms a picture |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    first = next(iter(found.values()))[0]
    assert first.coarse_scores is not None
    lines.append(_row("coarse", [first.coarse_scores], [], []))
    for name, evaluations in found.items():
        worse = [100 * e.made_worse for e in evaluations if e.made_worse is not None]
        times = [_milliseconds(e.run) for e in evaluations if e.run is not None]
        lines.append(_row(name, [e.scores for e in evaluations], worse, times))
    return "\n".join(lines)


def _row(name: str, scores: list[Scores], worse: list[float], times: list[float]) -> str:
    cells = [_spread([100 * column(s) for s in scores]) for column in COLUMNS.values()]
    shared = f"{statistics.mean(worse):.0f} %" if worse else ""
    spent = f"{statistics.mean(times):.0f}" if times else ""
    return f"| {name} | " + " | ".join(cells) + f" | {shared} | {spent} |"


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.1f}"


def _milliseconds(run: Run) -> float:
    return 1000 * run.seconds["network"] / max(run.done, 1)


def write_raw(path: Path, found: dict[str, list[Evaluation]]) -> None:
    """The raw results beside the benchmark: every figure of every seed, without the pictures' paths."""
    raw = {
        name: [
            e.model_dump(mode="json", include={"scores", "coarse_scores", "made_worse", "made_better"}) for e in es
        ]
        for name, es in found.items()
    }
    path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def replace_table(document: Path, mark: str, text: str) -> None:
    """Put `text` between ``<!-- mark -->`` and ``<!-- /mark -->`` of a document."""
    content = document.read_text(encoding="utf-8")
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    head, _, rest = content.partition(start)
    if not rest or end not in rest:
        raise SystemExit(f"{document}: no place marked {start} ... {end}")
    document.write_text(head + start + "\n" + text + "\n" + end + rest.split(end, 1)[1], encoding="utf-8")


def main(here: Path, data_set: str, kinds: tuple[str, ...], split: str = "val") -> None:
    """Command line of a benchmark in the folder `here` over one data set."""
    parser = argparse.ArgumentParser(description=f"Compare refiners on {data_set}, from raw data to the table.")
    parser.add_argument("--data", type=Path, default=DATA / data_set, help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs") / data_set, help="folder for all that is made")
    parser.add_argument("--kind", choices=kinds, default=kinds[0], help="coarse maps")
    parser.add_argument("--seeds", type=int, default=3, help="fewer for a first look")
    arguments = parser.parse_args()
    methods = tuple(replace(m, seeds=min(m.seeds, arguments.seeds)) for m in METHODS)
    data = (f"data.root={arguments.data}",)
    found = Comparison(arguments.runs, arguments.kind, split, data, (), methods).run()
    write_raw(here / f"{arguments.kind}.json", found)
    text = table(found)
    replace_table(here.parents[1] / "docs" / "results.md", f"{data_set} {arguments.kind}", text)
    print(text)
