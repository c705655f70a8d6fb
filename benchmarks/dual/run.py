"""Train dual image segmentation on few label maps and many tags, and score it beside its baselines.

python benchmarks/dual/run.py main
python benchmarks/dual/run.py msrc
python benchmarks/dual/run.py ablation
python benchmarks/dual/run.py labelled
python benchmarks/dual/run.py steps
python benchmarks/dual/run.py noise
python benchmarks/dual/run.py trained_encoder
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend.data.convert.lists import read_lines
from segmend.data.corruptions import corrupt_tags
from segmend.data.dataset import Dataset, open_dataset
from segmend.data.files import atomic_write
from segmend.data.listed import classes_in
from segmend.data.tags import Tags, read_tags, write_tags
from segmend.jobs.clean_tags import CleanTagsOptions, clean_tags
from segmend.jobs.evaluate import evaluate
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.train import train
from segmend.report.results import Evaluation, Scores, TagCleaning, read_results
from segmend.training.recipe import read_recipe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA, folder_of  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

SEEDS = 3
TRIMAP = 6
"""Width in pixels of the band around borders in which maps are scored too."""

MASK = "{features: 0, colours: 0, teacher: %s}"
PAPER = "{steps: %d, image: true, evidence: network, features: 0, colours: 0, teacher: %s}"


def twice(round_: str) -> str:
    return f"rounds=[{round_}, {round_}]"


@dataclass(frozen=True)
class Row:
    """A training: its name in the table, ``key=value`` for the recipe, and how many images are labelled."""

    name: str
    overrides: tuple[str, ...] = ()
    labelled: int = 100


LABELS = Row("labels alone", ("rounds=[]",))
MASKED = Row("tags as a mask (t_tr = 0)", (twice(MASK % "false"),))
MASKED_BY_TEACHER = Row("tags as a mask, by a teacher", (twice(MASK % "true"),))
DUAL = Row("dual")
MAIN = (
    LABELS,
    Row("labels alone, as many steps", ("rounds=[]", "pretraining=[400, 200, 440]")),
    Row("multitask, label maps missing", (twice("{weight: 0, teacher: false}"),)),
    Row("fixed bias for tagged classes", (twice("{evidence: bias, features: 0, colours: 0, teacher: false}"),)),
    MASKED,
    MASKED_BY_TEACHER,
    Row("the paper, t_tr = 30", (twice(PAPER % (30, "true")),)),
    DUAL,
)
ABLATION = (
    MASKED_BY_TEACHER,
    Row("mask and closed form", (twice("{}"),)),
    Row("tag steps and mask", (twice("{steps: 30, features: 0, colours: 0}"),)),
    Row("tag steps, mask and closed form, in both rounds", (twice("{steps: 30}"),)),
    DUAL,
    Row("dual, one round", ("rounds=[{steps: 30}]", "optimisation.steps=240")),
    Row("dual, by the network as it is", ("rounds=[{steps: 30, teacher: false}, {teacher: false}]",)),
    Row("the paper, by the network as it is", (twice(PAPER % (30, "false")),)),
)
T_TRAINING, T_TEST = (0, 10, 30), (0, 5, 10, 30)
COUNTS = (25, 50, 100, 250)


@dataclass(frozen=True)
class Mode:
    """A way to predict."""

    name: str
    options: PredictOptions


MAP = Mode("map", PredictOptions(closed_form=False, quiet=True))
CLOSED = Mode("closed form", PredictOptions(quiet=True))


@dataclass(frozen=True)
class Trainings:
    """Trainings on one data set, in a folder; what an earlier call finished is kept.

    Attributes:
        truth: the records that are scored.
        labelled: a file with the IDs of the labelled images, by their number.
        overrides: of all trainings.
    """

    runs: Path
    data: Path
    truth: Dataset
    labelled: Callable[[int], Path]
    overrides: tuple[str, ...] = field(default=())

    def folder(self, row: Row, seed: int) -> Path:
        return self.runs / folder_of(row.name) / str(row.labelled) / str(seed)

    def trained(self, row: Row, seed: int) -> Path:
        """The folder of a trained network."""
        options = (f"data.root={self.data}", f"labelled={self.labelled(row.labelled)}", *self.overrides)
        recipe = read_recipe("dual", (*options, *row.overrides, f"optimisation.seed={seed}"))
        train(recipe, self.folder(row, seed) / "network", quiet=True)
        return self.folder(row, seed) / "network"

    def scores(self, row: Row, seed: int, mode: Mode) -> Scores:
        out = self.folder(row, seed) / folder_of(mode.name)
        results = out / "evaluation.json"
        if not results.is_file():
            predict(self.trained(row, seed), self.truth, out, mode.options)
            evaluate(self.truth, out / "labels", None, results)
        found = read_results(results)
        assert isinstance(found, Evaluation)
        return found.scores

    def figures(self, rows: Sequence[Row], seeds: Iterable[int]) -> dict[str, dict[str, list[float]]]:
        """A value of each seed, by row and column."""
        found = {}
        for row in rows:
            maps = [self.scores(row, seed, MAP) for seed in seeds]
            sharpened = [self.scores(row, seed, CLOSED) for seed in seeds]
            found[row.name] = {
                "map": [100 * one.mean_iou for one in maps],
                "with the closed form": [100 * one.mean_iou for one in sharpened],
                "boundary IoU": [100 * one.boundary_iou for one in sharpened],
                f"trimap {TRIMAP} px": [100 * one.trimap[TRIMAP - 1] for one in sharpened],
            }
            print(row.name, {title: np.round(values, 1).tolist() for title, values in found[row.name].items()})
        return found


def lists(data: Path, runs: Path) -> Callable[[int], Path]:
    """Lists of labelled images of VOC: the fixed one of 100, parts of it, and others of `train` beside it."""
    fixed = read_lines(HERE / "labelled_100.txt")
    others = sorted({record.id for record in open_dataset(data, "train")} - set(fixed))
    order = [*np.random.default_rng(0).permutation(fixed), *np.random.default_rng(1).permutation(others)]

    def listed(count: int) -> Path:
        if count == len(fixed):
            return HERE / "labelled_100.txt"
        path = runs / f"labelled_{count}.txt"
        atomic_write(path, "\n".join(order[:count]).encode())
        return path

    return listed


def voc(data: Path, runs: Path, *overrides: str) -> Trainings:
    root = data / "voc12_subset"
    return Trainings(runs, root, open_dataset(root, "val"), lists(root, runs), ("tagged=[weak]", *overrides))


def score_main(data: Path, runs: Path) -> None:
    write("main", voc(data, runs).figures(MAIN, range(SEEDS)), MAIN)


def score_ablation(data: Path, runs: Path) -> None:
    write("ablation", voc(data, runs).figures(ABLATION, [0]), ABLATION, 1)


def score_labelled(data: Path, runs: Path) -> None:
    """By the number of labelled images; the others of `train` have tags."""
    trainings, figures = voc(data, runs), {}
    for row in (LABELS, MASKED, DUAL):
        for count in COUNTS:
            one = Row(row.name, row.overrides, count)
            modes = {mode.name: 100 * trainings.scores(one, 0, mode).mean_iou for mode in (MAP, CLOSED)}
            figures.setdefault(row.name, {})[f"{count} labelled"] = [max(modes.values())]
    write("labelled", figures, seeds=1)


def score_steps(data: Path, runs: Path) -> None:
    """The paper's grid: steps of inference in training, and steps on the image loss at test."""
    trainings, figures = voc(data, runs), {}
    for steps in T_TRAINING:
        paper = Row(f"the paper, t_tr = {steps}", (twice(PAPER % (steps, "true")),))
        for row in (paper,) if steps < T_TRAINING[-1] else (paper, DUAL):
            figures[row.name] = {
                f"t_ts = {steps}": [100 * trainings.scores(row, 0, at_test(steps)).mean_iou] for steps in T_TEST
            }
            figures[row.name]["closed form"] = [100 * trainings.scores(row, 0, CLOSED).mean_iou]
    write("steps", figures, seeds=1)


def at_test(steps: int) -> Mode:
    """The paper's inference."""
    if not steps:
        return MAP
    return Mode(f"t_ts = {steps}", PredictOptions(closed_form=False, inference_steps=steps, quiet=True))


def score_msrc(data: Path, runs: Path) -> None:
    """Fifty labelled images of MSRC-21, which has no background; the other training images have tags."""
    root = data / "msrc21"
    path = runs / "msrc" / "labelled.txt"
    everyone = sorted(record.id for record in open_dataset(root, "train"))
    atomic_write(path, "\n".join(np.random.default_rng(0).permutation(everyone)[:50]).encode())
    trainings = Trainings(runs / "msrc", root, open_dataset(root, "val"), lambda count: path, ("tagged=[]",))
    write(
        "msrc", trainings.figures((LABELS, MAIN[1], MASKED, DUAL), range(SEEDS)), (LABELS, MAIN[1], MASKED, DUAL)
    )


DROP, WRONG = 0.3, 0.3
"""Share of the true tags that are dropped, and wrong ones for each true one."""


def score_noise(data: Path, runs: Path) -> None:
    """Tags with noise, as they are and cleaned; the cleaner and the trainings are not told how noisy they are."""
    trainings = voc(data, runs)
    root = data / "voc12_subset"
    everyone = open_dataset(root, "train")
    labelled = set(read_lines(trainings.labelled(100)))
    others = everyone.subset({record.id for record in everyone} - labelled)
    true: dict[tuple[str, str], Tags] = {
        ("train", record.id): dict.fromkeys(classes_in(others, record)[1:], 1.0) for record in others
    }
    true |= {("weak", record.id): record.tags or {} for record in open_dataset(root, "weak")}
    rates: dict[str, dict[str, list[float]]] = {"given": {}, "cleaned": {}}
    scores: dict[str, dict[str, list[float]]] = {}
    for seed in range(SEEDS):
        given = corrupt_tags(true, DROP, WRONG, seed)
        folder = runs / "noisy" / str(seed)
        noisy = _with_tags(root, folder / "data", given)
        cleaned, found = _cleaned(noisy, folder / "cleaned", trainings.labelled(100))
        for name, tags in (("given", given), ("cleaned", cleaned)):
            for title, value in agreement(tags, true).items():
                rates[name].setdefault(title, []).append(value)
        kept = sum(name in given[key] for key, names in true.items() for name in names)
        for name, drop, wrong in (
            ("given", 1 - kept / sum(map(len, true.values())), 1 - kept / sum(map(len, given.values()))),
            ("cleaned", found.drop, found.wrong),
        ):
            rates[name].setdefault("true classes not given, % (estimated)", []).append(100 * drop)
            rates[name].setdefault("given tags that are wrong, % (estimated)", []).append(100 * wrong)
        for row in (MASKED, DUAL):
            for which, file in (("noisy", noisy / "tags.json"), ("cleaned", folder / "cleaned" / "tags.json")):
                name = f"{row.name}, {which} tags" if which == "cleaned" else row.name
                one = Row(f"{row.name}, {which} {seed}", (*row.overrides, f"tags={file}"))
                for title, values in trainings.figures((one,), [seed])[one.name].items():
                    scores.setdefault(name, {}).setdefault(title, []).extend(values)
    write("tags", rates)
    write("noise", scores)


def _with_tags(root: Path, folder: Path, tags: Mapping[tuple[str, str], Tags]) -> Path:
    """A data set with the same images, and other tags."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("images", "labels", "dataset.yaml"):
        if not (folder / name).exists():
            (folder / name).symlink_to((root / name).resolve())
    write_tags(folder / "tags.json", {s: {i: one for (t, i), one in tags.items() if t == s} for s, _ in tags})
    return folder


def _cleaned(root: Path, out: Path, labelled: Path) -> tuple[dict[tuple[str, str], Tags], TagCleaning]:
    """Cleaned tags, without those of labelled images, and what was estimated."""
    if not (out / "results.json").is_file():
        clean_tags(root, out, CleanTagsOptions(("train", "weak"), "train", labelled, quiet=True))
    found = read_results(out / "results.json")
    assert isinstance(found, TagCleaning)
    trusted = set(read_lines(labelled))
    tags = read_tags(out / "tags.json", open_dataset(root, "train").classes)
    return {(s, i): one for s, of in tags.items() for i, one in of.items() if i not in trusted}, found


def agreement(tags: Mapping[tuple[str, str], Tags], true: Mapping[tuple[str, str], Tags]) -> dict[str, float]:
    """F1, precision and recall of all tags with a score above 0.5, in points."""
    pairs = {(key, name) for key, one in tags.items() for name, score in one.items() if score > 0.5}
    there = {(key, name) for key, one in true.items() for name in one}
    right = len(pairs & there)
    return {
        "F1": 200 * right / (len(pairs) + len(there)),
        "precision": 100 * right / len(pairs),
        "recall": 100 * right / len(there),
    }


def score_trained_encoder(data: Path, runs: Path) -> None:
    """A third as many steps, in which the encoder is trained too."""
    options = (
        "frozen=false",
        "pretraining=[200, 100, 100]",
        "optimisation.steps=60",
        "optimisation.encoder_lr=2e-4",
    )
    rows = LABELS, MASKED, DUAL
    write("trained_encoder", voc(data, runs / "trained_encoder", *options).figures(rows, [0]), rows, 1)


def write(name: str, figures: Mapping[str, object], rows: Sequence[Row] = (), seeds: int = SEEDS) -> None:
    write_raw(HERE / f"{name}.json", figures, range(seeds), [row.name for row in rows])
    print(table(f"{HERE.name}/{name}"))


TABLES: dict[str, Callable[[Path, Path], None]] = {
    "main": score_main,
    "ablation": score_ablation,
    "labelled": score_labelled,
    "steps": score_steps,
    "msrc": score_msrc,
    "noise": score_noise,
    "trained_encoder": score_trained_encoder,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Score dual image segmentation.")
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/dual"), help="folder for what is trained")
    arguments = parser.parse_args()
    TABLES[arguments.table](arguments.data, arguments.runs)


if __name__ == "__main__":
    main()
