"""Train a segmenter with every tenth label of a video: with nothing else, and with propagated data.

python benchmarks/propagation/training.py
python benchmarks/propagation/training.py --curve --seeds 1
python benchmarks/propagation/training.py --davis --seeds 1
"""

import argparse
import sys
from pathlib import Path

from segmend.data.dataset import Dataset, open_dataset
from segmend.data.manifest import Mode
from segmend.jobs.labelled_video import open_video
from segmend.jobs.motions import make_motion
from segmend.jobs.propagate import PropagateOptions, propagate

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402
from trainings import Columns, Row, Trainings, mean_of  # noqa: E402

RECIPE = "fpn"
STEPS = 150
"""Of each training, a third of the recipe's: eleven images are learned sooner."""

EVERY = 10
DISTANCES = (1, 2, 3, 4, 5)
CHOSEN = 3
"""The paper's best distance with relaxation."""

THIN = ("pole", "sign_symbol", "pedestrian", "bicyclist")
RELAXED = f"relaxation={{radius: 1, strict: [{', '.join(THIN)}]}}"
"""Relaxation as chosen in ``benchmarks/relaxation``."""

TESTED = 3
"""Every so many images of CamVid's training split are scored."""

COLUMNS: Columns = {
    "mIoU": lambda o: 100 * o.scores.mean_iou,
    "thin classes": mean_of(THIN),
    "boundary IoU": lambda o: 100 * o.scores.boundary_iou,
}


def propagated(data: Path, out: Path, mode: Mode) -> Path:
    """The data set of every tenth frame of the run and of the frames around; an existing one is kept."""
    video = open_video(data / "images" / "val", data / "labels" / "val")
    options = PropagateOptions(mode=mode, steps=max(DISTANCES), every=EVERY)
    propagate(video, make_motion("learned"), out, options)
    return out


def tested(data: Path) -> Dataset:
    """Images of all drives of CamVid, none of them in the run."""
    whole = open_dataset(data, "train")
    return whole.subset({record.id for record in whole.records[::TESTED]})


def between(data: Path) -> Dataset:
    """The frames of DAVIS half way between the labelled ones."""
    whole = open_dataset(data, "val")
    sequences: dict[str, list[str]] = {}
    for record in whole:
        sequences.setdefault(record.id.partition("/")[0], []).append(record.id)
    return whole.subset({i for ids in sequences.values() for i in ids[EVERY // 2 :: EVERY]})


def with_data(distance: int, *more: str) -> tuple[str, ...]:
    share = ", share: 0.5" if distance else ""
    return (f"propagated={{distance: {distance}{share}}}", *more)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on CamVid with and without propagated data.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/propagation"), help="folder for what is written")
    parser.add_argument("--davis", action="store_true", help="train on DAVIS instead of CamVid")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--curve", action="store_true", help="train at all distances instead")
    arguments = parser.parse_args()
    data, runs, relaxed = arguments.data / "camvid", arguments.runs, RELAXED
    if arguments.davis:
        data, runs, relaxed = arguments.data / "davis", arguments.runs / "davis", "relaxation={radius: 1}"
    lp, jp = (propagated(data, runs / mode, mode) for mode in ("lp", "jp"))
    if arguments.curve:
        rows = tuple(
            Row(f"{name}, {distance}", with_data(distance, *more), jp)
            for distance in DISTANCES
            for name, more in (("JP", ()), ("JP, relaxed", (relaxed,)))
        )
    else:
        rows = (
            Row("labels alone", with_data(0), lp),
            Row("labels alone, relaxed", with_data(0, relaxed), lp),
            Row("LP", with_data(CHOSEN), lp),
            Row("LP, relaxed", with_data(CHOSEN, relaxed), lp),
            Row("JP", with_data(CHOSEN), jp),
            Row("JP, relaxed", with_data(CHOSEN, relaxed), jp),
        )
    overrides = (f"optimisation.steps={STEPS}",)
    columns = COLUMNS
    if arguments.davis:
        columns = {title: column for title, column in COLUMNS.items() if title != "thin classes"}
    trainings = Trainings(runs, RECIPE, lp, between(data) if arguments.davis else tested(data), overrides)
    figures = trainings.figures(rows, columns, arguments.seeds)
    name = ("curve" if arguments.curve else "training") + ("_davis" if arguments.davis else "")
    write_raw(HERE / f"{name}.json", figures, range(arguments.seeds), [row.name for row in rows])
    print(table(f"{HERE.name}/{name}"))


if __name__ == "__main__":
    main()
