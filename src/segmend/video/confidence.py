"""How probable it is that a propagated label is right."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.warp import warp
from segmend.video.frame import Frame


class Coefficients(NamedTuple):
    """Of the logistic model of `confidence`; fitted by ``benchmarks/propagation/confidence.py``."""

    constant: float
    photometric: float
    distance: float
    steps: float


FITTED = Coefficients(11.55, -3.18, 0.37, -0.29)

BORDER_ERROR, BORDER_WIDTH = 0.2, 1.5
"""Probability that a label beside a border is wrong even if the motion is right, as borders are drawn with that
precision; and over how many pixels it falls to a third."""


def confidence(
    labels: Tensor, source: Frame, target: Frame, displacement: Tensor, steps: int, fitted: Coefficients = FITTED
) -> Tensor:
    """The probability that each propagated label is right.

    A logistic model of the photometric error e, the distance b to the next border of the labels, and the number of
    steps k, times a factor for borders that were drawn imprecisely:
    ``sigmoid(c0 + c1 log(1 + e) + c2 log(1 + b) + c3 log k) (1 - 0.2 exp(-b / 1.5))``.

    Args:
        labels: propagated label map ``[H, W]``.
        source: the labelled frame.
        target: the frame that they were propagated to.
        displacement: ``[2, H, W]`` in pixels, from source to target.
        steps: frames between them, at least 1.

    Returns:
        ``float32 [H, W]`` in 0..1.
    """
    away = border_distance(labels)
    error = photometric_error(source, target, displacement)
    # log(1 + x), not log1p(x): the latter takes several times as long, and is no better for what is above 0.01
    odds = (1 + error).log_().mul_(fitted.photometric)
    odds += (1 + away).log_().mul_(fitted.distance)
    odds += fitted.constant + fitted.steps * float(np.log(steps))
    drawn = (away / -BORDER_WIDTH).exp_().mul_(-BORDER_ERROR).add_(1)
    return odds.sigmoid_().mul_(drawn)


def photometric_error(source: Frame, target: Frame, displacement: Tensor) -> Tensor:
    """Distance in CIELAB between the target and the moved source, mean over 3 x 3 pixels: ``float32 [H, W]``."""
    difference = warp(source.lab[None], displacement[None]).sub_(target.lab[None])
    error = difference.square_().sum(dim=1, keepdim=True).sqrt_()
    return F.avg_pool2d(F.pad(error, (1,) * 4, mode="replicate"), 3, stride=1)[0, 0]


def border_distance(labels: Tensor) -> Tensor:
    """Distance in pixels of each pixel from the next one that has a neighbour of another label; 0 on these.

    Args:
        labels: ``[H, W]``.

    Returns:
        ``float32 [H, W]``; the longer side where there is no border.
    """
    border = torch.zeros(labels.shape, dtype=torch.bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    if not border.any():
        return torch.full(labels.shape, float(max(labels.shape)))
    found = cv2.distanceTransform((~border).numpy().astype(np.uint8), cv2.DIST_L2, 3)
    return torch.from_numpy(found)
