"""Constants of the refiner of probability maps, chosen on images that its weights are not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scoring import Case, of_case

from segmend import metrics
from segmend.data.dataset import pair_labels
from segmend.refiners import UniversalPropagation
from segmend.refiners.base import EVERY
from segmend.refiners.combine import mixed

WEIGHTS = tuple(np.linspace(0.0, 0.9, 10).round(3).tolist())
CONFIDENT_WEIGHTS = tuple(np.linspace(0.3, 0.975, 28).round(3).tolist())
"""Coarse weights that are tried, for maps of segmenters, and for those that are confident far from borders."""

APPEARANCES, KEPT = (0.0, 0.25, 0.5, 0.75, 1.0), (0.6, 0.8, 1.0)

MOST_DEGRADED, MOST_DEGRADED_CONFIDENT = 0.1, 0.05
"""Highest share of a kind's images that may be degraded by more than half a point."""

MOST_LOST = 0.0005
"""Highest loss of mIoU of a kind, whatever the share degraded."""


class MapConstants(NamedTuple):
    """Arguments of `UniversalPropagation` of these names."""

    coarse_weight: float
    coarse_weight_confident: float
    appearance: float = 0.0
    keep_shares: float = 1.0


def find_map_constants(
    refiner: UniversalPropagation, segmenters: Iterable[Case], confident: Iterable[Case]
) -> MapConstants:
    """The constants with the highest mean gain over the kinds of maps, of those that degrade no kind.

    A kind is degraded that loses more than `MOST_LOST`, or of which more than `MOST_DEGRADED` of the images are
    degraded, in mIoU over their own classes and in accuracy.

    Args:
        segmenters: maps of segmenters.
        confident: probability maps that are confident away from their borders.
    """
    tried = [MapConstants(weight, weight) for weight in CONFIDENT_WEIGHTS]
    found = [_tried(refiner, case, tried, MOST_DEGRADED_CONFIDENT) for case in confident]
    for_confident = _best(found, tried).coarse_weight
    settings = [(0.0, 1.0), *itertools.product(APPEARANCES[1:], KEPT)]
    tried = [MapConstants(weight, for_confident, *of) for of in settings for weight in WEIGHTS]
    return _best([_tried(refiner, case, tried, MOST_DEGRADED) for case in segmenters], tried)


def _best(found: list[tuple[np.ndarray, np.ndarray]], tried: Sequence[MapConstants]) -> MapConstants:
    """The best constants, by the gains of each kind and whether each is allowed."""
    gains, allowed = (np.stack(values) for values in zip(*found, strict=True))
    allowed = allowed.all(axis=0)
    if not allowed.any():
        raise SystemExit("all constants that were tried degrade too many images of a kind")
    return tried[int(np.where(allowed, gains.mean(axis=0), -np.inf).argmax())]


def _tried(
    refiner: UniversalPropagation, case: Case, tried: Sequence[MapConstants], most_degraded: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gain in mIoU for each of the constants, and whether they are allowed."""
    count, scored, own = len(case.dataset.classes), case.dataset.scored_ids, []
    confusion = np.zeros((1 + len(tried), count, count + 1), np.int64)
    refiner = of_case(refiner, case)
    for record in case.dataset:
        image, labels = pair_labels(case.dataset, record)
        coarse = case.coarse(record, torch.from_numpy(labels))
        maps = [coarse.argmax(dim=0)]
        for (appearance, keep), several in itertools.groupby(tried, lambda one: (one.appearance, one.keep_shares)):
            refiner.appearance, refiner.keep_shares = appearance, keep
            refined = refiner.refine(image, coarse, min_confidence=0.5)  # keeps every change
            for each in several:
                refiner.coarse_weight, refiner.coarse_weight_confident = each[:2]
                weight = refiner.coarse_weight_for(coarse[:, ::EVERY, ::EVERY])
                maps.append(mixed(refined, coarse, weight).labels)
        counts = [metrics.confusion_matrix(m.numpy().astype(labels.dtype), labels, count) for m in maps]
        confusion += np.stack(counts)
        own.append([metrics.image_scores(c) for c in counts])
    before, *after = (metrics.mean_iou(c, scored) for c in confusion)
    gains = np.array(after) - before
    one, *others = np.array(own).transpose(1, 0, 2)
    degraded = np.array([metrics.share_changed(one, other)[1] for other in others])
    print(f"{case.name}, {case.kind}: {100 * gains.min():+.2f} to {100 * gains.max():+.2f}", flush=True)
    return gains, (degraded <= most_degraded) & (gains >= -MOST_LOST)
