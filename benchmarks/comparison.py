"""Compare refiners over coarse maps: train, refine and score each, and write the raw figures.

Every stage keeps what an earlier call finished, so a stopped benchmark resumes. The scripts in the folders
beside this file share these functions; `render.py` makes the tables.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from random_walker import RandomWalker
from raw import write_raw
from tables import BASELINE, refinement

from segmend.data.dataset import Dataset, open_dataset
from segmend.jobs.evaluate import Groups, evaluate
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.refine import RefineOptions, open_pairs, refine
from segmend.jobs.train import train
from segmend.refiners import Refiner, load
from segmend.report.page import write_report
from segmend.report.results import Evaluation, read_results
from segmend.segmenters.prediction import TestTime
from segmend.training.options import Recipe
from segmend.training.recipe import read_recipe
from segmend.training.tasks.filter import FilterRecipe
from segmend.training.tasks.segmenter import SegmenterRecipe

FOLDS = 5
DATA = Path("../shared/data")
RECIPES = Path(__file__).parents[1] / "src" / "segmend" / "recipes"


def folder_of(name: str) -> str:
    """The folder of a row of a table."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@dataclass(frozen=True)
class Method:
    """A refiner in the comparison.

    Attributes:
        name: as the table calls it.
        recipe: file in the repository's ``recipes``; None where nothing is trained.
        made: gives the refiner, where nothing is trained.
        overrides: ``key=value`` for it.
        seeds: trainings with different seeds; a search has one.
        in_sample: trained on the coarse maps of the segmenter's own training images, which are too good,
            instead of out-of-fold maps.
        min_confidence: as of `refine`.
        trained_as: the method whose trained refiners it takes (None: it trains its own).
    """

    name: str
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    seeds: int = 1
    in_sample: bool = False
    min_confidence: float | None = None
    trained_as: Method | None = None
    made: Callable[[], Refiner] | None = None

    @property
    def folder(self) -> str:
        return folder_of(self.name)


@dataclass(frozen=True)
class Coarse:
    """Folders of coarse maps: of the training split out of fold and in sample, and of the scored split."""

    out_of_fold: Path
    in_sample: Path
    scored: Path


MIN_CONFIDENCE = 0.6
"""Chosen on a fold of MSRC-21's training split: 7 instead of 11 % of images degraded, 0.4 mIoU less."""


def compared(*shortened: str) -> tuple[Method, ...]:
    """The methods that are compared on every data set; `shortened`: overrides for those that are trained."""
    ecn = Method("ECN", "ecn_few_images", shortened, seeds=3)
    return (
        Method("guided filter", "guided"),
        Method("dense CRF", "crf"),
        Method("random walker", made=RandomWalker),
        replace(ecn, name="ECN, propagation only", overrides=("ecn.branches=propagation", *shortened)),
        replace(ecn, name="ECN, replacement only", overrides=("ecn.branches=replacement", *shortened)),
        ecn,
        replace(
            ecn, name=f"ECN, minimum confidence {MIN_CONFIDENCE}", min_confidence=MIN_CONFIDENCE, trained_as=ecn
        ),
        Method("universal", made=partial(load, "universal")),
    )


def propagations(*shortened: str) -> tuple[Method, ...]:
    """SPN one-way and three-way."""
    three = Method("SPN, three-way", "spn_few_images", shortened, seeds=3)
    return (
        replace(three, name="SPN, one-way", overrides=("spn.connections=1", *shortened)),
        three,
        replace(
            three,
            name=f"SPN, three-way, minimum confidence {MIN_CONFIDENCE}",
            min_confidence=MIN_CONFIDENCE,
            trained_as=three,
        ),
    )


METHODS = compared()

UNTRAINED = tuple(method for method in METHODS if method.recipe in ("guided", "crf", None))
"""The methods without trained networks."""

SHORTER = (*compared("optimisation.steps=500"), *propagations("optimisation.steps=300"))
"""Half of the recipes' steps: 60 trainings take hours on two cores, not a day."""


@dataclass(frozen=True)
class Comparison:
    """Coarse maps of one kind over one data set, and the methods that refine them.

    Attributes:
        runs: folder for everything that is trained and written.
        kind: recipe of the segmenter that makes the coarse maps.
        root: folder of the data set.
        groups: classes that have an F-measure together.
        segmenter: overrides for the segmenter's recipe.
    """

    runs: Path
    kind: str
    split: str
    root: Path
    methods: tuple[Method, ...]
    groups: Groups = field(default_factory=dict)
    segmenter: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.runs / self.kind

    def truth(self) -> Dataset:
        """The records that are scored."""
        return open_dataset(self.root, self.split)

    @property
    def data(self) -> str:
        """``key=value`` for every recipe: the folder of the data."""
        return f"data.root={self.root}"

    def make_coarse(self) -> Coarse:
        """Train the segmenter, and its folds where a method needs them, and write all coarse maps."""
        recipe = read_recipe(RECIPES / f"{self.kind}.yaml", (self.data, *self.segmenter))
        assert isinstance(recipe, SegmenterRecipe)
        segmenter = self.folder / "segmenter"
        out_of_fold = any(method.recipe or method.trained_as for method in self.methods)
        train(recipe, segmenter, folds=FOLDS if out_of_fold else None)
        shown = TestTime(recipe.prediction.scales, recipe.prediction.mirror)
        scored, in_sample = self.folder / self.split, self.folder / "in_sample"
        predict(segmenter, self.truth(), scored, PredictOptions(shown, probs=True))
        if any(method.in_sample for method in self.methods):
            predict(segmenter, recipe.data.open(recipe.data.train), in_sample, PredictOptions(shown, probs=True))
        return Coarse(segmenter / "out_of_fold" / "probs", in_sample / "probs", scored / "probs")

    def trained(self, method: Method, seed: int, coarse: Coarse) -> Path:
        """Train one method with one seed."""
        folder = self.folder / method.folder / str(seed) / "refiner"
        maps = coarse.in_sample if method.in_sample else coarse.out_of_fold
        overrides = [self.data, *method.overrides, f"coarse.train={maps}"]
        train(_seeded(read_recipe(RECIPES / f"{method.recipe}.yaml", overrides), seed), folder)
        return folder

    def evaluated(self, method: Method, seed: int, coarse: Coarse) -> Evaluation:
        """Refine the scored split by a method trained with a seed, and score it."""
        out = self.folder / method.folder / str(seed)
        results = out / "results.json"
        if results.is_file():
            done = read_results(results)
            assert isinstance(done, Evaluation)
            return done
        refiner = method.made() if method.made else load(self.trained(method.trained_as or method, seed, coarse))
        truth = self.truth()
        images = truth.records[0].image
        assert images is not None
        pairs, _ = open_pairs(images.parent, coarse.scored, refiner)
        options = RefineOptions(min_confidence=method.min_confidence, details=True)
        refine(refiner, pairs, out / "refined", options, name=method.name)
        evaluation = evaluate(truth, out / "refined" / "labels", coarse.scored, results, groups=self.groups)
        write_report(results)
        return evaluation

    def run(self) -> dict[str, list[Evaluation]]:
        """Evaluations of all methods, one a seed, by name."""
        coarse = self.make_coarse()
        found = {}
        for method in self.methods:
            found[method.name] = [self.evaluated(method, s, coarse) for s in range(method.seeds)]
        return found


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    if isinstance(recipe, FilterRecipe):
        return recipe.model_copy(update={"seed": seed})
    optimisation = recipe.optimisation.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"optimisation": optimisation})


def figures_of(found: Mapping[str, list[Evaluation]]) -> dict[str, Any]:
    """What `raw.write_raw` keeps of a comparison: scores of every seed, without the images' paths, and times."""
    shown = {"scores", "coarse_scores", "degraded", "improved"}
    return {
        name: {
            "evaluations": [e.model_dump(mode="json", include=shown) for e in evaluations],
            "milliseconds": [
                1000 * e.run.seconds["network"] / e.run.done
                for e in evaluations
                if e.run is not None and e.run.done
            ],
        }
        for name, evaluations in found.items()
    }


def main(
    here: Path,
    data_set: str,
    methods: Mapping[str, tuple[Method, ...]],
    split: str = "val",
    prepare: Callable[[Path, Path], Path] = lambda source, root: source,
    groups: Groups | None = None,
    comparison: type[Comparison] = Comparison,
) -> None:
    """Command line of a benchmark in the folder `here` over one data set; its figures go to ``here/KIND.json``.

    Args:
        methods: what is compared over each kind of coarse maps.
        prepare: given the data set's folder and a place for a changed copy, says which of them to use.
        comparison: knows how the coarse maps are made.
    """
    parser = argparse.ArgumentParser(description=f"Compare refiners on {data_set}, from raw data to figures.")
    parser.add_argument("--data", type=Path, default=DATA / data_set, help="folder of the data set")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs") / data_set, help="folder for everything that is written"
    )
    kinds = list(methods)
    parser.add_argument("--kind", choices=kinds, default=kinds[0], help="coarse maps")
    parser.add_argument("--seeds", type=int, default=3, help="fewer for a first look")
    parser.add_argument("--only", nargs="+", metavar="REFINER", help=f"make these rows and the {BASELINE}'s alone")
    parser.add_argument("--alone", action="store_true", help=f"with --only: without the row of the {BASELINE}")
    arguments = parser.parse_args()
    names = [m.name for m in methods[arguments.kind]]
    baseline = set() if arguments.alone else {BASELINE}
    chosen = {*baseline, *arguments.only} if arguments.only else set(names)
    if not chosen <= set(names):
        parser.error(f"--only: expected some of {', '.join(names)}")
    compared = tuple(
        replace(m, seeds=min(m.seeds, arguments.seeds)) for m in methods[arguments.kind] if m.name in chosen
    )
    root = prepare(arguments.data, arguments.runs / "data")
    found = comparison(arguments.runs, arguments.kind, split, root, compared, groups or {}).run()
    write_raw(here / f"{arguments.kind}.json", figures_of(found), range(arguments.seeds), names)
    print(refinement(f"{here.name}/{arguments.kind}"))
