"""All steps on a synthetic data set, in a few minutes on a laptop: corrupt, refine, train, evaluate, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segmend.data.corruptions import Corruption
from segmend.data.dataset import Dataset, open_dataset
from segmend.data.files import check_claim, write_json
from segmend.data.images import write_image
from segmend.data.maps import read_map
from segmend.data.probabilities import write_probabilities
from segmend.data.synthetic import generate_dataset
from segmend.jobs.evaluate import evaluate
from segmend.jobs.progress import bar
from segmend.jobs.refine import RefineOptions, open_pairs, refine
from segmend.jobs.train import train
from segmend.refiners import load
from segmend.report.page import write_report
from segmend.report.results import Evaluation
from segmend.training.options import Augmentation, CoarseOptions, DataOptions, Optimisation
from segmend.training.tasks.corrector import CorrectorRecipe, ECNOptions

MARKER = "demo.json"
"""The file that marks a folder as the demo's."""

SHOWN = (0.1, 0.5, 0.9)
"""The images in ``before_after.png``, by rank of their gain: 0 is the largest gain, 1 the smallest."""


@dataclass(frozen=True)
class Shown:
    """The result of one refiner.

    Attributes:
        report: the report (an HTML file).
        scores: of the validation images, which are in no training.
    """

    report: Path
    scores: Evaluation


def demo(out: Path, seed: int = 0, quiet: bool = False) -> tuple[Shown, Shown]:
    """Generate a data set, corrupt its masks, and refine those of the split ``val`` in two ways.

    Returns:
        The results of the universal refiner, and of a corrector trained on the split ``train``.
    """
    check_claim(out, MARKER, {"seed": seed})
    write_json(out / MARKER, {"seed": seed})
    data = out / "data"
    generate_dataset(data, train=240, val=40, seed=seed)
    for split in ("train", "val"):
        corrupt(open_dataset(data, split), out / "coarse" / split, seed, quiet)
    untrained = refine_and_evaluate("universal", data, out / "coarse" / "val", out / "universal", quiet)
    corrector = out / "corrector"
    train(recipe(data, out / "coarse" / "train", seed), corrector, quiet=quiet)
    trained = refine_and_evaluate(str(corrector), data, out / "coarse" / "val", out, quiet)
    by_gain = sorted(trained.scores.per_image, key=lambda image: image.gain or 0.0, reverse=True)
    shown = [by_gain[round(share * (len(by_gain) - 1))].id for share in SHOWN]
    truth = open_dataset(data, "val")
    rows = [before_after(truth, out / "coarse" / "val", out / "refined", identity) for identity in shown]
    write_image(out / "before_after.png", np.concatenate(rows))
    return untrained, trained


def refine_and_evaluate(name: str, data: Path, coarse: Path, out: Path, quiet: bool) -> Shown:
    """Refine the split ``val`` of `data`, evaluate the result and write a report into `out`.

    Args:
        name: the refiner, as `segmend.refiners.load` takes it.
        coarse: folder of the coarse maps.
    """
    refiner, truth = load(name), open_dataset(data, "val")
    pairs, _ = open_pairs(data / "images" / "val", coarse, refiner)
    refine(refiner, pairs, out / "refined", RefineOptions(details=True, quiet=quiet), name=name)
    results = out / "results.json"
    scores = evaluate(truth, out / "refined" / "labels", coarse, results, quiet)
    return Shown(write_report(results), scores)


def before_after(truth: Dataset, coarse: Path, refined: Path, identity: str) -> np.ndarray:
    """Image, coarse map, refined map and ground truth side by side: ``uint8 [H + 6, 4 (W + 6), 3]``, framed."""
    record = truth.subset({identity}).with_coarse(coarse).records[0]
    colours = np.array([*truth.classes.palette, (255, 255, 255)], dtype=np.uint8)
    rough = truth.with_coarse(coarse).coarse(record).argmax(axis=0)
    maps = [rough, read_map(refined / "labels" / f"{identity}.png", truth.classes), truth.labels(record)]
    image = truth.image(record)
    panels = [image, *(colours[np.minimum(m, len(truth.classes))] for m in maps)]
    framed = [np.pad(panel, ((3, 3), (3, 3), (0, 0)), constant_values=255) for panel in panels]
    return np.concatenate(framed, axis=1)


def recipe(data: Path, coarse: Path, seed: int = 0, steps: int = 250) -> CorrectorRecipe:
    """The corrector: an ECN of quarter width, trained on coarse maps and on corrupted ground truth."""
    return CorrectorRecipe(
        data=DataOptions(root=data, train="train"),
        coarse=CoarseOptions(train=coarse, truth_share=0.5),
        ecn=ECNOptions(width="quarter", max_displacement=16, residual=True, coarse_weight=0.3),
        augmentation=Augmentation(crop=128, scale=(0.8, 1.25)),
        optimisation=Optimisation(
            steps=steps, optimiser="adamw", lr=2e-3, schedule="cosine", warmup=10, seed=seed
        ),
    )


def corrupt(dataset: Dataset, folder: Path, seed: int, quiet: bool = False) -> None:
    """Write a coarse probability map for each image: its ground truth, corrupted."""
    corruption = Corruption()
    with bar("corrupt", len(dataset), quiet) as progress, torch.random.fork_rng(devices=[]):
        for index, record in enumerate(dataset):
            torch.manual_seed(int(np.random.SeedSequence((seed, index)).generate_state(1)[0]))
            coarse = corruption.of_truth(torch.from_numpy(dataset.labels(record)), len(dataset.classes))
            write_probabilities(folder / f"{record.id}.npz", coarse.numpy())
            progress.advance()
