"""Constants of the refiner of masks, chosen on training splits that its weights were not trained on."""

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from masks import KINDS, folder_of, known, opened

from segmend.devices import available_cores
from segmend.metrics import ConfusionMatrix, mean_iou

SETS = ("msrc21", "camvid", "fasseg_frontal", "ccp_clothing")
CONFIDENCES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
LEAST_CHANGES = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)
MOST_LOST, MOST_LOST_OF_TRUTH = 0.2, 0.05
"""Points of mIoU that a set may lose with one kind of masks, and with the ground truth."""


class Constants(NamedTuple):
    """Arguments of `segmend.refiners.BorderNetwork`."""

    coarse_weight: float
    least_change: float


def gains(job: tuple[str, str], folder: Path, root: Path) -> np.ndarray:
    """Of a set and kind, for each of `CONFIDENCES`: gain over the moved masks in points, and share changed."""
    torch.set_num_threads(1)
    name, kind = job
    data = opened(root / name, "train")
    images, classes = folder_of(data, kind), len(data.classes)
    network = known(folder, images, coarse_weight=0.0, least_change=0.0)
    assert network.folder is not None
    move = network.folder.move
    moved = [one.mask if move is None else torch.from_numpy(move(one.mask.numpy(), 255)) for one in images]
    found = []
    for confidence in CONFIDENCES:
        before, after, both = (ConfusionMatrix(classes) for _ in range(3))
        for one, mask in zip(images, moved, strict=True):
            labels = network.refine(one.image, one.mask, classes, min_confidence=confidence).labels.to(mask.dtype)
            truth = torch.from_numpy(one.truth)
            before.update(mask[None], truth[None])
            after.update(labels[None], truth[None])
            both.update(labels[None], mask[None])
        before_, after_ = (100 * mean_iou(counts.counts, data.scored_ids) for counts in (before, after))
        found.append((after_ - before_, 1 - mean_iou(both.counts)))
    return np.array(found)


def find_constants(folder: Path, root: Path) -> Constants:
    """Those with the highest mean gain of which no set loses much with any kind of masks."""
    jobs = list(itertools.product(SETS, KINDS))
    with ProcessPoolExecutor(available_cores(), multiprocessing.get_context("spawn")) as processes:
        found = np.stack(list(processes.map(partial(gains, folder=folder, root=root), jobs)))
    is_truth = np.array([kind == "ground truth" for _, kind in jobs])
    best, best_gain = Constants(0.0, 1.0), 0.0
    for index, confidence in enumerate(CONFIDENCES):
        for least in LEAST_CHANGES:
            gain = np.where(found[:, index, 1] < least, 0.0, found[:, index, 0])
            lost = -gain.min(), -gain[is_truth].min()
            print(f"{confidence} {least}: {gain.mean():+.2f}, most lost {lost[0]:.2f}, of truth {lost[1]:.2f}")
            if lost[0] <= MOST_LOST and lost[1] <= MOST_LOST_OF_TRUTH and gain.mean() > best_gain:
                best, best_gain = Constants(1 - 0.5 / confidence, least), float(gain.mean())
    return best
