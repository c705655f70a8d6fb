"""How uncertain a coarse map is, by which `UniversalPropagation` chooses the coarse map's share of the result."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.winners import winners
from segmend.refiners.present_classes import not_uniform

BORDER_DISTANCE = 4
"""Samples of the coarse map (every fourth pixel) up to which a sample is near a label border: 16 pixels."""

CERTAIN, UNCERTAIN = 0.03, 0.05
"""Mean `Uncertainty` up to which a map counts as certain, and from which it counts as uncertain. Between them
weights are interpolated. Masks have 0.02, which `segmend.labels.one_hot` leaves to other classes; ground truth of
low resolution has little more far from its borders."""


class Uncertainty(NamedTuple):
    """Means of ``1 - largest probability`` over the pixels near label borders and over all others.

    0 where there are no such pixels.
    """

    near_borders: float
    far_from_borders: float

    def shares(self) -> tuple[float, float]:
        """Both scaled so that `CERTAIN` is 0 and `UNCERTAIN` 1, within 0..1."""
        near, far = (min(max((mean - CERTAIN) / (UNCERTAIN - CERTAIN), 0.0), 1.0) for mean in self)
        return near, far


@torch.no_grad()
def uncertainty(coarse: Tensor) -> Uncertainty:
    """The uncertainty of a map. Void pixels, whose probabilities are uniform, do not count.

    Near borders even the best map is uncertain if its resolution is low. Far from borders it is not.

    Args:
        coarse: probabilities ``[C, h, w]``, every fourth pixel of a map.
    """
    largest, labels = winners(coarse)
    border = torch.zeros_like(largest)
    border[:, :-1] += labels[:, 1:] != labels[:, :-1]
    border[:-1] += labels[1:] != labels[:-1]
    near = F.max_pool2d(border[None], 2 * BORDER_DISTANCE + 1, stride=1, padding=BORDER_DISTANCE)[0] > 0
    valid = not_uniform(largest, len(coarse))
    means = (float(1 - largest[there].mean()) if there.any() else 0.0 for there in (near & valid, ~near & valid))
    return Uncertainty(*means)
