"""How sure the refiner of any classes must be of a change, found on pictures that it has not learned from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scoring import GOOD, Case

from segmend import metrics
from segmend.data.dataset import pair_labels
from segmend.refiners import UniversalPropagation
from segmend.refiners.base import EVERY, keep_unsure

THRESHOLDS = tuple(float(t) for t in np.linspace(0.5, 0.95, 19).round(3))
SHARE = 0.05
"""Of the pictures, made worse by more than half a point: as many are borne."""

LOST, OF_GOOD = 0.0005, 0.0015
"""Of a kind's mIoU, and of that of maps that are good already, whatever the share made worse: as much is borne."""


class Caution(NamedTuple):
    """See `UniversalPropagation`."""

    keep_below: float
    keep_sure: float
    keep_hard: float


def find_caution(
    refiner: UniversalPropagation, doubtful: Iterable[Case], sure: Iterable[Case], hard: Iterable[Case]
) -> Caution:
    """The caution that gains most, as a mean over kinds of maps, of those that make no kind worse.

    Worse is a kind that loses more than `LOST`, or of which more than `SHARE` of the pictures are made worse; one
    that is good already may lose `OF_GOOD`, in any of them.

    Args:
        doubtful: segmenters' maps.
        sure: soft maps that are sure away from their borders.
        hard: masks.
    """
    keep_sure, keep_hard = (
        _best([_tried(refiner, case, [Caution(t, t, t) for t in THRESHOLDS]) for case in kinds])
        for kinds in (sure, hard)
    )
    cautions = [Caution(t, keep_sure, keep_hard) for t in THRESHOLDS]
    return Caution(_best([_tried(refiner, case, cautions) for case in doubtful]), keep_sure, keep_hard)


def _best(tried: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of `THRESHOLDS`, by the gains of each kind, and whether they are borne."""
    gains, borne = (np.stack(values) for values in zip(*tried, strict=True))
    borne = borne.all(axis=0)
    if not borne.any():
        raise SystemExit("more pictures of a kind are made worse than are borne, however careful the refiner is")
    return THRESHOLDS[int(np.where(borne, gains.mean(axis=0), -np.inf).argmax())]


def _tried(refiner: UniversalPropagation, case: Case, cautions: list[Caution]) -> tuple[np.ndarray, np.ndarray]:
    """Gain in mIoU for each caution, and whether what it makes worse is borne."""
    count, scored, own = len(case.dataset.classes), case.dataset.scored_ids, []
    confusion = np.zeros((1 + len(cautions), count, count + 1), np.int64)
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        mended = refiner.refine(image, coarse, keep_below=0.5)
        maps = [coarse.argmax(dim=0)]
        for refiner.keep_below, refiner.keep_sure, refiner.keep_hard in cautions:
            maps.append(keep_unsure(mended, coarse, refiner.keep_below_for(coarse[:, ::EVERY, ::EVERY])).labels)
        counts = [metrics.confusion_matrix(m.numpy().astype(labels.dtype), labels, count) for m in maps]
        confusion += np.stack(counts)
        own.append([metrics.mean_iou(c, scored) for c in counts])
    before, *after = (metrics.mean_iou(c, scored) for c in confusion)
    gains = np.array(after) - before
    if case.kind in GOOD:
        return gains, gains >= -OF_GOOD
    one, *others = np.array(own).T
    worse = np.array([metrics.share_changed(one, other)[1] for other in others])
    return gains, (worse <= SHARE) & (gains >= -LOST)
