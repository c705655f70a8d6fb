"""How bold the refiner of any classes may be, found on pictures that it has not learned from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scoring import Case

from segmend import metrics
from segmend.data.dataset import pair_labels
from segmend.refiners import UniversalPropagation
from segmend.refiners.base import keep_unsure

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
BOLDNESS = (1.0, 0.75, 0.5)
SHARE = 0.05
"""Of the pictures, made worse by more than half a point: as many are borne."""


class Caution(NamedTuple):
    """See `UniversalPropagation`."""

    keep_below: float
    boldness: float


def find_caution(refiner: UniversalPropagation, cases: Iterable[Case]) -> Caution:
    """The caution that gains most, as a mean over kinds of maps, of those that make no kind worse.

    Worse is a kind of which more than `SHARE` of the pictures are made worse.
    """
    tried = {}
    for case in cases:
        for bold in BOLDNESS:
            refiner.boldness = bold
            gains, worse = _tried(refiner, case)
            for least, gain, share in zip(THRESHOLDS, gains, worse, strict=True):
                tried.setdefault(Caution(least, bold), []).append((gain, share))
    borne = {c: np.mean([g for g, _ in found]) for c, found in tried.items() if max(s for _, s in found) <= SHARE}
    if not borne:
        raise SystemExit("more pictures of a kind are made worse than are borne, however careful the refiner is")
    return max(borne, key=lambda caution: borne[caution])


def _tried(refiner: UniversalPropagation, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Gain in mIoU, and share of pictures made worse, for each of `THRESHOLDS`."""
    count, scored, own = len(case.dataset.classes), case.dataset.scored_ids, []
    confusion = np.zeros((1 + len(THRESHOLDS), count, count + 1), np.int64)
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        mended = refiner.refine(image, coarse, keep_below=0.5)
        maps = [coarse.argmax(dim=0), *(keep_unsure(mended, coarse, least).labels for least in THRESHOLDS)]
        counts = [metrics.confusion_matrix(m.numpy().astype(labels.dtype), labels, count) for m in maps]
        confusion += np.stack(counts)
        own.append([metrics.mean_iou(c, scored) for c in counts])
    before, *after = (metrics.mean_iou(c, scored) for c in confusion)
    one, *others = np.array(own).T
    return np.array(after) - before, np.array([metrics.share_changed(one, other)[1] for other in others])
