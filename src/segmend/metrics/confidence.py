"""How far a refiner's confidence can be believed, and which of its changes had better be undone."""

from __future__ import annotations

import numpy as np

from segmend.metrics.overlap import LabelMap, count_pairs, label_pair, share

BINS = 20
"""Of confidence, from 0 to 1."""


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Pixels by confidence, ``float64 [bins, 3]``: how many, the sum of their confidence, how many are right.

    Bin k holds confidence in k / bins to (k + 1) / bins, the last one also 1.

    Args:
        confidence: 0..1, any shape.
        right: bool, of that shape.
    """
    # Rounded, so that 0.35 is not below the seventh of twenty bins by a bit.
    bin_of = np.floor(np.round(confidence.ravel() * bins, 6)).astype(np.int64).clip(max=bins - 1)
    columns = (None, confidence.ravel(), right.ravel())
    return np.stack([np.bincount(bin_of, weights, bins).astype(float) for weights in columns], axis=1)


def calibration_error(counts: np.ndarray) -> float:
    """Mean over pixels of how far their bin's confidence is from its share of right ones (0..1).

    The expected calibration error (Guo et al., 2017); NaN without pixels.

    Args:
        counts: `reliability`, also summed over images.
    """
    return float(share(np.abs(counts[:, 1] - counts[:, 2]).sum(), counts[:, 0].sum()))


def confusion_by_threshold(
    refined: LabelMap,
    coarse: LabelMap,
    sure: np.ndarray,
    truth: LabelMap,
    num_classes: int,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Confusion matrices for thresholds below which changes are undone: ``int64 [T, C, C + 1]``.

    In the k-th, where `refined` differs from `coarse` and is less sure than the k-th threshold, the coarse label
    stays.

    Args:
        refined, coarse, truth: label maps ``[H, W]``.
        sure: how sure a change is, ``[H, W]``.
        thresholds: rising, ``[T]``.

    Raises:
        InvalidInput: label maps of different shapes, or ids that are neither a class nor void.
    """
    after, true = label_pair(refined, truth, num_classes)
    before, _ = label_pair(coarse, truth, num_classes)
    moved = (after != before) & (true < num_classes)
    # The first threshold that undoes each change; those that none undoes come last.
    first = np.searchsorted(thresholds, sure[moved], side="right")
    pairs, steps = num_classes * (num_classes + 1), len(thresholds) + 1
    undone = np.zeros((steps, pairs), np.int64)
    for labels, sign in ((before, 1), (after, -1)):
        element = true[moved].astype(np.int64) * (num_classes + 1) + labels[moved]
        undone += sign * np.bincount(first * pairs + element, minlength=steps * pairs).reshape(steps, pairs)
    changes = undone[:-1].cumsum(axis=0).reshape(-1, num_classes, num_classes + 1)
    return count_pairs(after, true, num_classes) + changes
