"""Cases that no refiner has seen, segmenters' maps and damage done by hand, and what refiners score there."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faces import PAIRS
from segmend import metrics
from segmend.data.damage import fill_void, grow, low_resolution, polygons, shifted
from segmend.data.dataset import Dataset, Record, open_dataset, pair_coarse, pair_labels
from segmend.labels import as_tensor, one_hot, void_of
from segmend.metrics.confidence import BINS
from segmend.refiners import Mended, Refiner

PICTURES = 20
"""Of each set, for hand-made damage."""

Coarsen = Callable[[Tensor, int], Tensor]
"""A coarse probability map ``[C, H, W]`` of true labels ``[H, W]`` and the number of classes."""


def hard(change: Callable[[Tensor], Tensor]) -> Coarsen:
    return lambda labels, count: one_hot(change(fill_void(labels)), count)


DAMAGE: dict[str, Coarsen] = {
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

REAL = (
    ("msrc21", "linear"),
    ("msrc21", "deeplab"),
    ("camvid", "linear"),
    ("celebamask_hq_mini", "unet_small"),
)
"""Sets, and segmenters whose maps of them are mended."""


@dataclass(frozen=True)
class Case:
    """Coarse maps of one kind over one set."""

    name: str
    kind: str
    dataset: Dataset
    coarse: Callable[[Record, Tensor], Tensor]


def cases(data: Path, runs: Path) -> Iterator[Case]:
    """Real segmenters' maps first, then damage done by hand."""
    for name, kind in REAL:
        root = runs / name / "data"
        dataset = open_dataset(root if root.is_dir() else data / name, "val")
        yield from of_segmenter(name, kind, dataset, runs / name / kind / "val")
    for name in ("msrc21", "camvid", "fasseg_frontal", "celebamask_hq_mini"):
        dataset = open_dataset(data / name, "val")
        yield from damaged(dataset.merged(PAIRS) if name == "celebamask_hq_mini" else dataset)


def held_out(data: Path, runs: Path) -> Iterator[Case]:
    """Segmenters' maps of pictures that the refiner has not learned from, and that are not scored."""
    for name, split, folder in (
        ("voc12_subset", "val", "linear/val"),
        ("msrc21", "train", "linear/segmenter/out_of_fold"),
    ):
        yield from of_segmenter(name, "linear", open_dataset(data / name, split), runs / name / folder)


def set_aside(data: Path) -> Iterator[Case]:
    """Damage done by hand to sets that the refiner does not learn from, and to pictures that are not scored."""
    for name in ("msrc21", "camvid", "fasseg_frontal"):
        yield from damaged(open_dataset(data / name, "train"))


def of_segmenter(name: str, kind: str, dataset: Dataset, folder: Path) -> Iterator[Case]:
    """Its maps of a data set, where they are made."""
    if (folder / "probs").is_dir():
        maps = dataset.with_coarse(folder / "probs")
        yield Case(name, kind, maps, lambda record, labels: as_tensor(pair_coarse(maps, record)[1]))


def damaged(dataset: Dataset) -> Iterator[Case]:
    """`PICTURES` of a set, damaged in each way."""
    step = max(1, len(dataset) // PICTURES)
    few = dataset.subset({record.id for record in dataset.records[::step]})
    for kind, change in DAMAGE.items():
        yield Case(dataset.name, kind, few, partial(_damaged, change, len(dataset.classes)))


def _damaged(change: Coarsen, count: int, record: Record, labels: Tensor) -> Tensor:
    torch.manual_seed(int(np.frombuffer(record.id.encode(), np.uint8).sum()))
    return change(labels, count)


@dataclass
class Score:
    """What one refiner makes of a case, in points, the share of pictures made worse, and `metrics.reliability`."""

    mean_iou: float
    boundary_iou: float
    made_worse: float
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
        found = {"coarse": Mended.of(coarse, coarse)}
        found |= {name: refiner.refine(image, coarse) for name, refiner in refiners.items()}
        for name, mended in found.items():
            map_ = mended.labels.numpy()
            counts = metrics.confusion_matrix(map_, labels, count)
            confusion[name] += counts
            boundary[name] += metrics.boundary_iou_counts(map_, labels, count)
            own[name].append(metrics.mean_iou(counts))
            sure[name] += metrics.reliability(mended.confidence.numpy()[known], (map_ == labels)[known])
    return {
        name: Score(
            100 * metrics.mean_iou(confusion[name]),
            100 * float(np.nanmean(metrics.boundary_iou(boundary[name]))),
            100 * metrics.share_changed(np.array(own["coarse"]), np.array(own[name]))[1],
            sure[name],
        )
        for name in names
    }


def table(found: list[tuple[Case, dict[str, Score]]]) -> str:
    """Markdown: gains over the coarse maps by case, and their means."""
    names = list(found[0][1])[1:]
    head = "".join(f" {name} | boundary | worse |" for name in names)
    lines = [f"| set | coarse maps | coarse |{head}", "|---" * (3 + 3 * len(names)) + "|"]
    for case, scores in found:
        before = scores["coarse"]
        cells = "".join(_gains(before, scores[name]) for name in names)
        lines.append(f"| {case.name} | {case.kind} | {before.mean_iou:.1f} |{cells}")
    for title, chosen in (
        ("segmenters", [s for c, s in found if c.kind not in DAMAGE]),
        ("damage", [s for c, s in found if c.kind in DAMAGE]),
    ):
        if chosen:
            means = [statistics.mean(s[name].mean_iou - s["coarse"].mean_iou for s in chosen) for name in names]
            lines.append(f"| mean | {title} | |" + "".join(f" {mean:+.1f} | | |" for mean in means))
    return "\n".join(lines)


def _gains(before: Score, after: Score) -> str:
    overall, border = after.mean_iou - before.mean_iou, after.boundary_iou - before.boundary_iou
    return f" {overall:+.1f} | {border:+.1f} | {after.made_worse:.0f} % |"
