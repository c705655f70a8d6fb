"""Images a second, start-up and memory of `segmend refine`, in one process and over Ray on this machine.

    python benchmarks/ray/run.py --data DATA [--images 120]

Masks of the VOC 2012 subset, made ragged, are refined by the universal refiner: locally, and by 1 and 2 actors of
a Ray cluster of this machine. Each row runs in a process of its own, twice, in turn; the quicker time counts, as a
machine may have other work. The files of all rows must be the same.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from segmend.data.dataset import open_dataset  # noqa: E402
from segmend.jobs.pipeline import LOCAL, Engine, Outcome, Worker  # noqa: E402
from segmend.jobs.progress import Progress  # noqa: E402
from segmend.jobs.ray_engine import RayEngine  # noqa: E402
from segmend.jobs.refine import RefineOptions, open_pairs, refine  # noqa: E402
from segmend.process import keep_memory, wait_briefly  # noqa: E402
from segmend.refiners import load  # noqa: E402

ROWS: dict[str, int | None] = {"local": None, "ray, 1 worker": 1, "ray, 2 workers": 2}
"""Rows, and their number of actors."""

REPEATS = 2

EVERY = 0.5
"""Seconds between looks at the memory."""


@dataclass
class Clock:
    """Notes when images are finished."""

    times: list[float] = field(default_factory=list)

    def advance(self, note: str = "") -> None:
        self.times.append(time.perf_counter())

    def found(self, steps: int = 1) -> None:
        assert not steps, "an earlier run's files are in the way"


@dataclass
class Timed:
    """An engine whose progress goes to a clock."""

    engine: Engine
    clock: Clock = field(default_factory=Clock)

    def run(self, worker: Worker[Any, Any, Any], items: Sequence[Any], progress: Progress) -> Outcome:
        return self.engine.run(worker, items, self.clock)


def prepare(data: Path, folder: Path, count: int) -> None:
    """Link images, and write their masks, made ragged."""
    import torch

    from segmend.data.corruptions import fill_void, ragged
    from segmend.data.masks import write_labels

    dataset = open_dataset(data / "voc12_subset", "train")
    (folder / "images").mkdir()
    torch.manual_seed(0)
    for record in dataset.records[:count]:
        assert record.image is not None
        (folder / "images" / record.image.name).symlink_to(record.image.resolve())
        labels = fill_void(torch.from_numpy(dataset.labels(record)))
        write_labels(folder / "masks" / f"{record.id}.png", ragged(labels, 6, 24).numpy())


def measure(folder: Path, out: str, workers: int | None) -> dict[str, float]:
    """Refine the prepared folder.

    Args:
        out: name of the output folder in it.
        workers: actors of Ray; None: locally.

    Returns:
        ``seconds`` in all, without the look at the folder; ``images_per_second`` between the first and the last
        images that came back.
    """
    keep_memory()  # as the command does
    engine = Timed(LOCAL if workers is None else RayEngine(workers))
    refiner = load("universal")
    pairs, _ = open_pairs(folder / "images", folder / "masks", refiner, 21)
    start = time.perf_counter()
    run = refine(refiner, pairs, folder / out, RefineOptions(precision="32", quiet=True), engine=engine)
    assert not run.skipped
    times = engine.clock.times
    late = [at for at in times if at > times[0] + 0.5]  # groups of images come back together
    rate = len(late) / (times[-1] - times[0])
    total = run.seconds["total"]
    look = time.perf_counter() - start - total
    return {"images": run.done, "seconds": total, "images_per_second": rate, "look_seconds": look}


def memory(process: int) -> float:
    """Memory of a process and of all that it started, in MB; what several share counts once."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    family, more = {process}, {process}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - family
        family |= more
    total = 0
    for one in family:
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--images", type=int, default=120, help="how many")
    arguments = parser.parse_args()
    wait_briefly()  # for the processes of the rows
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(arguments.data, folder, arguments.images)
        for repeat, row in itertools.product(range(REPEATS), ROWS):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
                running = own.submit(measure, folder, f"{row}, {repeat}", ROWS[row])
                (process,) = own._processes
                peak = 0.0
                while not running.done():
                    peak = max(peak, memory(process))
                    time.sleep(EVERY)
                found = {**running.result(), "peak_mb": peak}
            print(row, found, flush=True)
            figures[row] = min(found, figures.get(row, found), key=lambda one: one["seconds"])
        outputs = [folder / f"{row}, {repeat}" / "labels" for row in ROWS for repeat in range(REPEATS)]
        written = [[path.read_bytes() for path in sorted(labels.iterdir())] for labels in outputs]
        assert all(files == written[0] for files in written)

    from raw import write_raw
    from tables import engines

    write_raw(HERE / "results.json", figures)
    print(engines(f"{HERE.name}/results"))


if __name__ == "__main__":
    main()
