"""The refiner of masks on folders whose masks are all off in one way, on sets that its weights never saw.

python benchmarks/universal/masks.py [--seed N] [--ship]

A refiner is trained for each part of the training sets that is left out, and one on all of them. Each set is
scored by one that was not trained on it.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segmend.data.dataset import Dataset
from segmend.data.files import read_json, write_json
from segmend.devices import available_cores
from segmend.jobs.train import train
from segmend.metrics import BoundaryIoU, ConfusionMatrix, ShareChanged, mean_iou
from segmend.model_folder import load_model, read_config, save_model
from segmend.refiners import UNIVERSAL, BorderNetwork, DenseCRF, UniversalRefiner
from segmend.training.recipe import read_recipe
from segmend.training.tasks.border import BorderRecipe

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparison import DATA, RECIPES  # noqa: E402
from mask_constants import Constants, find_constants  # noqa: E402
from mask_folders import KINDS, SETS, Image, folder_of, known, opened  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import kinds_of_masks, model_card  # noqa: E402

PARTS = (
    ("dubai_aerial", "chase_vessels", "coffee_leaves"),
    ("dsb2018_nuclei", "pv_cells", "axon_sem"),
    ("nasa_micrographs", "voc12_subset", "davis"),
)
"""Training sets that are left out together."""

BEFORE, REFINED, MOVED, CRF = "before", "universal", "moved by the offset", "dense CRF, one setting"


@dataclass
class Score:
    """Scores of refined masks, and of the masks before."""

    counts: ConfusionMatrix
    boundary: BoundaryIoU
    changed: ShareChanged
    corrected: int = 0
    degraded: int = 0

    @classmethod
    def of(cls, classes: int) -> "Score":
        return cls(ConfusionMatrix(classes), BoundaryIoU(classes), ShareChanged(classes))

    def add(self, labels: Tensor, one: Image) -> None:
        truth = torch.from_numpy(one.truth)
        labels = labels.to(truth.dtype)
        self.counts.update(labels[None], truth[None])
        self.boundary.update(labels[None], truth[None])
        self.changed.update(labels, truth, one.mask)
        valid = truth != 255
        self.corrected += int(((labels == truth) & (one.mask != truth) & valid).sum())
        self.degraded += int(((labels != truth) & (one.mask == truth) & valid).sum())

    def figures(self, data: Dataset) -> dict[str, float]:
        return {
            "mIoU": 100 * float(mean_iou(self.counts.counts, data.scored_ids)),
            "boundary IoU": 100 * float(np.nanmean(self.boundary.compute())),
            "share degraded": 100 * float(self.changed.compute()[1]),
            "corrected": self.corrected,
            "degraded": self.degraded,
        }


def refined(
    images: list[Image], folder: Path, constants: Constants, classes: int
) -> Iterator[tuple[str, Image, Tensor]]:
    """Each image refined by each method."""
    universal, crf = known(folder, images, **constants._asdict()), DenseCRF()
    assert universal.folder is not None
    move = universal.folder.move
    for one in images:
        yield BEFORE, one, one.mask
        yield REFINED, one, universal.refine(one.image, one.mask, classes).labels
        yield MOVED, one, one.mask if move is None else torch.from_numpy(move(one.mask.numpy(), 255))
        yield CRF, one, crf.refine(one.image, one.mask, classes).labels


def scored(name: str, kind: str, folder: Path, constants: Constants, root: Path) -> dict[str, dict[str, float]]:
    """Figures of one set and kind, by method."""
    torch.set_num_threads(1)
    data = opened(root / name, "val")
    scores: dict[str, Score] = {}
    for method, one, labels in refined(folder_of(data, kind), folder, constants, len(data.classes)):
        scores.setdefault(method, Score.of(len(data.classes))).add(labels, one)
    return {method: score.figures(data) for method, score in scores.items()}


def trained(runs: Path, root: Path, seed: int, overrides: list[str], left_out: tuple[str, ...]) -> Path:
    """The folder of a refiner that was not trained on some sets, trained if it does not exist."""
    recipe = read_recipe(RECIPES / "universal_masks.yaml", [f"optimisation.seed={seed}", *overrides])
    assert isinstance(recipe, BorderRecipe)
    sets = [
        one.model_copy(update={"data": one.data.model_copy(update={"root": root / one.data.root.name})})
        for one in recipe.training_sets
        if one.data.root.name not in left_out
    ]
    folder = runs / "universal" / "masks" / "-".join(("without", *left_out) if left_out else ("all",)) / str(seed)
    train(recipe.model_copy(update={"training_sets": sets}), folder)
    return folder


OTHERS = tuple(name for name in SETS if not any(name in part for part in PARTS))
"""Sets that no refiner is trained on."""


def constants_of(folders: dict[tuple[str, ...], Path], root: Path) -> Constants:
    """Constants found for refiners by the sets that they leave out, kept with the one that leaves out none."""
    kept = folders[()] / "constants.json"
    if not kept.exists():
        by_set = {name: folder for part, folder in folders.items() for name in part or OTHERS if name != "davis"}
        write_json(kept, find_constants(by_set, root)._asdict())
    return Constants(**read_json(kept))


def ship(folder: Path, constants: Constants) -> None:
    """Put the refiner of masks into the package, beside its refiner of probability maps."""
    masks, shipped = load_model(BorderNetwork, folder), load_model(UniversalRefiner, UNIVERSAL)
    of_masks = {name: value for name, value in read_config(folder).items() if name != "type"}
    whole = UniversalRefiner(of_masks | constants._asdict(), read_config(UNIVERSAL)["maps"]).eval()
    whole.masks.load_state_dict(masks.state_dict())
    whole.maps.load_state_dict(shipped.maps.state_dict())
    save_model(whole, UNIVERSAL, model_card())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the refiner of masks, and score it.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for everything that is written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--part", type=int, help="only train the refiner that leaves out this part; 3: the whole")
    parser.add_argument(
        "--ship", action="store_true", help="put the whole one into the package, with a model card"
    )
    arguments = parser.parse_args()
    parts = [*PARTS, ()]
    train_without = partial(trained, arguments.runs, arguments.data, arguments.seed, arguments.overrides)
    if arguments.part is not None:
        train_without(parts[arguments.part])
        return
    folders = {part: train_without(part) for part in parts}
    constants = constants_of(folders, arguments.data)
    jobs = [(name, kind, folders[part]) for part in parts for name in part or OTHERS for kind in KINDS]
    figures = {}
    with ProcessPoolExecutor(available_cores(), multiprocessing.get_context("spawn")) as processes:
        found = [processes.submit(scored, *job, constants, arguments.data) for job in jobs]
        for (name, kind, _), job in zip(jobs, found, strict=True):
            figures[f"{SETS[name]}: {kind}"] = {"set": SETS[name], "masks": kind, "scores": job.result()}
            print(_line(figures[f"{SETS[name]}: {kind}"]), flush=True)
    write_raw(HERE / "masks.json", figures, (arguments.seed,))
    if arguments.ship:
        ship(folders[()], constants)
    print(kinds_of_masks("universal/masks"))


def _line(row: dict) -> str:
    before, *methods = row["scores"].items()
    gains = (f"{name} {scores['mIoU'] - before[1]['mIoU']:+.1f}" for name, scores in methods)
    return f"{row['set']}, {row['masks']}: {before[1]['mIoU']:.1f}, {', '.join(gains)}"


if __name__ == "__main__":
    main()
