"""Cases of sets that the weights are never trained on, segmenters' maps and corrupted ground truth, and scores."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tables import MEAN, SEGMENTERS
from torch import Tensor

from faces import PAIRS
from segmend import metrics
from segmend.data.corruptions import fill_void, low_resolution
from segmend.data.dataset import Dataset, Record, open_dataset, pair_coarse, pair_labels
from segmend.jobs.border_profiles import MEASURED, SAMPLED_MAPS, sampled
from segmend.labels import as_tensor, void_of
from segmend.metrics.confidence import BINS
from segmend.refiners import Refinement, Refiner
from segmend.refiners.base import EVERY

IMAGES = 20
"""Images of each set whose ground truth is corrupted."""

HELD_OUT = 60
"""Approximate number of images of each set on which constants are chosen."""

Coarsen = Callable[[Tensor, int], Tensor]
"""A coarse probability map ``[C, H, W]`` of true labels ``[H, W]`` and the number of classes."""


CORRUPTION: dict[str, Coarsen] = {
    f"1/{factor} resolution": lambda labels, count, factor=factor: low_resolution(fill_void(labels), count, factor)
    for factor in (8, 16)
}
"""Probability maps that are made from ground truth."""

REAL = (
    ("msrc21", "linear"),
    ("msrc21", "deeplab"),
    ("camvid", "linear"),
    ("celebamask_hq_mini", "unet_small"),
)
"""Data sets and segmenters."""


R = TypeVar("R", bound=Refiner)

MASKS = ", as masks"


@dataclass(frozen=True)
class Case:
    """Coarse maps of one kind over one set; `as_masks`: only their most likely labels are given."""

    name: str
    kind: str
    dataset: Dataset
    coarse: Callable[[Record, Tensor], Tensor]
    as_masks: bool = False


def cases(data: Path, runs: Path) -> Iterator[Case]:
    """Segmenters' maps first, then ground truth of low resolution."""
    for name, kind in REAL:
        root = runs / name / "data"
        dataset = open_dataset(root if root.is_dir() else data / name, "val")
        for case in of_segmenter(name, kind, dataset, runs / name / kind / "val"):
            yield from (case, replace(case, kind=f"{kind}{MASKS}", as_masks=True))
    for name in ("msrc21", "camvid", "fasseg_frontal", "celebamask_hq_mini"):
        dataset = open_dataset(data / name, "val")
        yield from corrupted(dataset.merged(PAIRS) if name == "celebamask_hq_mini" else dataset)


def held_out(data: Path, runs: Path) -> Iterator[Case]:
    """Segmenters' maps of images that the weights are not trained on and that no table scores."""
    for name, kind, split, folder in (
        ("voc12_subset", "linear", "val", "val"),
        ("msrc21", "linear", "train", "segmenter/out_of_fold"),
        ("msrc21", "deeplab", "train", "segmenter/out_of_fold"),
        ("camvid", "linear", "train", "segmenter/out_of_fold"),
    ):
        few = evenly(open_dataset(data / name, split), HELD_OUT)
        yield from of_segmenter(name, kind, few, runs / name / kind / folder)


def set_aside(data: Path) -> Iterator[Case]:
    """Ground truth of low resolution of images that the weights are not trained on and that no table scores."""
    for name in ("msrc21", "camvid", "fasseg_frontal"):
        yield from corrupted(open_dataset(data / name, "train"))


def of_segmenter(name: str, kind: str, dataset: Dataset, folder: Path) -> Iterator[Case]:
    """The maps of a segmenter over a data set, if they have been made."""
    if (folder / "probs").is_dir():
        maps = dataset.with_coarse(folder / "probs")
        yield Case(name, kind, maps, lambda record, labels: as_tensor(pair_coarse(maps, record)[1]))


def corrupted(dataset: Dataset) -> Iterator[Case]:
    """`IMAGES` of a set, corrupted in each way."""
    few = evenly(dataset, IMAGES)
    for kind, change in CORRUPTION.items():
        yield Case(dataset.name, kind, few, partial(_corrupted, change, len(dataset.classes)))


def evenly(dataset: Dataset, count: int) -> Dataset:
    """About `count` of its records, evenly spread, or all."""
    step = max(1, round(len(dataset) / count))
    return dataset.subset({record.id for record in dataset.records[::step]})


def _corrupted(change: Coarsen, count: int, record: Record, labels: Tensor) -> Tensor:
    torch.manual_seed(int(np.frombuffer(record.id.encode(), np.uint8).sum()))
    return change(labels, count)


@dataclass
class Score:
    """Scores of a refiner on a case in points, share of images degraded in percent, and `metrics.reliability`."""

    mean_iou: float
    boundary_iou: float
    degraded: float
    reliability: np.ndarray


def score(case: Case, refiners: dict[str, Refiner]) -> dict[str, Score]:
    """Scores of the coarse maps and of each refiner's."""
    count = len(case.dataset.classes)
    names = ["coarse", *refiners]
    refiners = {name: of_case(refiner, case) for name, refiner in refiners.items()}
    confusion = {name: np.zeros((count, count + 1), np.int64) for name in names}
    boundary = {name: np.zeros((2, count), np.int64) for name in names}
    own: dict[str, list[np.ndarray]] = {name: [] for name in names}
    bins = {name: np.zeros((BINS, 3)) for name in names}
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        valid = labels != void_of(labels)
        found = {"coarse": Refinement.of(coarse, coarse)}
        for name, refiner in refiners.items():
            found[name] = refiner.refine(image, coarse.argmax(dim=0) if case.as_masks else coarse, count)
        for name, refined in found.items():
            map_ = refined.labels.numpy()
            counts = metrics.confusion_matrix(map_, labels, count)
            confusion[name] += counts
            boundary[name] += metrics.boundary_iou_counts(map_, labels, count)
            own[name].append(metrics.image_scores(counts))
            bins[name] += metrics.reliability(refined.confidence.numpy()[valid], (map_ == labels)[valid])
    return {
        name: Score(
            100 * metrics.mean_iou(confusion[name]),
            100 * float(np.nanmean(metrics.boundary_iou(boundary[name]))),
            100 * metrics.share_changed(np.array(own["coarse"]), np.array(own[name]))[1],
            bins[name],
        )
        for name in names
    }


def of_case(refiner: R, case: Case) -> R:
    """The refiner, after it looked at some of the maps or masks."""
    few = sampled(case.dataset.records, MEASURED if case.as_masks else SAMPLED_MAPS)
    pairs = [pair_labels(case.dataset, record) for record in few]
    maps = [case.coarse(record, torch.from_numpy(labels)) for record, (_, labels) in zip(few, pairs, strict=True)]
    if not case.as_masks:
        return refiner.of_maps([map_[:, ::EVERY, ::EVERY] for map_ in maps])
    masks = [map_.argmax(dim=0).byte().numpy() for map_ in maps]
    return refiner.of_folder([image for image, _ in pairs], masks)


def by_hand(case: Case) -> bool:
    """Whether the maps are corrupted ground truth, not a segmenter's."""
    return case.kind in CORRUPTION


def figures_of(found: list[tuple[Case, list[dict[str, Score]]]]) -> dict[str, dict[str, Any]]:
    """What `raw.write_raw` keeps: gains over the coarse maps by case, then their means by kind.

    Args:
        found: scores of each case, a dictionary for each seed; what has no seed is in the first alone.
    """
    figures = {}
    for case, scores in found:
        gains = {name: _gains([seed for seed in scores if name in seed], name) for name in list(scores[0])[1:]}
        figures[f"{case.name}: {case.kind}"] = {
            **{"set": case.name, "coarse maps": case.kind, "coarse": scores[0]["coarse"].mean_iou},
            "gains": gains,
        }
    kinds: dict[str, list[dict]] = {}
    for case, _ in found:
        kind = case.kind if by_hand(case) else f"{SEGMENTERS}{MASKS}" if case.as_masks else SEGMENTERS
        kinds.setdefault(kind, []).append(figures[f"{case.name}: {case.kind}"]["gains"])
    for kind, rows in kinds.items():
        means = {
            name: {"mIoU": [statistics.mean(v) for v in zip(*(row[name]["mIoU"] for row in rows), strict=True)]}
            for name in rows[0]
        }
        figures[f"{MEAN}: {kind}"] = {"set": MEAN, "coarse maps": kind, "coarse": None, "gains": means}
    return figures


def _gains(seeds: list[dict[str, Score]], name: str) -> dict[str, list[float]]:
    """Gains over the coarse maps, a value for each seed."""
    return {
        "mIoU": [seed[name].mean_iou - seed["coarse"].mean_iou for seed in seeds],
        "boundary IoU": [seed[name].boundary_iou - seed["coarse"].boundary_iou for seed in seeds],
        "share degraded": [seed[name].degraded for seed in seeds],
    }
