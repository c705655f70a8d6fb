"""Faces at 128 x 128 px: consensus inside blobs against cross-entropy, in the same recipe.

python benchmarks/consensus/run.py --classes three
python benchmarks/consensus/run.py --classes all
python benchmarks/consensus/run.py --classes three --longer
python benchmarks/consensus/run.py --classes all --longer
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from segmend.data.dataset import Dataset, open_dataset, write_description
from segmend.data.files import write_image, write_labels

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA, folder_of, replace_table  # noqa: E402
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
LONGER = 2000
"""Steps, instead of the 500 of other rows."""

COLUMNS: Columns = {
    "mIoU": lambda o: 100 * o.scores.mean_iou,
    "mean recall": lambda o: 100 * o.scores.mean_accuracy,
    "boundary IoU": lambda o: 100 * o.scores.boundary_iou,
    "sparsity": lambda o: o.sparsity,
}


def prepare(source: Path, root: Path, merged: dict[str, tuple[str, ...]]) -> Path:
    """The data set at 128 x 128 px in fewer classes, and splits of its first pictures; kept where it is there."""
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


def rows_of_losses() -> tuple[Row, ...]:
    """The paper's four, each loss without and with dropout and mirroring; and both losses in one."""
    losses = {"cross-entropy": PLAIN, "consensus": PAPERS, "consensus and cross-entropy": ()}
    bare = (Row(name, (*overrides, *BARE)) for name, overrides in losses.items())
    return (*bare, *(Row(f"{name}, dropout and mirror", overrides) for name, overrides in losses.items()))


def rows_of_longer() -> tuple[Row, ...]:
    """The losses without dropout and mirroring, for `LONGER` steps."""
    more = f"optimisation.steps={LONGER}"
    return tuple(Row(f"{r.name}, {LONGER} steps", (*r.overrides, more)) for r in rows_of_losses()[:3])


def rows_of_three() -> tuple[Row, ...]:
    """All losses, and with dropout and mirroring: other blobs, training sizes, weights of the consensus."""
    losses = rows_of_losses()
    areas = Row("consensus of connected areas, dropout and mirror", (*PAPERS, "consensus.blobs=areas"))
    sizes = (
        Row(f"{row.name}, {size} pictures", (*row.overrides, f"data.train=train_{size}"))
        for size in SIZES[:-1]
        for row in losses[3:]
    )
    betas = (Row(f"consensus, beta {beta}", (*PAPERS, f"consensus.beta={beta}")) for beta in BETAS if beta != 5)
    return (*losses, areas, *sizes, *betas)


ROWS = {"three": rows_of_three(), "all": rows_of_losses()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the face parser with and without consensus.")
    parser.add_argument("--data", type=Path, default=DATA / "celebamask_hq_mini", help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs/consensus"), help="folder for all that is made")
    parser.add_argument("--classes", choices=list(MERGED), default="three")
    parser.add_argument("--longer", action="store_true", help=f"the three losses alone, {LONGER} steps")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    runs = arguments.runs / arguments.classes
    data = prepare(arguments.data, runs / "data", MERGED[arguments.classes])
    truth: Dataset = open_dataset(data, "val")
    trainings = Trainings(runs, "face_parser", data, truth, (f"data.train=train_{SIZES[-1]}", *NARROW))
    rows, table = ROWS[arguments.classes], arguments.classes
    if arguments.longer:
        rows, table = rows_of_longer(), f"{table} longer"
    text = trainings.table(rows, COLUMNS, arguments.seeds, HERE / f"{folder_of(table)}.json")
    replace_table(HERE.parents[1] / "docs" / "results.md", f"consensus {table}", text)
    print(text)


if __name__ == "__main__":
    main()
