"""CamVid: relaxed cross-entropy and class-uniform sampling, on its labels and on labels whose contours are moved.

python benchmarks/relaxation/run.py
python benchmarks/relaxation/run.py --held-out folds
python benchmarks/relaxation/run.py --held-out drives
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from segmend.data.corruptions import wobble
from segmend.data.dataset import Dataset, open_dataset
from segmend.data.description import write_description
from segmend.data.files import atomic_copy
from segmend.data.masks import write_labels
from segmend.labels import one_hot
from segmend.metrics import confusion_matrix, trimap_confusion

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402
from trainings import Columns, Row, Trainings, mean_of  # noqa: E402

RECIPE = "fpn"

RARE = ("pole", "sign_symbol", "fence", "pedestrian", "bicyclist")

THIN = ("pole", "sign_symbol", "pedestrian", "bicyclist")
"""Classes that are borders all over. With relaxation, a network need not separate them from what is behind."""

DRIVES = ("0001TP", "0006R0", "0016E5")
"""Sequences of the training split. `val` is more of the last one; options were chosen on a part of the second."""

FOLDS = 3

MOVED = (1.0, 3.0)
"""Range in pixels of the typical displacement of contours, drawn for each image."""

GRAIN = 24.0
"""Extent in pixels of a part that moves as one."""

NEAR = 3
"""Pixels from a border within which errors are counted."""

COLUMNS: Columns = {
    "mIoU": lambda o: 100 * o.scores.mean_iou,
    "rare classes": mean_of(RARE),
    "boundary IoU": lambda o: 100 * o.scores.boundary_iou,
    "trimap 3 px": lambda o: 100 * o.scores.trimap[2],
}


def move_contours(source: Path, root: Path) -> Path:
    """The training split with contours moved at random; an existing one is kept."""
    if (root / "dataset.yaml").is_file():
        return root
    dataset = open_dataset(source, "train")
    for number, record in enumerate(dataset):
        torch.manual_seed(number)
        labels, void = dataset.labels(record), len(dataset.classes)  # void moves like a class
        map_ = one_hot(torch.from_numpy(np.where(labels == dataset.classes.void, void, labels)), void + 1)
        pixels = float(np.random.default_rng(number).uniform(*MOVED))
        moved = wobble(map_, pixels, GRAIN).argmax(dim=0)
        moved[moved == void] = dataset.classes.void
        assert record.image is not None
        atomic_copy(record.image, root / "images" / "train" / f"{record.id}{record.image.suffix}")
        write_labels(root / "labels" / "train" / f"{record.id}.png", moved.numpy().astype(np.uint8))
    write_description(root, "camvid_moved", dataset.classes)
    return root


def parts(dataset: Dataset, kind: str) -> dict[str, set[str]]:
    """IDs of the parts of the training split that are held out in turn: its ``folds``, or its ``drives``."""
    if kind == "drives":
        return {drive: {record.id for record in dataset if record.id.startswith(drive)} for drive in DRIVES}
    return {f"fold {i + 1}": {record.id for record in dataset.fold(i, FOLDS)[1]} for i in range(FOLDS)}


def hold_out(dataset: Dataset, ids: set[str], root: Path) -> Path:
    """The training split without a part (``train``), and that part (``val``); an existing one is kept."""
    if (root / "dataset.yaml").is_file():
        return root
    for record in dataset:
        assert record.image is not None
        assert record.labels is not None
        split = "val" if record.id in ids else "train"
        atomic_copy(record.image, root / "images" / split / record.image.name)
        atomic_copy(record.labels, root / "labels" / split / record.labels.name)
    write_description(root, f"{dataset.name}_held_out", dataset.classes)
    return root


def relaxed(radius: int, strict: tuple[str, ...] = ()) -> str:
    """The recipe's option for relaxation."""
    return f"relaxation={{radius: {radius}, strict: [{', '.join(strict)}]}}"


CROSS_ENTROPY = Row("cross-entropy")
THIN_STRICT = Row("relaxed, thin classes strict", (relaxed(1, THIN),))
CLASS_UNIFORM = Row("class-uniform", ("class_uniform=192",))

HELD_OUT = (CROSS_ENTROPY, THIN_STRICT, Row("relaxed, rare classes strict", (relaxed(1, RARE),)), CLASS_UNIFORM)
"""Trainings without a part of the training split."""


def rows(moved: Path) -> tuple[Row, ...]:
    """Trainings on the labels as they are, and on labels whose contours moved."""
    return (
        CROSS_ENTROPY,
        Row("relaxed", (relaxed(1),)),
        THIN_STRICT,
        CLASS_UNIFORM,
        Row("relaxed, thin classes strict, class-uniform", (*THIN_STRICT.overrides, *CLASS_UNIFORM.overrides)),
        Row("contours moved: cross-entropy", (), moved),
        Row("contours moved: relaxed, thin classes strict", (relaxed(1, THIN),), moved),
        Row("contours moved: relaxed by 2 px, thin classes strict", (relaxed(2, THIN),), moved),
    )


def errors_near_borders(truth: Dataset, labels: Path) -> float:
    """Percentage of the wrong pixels that lie within `NEAR` pixels of a label border of the ground truth."""
    near, whole = 0, 0
    maps = truth.with_coarse(labels)
    for record in maps:
        pair = maps.coarse(record), maps.labels(record), len(truth.classes)
        near += _wrong(trimap_confusion(*pair, NEAR)[-1])
        whole += _wrong(confusion_matrix(*pair))
    return 100 * near / whole


def _wrong(confusion: np.ndarray) -> int:
    return int(confusion.sum() - confusion.trace())


def held_out(source: Path, runs: Path, kind: str, seeds: int) -> None:
    """Score mIoU and mean IoU of rare classes on each part, of segmenters that were trained on the others."""
    whole = open_dataset(source, "train")
    trainings = {}
    for part, ids in parts(whole, kind).items():
        run = runs / part.replace(" ", "-")
        data = hold_out(whole, ids, run / "data")
        trainings[part] = Trainings(run, RECIPE, data, open_dataset(data, "val"))
    columns = {title: COLUMNS[title] for title in ("mIoU", "rare classes")}
    found = {part: one.figures(HELD_OUT, columns, seeds) for part, one in trainings.items()}
    figures = {
        row.name: {f"{part}, {title}": found[part][row.name][title] for title in columns for part in found}
        for row in HELD_OUT
    }
    shares = {
        part: [errors_near_borders(one.truth, one.labels(CROSS_ENTROPY, seed)) for seed in range(seeds)]
        for part, one in trainings.items()
    }
    write_raw(HERE / f"camvid_{kind}.json", figures, range(seeds), [row.name for row in HELD_OUT])
    write_raw(HERE / f"near_borders_{kind}.json", {CROSS_ENTROPY.name: shares}, range(seeds))
    print(table(f"{HERE.name}/camvid_{kind}"), table(f"{HERE.name}/near_borders_{kind}"), sep="\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on CamVid with and without relaxation.")
    parser.add_argument("--data", type=Path, default=DATA / "camvid", help="folder of the data set")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/relaxation"), help="folder for everything that is written"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", choices=("folds", "drives"), help="score parts of train instead")
    arguments = parser.parse_args()
    if arguments.held_out:
        held_out(arguments.data, arguments.runs / "held_out", arguments.held_out, arguments.seeds)
        return
    compared = rows(move_contours(arguments.data, arguments.runs / "moved"))
    trainings = Trainings(arguments.runs, RECIPE, arguments.data, open_dataset(arguments.data, "val"))
    figures = trainings.figures(compared, COLUMNS, arguments.seeds)
    write_raw(HERE / "camvid.json", figures, range(arguments.seeds), [row.name for row in compared])
    print(table(f"{HERE.name}/camvid"))


if __name__ == "__main__":
    main()
