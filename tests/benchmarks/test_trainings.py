"""Trainings beside each other, small: from the embedded data set to figures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from trainings import Row, Trainings, mean_of

from segmend.data.dataset import open_dataset
from segmend.data.masks import read_labels
from segmend.metrics import sparsity

FEW = ("optimisation.steps=2", "optimisation.batch=2", "optimisation.workers=0", "augmentation.crop=32")


def test_from_rows_to_figures(synthetic, tmp_path):
    truth = open_dataset(synthetic, "val")
    names = truth.classes.names
    trainings = Trainings(tmp_path, "face_parser", synthetic, truth, ("data.train=train", *FEW))
    rows = (Row("consensus"), Row("cross-entropy, slow", ("consensus=null", "optimisation.lr=1e-5")))
    columns = {"mIoU": lambda o: 100 * o.scores.mean_iou, "all": mean_of(names), "sparsity": lambda o: o.sparsity}
    raw = trainings.figures(rows, columns, seeds=2)
    assert list(raw) == ["consensus", "cross-entropy, slow"]
    assert all(len(values) == 2 for row in raw.values() for values in row.values())
    assert raw["consensus"]["mIoU"] != raw["cross-entropy, slow"]["mIoU"]
    folder = tmp_path / "cross-entropy-slow" / "1" / "maps" / "labels"
    torn = [
        sparsity(read_labels(folder / f"{record.id}.png")[0], truth.labels(record), len(names)) for record in truth
    ]
    assert raw["cross-entropy, slow"]["sparsity"][1] == sum(torn) / len(torn)
    (tmp_path / "consensus" / "0" / "maps" / "labels" / f"{truth.records[0].id}.png").stat()
    again = trainings.figures(rows[:1], columns, seeds=1)  # nothing is trained again
    assert again["consensus"]["mIoU"] == raw["consensus"]["mIoU"][:1]
