"""Cases that no refiner has seen, segmenters' maps and corruption done by hand, and what refiners score there."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faces import PAIRS
from segmend import metrics
from segmend.data.corruptions import fill_void, grow, low_resolution, polygons, shifted
from segmend.data.dataset import Dataset, Record, open_dataset, pair_coarse, pair_labels
from segmend.labels import as_tensor, one_hot, void_of
from segmend.metrics.confidence import BINS
from segmend.refiners import Refinement, Refiner

IMAGES = 20
"""Of each set, for hand-made corruption."""

HELD_OUT = 150
"""Images of each set, at most about, on which coarse_weight is found."""

Coarsen = Callable[[Tensor, int], Tensor]
"""A coarse probability map ``[C, H, W]`` of true labels ``[H, W]`` and the number of classes."""


def hard(change: Callable[[Tensor], Tensor]) -> Coarsen:
    return lambda labels, count: one_hot(change(fill_void(labels)), count)


CORRUPTION: dict[str, Coarsen] = {
    "eroded, 3 px": hard(lambda labels: grow(labels, -3)),
    "eroded, 9 px": hard(lambda labels: grow(labels, -9)),
    "dilated, 3 px": hard(lambda labels: grow(labels, 3)),
    "dilated, 9 px": hard(lambda labels: grow(labels, 9)),
    "polygons, 20 corners": hard(lambda labels: polygons(labels, 20)),
    "polygons, 5 corners": hard(lambda labels: polygons(labels, 5)),
    "1/8 resolution": lambda labels, count: low_resolution(fill_void(labels), count, 8),
    "1/16 resolution": lambda labels, count: low_resolution(fill_void(labels), count, 16),
    "the truth": hard(lambda labels: labels),
    "off by one pixel": hard(lambda labels: shifted(labels, 1)),
}

SOFT = ("1/8 resolution", "1/16 resolution")
"""Kinds of `CORRUPTION` that are no masks."""

TOLD = {"eroded, 3 px": 3.0, "eroded, 9 px": 9.0, "dilated, 3 px": 3.0, "dilated, 9 px": 9.0}
"""Kinds of `CORRUPTION` that refiners refine once more when they know how many pixels borders are off."""

GOOD = ("the truth", "off by one pixel")
"""Kinds of `CORRUPTION` that leave little to refine, if anything."""

REAL = (
    ("msrc21", "linear"),
    ("msrc21", "deeplab"),
    ("camvid", "linear"),
    ("celebamask_hq_mini", "unet_small"),
)
"""Sets, and segmenters whose maps of them are refined."""


@dataclass(frozen=True)
class Case:
    """Coarse maps of one kind over one set, and how many pixels they are said to be off (0: nothing is said)."""

    name: str
    kind: str
    dataset: Dataset
    coarse: Callable[[Record, Tensor], Tensor]
    border_error_px: float = 0.0


def cases(data: Path, runs: Path) -> Iterator[Case]:
    """Real segmenters' maps first, then corruption done by hand, and some of it told."""
    for name, kind in REAL:
        root = runs / name / "data"
        dataset = open_dataset(root if root.is_dir() else data / name, "val")
        yield from of_segmenter(name, kind, dataset, runs / name / kind / "val")
    for name in ("msrc21", "camvid", "fasseg_frontal", "celebamask_hq_mini"):
        dataset = open_dataset(data / name, "val")
        changed = list(corrupted(dataset.merged(PAIRS) if name == "celebamask_hq_mini" else dataset))
        yield from [*changed, *told(changed)]


def told(changed: list[Case]) -> list[Case]:
    """Those of `TOLD`, told."""
    return [replace(c, kind=f"{c.kind}, told", border_error_px=TOLD[c.kind]) for c in changed if c.kind in TOLD]


def held_out(data: Path, runs: Path) -> Iterator[Case]:
    """Segmenters' maps of images that the refiner has not learned from, and that are not scored."""
    for name, kind, split, folder in (
        ("voc12_subset", "linear", "val", "val"),
        ("msrc21", "linear", "train", "segmenter/out_of_fold"),
        ("msrc21", "deeplab", "train", "segmenter/out_of_fold"),
        ("camvid", "linear", "train", "segmenter/out_of_fold"),
    ):
        few = evenly(open_dataset(data / name, split), HELD_OUT)
        yield from of_segmenter(name, kind, few, runs / name / kind / folder)


def set_aside(data: Path) -> tuple[list[Case], list[Case], list[Case]]:
    """Corruption done by hand to sets that the refiner does not learn from, and to images that are not scored.

    Soft maps, masks, and masks whose error is told.
    """
    found = [
        case
        for name in ("msrc21", "camvid", "fasseg_frontal")
        for case in corrupted(open_dataset(data / name, "train"))
    ]
    hard = [case for case in found if case.kind not in SOFT]
    return [case for case in found if case.kind in SOFT], hard, told(hard)


def of_segmenter(name: str, kind: str, dataset: Dataset, folder: Path) -> Iterator[Case]:
    """Its maps of a data set, where they are made."""
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
    """What one refiner makes of a case, in points, the share of images degraded, and `metrics.reliability`."""

    mean_iou: float
    boundary_iou: float
    degraded: float
    reliability: np.ndarray


def score(case: Case, refiners: dict[str, Refiner]) -> dict[str, Score]:
    """Scores of the coarse maps and of each refiner's."""
    count = len(case.dataset.classes)
    names = ["coarse", *refiners]
    confusion = {name: np.zeros((count, count + 1), np.int64) for name in names}
    boundary = {name: np.zeros((2, count), np.int64) for name in names}
    own: dict[str, list[float]] = {name: [] for name in names}
    sure = {name: np.zeros((BINS, 3)) for name in names}
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        known = labels != void_of(labels)
        found = {"coarse": Refinement.of(coarse, coarse)}
        for name, refiner in refiners.items():
            error = (case.border_error_px or None) if refiner.takes_border_error else None
            found[name] = refiner.refine(image, coarse, border_error_px=error)
        for name, refined in found.items():
            map_ = refined.labels.numpy()
            counts = metrics.confusion_matrix(map_, labels, count)
            confusion[name] += counts
            boundary[name] += metrics.boundary_iou_counts(map_, labels, count)
            own[name].append(metrics.mean_iou(counts))
            sure[name] += metrics.reliability(refined.confidence.numpy()[known], (map_ == labels)[known])
    return {
        name: Score(
            100 * metrics.mean_iou(confusion[name]),
            100 * float(np.nanmean(metrics.boundary_iou(boundary[name]))),
            100 * metrics.share_changed(np.array(own["coarse"]), np.array(own[name]))[1],
            sure[name],
        )
        for name in names
    }


def by_hand(case: Case) -> bool:
    """Whether its maps are corrupted truth, and not a segmenter's."""
    return case.kind in CORRUPTION or case.border_error_px > 0


def table(found: list[tuple[Case, list[dict[str, Score]]]]) -> str:
    """Markdown: gains over the coarse maps by case, and their means.

    Args:
        found: scores of each case, a dictionary a seed; what has no seed is in the first alone.
    """
    names = list(found[0][1][0])[1:]
    head = "".join(f" {name} | boundary | worse |" for name in names)
    lines = [f"| set | coarse maps | coarse |{head}", "|---" * (3 + 3 * len(names)) + "|"]
    for case, scores in found:
        cells = "".join(_gains([seed for seed in scores if name in seed], name) for name in names)
        lines.append(f"| {case.name} | {case.kind} | {scores[0]['coarse'].mean_iou:.1f} |{cells}")
    lines += [_mean_gains("segmenters", [s for c, s in found if not by_hand(c)], names)]
    for kind in dict.fromkeys(c.kind for c, _ in found if by_hand(c)):
        lines.append(_mean_gains(kind, [s for c, s in found if c.kind == kind], names))
    return "\n".join(line for line in lines if line)


def _gains(seeds: list[dict[str, Score]], name: str) -> str:
    overall = [seed[name].mean_iou - seed["coarse"].mean_iou for seed in seeds]
    border = [seed[name].boundary_iou - seed["coarse"].boundary_iou for seed in seeds]
    worse = statistics.mean(seed[name].degraded for seed in seeds)
    return f" {_signed(overall)} | {_signed(border)} | {worse:.1f} % |"


def _mean_gains(title: str, chosen: list[list[dict[str, Score]]], names: list[str]) -> str:
    """A row of means over cases; nothing where there are none."""
    cells = []
    for name in names if chosen else ():
        seeds = [number for number, seed in enumerate(chosen[0]) if name in seed]
        gains = [[case[s][name].mean_iou - case[s]["coarse"].mean_iou for case in chosen] for s in seeds]
        cells.append(f" {_signed([statistics.mean(gain) for gain in gains])} | | |")
    return f"| mean | {title} | |{''.join(cells)}" if cells else ""


def _signed(values: list[float]) -> str:
    """The mean, and half the range where there are several."""
    mean = f"{statistics.mean(values):+.2f}"
    return f"{mean} ± {(max(values) - min(values)) / 2:.2f}" if len(values) > 1 else mean
