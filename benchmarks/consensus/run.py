"""Faces at 128 x 128 px: consensus inside blobs against cross-entropy, in the same recipe.

python benchmarks/consensus/run.py --table three
python benchmarks/consensus/run.py --table sizes
python benchmarks/consensus/run.py --table betas
python benchmarks/consensus/run.py --table all
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from segmend.data.dataset import Dataset, open_dataset
from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.masks import write_labels

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402
from trainings import Columns, Row, Trainings  # noqa: E402

from faces import NARROW, PAIRS  # noqa: E402

SIDE = 128
THREE = {
    "background": ("background", "hat", "earring", "necklace", "neck", "cloth"),
    "face": (
        *("skin", "nose", "eye_glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
        *("left_ear", "right_ear", "mouth", "upper_lip", "lower_lip"),
    ),
    "hair": ("hair",),
}
MERGED = {"three": THREE, "all": PAIRS}

SIZES = (50, 150, 600)
BETAS = (0, 1, 5, 20)

COLUMNS: Columns = {
    "mIoU": lambda o: 100 * o.scores.mean_iou,
    "mean recall": lambda o: 100 * o.scores.mean_accuracy,
    "boundary IoU": lambda o: 100 * o.scores.boundary_iou,
    "sparsity": lambda o: o.sparsity,
}


def prepare(source: Path, root: Path, merged: dict[str, tuple[str, ...]]) -> Path:
    """The data set at 128 x 128 px in fewer classes, and splits of its first images; an existing one is kept."""
    if (root / "dataset.yaml").is_file():
        return root
    for split in ("train", "val"):
        dataset = open_dataset(source, split).merged(merged)
        for number, record in enumerate(dataset):
            image = cv2.resize(dataset.image(record), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            labels = np.asarray(
                cv2.resize(dataset.labels(record), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST_EXACT)
            )
            splits = ["val"] if split == "val" else [f"train_{size}" for size in SIZES if number < size]
            for name in splits:
                write_image(root / "images" / name / f"{record.id}.png", image)
                write_labels(root / "labels" / name / f"{record.id}.png", labels, dataset.classes.palette)
    write_description(root, "faces", dataset.classes)
    return root


PLAIN = ("consensus=null",)
PAPERS = ("consensus.alpha=10", "consensus.beta=5", "consensus.cross_entropy=0")
BARE = ("arguments.dropout=0", "augmentation.mirror=false")
LOSSES = {"cross-entropy": PLAIN, "consensus": PAPERS, "consensus and cross-entropy": ()}


def rows_of_losses() -> tuple[Row, ...]:
    """The paper's four, each loss without and with dropout and mirroring, and both losses together."""
    bare = (Row(name, (*overrides, *BARE)) for name, overrides in LOSSES.items())
    return (*bare, *(Row(f"{name}, dropout and mirror", overrides) for name, overrides in LOSSES.items()))


def rows_of_all() -> tuple[Row, ...]:
    """The same, and both losses with a smaller weight of consensus, which suits many classes."""
    name, lighter = "alpha 1, beta 3 and cross-entropy", ("consensus.alpha=1", "consensus.beta=3")
    return (
        *rows_of_losses(),
        Row(name, (*lighter, *BARE)),
        Row(f"{name}, dropout and mirror", lighter),
    )


def rows_of_sizes() -> tuple[Row, ...]:
    """The losses with dropout and mirroring, on fewer images."""
    return tuple(
        Row(f"{name}, dropout and mirror, {size} images", (*overrides, f"data.train=train_{size}"))
        for size in SIZES[:-1]
        for name, overrides in LOSSES.items()
    )


def rows_of_betas() -> tuple[Row, ...]:
    """Consensus with dropout and mirroring, for several values of beta."""
    return tuple(Row(f"consensus, beta {beta}", (*PAPERS, f"consensus.beta={beta}")) for beta in BETAS)


TABLES = {
    "three": ("three", rows_of_losses()),
    "sizes": ("three", rows_of_sizes()),
    "betas": ("three", rows_of_betas()),
    "all": ("all", rows_of_all()),
}
"""Classes and rows of a table."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the face parser with and without consensus.")
    parser.add_argument("--data", type=Path, default=DATA / "celebamask_hq_mini", help="folder of the data set")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/consensus"), help="folder for everything that is written"
    )
    parser.add_argument("--table", choices=list(TABLES), default="three")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    classes, rows = TABLES[arguments.table]
    runs = arguments.runs / classes
    data = prepare(arguments.data, runs / "data", MERGED[classes])
    truth: Dataset = open_dataset(data, "val")
    trainings = Trainings(runs, "face_parser", data, truth, (f"data.train=train_{SIZES[-1]}", NARROW))
    figures = trainings.figures(rows, COLUMNS, arguments.seeds)
    write_raw(HERE / f"{arguments.table}.json", figures, range(arguments.seeds), [row.name for row in rows])
    print(table(f"{HERE.name}/{arguments.table}"))


if __name__ == "__main__":
    main()
