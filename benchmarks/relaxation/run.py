"""CamVid: relaxed cross-entropy and class-uniform sampling, on its labels and on labels whose contours moved.

python benchmarks/relaxation/run.py
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from segmend.data.damage import wobble
from segmend.data.dataset import open_dataset, write_description
from segmend.data.files import copy_whole, write_labels
from segmend.labels import one_hot

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA, replace_table  # noqa: E402
from trainings import Columns, Row, Trainings, mean_of  # noqa: E402

RARE = ("pole", "sign_symbol", "fence", "pedestrian", "bicyclist")

THIN = ("pole", "sign_symbol", "pedestrian", "bicyclist")
"""All borders, as wide as they are: relaxed, they need never be told from what is behind them."""

MOVED = (1.0, 3.0)
"""Pixels by which contours move, typically: drawn for each picture from this range."""

GRAIN = 24.0
"""Extent in pixels of what moves together."""

COLUMNS: Columns = {
    "mIoU": lambda o: 100 * o.scores.mean_iou,
    "rare classes": mean_of(RARE),
    "boundary IoU": lambda o: 100 * o.scores.boundary_iou,
    "trimap 3 px": lambda o: 100 * o.scores.trimap[2],
}


def move_contours(source: Path, root: Path) -> Path:
    """The training split with contours moved at random; kept where it is there already."""
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
        copy_whole(record.image, root / "images" / "train" / f"{record.id}{record.image.suffix}")
        write_labels(root / "labels" / "train" / f"{record.id}.png", moved.numpy().astype(np.uint8))
    write_description(root, "camvid_moved", dataset.classes)
    return root


def rows(moved: Path) -> tuple[Row, ...]:
    """Kinds of training on the labels as they are, and on labels whose contours moved."""
    strict, wider = (f"relaxation={{radius: {radius}, strict: [{', '.join(THIN)}]}}" for radius in (1, 2))
    uniform = "class_uniform=192"
    return (
        Row("cross-entropy"),
        Row("relaxed", ("relaxation={radius: 1}",)),
        Row("relaxed, thin classes strict", (strict,)),
        Row("class-uniform", (uniform,)),
        Row("relaxed, thin classes strict, class-uniform", (strict, uniform)),
        Row("contours moved: cross-entropy", (), moved),
        Row("contours moved: relaxed, thin classes strict", (strict,), moved),
        Row("contours moved: relaxed by 2 px, thin classes strict", (wider,), moved),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on CamVid with and without relaxation.")
    parser.add_argument("--data", type=Path, default=DATA / "camvid", help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs/relaxation"), help="folder for all that is made")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    moved = move_contours(arguments.data, arguments.runs / "moved")
    trainings = Trainings(arguments.runs, "fpn", arguments.data, open_dataset(arguments.data, "val"))
    text = trainings.table(rows(moved), COLUMNS, arguments.seeds, HERE / "camvid.json")
    replace_table(HERE.parents[1] / "docs" / "results.md", "relaxation", text)
    print(text)


if __name__ == "__main__":
    main()
