"""Choose the coarse weights of the class-agnostic refiner on images that its weights are not trained on."""

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

SOFT_WEIGHTS = tuple(np.linspace(0.3, 0.975, 28).round(3).tolist())
MASK_WEIGHTS = tuple(np.linspace(0.1, 0.475, 16).round(3).tolist())
"""Coarse weights that are tried. With one half for a mask, no label changes."""

MOST_DEGRADED = 0.05
"""Highest share of a kind's images that may be degraded by more than half a point."""

MOST_LOST, MOST_LOST_OF_GOOD = 0.0005, 0.0015
"""Highest loss of mIoU of a kind, and of maps that are good already, whatever the share degraded."""


class CoarseWeight(NamedTuple):
    """Options of `UniversalPropagation` of these names."""

    coarse_weight: float
    coarse_weight_confident: float
    coarse_weight_masks: float
    coarse_weight_known_error: float


def find_coarse_weight(
    refiner: UniversalPropagation,
    segmenters: Iterable[Case],
    confident: Iterable[Case],
    masks: Iterable[Case],
    known_errors: Iterable[Case],
) -> CoarseWeight:
    """The coarse weights with the highest mean gain over the kinds of maps, of those that degrade no kind.

    A kind is degraded that loses more than `MOST_LOST`, or of which more than `MOST_DEGRADED` of the images are
    degraded. That share is not limited where the border error is given, because somebody has looked at the masks,
    nor where maps are good already; these may lose `MOST_LOST_OF_GOOD`.

    Args:
        segmenters: maps of segmenters.
        confident: probability maps that are confident away from their borders.
        masks: masks.
        known_errors: masks whose border error is given.
    """
    others = [
        _best([_tried(refiner, case, [CoarseWeight(s, s, s, s) for s in shares]) for case in kinds], shares)
        for kinds, shares in ((confident, SOFT_WEIGHTS), (masks, MASK_WEIGHTS), (known_errors, MASK_WEIGHTS))
    ]
    coarse_weights = [CoarseWeight(share, *others) for share in SOFT_WEIGHTS]
    return CoarseWeight(
        _best([_tried(refiner, case, coarse_weights) for case in segmenters], SOFT_WEIGHTS), *others
    )


def _best(tried: list[tuple[np.ndarray, np.ndarray]], shares: Sequence[float]) -> float:
    """The best of some coarse weights, by the gains of each kind and whether each is allowed."""
    gains, allowed = (np.stack(values) for values in zip(*tried, strict=True))
    allowed = allowed.all(axis=0)
    if not allowed.any():
        raise SystemExit("every coarse weight that was tried degrades too many images of a kind")
    return shares[int(np.where(allowed, gains.mean(axis=0), -np.inf).argmax())]


def _tried(
    refiner: UniversalPropagation, case: Case, coarse_weights: list[CoarseWeight]
) -> tuple[np.ndarray, np.ndarray]:
    """Gain in mIoU for each coarse weight, and whether the weight is allowed."""
    count, scored, own = len(case.dataset.classes), case.dataset.scored_ids, []
    confusion = np.zeros((1 + len(coarse_weights), count, count + 1), np.int64)
    error = case.border_error_px or None
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        # keeps every change
        refined = refiner.refine(image, coarse, min_confidence=0.5, border_error_px=error)
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
        return gains, gains >= -(MOST_LOST_OF_GOOD if case.kind in GOOD else MOST_LOST)
    one, *others = np.array(own).T
    degraded = np.array([metrics.share_changed(one[:, None], other[:, None])[1] for other in others])
    return gains, (degraded <= MOST_DEGRADED) & (gains >= -MOST_LOST)
