"""Compare refiners over coarse maps: train, refine and score each, and make the table of docs/results.md.

Every stage keeps what an earlier call finished, so a stopped benchmark goes on. The functions here are
what the scripts in the folders beside this file share.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from random_walker import RandomWalker

from segmend.data.dataset import Dataset, open_dataset
from segmend.jobs.evaluate import Groups, evaluate
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.refine import RefineOptions, open_pairs, refine
from segmend.jobs.train import train
from segmend.refiners import Refiner, load
from segmend.report.page import write_report
from segmend.report.results import Evaluation, Run, Scores, read_results
from segmend.segmenters.prediction import TestTime
from segmend.training.recipe import FilterRecipe, Recipe, SegmenterRecipe, read_recipe

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
    """What every data set is compared on; `shortened`: overrides for all that is trained."""
    ecn = Method("ECN", "ecn_few_images", shortened, seeds=3)
    return (
        Method("guided filter", "guided"),
        Method("dense CRF", "crf"),
        Method("random walker", made=RandomWalker),
        replace(ecn, name="ECN, propagation only", overrides=("ecn.branches=propagation", *shortened)),
        replace(ecn, name="ECN, replacement only", overrides=("ecn.branches=replacement", *shortened)),
        ecn,
        replace(ecn, name="ECN, unsure changes undone", min_confidence=MIN_CONFIDENCE, trained_as=ecn),
        Method("universal", made=partial(load, "universal")),
    )


def propagations(*shortened: str) -> tuple[Method, ...]:
    """SPN one-way and three-way."""
    three = Method("SPN, three-way", "spn_few_images", shortened, seeds=3)
    return (
        replace(three, name="SPN, one-way", overrides=("spn.connections=1", *shortened)),
        three,
        replace(
            three, name="SPN, three-way, unsure changes undone", min_confidence=MIN_CONFIDENCE, trained_as=three
        ),
    )


METHODS = compared()

UNTRAINED = tuple(method for method in METHODS if method.recipe in ("guided", "crf", None))
"""Without what is trained for the data set."""

SHORTER = (*compared("optimisation.steps=500"), *propagations("optimisation.steps=300"))
"""Half of the recipes' steps: 60 trainings in hours on two cores, not in a day."""


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
        """``key=value`` for every recipe: where the data is."""
        return f"data.root={self.root}"

    def make_coarse(self) -> Coarse:
        """Train the segmenter and its folds, and write all coarse maps."""
        recipe = read_recipe(RECIPES / f"{self.kind}.yaml", (self.data, *self.segmenter))
        assert isinstance(recipe, SegmenterRecipe)
        segmenter = self.folder / "segmenter"
        train(recipe, segmenter, folds=FOLDS)
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
        """All methods and seeds; the first row is the coarse maps themselves."""
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


Columns = Mapping[str, Callable[[Scores], float | None]]
COLUMNS: Columns = {
    "mIoU": lambda s: s.mean_iou,
    "accuracy": lambda s: s.pixel_accuracy,
    "boundary IoU": lambda s: s.boundary_iou,
    "trimap 3 px": lambda s: s.trimap[2],
    "trimap 10 px": lambda s: s.trimap[9],
    "trimap 20 px": lambda s: s.trimap[19],
}


def table(found: dict[str, list[Evaluation]], columns: Columns = COLUMNS) -> str:
    """Markdown: a row a method, mean and spread (half the range) over seeds, all figures in points."""
    lines = ["| refiner | " + " | ".join(columns) + " | degraded | ms an image |"]
    lines.append("|---" * (len(columns) + 3) + "|")
    first = next(iter(found.values()))[0]
    assert first.coarse_scores is not None
    lines.append(_row("coarse", columns, [first.coarse_scores], [], []))
    for name, evaluations in found.items():
        worse = [100 * e.degraded for e in evaluations if e.degraded is not None]
        times = [_milliseconds(e.run) for e in evaluations if e.run is not None and e.run.done]
        lines.append(_row(name, columns, [e.scores for e in evaluations], worse, times))
    return "\n".join(lines)


BASELINE = "dense CRF"
WIDTHS = range(3, 21)
"""Trimap widths in pixels that `margins` looks at."""


def margins(found: dict[str, list[Evaluation]]) -> str:
    """Markdown: by how much the other methods beat the baseline, in points, means over seeds."""
    lines = [f"| over the {BASELINE} | mIoU | trimap, least of {WIDTHS[0]} to {WIDTHS[-1]} px |", "|---|---|---|"]
    base = _mean_scores(found[BASELINE])
    for name, evaluations in found.items():
        if name != BASELINE:
            overall, band = _mean_scores(evaluations)
            least = min(WIDTHS, key=lambda width: band[width - 1] - base[1][width - 1])
            gain = band[least - 1] - base[1][least - 1]
            lines.append(f"| {name} | {overall - base[0]:+.2f} | {gain:+.2f} (at {least} px) |")
    return "\n".join(lines)


def _mean_scores(evaluations: list[Evaluation]) -> tuple[float, list[float]]:
    """mIoU, and the trimap curve, in points."""
    curves = zip(*(e.scores.trimap for e in evaluations), strict=True)
    overall = 100 * statistics.mean(e.scores.mean_iou for e in evaluations)
    return overall, [100 * statistics.mean(values) for values in curves]


def _row(name: str, columns: Columns, scores: list[Scores], worse: list[float], times: list[float]) -> str:
    cells = [spread([100 * (column(s) or 0.0) for s in scores]) for column in columns.values()]
    shared = f"{statistics.mean(worse):.1f} %" if worse else ""
    spent = f"{statistics.mean(times):.0f}" if times else ""
    return f"| {name} | " + " | ".join(cells) + f" | {shared} | {spent} |"


def spread(values: list[float]) -> str:
    """Mean and half of the range, of more than one value."""
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.1f}"


def _milliseconds(run: Run) -> float:
    return 1000 * run.seconds["network"] / run.done


def merged(old: str, new: str, order: list[str]) -> str:
    """Tables of `table` and `margins`: new rows take the place of old ones of the same name, if any."""
    if not old.startswith("|"):
        return new
    texts = []
    for before, after in zip(old.split("\n\n"), new.split("\n\n"), strict=True):
        head, lines = after.splitlines()[:2], before.splitlines()[2:] + after.splitlines()[2:]
        rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
        texts.append("\n".join([*head, *(rows[name] for name in order if name in rows)]))
    return "\n\n".join(texts)


def write_raw(path: Path, found: dict[str, list[Evaluation]]) -> None:
    """The raw results beside the benchmark: every figure of every seed, without the images' paths.

    Refiners that are not in `found` keep what is there of them.
    """
    raw = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    raw |= {
        name: [e.model_dump(mode="json", include={"scores", "coarse_scores", "degraded", "improved"}) for e in es]
        for name, es in found.items()
    }
    path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def replace_table(document: Path, mark: str, change: str | Callable[[str], str]) -> None:
    """Put a text, or what is made of the one there, between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    content = document.read_text(encoding="utf-8")
    start, end = f"<!-- {mark} -->\n", f"\n<!-- /{mark} -->"
    head, _, rest = content.partition(start)
    old, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"{document}: no place marked {start.strip()} ... {end.strip()}")
    text = change if isinstance(change, str) else change(old)
    document.write_text(head + start + text + end + tail, encoding="utf-8")


def main(
    here: Path,
    data_set: str,
    methods: Mapping[str, tuple[Method, ...]],
    split: str = "val",
    prepare: Callable[[Path, Path], Path] = lambda source, root: source,
    groups: Groups | None = None,
    columns: Columns = COLUMNS,
    comparison: type[Comparison] = Comparison,
) -> None:
    """Command line of a benchmark in the folder `here` over one data set.

    Args:
        methods: what is compared over each kind of coarse maps.
        prepare: given the data set's folder and a place for a changed copy, says which of them to use.
        comparison: knows how the coarse maps are made.
    """
    parser = argparse.ArgumentParser(description=f"Compare refiners on {data_set}, from raw data to the table.")
    parser.add_argument("--data", type=Path, default=DATA / data_set, help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs") / data_set, help="folder for all that is made")
    kinds = list(methods)
    parser.add_argument("--kind", choices=kinds, default=kinds[0], help="coarse maps")
    parser.add_argument("--seeds", type=int, default=3, help="fewer for a first look")
    parser.add_argument("--only", nargs="+", metavar="REFINER", help=f"new rows, and the {BASELINE}'s")
    arguments = parser.parse_args()
    names = [m.name for m in methods[arguments.kind]]
    chosen = {BASELINE, *arguments.only} if arguments.only else set(names)
    if not chosen <= set(names):
        parser.error(f"--only: expected some of {', '.join(names)}")
    compared = tuple(
        replace(m, seeds=min(m.seeds, arguments.seeds)) for m in methods[arguments.kind] if m.name in chosen
    )
    root = prepare(arguments.data, arguments.runs / "data")
    found = comparison(arguments.runs, arguments.kind, split, root, compared, groups or {}).run()
    write_raw(here / f"{arguments.kind}.json", found)
    text = f"{table(found, columns)}\n\n{margins(found)}"
    change = partial(merged, new=text, order=["coarse", *names]) if arguments.only else text
    replace_table(here.parents[1] / "docs" / "results.md", f"{data_set} {arguments.kind}", change)
    print(text)
