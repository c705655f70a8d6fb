"""How sure the refiner of any classes must be of a change, found on pictures that it has not learned from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scoring import Case

from segmend import metrics
from segmend.data.dataset import pair_labels
from segmend.refiners import UniversalPropagation
from segmend.refiners.base import EVERY, keep_unsure

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
SHARE = 0.05
"""Of the pictures, made worse by more than half a point: as many are borne."""


class Caution(NamedTuple):
    """See `UniversalPropagation`."""

    keep_below: float
    keep_sure: float


def find_caution(refiner: UniversalPropagation, doubtful: Iterable[Case], sure: Iterable[Case]) -> Caution:
    """The caution that gains most, as a mean over kinds of maps, of those that make no kind worse.

    Worse is a kind of which more than `SHARE` of the pictures are made worse.

    Args:
        doubtful: segmenters' maps.
        sure: maps that are sure away from their borders.
    """
    keep_sure = _best([_tried(refiner, case, [Caution(t, t) for t in THRESHOLDS]) for case in sure])
    cautions = [Caution(t, keep_sure) for t in THRESHOLDS]
    return Caution(_best([_tried(refiner, case, cautions) for case in doubtful]), keep_sure)


def _best(tried: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of `THRESHOLDS`, by the gains and shares made worse of each kind."""
    gains, worse = (np.stack(values) for values in zip(*tried, strict=True))
    borne = worse.max(axis=0) <= SHARE
    if not borne.any():
        raise SystemExit("more pictures of a kind are made worse than are borne, however careful the refiner is")
    return THRESHOLDS[int(np.where(borne, gains.mean(axis=0), -np.inf).argmax())]


def _tried(refiner: UniversalPropagation, case: Case, cautions: list[Caution]) -> tuple[np.ndarray, np.ndarray]:
    """Gain in mIoU, and share of pictures made worse, for each caution."""
    count, scored, own = len(case.dataset.classes), case.dataset.scored_ids, []
    confusion = np.zeros((1 + len(cautions), count, count + 1), np.int64)
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        mended = refiner.refine(image, coarse, keep_below=0.5)
        maps = [coarse.argmax(dim=0)]
        for refiner.keep_below, refiner.keep_sure in cautions:
            maps.append(keep_unsure(mended, coarse, refiner.keep_below_for(coarse[:, ::EVERY, ::EVERY])).labels)
        counts = [metrics.confusion_matrix(m.numpy().astype(labels.dtype), labels, count) for m in maps]
        confusion += np.stack(counts)
        own.append([metrics.mean_iou(c, scored) for c in counts])
    before, *after = (metrics.mean_iou(c, scored) for c in confusion)
    one, *others = np.array(own).T
    return np.array(after) - before, np.array([metrics.share_changed(one, other)[1] for other in others])
