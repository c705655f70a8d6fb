"""The refiner of masks on folders whose masks are all off in one way, on sets that its weights never saw.

python benchmarks/universal/masks.py [--seed N]

A refiner is trained for each part of the training sets that is left out, and one on all of them. Each set is
scored by one that was not trained on it.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmend.data.corruptions import blocky, fill_void, grow, grow_each, moved_by, polygons, ragged
from segmend.data.dataset import Dataset, open_dataset, pair_labels
from segmend.devices import available_cores
from segmend.jobs.train import train
from segmend.metrics import BoundaryIoU, ConfusionMatrix, ShareChanged, mean_iou
from segmend.refiners import DenseCRF, Refiner, load
from segmend.training.recipe import read_recipe
from segmend.training.tasks.border import BorderRecipe

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from comparison import DATA, RECIPES  # noqa: E402
from raw import write_raw  # noqa: E402

from faces import PAIRS  # noqa: E402

IMAGES = 16
"""Images of each set, evenly spread."""

SETS = {
    "msrc21": "MSRC-21",
    "camvid": "CamVid",
    "fasseg_frontal": "FASSEG",
    "celebamask_hq_mini": "CelebAMask-HQ",
    "ccp_clothing": "clothing",
    "voc12_subset": "VOC 2012 subset",
    "davis": "DAVIS",
    "dubai_aerial": "satellite",
    "dsb2018_nuclei": "nuclei",
    "chase_vessels": "retina vessels",
    "pv_cells": "solar cells",
    "nasa_micrographs": "micrographs",
    "axon_sem": "nerve tissue",
    "coffee_leaves": "leaves",
}
"""Names by folder; the split ``val`` of each is scored."""

PARTS = (
    ("dubai_aerial", "chase_vessels", "coffee_leaves"),
    ("dsb2018_nuclei", "pv_cells", "axon_sem"),
    ("nasa_micrographs", "voc12_subset", "davis"),
)
"""Training sets that are left out together."""

Corrupt = Callable[[Tensor, int, int], Tensor]
"""A mask without void, of the true one, the folder's largest class, and the number of the image."""

MIXTURE = ("eroded, 3 px", "dilated, 6 px", "polygons, 8 corners", "ground truth", "ragged", "shifted, 3 px")
KINDS: dict[str, Corrupt] = {
    "ground truth": lambda labels, largest, number: labels,
    **{f"eroded, {px} px": lambda labels, largest, number, px=px: grow(labels, -px, largest) for px in (3, 6, 9)},
    **{f"dilated, {px} px": lambda labels, largest, number, px=px: grow(labels, px, largest) for px in (3, 6, 9)},
    "each class eroded, 6 px": lambda labels, largest, number: grow_each(labels, -6),
    "each class dilated, 6 px": lambda labels, largest, number: grow_each(labels, 6),
    **{f"shifted, {px} px": lambda labels, largest, number, px=px: moved_by(labels, px, px) for px in (3, 6)},
    **{f"polygons, {n} corners": lambda labels, largest, number, n=n: polygons(labels, n) for n in (5, 8)},
    "ragged": lambda labels, largest, number: ragged(labels, 4, 12),
    "1/8 resolution": lambda labels, largest, number: blocky(labels, 8),
    "mixed kinds": lambda labels, largest, number: KINDS[MIXTURE[number % len(MIXTURE)]](labels, largest, number),
}

BEFORE, UNIVERSAL, MOVED, CRF = "before", "universal", "moved by the offset", "dense CRF, one setting"


class Image(NamedTuple):
    image: np.ndarray
    truth: np.ndarray
    mask: Tensor


@dataclass
class Score:
    """Scores of refined masks, and of the masks before."""

    counts: ConfusionMatrix
    boundary: BoundaryIoU
    changed: ShareChanged
    corrected: int = 0
    spoiled: int = 0

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
        self.spoiled += int(((labels != truth) & (one.mask == truth) & valid).sum())

    def figures(self, data: Dataset) -> dict[str, float]:
        return {
            "mIoU": 100 * float(mean_iou(self.counts.counts, data.scored_ids)),
            "boundary IoU": 100 * float(np.nanmean(self.boundary.compute())),
            "share degraded": 100 * float(self.changed.compute()[1]),
            "corrected": self.corrected,
            "spoiled": self.spoiled,
        }


def folder_of(data: Dataset, kind: str) -> list[Image]:
    """Images of a set whose masks are off in one way."""
    records = list(data)
    found = []
    for index in np.unique(np.linspace(0, len(records) - 1, min(IMAGES, len(records))).astype(int)):
        image, truth = pair_labels(data, records[index])
        found.append((image, truth, fill_void(torch.from_numpy(truth))))
    counts = sum(labels.flatten().long().bincount(minlength=256) for _, _, labels in found)
    largest = int(torch.as_tensor(counts).argmax())
    images = []
    for number, (image, truth, labels) in enumerate(found):
        torch.manual_seed(number)
        images.append(Image(image, truth, KINDS[kind](labels, largest, number)))
    return images


def known(folder: Path, images: list[Image], **constants: float) -> Refiner:
    """The refiner in a folder, with other constants where some are given, which knows what it will refine."""
    network = load(str(folder))
    for name, value in constants.items():
        setattr(network, name, value)
    return network.of_folder([one.image for one in images], [one.mask.numpy() for one in images])


def refined(images: list[Image], folder: Path, classes: int) -> Iterator[tuple[str, Image, Tensor]]:
    """Each image refined by each method."""
    universal, crf = known(folder, images), DenseCRF()
    assert universal.folder is not None
    move = universal.folder.move
    for one in images:
        yield BEFORE, one, one.mask
        yield UNIVERSAL, one, universal.refine(one.image, one.mask, classes).labels
        yield MOVED, one, one.mask if move is None else torch.from_numpy(move(one.mask.numpy(), 255))
        yield CRF, one, crf.refine(one.image, one.mask, classes).labels


def opened(root: Path, split: str) -> Dataset:
    data = open_dataset(root, split)
    return data.merged(PAIRS) if root.name == "celebamask_hq_mini" else data


def scored(name: str, kind: str, folder: Path, root: Path) -> dict[str, dict[str, float]]:
    """Figures of one set and kind, by method."""
    torch.set_num_threads(1)
    data = opened(root / name, "val")
    scores: dict[str, Score] = {}
    for method, one, labels in refined(folder_of(data, kind), folder, len(data.classes)):
        scores.setdefault(method, Score.of(len(data.classes))).add(labels, one)
    return {method: score.figures(data) for method, score in scores.items()}


def trained(runs: Path, root: Path, seed: int, left_out: tuple[str, ...], overrides: list[str]) -> Path:
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the refiner of masks, and score it.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for everything that is written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--part", type=int, help="only train the refiner that leaves out this part; 3: the whole")
    parser.add_argument("--refiner", type=Path, help="score this one on the sets that no part has, to try it")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    arguments = parser.parse_args()
    parts = (*PARTS, ())
    if arguments.part is not None:
        trained(arguments.runs, arguments.data, arguments.seed, parts[arguments.part], arguments.overrides)
        return
    jobs = []
    for left_out in parts:
        folder = arguments.refiner or trained(
            arguments.runs, arguments.data, arguments.seed, left_out, arguments.overrides
        )
        own = left_out or [name for name in SETS if not any(name in part for part in PARTS)]
        jobs += [(name, kind, folder) for name in own if name in arguments.sets for kind in arguments.kinds]
    figures = {}
    with ProcessPoolExecutor(available_cores(), multiprocessing.get_context("spawn")) as processes:
        found = [processes.submit(scored, *job, arguments.data) for job in jobs]
        for (name, kind, _), job in zip(jobs, found, strict=True):
            figures[f"{SETS[name]}: {kind}"] = {"set": SETS[name], "masks": kind, "scores": job.result()}
            print(_line(figures[f"{SETS[name]}: {kind}"]), flush=True)
    for kind in arguments.kinds:
        rows = [row for row in figures.values() if row["masks"] == kind]
        means = {m: np.mean([row["scores"][m]["mIoU"] for row in rows]) for m in rows[0]["scores"]}
        print(f"mean, {kind}:", ", ".join(f"{method} {mean:.1f}" for method, mean in means.items()))
    if arguments.refiner is None:
        write_raw(HERE / "masks.json", figures, (arguments.seed,))


def _line(row: dict) -> str:
    before, *methods = row["scores"].items()
    gains = (f"{name} {scores['mIoU'] - before[1]['mIoU']:+.1f}" for name, scores in methods)
    return f"{row['set']}, {row['masks']}: {before[1]['mIoU']:.1f}, {', '.join(gains)}"


if __name__ == "__main__":
    main()
