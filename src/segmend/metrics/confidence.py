"""How reliable a refiner's confidence is, and what scores are when changes of low confidence are undone."""

from __future__ import annotations

import numpy as np

from segmend.metrics.overlap import LabelMap, count_pairs, label_pair, share

BINS = 20
"""Number of bins of confidence, from 0 to 1."""


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Pixels by confidence, ``float64 [bins, 3]``: their number, the sum of their confidence, the number of
    correct ones.

    Bin k holds confidence from k / bins to (k + 1) / bins, the last one including 1.

    Args:
        confidence: 0..1, any shape.
        correct: bool, of that shape.
        bins: number of bins.

    >>> reliability(np.array([0.1, 0.8, 0.9]), np.array([False, True, False]), bins=2)
    array([[1. , 0.1, 0. ],
           [2. , 1.7, 1. ]])
    """
    # Rounded, so that 0.35 is not below the seventh of twenty bins by a bit.
    bin_of = np.floor(np.round(confidence.ravel() * bins, 6)).astype(np.int64).clip(max=bins - 1)
    columns = (None, confidence.ravel(), correct.ravel())
    return np.stack([np.bincount(bin_of, weights, bins).astype(float) for weights in columns], axis=1)


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error (Guo et al., 2017), 0..1; NaN without pixels.

    The mean over pixels of the difference between their bin's mean confidence and its share of correct pixels. It
    is that of `torchmetrics.classification.BinaryCalibrationError`, which keeps the confidence of every pixel in
    memory; bins can be summed over images.

    Args:
        counts: `reliability`, of one image or summed over several.

    >>> round(calibration_error(reliability(np.array([0.1, 0.8, 0.9]), np.array([False, True, False]), bins=2)), 3)
    0.267
    """
    return float(share(np.abs(counts[:, 1] - counts[:, 2]).sum(), counts[:, 0].sum()))


def confusion_by_threshold(
    preds: LabelMap,
    target: LabelMap,
    coarse: LabelMap,
    confidence: np.ndarray,
    num_classes: int,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Confusion matrices for thresholds of confidence below which changes are undone: ``int64 [T, C, C + 1]``.

    In the k-th, the coarse label stays where `preds` differs from `coarse` and the confidence is below the k-th
    threshold.

    Args:
        preds, target, coarse: label maps ``[H, W]``.
        confidence: that of a change, ``[H, W]``.
        num_classes: C.
        thresholds: in ascending order, ``[T]``.

    Raises:
        InvalidInput: label maps of different shapes, or ids that are neither a class nor void.

    >>> preds, target, coarse = np.array([[1, 1]]), np.array([[1, 0]]), np.array([[0, 0]])
    >>> confidence = np.array([[0.9, 0.6]])
    >>> confusion_by_threshold(preds, target, coarse, confidence, 2, np.array([0.5, 0.7]))
    array([[[0, 1, 0],
            [0, 1, 0]],
    <BLANKLINE>
           [[1, 0, 0],
            [0, 1, 0]]])
    """
    after, true = label_pair(preds, target, num_classes)
    before, _ = label_pair(coarse, target, num_classes)
    moved = (after != before) & (true < num_classes)
    # The first threshold that undoes each change; changes that no threshold undoes come last.
    first = np.searchsorted(thresholds, confidence[moved], side="right")
    pairs, steps = num_classes * (num_classes + 1), len(thresholds) + 1
    undone = np.zeros((steps, pairs), np.int64)
    for labels, sign in ((before, 1), (after, -1)):
        element = true[moved].astype(np.int64) * (num_classes + 1) + labels[moved]
        undone += sign * np.bincount(first * pairs + element, minlength=steps * pairs).reshape(steps, pairs)
    changes = undone[:-1].cumsum(axis=0).reshape(-1, num_classes, num_classes + 1)
    found: np.ndarray = count_pairs(after, true, num_classes) + changes
    return found
