"""Speed and memory of `segmend refine`, every refiner in one run, each in a process of its own.

    python benchmarks/refine_speed/run.py

Over 20 images of 500 x 375 with 21 classes and with 100, and over some of 2048 x 1024 with 19. The package draws
the images, so the benchmark needs no data; networks have random weights, which cost as much as trained ones.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

# What the command does not load either: the rest is imported where it is needed, as it would count as memory.
from segmend.devices import Precision, fast_bfloat16  # noqa: E402
from segmend.jobs.refine import RefineOptions, open_pairs, refine  # noqa: E402
from segmend.labels import Classes  # noqa: E402
from segmend.process import keep_memory, wait_briefly  # noqa: E402
from segmend.refiners import ECN, DenseCRF, GuidedFilter, Refiner, SpatialPropagation, load  # noqa: E402
from segmend.report.results import Run  # noqa: E402


@dataclass(frozen=True)
class Size:
    """Images that are refined."""

    height: int
    width: int
    classes: int
    images: int
    names: tuple[str, ...]


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
LARGE = Size(1024, 2048, 19, 4, ("dense CRF, 5 iterations", "universal"))
# Where the hardware multiplies it; elsewhere it is slower.
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

    from segmend.training.recipe import RefinerRecipe, read_recipe

    if kind == "SPN":
        recipe = read_recipe(RECIPES / "spn_few_images.yaml")
        assert isinstance(recipe, RefinerRecipe)
        assert recipe.spn is not None
        options = recipe.spn.model_dump(exclude={"features"}) | {"appearance": 1.0}
        return SpatialPropagation(classes, **(options | {"connections": 1 if "one" in detail else 3})).eval()
    recipe = read_recipe(RECIPES / "ecn_few_images.yaml")
    assert isinstance(recipe, RefinerRecipe)
    assert recipe.ecn is not None
    return ECN(classes, **(recipe.ecn.model_dump(exclude={"features"}) | {"appearance": 1.0})).eval()


def prepare(folder: Path, size: Size) -> None:
    """Draw the images and corruption their truth, with room for all classes in the maps."""
    from segmend.data.corruptions import Corruption
    from segmend.data.dataset import open_dataset
    from segmend.data.probabilities import write_probabilities
    from segmend.data.synthetic import CLASSES, generate_dataset

    assert len(CLASSES) <= size.classes
    generate_dataset(folder / "data", train=1, val=size.images, height=size.height, width=size.width)
    dataset = open_dataset(folder / "data", "val")
    torch.manual_seed(0)
    for record in dataset:
        labels = torch.from_numpy(dataset.labels(record))
        write_probabilities(
            folder / "coarse" / f"{record.id}.npz", Corruption().of_truth(labels, size.classes).numpy()
        )


def measure(folder: Path, name: str, precision: Precision, count: int) -> tuple[Run, int, float]:
    """A run over the prepared images, the refiner's parameters, and the peak memory in MB of this process."""
    keep_memory()  # as the command does, which also settles how threads wait
    refiner = make(name, count)
    pairs, _ = open_pairs(folder / "data" / "images" / "val", folder / "coarse", refiner, count)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        run = refine(refiner, pairs, Path(out), RefineOptions(precision=precision, quiet=True), name=name)
    parameters = sum(p.numel() for p in refiner.parameters()) if isinstance(refiner, nn.Module) else 0
    return run, parameters, peak_memory()


def peak_memory() -> float:
    """In MB, of this process alone: what `resource` says begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def row(name: str, run: Run, parameters: int, peak: float) -> str:
    """A line of the table: rate, milliseconds an image by part, memory and parameters."""
    each = {part: 1000 * seconds / run.done for part, seconds in run.seconds.items()}
    idle = run.seconds["waited"] / run.seconds["total"]
    millions = f"{parameters / 1e6:.1f} M" if parameters else ""
    return (
        f"| {name} | {run.images_per_second:.2f} | {each['network']:.0f} | {each['read']:.0f} | "
        f"{each['write']:.0f} | {each['total']:.0f} | {idle:.1%} | {peak:.0f} | {millions} |"
    )


def main() -> None:
    from comparison import replace_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    wait_briefly()  # for the processes of the rows
    head = (
        "| refiner | images a second | network ms | reading ms | writing ms | total ms | network idle "
        "| peak MB | parameters |"
    )
    raw, tables = {}, []
    for size in (SMALL, MANY_CLASSES, LARGE):
        title = f"{size.images} images of {size.width} x {size.height}, {size.classes} classes"
        lines = [title + ":", "", head, "|---" * 9 + "|"]
        rows: list[tuple[str, Precision]] = [(name, "32") for name in size.names]
        if fast_bfloat16(torch.device("cpu")):
            rows += [(name, "bf16") for name in size.names if name in IN_BF16]
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), size)
            for name, precision in rows:
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
                    run, parameters, peak = own.submit(
                        measure, Path(folder), name, precision, size.classes
                    ).result()
                shown = name if precision == "32" else f"{name}, bf16"
                raw[f"{shown}, {size.width} x {size.height}, {size.classes} classes"] = run.model_dump(
                    mode="json", include={"done", "seconds", "images_per_second"}
                ) | {"peak_mb": peak}
                lines.append(row(shown, run, parameters, peak))
                print(lines[-1], flush=True)
        tables.append("\n".join(lines))
    (HERE / "results.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    replace_table(HERE.parents[1] / "docs" / "results.md", "refine speed", "\n\n".join(tables))


if __name__ == "__main__":
    main()
