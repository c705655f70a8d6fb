"""The class-agnostic refiner: trained by its recipe, scored on other sets, beside the dense CRF.

python benchmarks/universal/run.py [--ship]

Coarse maps of segmenters are those of benchmarks/refine_*; each set's script makes them.
"""

import argparse
import hashlib
import itertools
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from segmend.data.synthetic import generate_dataset
from segmend.devices import available_cores
from segmend.jobs.train import train
from segmend.metrics import calibration_error
from segmend.model_folder import load_model, read_config, save_model
from segmend.refiners import UNIVERSAL, DenseCRF, UniversalPropagation, UniversalRefiner, load
from segmend.training.recipe import read_recipe
from segmend.training.tasks.universal import UniversalRecipe

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparison import DATA, RECIPES  # noqa: E402
from map_constants import find_map_constants  # noqa: E402
from mosaics import write_mosaics  # noqa: E402
from raw import write_raw  # noqa: E402
from regions import write_regions  # noqa: E402
from scoring import Score, by_hand, cases, figures_of, held_out, score, set_aside  # noqa: E402
from tables import gains, model_card  # noqa: E402

REGIONS = 600
"""Images whose regions of one colour are labelled."""

MOSAICS = 300


def trained(data: Path, runs: Path, seed: int) -> Path:
    """The folder of the refiner of `recipes/universal.yaml` with a seed, trained if it does not exist."""
    folder = runs / "universal"
    voc, segmenter = data / "voc12_subset", runs / "voc12_subset" / "linear" / "segmenter"
    places = {"voc12_subset": voc, "davis": data / "davis"}
    made = {
        "mosaics": lambda root: write_mosaics(voc, segmenter, root, MOSAICS),
        "regions": lambda root: write_regions(voc / "images" / "weak", root, REGIONS),
        "synthetic": lambda root: generate_dataset(root, train=200, val=1),
    }
    for name, make in made.items():
        places[name] = folder / name
        if not places[name].is_dir():
            started = folder / f"{name}.part"
            shutil.rmtree(started, ignore_errors=True)
            make(started)
            started.rename(places[name])
    coarse = {
        "voc12_subset": segmenter / "out_of_fold" / "probs",
        "mosaics": folder / "mosaics" / "coarse" / "probs",
    }
    recipe = read_recipe(RECIPES / "universal.yaml", [f"optimisation.seed={seed}"])
    assert isinstance(recipe, UniversalRecipe)
    training_sets = []
    for source in recipe.training_sets:
        name = source.data.root.name
        at = source.data.model_copy(update={"root": places[name]})
        maps = source.coarse.model_copy(update={"train": coarse.get(name)})
        training_sets.append(source.model_copy(update={"data": at, "coarse": maps}))
    train(recipe.model_copy(update={"training_sets": training_sets}), folder / "refiner" / str(seed))
    return folder / "refiner" / str(seed)


def with_constants(folder: Path, data: Path, runs: Path) -> Path:
    """The folder of a trained refiner with its constants chosen (see `find_map_constants`)."""
    trained = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]
    place = runs / "universal" / "with_constants" / trained
    if place.is_dir():
        return place
    torch.set_num_threads(1)
    loaded = load(folder)
    model = loaded.maps if isinstance(loaded, UniversalRefiner) else loaded
    assert isinstance(model, UniversalPropagation)
    constants = find_map_constants(model, held_out(data, runs), set_aside(data))
    print(constants, flush=True)
    config = read_config(folder)
    of_model = {name: value for name, value in config.get("maps", config).items() if name != "type"}
    chosen = UniversalPropagation(**(of_model | constants._asdict())).eval()
    chosen.load_state_dict(model.state_dict())
    save_model(chosen, place)
    return place


def ship(folder: Path) -> None:
    """Put a trained refiner of probability maps into the package, beside its refiner of masks."""
    maps, shipped = load_model(UniversalPropagation, folder), load_model(UniversalRefiner, UNIVERSAL)
    of_maps = {name: value for name, value in read_config(folder).items() if name != "type"}
    whole = UniversalRefiner(read_config(UNIVERSAL)["masks"], of_maps).eval()
    whole.masks.load_state_dict(shipped.masks.state_dict())
    whole.maps.load_state_dict(maps.state_dict())
    save_model(whole, UNIVERSAL, model_card())


def draw_reliability(file: Path, counts: dict[str, np.ndarray]) -> None:
    """The share of correct labels over their confidence, a curve for each of `metrics.reliability`."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="grey", linewidth=1, linestyle="--")
    for name, bins in counts.items():
        pixels, confidence, correct = bins[bins[:, 0] > 0].T
        label = f"{name}: {100 * calibration_error(bins):.1f} points off"
        axes.plot(100 * confidence / pixels, 100 * correct / pixels, marker="o", markersize=4, label=label)
    axes.set(xlabel="confidence, percent", ylabel="correct labels, percent")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=100)


def scored(number: int, data: Path, runs: Path, folders: list[Path]) -> list[dict[str, Score]]:
    """Scores of one of `cases`, given by its number, so that another process can compute it. See `figures_of`."""
    torch.set_num_threads(1)
    case = next(itertools.islice(cases(data, runs), number, None))
    # Masks are refined by the network of the package, which was not trained on these sets.
    first, *others = ({"universal": load("universal" if case.as_masks else str(folder))} for folder in folders)
    return [score(case, refiners) for refiners in (first | {"dense CRF, one setting": DenseCRF()}, *others)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the class-agnostic refiner, and score it.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for everything that is written")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--refiners", type=Path, nargs="+", help="trained refiners (default: train one for each seed)"
    )
    parser.add_argument(
        "--ship", action="store_true", help="put the first one into the package, with a model card"
    )
    arguments = parser.parse_args()
    folders = arguments.refiners or [
        trained(arguments.data, arguments.runs, seed) for seed in range(arguments.seeds)
    ]
    compared, found = list(cases(arguments.data, arguments.runs)), []
    with ProcessPoolExecutor(available_cores(), multiprocessing.get_context("spawn")) as processes:
        choose = partial(with_constants, data=arguments.data, runs=arguments.runs)
        chosen = list(processes.map(choose, folders))
        work = partial(scored, data=arguments.data, runs=arguments.runs, folders=chosen)
        for case, scores in zip(compared, processes.map(work, range(len(compared))), strict=True):
            found.append((case, scores))
            gain = scores[0]["universal"].mean_iou - scores[0]["coarse"].mean_iou
            print(f"{case.name}, {case.kind}: {gain:+.2f}", flush=True)
    seeds = range(len(folders))
    write_raw(HERE / "results.json", figures_of(found), seeds)
    real = [scores[0] for case, scores in found if not by_hand(case) and not case.as_masks]
    if real:
        sums = {name: sum((scores[name].reliability for scores in real), np.zeros(())) for name in real[0]}
        write_raw(
            HERE / "calibration.json", {name: [100 * calibration_error(b)] for name, b in sums.items()}, (0,)
        )
        draw_reliability(HERE.parents[1] / "docs" / "results" / "universal_reliability.png", sums)
    if arguments.ship:
        ship(chosen[0])
    print(gains(f"{HERE.name}/results"))


if __name__ == "__main__":
    main()
