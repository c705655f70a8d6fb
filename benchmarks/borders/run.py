"""Offsets that a folder's border profile finds, beside what was done to the masks, and masks moved by them.

python benchmarks/borders/run.py
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmend.borders import BorderProfile, border_strength
from segmend.borders.strength import deep
from segmend.data.corruptions import coarsen, fill_void, grow, polygons
from segmend.data.dataset import Dataset, open_dataset, pair_labels
from segmend.jobs.border_profiles import Move
from segmend.labels import one_hot
from segmend.metrics import ConfusionMatrix, mean_iou

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

IMAGES = 32
SETS = {
    "MSRC-21": ("msrc21", "train"),
    "VOC 2012 subset": ("voc12_subset", "train"),
    "CamVid": ("camvid", "val"),
    "FASSEG": ("fasseg_frontal", "val"),
    "CelebAMask-HQ": ("celebamask_hq_mini", "train"),
    "clothing": ("ccp_clothing", "train"),
    "satellite": ("dubai_aerial", "train"),
    "nuclei": ("dsb2018_nuclei", "train"),
    "retina vessels": ("chase_vessels", "train"),
    "solar cells": ("pv_cells", "train"),
    "micrographs": ("nasa_micrographs", "train"),
    "nerve tissue": ("axon_sem", "val"),
    "leaves": ("coffee_leaves", "train"),
}
"""Folder and split: those on which the thresholds were not chosen."""


def eighth(labels: Tensor) -> Tensor:
    present, index = labels.unique(return_inverse=True)
    return present[coarsen(one_hot(index, len(present)), 8).argmax(dim=0)]


def shifted(labels: Tensor, pixels: int) -> Tensor:
    height, width = labels.shape
    rows, columns = ((torch.arange(length) - pixels).clamp_min(0) for length in (height, width))
    return labels[rows][:, columns]


Corruption = Callable[[Tensor, int], Tensor]
KINDS: dict[str, tuple[float | None, Corruption]] = {
    "ground truth": (0.0, lambda labels, largest: labels),
    **{f"eroded {px} px": (px, lambda labels, largest, px=px: grow(labels, -px, largest)) for px in (3, 6, 9)},
    **{f"dilated {px} px": (-px, lambda labels, largest, px=px: grow(labels, px, largest)) for px in (3, 6, 9)},
    "polygons of 8 corners": (None, lambda labels, largest: polygons(labels, 8)),
    "at 1/8 of the resolution": (None, lambda labels, largest: eighth(labels)),
    "shifted 3 px right and down": (None, lambda labels, largest: shifted(labels, 3)),
}
OTHERS = "masks of other images"


class Image(NamedTuple):
    """An image, its labels without void and as they are, and the pixels deep in void."""

    image: np.ndarray
    labels: Tensor
    truth: np.ndarray
    ignored: np.ndarray


def images_of(data: Dataset) -> list[Image]:
    records = list(data)
    found = []
    for index in np.unique(np.linspace(0, len(records) - 1, min(IMAGES, len(records))).astype(int)):
        image, labels = pair_labels(data, records[index])
        ignored = deep(labels == data.classes.void)
        found.append(Image(image, fill_void(torch.from_numpy(labels)), labels, ignored))
    return found


def profile_of(images: list[Image], masks: list[Tensor]) -> BorderProfile:
    measured = [
        border_strength(one.image, mask.numpy(), one.ignored) for one, mask in zip(images, masks, strict=True)
    ]
    return BorderProfile.of(measured)


def of_others(images: list[Image]) -> tuple[list[Image], list[Tensor]]:
    """Images with the mask of another one of the same size, half of the folder away."""
    by_size: dict[tuple[int, ...], list[Image]] = {}
    for one in images:
        by_size.setdefault(tuple(one.labels.shape), []).append(one)
    groups = [group for group in by_size.values() if len(group) > 1]
    pairs = [
        (one, group[(i + len(group) // 2) % len(group)].labels) for group in groups for i, one in enumerate(group)
    ]
    return [one for one, _ in pairs], [mask for _, mask in pairs]


def score(images: list[Image], masks: list[Tensor], data: Dataset) -> float:
    """mIoU of masks."""
    matrix = ConfusionMatrix(len(data.classes))
    for one, mask in zip(images, masks, strict=True):
        matrix.update(mask[None], torch.from_numpy(one.truth)[None])
    return 100 * float(mean_iou(matrix.counts, data.scored_ids))


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the border profile.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    arguments = parser.parse_args()
    offsets: dict[str, dict[str, list[float]]] = {}
    kinds: dict[str, dict[str, list[float]]] = {}
    moves: dict[str, dict[str, list[float]]] = {}

    def note(kind: str, profile: BorderProfile, true: float | None) -> float:
        offset, precision = profile.offset(), profile.precision()
        row = kinds.setdefault(kind, {"sets": [0], "evident offset": [0], "evident, mean error in px": []})
        row["sets"][0] += 1
        row["evident offset"][0] += offset.is_evident
        if offset.is_evident and true is not None:
            row["evident, mean error in px"].append(abs(offset.pixels - true))
        row.setdefault("said to be of other images", [0])[0] += precision.are_of_other_images
        row.setdefault("border error, estimated in px", []).append(precision.border_error_px)
        return offset.pixels

    for name, (folder, split) in SETS.items():
        data = open_dataset(arguments.data / folder, split)
        images = images_of(data)
        counts = sum(np.bincount(one.labels.numpy().ravel(), minlength=256) for one in images)
        largest = int(np.argmax(counts))
        for kind, (true, corrupt) in KINDS.items():
            masks = [corrupt(one.labels, largest) for one in images]
            profile = profile_of(images, masks)
            offsets.setdefault(name, {})[kind] = [note(kind, profile, true)]
            before = after = score(images, masks, data)
            if (offset := profile.offset()).is_evident:
                move = Move(offset.pixels, profile.largest)
                result = [torch.from_numpy(move(mask.numpy(), data.classes.void)) for mask in masks]
                after = score(images, result, data)
            row = moves.setdefault(kind, {"mIoU before": [], "mIoU after": [], "sets that lose": [0]})
            row["mIoU before"].append(before)
            row["mIoU after"].append(after)
            row["sets that lose"][0] += after < before
        shuffled, masks = of_others(images)
        if shuffled:
            note(OTHERS, profile_of(shuffled, masks), None)
        print(name, {kind: round(value[0], 1) for kind, value in offsets[name].items()}, flush=True)
    for row in kinds.values():
        for title in ("evident, mean error in px", "border error, estimated in px"):
            values = row.pop(title)
            if values:
                row[title] = [float(np.mean(values))]
    for row in moves.values():
        row.update({title: [float(np.mean(row[title]))] for title in ("mIoU before", "mIoU after")})
    write_raw(HERE / "moves.json", moves)
    write_raw(HERE / "offsets.json", offsets)
    write_raw(HERE / "kinds.json", kinds)
    print(table("borders/offsets", "data set"))
    print(table("borders/kinds", "masks"))
    print(table("borders/moves", "masks"))


if __name__ == "__main__":
    main()
