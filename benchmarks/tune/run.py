"""What `segmend tune` chooses by few good masks, and what it gains on other images.

python benchmarks/tune/run.py
"""

import argparse
import itertools
import statistics
import sys
from pathlib import Path

import numpy as np
import torch

from segmend.data.dataset import Dataset, open_dataset
from segmend.data.masks import write_labels
from segmend.jobs.tune import TuneOptions, candidates, decide, gain_of_all, score_candidates

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "universal")]

from comparison import DATA, folder_of  # noqa: E402
from mask_folders import KINDS, SETS  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

from segmend.data.corruptions import fill_void  # noqa: E402

CHOSEN = ("msrc21", "camvid", "fasseg_frontal")
"""Sets that the weights of the package never saw."""

SHOWN = ("ground truth", "eroded, 6 px")
POOL, SCORED = 12, 8
"""Images of the training split that good masks are drawn from, and of ``val``, on which choices are scored."""

SIZES = (5, 10)
DRAWS = 5


def coarse_of(data: Dataset, count: int, kind: str, out: Path) -> Dataset:
    """Some images of a split with masks that are off, written to a folder."""
    records = list(data)
    few = data.subset(
        {records[i].id for i in np.linspace(0, len(records) - 1, min(count, len(records))).astype(int)}
    )
    labels = {record.id: fill_void(torch.from_numpy(few.labels(record))) for record in few}
    largest = int(sum(one.flatten().long().bincount(minlength=256) for one in labels.values()).argmax())
    for number, (identity, one) in enumerate(labels.items()):
        torch.manual_seed(number)
        write_labels(out / f"{identity}.png", KINDS[kind](one, largest, number).numpy(), data.classes.palette)
    return few.with_coarse(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose refiners by few good masks.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for everything that is written")
    arguments = parser.parse_args()
    tried, options = candidates(0), TuneOptions(quiet=True)
    figures: dict[str, dict[str, list[float]]] = {}
    for name, kind in itertools.product(CHOSEN, SHOWN):
        counts = []
        for split, count in (("train", POOL), ("val", SCORED)):
            folder = arguments.runs / "tune" / name / folder_of(kind) / split
            data = coarse_of(open_dataset(arguments.data / name, split), count, kind, folder)
            counts.append(score_candidates(data, tried, data, options)[0])
        pool, scored = counts
        ids = data.scored_ids
        gains = 100 * gain_of_all(scored, ids)
        row = {
            "as it comes": [float(gains[1])],
            f"best of all {POOL}": [float(gains[gain_of_all(pool, ids).argmax()])],
        }
        rng = np.random.default_rng(0)
        for size in SIZES:
            drawn = [rng.choice(len(pool), min(size, len(pool)), replace=False) for _ in range(DRAWS)]
            found = [float(gains[decide(pool[some], ids)[0]]) for some in drawn]
            row[f"{size} masks"] = [statistics.mean(found)]
            row[f"{size} masks, lowest"] = [min(found)]
        figures[f"{SETS[name]}: {kind}"] = row
        print(f"{SETS[name]}: {kind}", {title: round(value[0], 2) for title, value in row.items()}, flush=True)
    write_raw(HERE / "results.json", figures)
    print(table("tune/results", "masks"))


if __name__ == "__main__":
    main()
