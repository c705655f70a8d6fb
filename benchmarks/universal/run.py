"""The refiner of any classes: trained by its recipe, scored on sets that it never saw, beside the dense CRF.

python benchmarks/universal/run.py

Coarse maps of segmenters are those of benchmarks/refine_*; each set's script makes them.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from segmend.data.drawn import draw_dataset
from segmend.jobs.train import train
from segmend.metrics import calibration_error
from segmend.refiners import DenseCRF, Refiner, load
from segmend.training.recipe import UniversalRecipe, read_recipe

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparison import DATA, RECIPES, replace_table  # noqa: E402
from regions import write_regions  # noqa: E402
from scoring import DAMAGE, cases, score, table  # noqa: E402

REGIONS = 600
"""Pictures whose regions of one colour are learned from."""


def trained(data: Path, runs: Path) -> Refiner:
    """The refiner of `recipes/universal.yaml`, trained where it is not there yet."""
    folder = runs / "universal" / "refiner"
    drawn, coloured = runs / "universal" / "drawn", runs / "universal" / "regions"
    if not (drawn / "dataset.yaml").is_file():
        draw_dataset(drawn, train=200, val=1)
    if not (coloured / "dataset.yaml").is_file():
        write_regions(data / "voc12_subset" / "images" / "weak", coloured, REGIONS)
    recipe = read_recipe(RECIPES / "universal.yaml")
    assert isinstance(recipe, UniversalRecipe)
    places = {"voc12_subset": data / "voc12_subset", "davis": data / "davis", "drawn": drawn, "regions": coloured}
    sources = [
        source.model_copy(update={"data": source.data.model_copy(update={"root": places[source.data.root.name]})})
        for source in recipe.sources
    ]
    train(recipe.model_copy(update={"sources": sources}), folder)
    return load(folder)


def draw_reliability(file: Path, counts: dict[str, np.ndarray]) -> None:
    """The share of right labels over the confidence they had, a curve for each of `metrics.reliability`."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="grey", linewidth=1, linestyle="--")
    for name, bins in counts.items():
        pixels, confidence, right = bins[bins[:, 0] > 0].T
        label = f"{name}: {100 * calibration_error(bins):.1f} points off"
        axes.plot(100 * confidence / pixels, 100 * right / pixels, marker="o", markersize=4, label=label)
    axes.set(xlabel="confidence, percent", ylabel="right labels, percent")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the refiner of any classes, and score it.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for all that is made")
    parser.add_argument("--refiner", type=Path, help="a trained one (default: train)")
    arguments = parser.parse_args()
    universal = load(arguments.refiner) if arguments.refiner else trained(arguments.data, arguments.runs)
    refiners = {"universal": universal, "dense CRF, one setting": DenseCRF()}
    found = []
    for case in cases(arguments.data, arguments.runs):
        found.append((case, score(case, refiners)))
        print(table(found[-1:]).splitlines()[2], flush=True)
    text = table(found)
    real = [scores for case, scores in found if case.kind not in DAMAGE]
    if real:
        sums = {name: sum((scores[name].reliability for scores in real), np.zeros(())) for name in real[0]}
        draw_reliability(HERE.parents[1] / "docs" / "universal_reliability.png", sums)
    replace_table(HERE.parents[1] / "docs" / "results.md", "universal", text)
    print(text)


if __name__ == "__main__":
    main()
