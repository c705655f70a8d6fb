"""Speed and memory of `segmend refine`, every refiner in one run, each in a process of its own.

    python benchmarks/refine_speed/run.py [--masks]

Over 20 images of 500 x 375 with 21 classes and with 100, and over some of 2048 x 1024 with 19. The images are
synthetic, so the benchmark needs no data; networks have random weights, which cost as much as trained ones. With
`--masks` only folders of 48 masks are refined: too small ones, which are moved, and ragged ones; their time
includes the look at the folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

# Only what the command itself imports: anything else, imported where it is needed, would count as memory.
from segmend.devices import Precision, fast_bfloat16  # noqa: E402
from segmend.jobs.refine import RefineOptions, open_pairs, refine  # noqa: E402
from segmend.labels import Classes  # noqa: E402
from segmend.process import keep_memory, wait_briefly  # noqa: E402
from segmend.refiners import ECN, DenseCRF, GuidedFilter, Refiner, SpatialPropagation, load  # noqa: E402
from segmend.report.results import Run  # noqa: E402


@dataclass(frozen=True)
class Size:
    """A set of synthetic images and the refiners that refine it.

    Attributes:
        masks: how masks are off; None: coarse maps are probabilities.
    """

    height: int
    width: int
    classes: int
    images: int
    names: tuple[str, ...]
    masks: str | None = None

    @property
    def title(self) -> str:
        kind = "" if self.masks is None else f", {self.masks} masks"
        return f"{self.width} x {self.height}, {self.classes} classes{kind}"


SMALL = Size(
    375,
    500,
    21,
    20,
    (
        "dense CRF, 5 iterations",
        "guided filter",
        "random walker",
        "universal",
        "SPN for few images, one-way",
        "SPN for few images, three-way",
        "ECN for few images",
        "ECN full",
        "ECN half",
        "ECN quarter",
    ),
)
MANY_CLASSES = Size(375, 500, 100, 20, ("dense CRF, 5 iterations", "universal"))
MASKS = [Size(375, 500, 21, 48, ("dense CRF, 5 iterations", "universal"), kind) for kind in ("eroded", "ragged")]
LARGE = Size(1024, 2048, 19, 4, ("dense CRF, 5 iterations", "universal"))
# Measured in bfloat16 too, where the hardware multiplies it; elsewhere it is slower.
IN_BF16 = ("universal", "SPN for few images, three-way", "ECN for few images", "ECN full", "ECN half")


def make(name: str, count: int) -> Refiner:
    """The refiner of a row."""
    torch.manual_seed(0)
    kind, _, detail = name.partition(" ")
    if name == "guided filter":
        return GuidedFilter()
    if name == "random walker":
        from random_walker import RandomWalker

        return RandomWalker()
    if name == "universal":
        return load(name)
    if kind == "dense":
        return DenseCRF()
    classes = Classes.numbered(count)
    if kind == "ECN" and detail != "for few images":
        return ECN(classes, detail).eval()  # type: ignore[arg-type]

    from comparison import RECIPES

    from segmend.training.recipe import read_recipe
    from segmend.training.tasks.corrector import CorrectorRecipe

    if kind == "SPN":
        recipe = read_recipe(RECIPES / "spn_few_images.yaml")
        assert isinstance(recipe, CorrectorRecipe)
        assert recipe.spn is not None
        options = recipe.spn.model_dump(exclude={"features"}) | {"appearance": 1.0}
        return SpatialPropagation(classes, **(options | {"connections": 1 if "one" in detail else 3})).eval()
    recipe = read_recipe(RECIPES / "ecn_few_images.yaml")
    assert isinstance(recipe, CorrectorRecipe)
    assert recipe.ecn is not None
    return ECN(classes, **(recipe.ecn.model_dump(exclude={"features"}) | {"appearance": 1.0})).eval()


def prepare(folder: Path, size: Size) -> None:
    """Generate the images and their coarse maps, with a plane for each class."""
    from segmend.data.corruptions import Corruption, fill_void, grow, ragged
    from segmend.data.dataset import open_dataset
    from segmend.data.masks import write_labels
    from segmend.data.probabilities import write_probabilities
    from segmend.data.synthetic import CLASSES, generate_dataset

    assert len(CLASSES) <= size.classes
    generate_dataset(folder / "data", train=1, val=size.images, height=size.height, width=size.width)
    dataset = open_dataset(folder / "data", "val")
    torch.manual_seed(0)
    for record in dataset:
        labels = torch.from_numpy(dataset.labels(record))
        if size.masks is not None:
            filled = fill_void(labels)
            mask = grow(filled, -5, 0) if size.masks == "eroded" else ragged(filled, 6, 24)
            write_labels(folder / "coarse" / f"{record.id}.png", mask.numpy())
            continue
        write_probabilities(
            folder / "coarse" / f"{record.id}.npz", Corruption().of_truth(labels, size.classes).numpy()
        )


def measure(folder: Path, name: str, precision: Precision, count: int) -> tuple[Run, int, float, float]:
    """A run over the prepared images, the refiner's parameters, this process's peak memory in MB, and seconds."""
    keep_memory()  # as the command does
    refiner = make(name, count)
    pairs, _ = open_pairs(folder / "data" / "images" / "val", folder / "coarse", refiner, count)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as out:
        run = refine(refiner, pairs, Path(out), RefineOptions(precision=precision, quiet=True), name=name)
    parameters = sum(p.numel() for p in refiner.parameters()) if isinstance(refiner, nn.Module) else 0
    return run, parameters, peak_memory(), time.perf_counter() - start


def peak_memory() -> float:
    """In MB, of this process alone: the figure of `resource` begins with that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", action="store_true", help="only folders of masks")
    arguments = parser.parse_args()
    wait_briefly()  # for the processes of the rows
    figures = {}
    for size in MASKS if arguments.masks else (SMALL, MANY_CLASSES, LARGE):
        rows: list[tuple[str, Precision]] = [(name, "32") for name in size.names]
        if fast_bfloat16(torch.device("cpu")):
            rows += [(name, "bf16") for name in size.names if name in IN_BF16]
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), size)
            for name, precision in rows:
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
                    run, parameters, peak, seconds = own.submit(
                        measure, Path(folder), name, precision, size.classes
                    ).result()
                shown = name if precision == "32" else f"{name}, bf16"
                rate = run.images_per_second if size.masks is None else run.done / seconds
                print(f"{shown}, {size.title}: {rate:.2f} images a second", flush=True)
                pixels = f"{size.width} x {size.height}"
                kind = {} if size.masks is None else {"masks": size.masks}
                figures[f"{shown}, {size.title}"] = {
                    **{"refiner": shown, "size": pixels, "classes": size.classes, **kind},
                    **run.model_dump(mode="json", include={"done", "seconds"}),
                    **{"images_per_second": rate, "peak_mb": peak, "parameters": parameters},
                }

    from raw import write_raw
    from tables import refine_sizes

    write_raw(HERE / "results.json", figures)
    for title, table in refine_sizes(f"{HERE.name}/results").items():
        print(f"\n{title}:\n\n{table}")


if __name__ == "__main__":
    main()
