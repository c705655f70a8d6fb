"""Constants of the refiner of masks, chosen on training splits that its weights were not trained on."""

import itertools
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mask_folders import KINDS, folder_of, known, opened

from segmend.devices import available_cores
from segmend.metrics import confusion_by_threshold, confusion_matrix, mean_iou

CONFIDENCES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
LEAST_CHANGES = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)
MOST_LOST, MOST_LOST_OF_TRUTH = 0.3, 0.05
"""Points of mIoU that a set may lose with one kind of masks, and with the ground truth."""


class Constants(NamedTuple):
    """Arguments of `segmend.refiners.BorderNetwork`."""

    coarse_weight: float
    least_change: float


def gains(job: tuple[str, str], folders: Mapping[str, Path], root: Path) -> np.ndarray:
    """Gain over the moved masks in points, and share changed, for each of `CONFIDENCES`, of a set and kind.

    The refiner is that of the set in `folders`.
    """
    torch.set_num_threads(1)
    name, kind = job
    data = opened(root / name, "train")
    images, classes = folder_of(data, kind), len(data.classes)
    network = known(folders[name], images, coarse_weight=0.0, least_change=0.0)
    assert network.folder is not None
    move = network.folder.move
    of_truth, of_moved = (np.zeros((len(CONFIDENCES), classes, classes + 1), np.int64) for _ in range(2))
    before = np.zeros((classes, classes + 1), np.int64)
    for one in images:
        mask = one.mask.numpy()
        moved = mask if move is None else move(mask, 255)
        refined = network.refine(one.image, one.mask, classes, min_confidence=CONFIDENCES[0])
        labels, confidence = refined.labels.numpy(), refined.change_confidence.numpy()
        before += confusion_matrix(moved, one.truth, classes)
        for counts, target in ((of_truth, one.truth), (of_moved, moved)):
            counts += confusion_by_threshold(labels, target, moved, confidence, classes, np.array(CONFIDENCES))
    gain = [100 * (mean_iou(after, data.scored_ids) - mean_iou(before, data.scored_ids)) for after in of_truth]
    return np.stack((gain, [1 - mean_iou(counts) for counts in of_moved]), axis=1)


def find_constants(folders: Mapping[str, Path], root: Path) -> Constants:
    """Those with the smallest `least_change`, then the highest mean gain, of which no set loses much.

    A small `least_change` lets masks get better whose errors are small.

    Args:
        folders: for each set that has a training split, a refiner that was not trained on it.
    """
    jobs = list(itertools.product(folders, KINDS))
    with ProcessPoolExecutor(available_cores(), multiprocessing.get_context("spawn")) as processes:
        found = np.stack(list(processes.map(partial(gains, folders=folders, root=root), jobs)))
    is_truth = np.array([kind == "ground truth" for _, kind in jobs])
    for least in LEAST_CHANGES:
        good = {}
        for index, confidence in enumerate(CONFIDENCES):
            gain = np.where(found[:, index, 1] < least, 0.0, found[:, index, 0])
            if -gain.min() <= MOST_LOST and -gain[is_truth].min() <= MOST_LOST_OF_TRUTH:
                good[confidence] = float(gain.mean())
        print(f"least change {least}:", {confidence: round(gain, 2) for confidence, gain in good.items()})
        if good:
            return Constants(1 - 0.5 / max(good, key=lambda confidence: good[confidence]), least)
    return Constants(0.0, 1.0)
