"""How careful the class-agnostic refiner must be, found on images that it has not learned from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scoring import GOOD, Case

from segmend import metrics
from segmend.data.dataset import pair_labels
from segmend.refiners import UniversalPropagation
from segmend.refiners.base import EVERY
from segmend.refiners.combine import mixed

OF_SOFT = tuple(np.linspace(0.3, 0.975, 28).round(3).tolist())
OF_MASKS = tuple(np.linspace(0.1, 0.475, 16).round(3).tolist())
"""Shares of the coarse map that are tried. With half of a mask, no label changes."""

SHARE = 0.05
"""Of the images, degraded by more than half a point: as many are borne."""

LOST, OF_GOOD = 0.0005, 0.0015
"""Of a kind's mIoU, and of that of maps that are good already, whatever the share degraded: as much is borne."""


class CoarseWeight(NamedTuple):
    """See `UniversalPropagation`."""

    coarse_weight: float
    coarse_weight_confident: float
    coarse_weight_masks: float
    coarse_weight_known_error: float


def find_coarse_weight(
    refiner: UniversalPropagation,
    doubtful: Iterable[Case],
    sure: Iterable[Case],
    hard: Iterable[Case],
    told: Iterable[Case],
) -> CoarseWeight:
    """The coarse_weight that gains most, as a mean over kinds of maps, of those that make no kind worse.

    Worse is a kind that loses more than `LOST`, or of which more than `SHARE` of the images are degraded. That
    share does not matter where the error is told, as somebody has looked, nor where maps are good already, which
    may lose `OF_GOOD`.

    Args:
        doubtful: segmenters' maps.
        sure: soft maps that are sure away from their borders.
        hard: masks.
        told: masks whose error is told.
    """
    others = [
        _best([_tried(refiner, case, [CoarseWeight(s, s, s, s) for s in shares]) for case in kinds], shares)
        for kinds, shares in ((sure, OF_SOFT), (hard, OF_MASKS), (told, OF_MASKS))
    ]
    coarse_weights = [CoarseWeight(share, *others) for share in OF_SOFT]
    return CoarseWeight(_best([_tried(refiner, case, coarse_weights) for case in doubtful], OF_SOFT), *others)


def _best(tried: list[tuple[np.ndarray, np.ndarray]], shares: Sequence[float]) -> float:
    """Of some shares, by the gains of each kind, and whether they are borne."""
    gains, borne = (np.stack(values) for values in zip(*tried, strict=True))
    borne = borne.all(axis=0)
    if not borne.any():
        raise SystemExit("more images of a kind are degraded than are borne, however careful the refiner is")
    return shares[int(np.where(borne, gains.mean(axis=0), -np.inf).argmax())]


def _tried(
    refiner: UniversalPropagation, case: Case, coarse_weights: list[CoarseWeight]
) -> tuple[np.ndarray, np.ndarray]:
    """Gain in mIoU for each coarse_weight, and whether what it makes worse is borne."""
    count, scored, own = len(case.dataset.classes), case.dataset.scored_ids, []
    confusion = np.zeros((1 + len(coarse_weights), count, count + 1), np.int64)
    error = case.border_error_px or None
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        refined = refiner.refine(image, coarse, min_confidence=0.5, border_error_px=error)  # every change
        maps = [coarse.argmax(dim=0)]
        for each in coarse_weights:
            for name, share in each._asdict().items():
                setattr(refiner, name, share)
            weight = refiner.coarse_weight_for(coarse[:, ::EVERY, ::EVERY], error)
            maps.append(mixed(refined, coarse, weight).labels)
        counts = [metrics.confusion_matrix(m.numpy().astype(labels.dtype), labels, count) for m in maps]
        confusion += np.stack(counts)
        own.append([metrics.mean_iou(c, scored) for c in counts])
    before, *after = (metrics.mean_iou(c, scored) for c in confusion)
    gains = np.array(after) - before
    print(f"{case.name}, {case.kind}: {100 * gains[0]:+.2f} to {100 * gains[-1]:+.2f}", flush=True)
    if case.kind in GOOD or case.border_error_px > 0:
        return gains, gains >= -(OF_GOOD if case.kind in GOOD else LOST)
    one, *others = np.array(own).T
    worse = np.array([metrics.share_changed(one, other)[1] for other in others])
    return gains, (worse <= SHARE) & (gains >= -LOST)
