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
        """Both, `scaled`."""
        near, far = scaled(torch.tensor(self, dtype=torch.float64)).tolist()
        return near, far


def scaled(uncertainty: Tensor) -> Tensor:
    """Scaled so that `CERTAIN` is 0 and `UNCERTAIN` 1, within 0..1."""
    return ((uncertainty - CERTAIN) / (UNCERTAIN - CERTAIN)).clamp(0, 1)


def uncertainty(coarse: Tensor) -> Uncertainty:
    """The uncertainty of one map (see `uncertainties`), ``[C, h, w]``."""
    return Uncertainty(*uncertainties(coarse[None])[0].tolist())


@torch.no_grad()
def uncertainties(coarse: Tensor) -> Tensor:
    """The `Uncertainty` of each map, ``[B, 2]``. Void pixels, whose probabilities are uniform, do not count.

    Near borders even the best map is uncertain if its resolution is low. Far from borders it is not.

    Args:
        coarse: probabilities ``[B, C, h, w]``, every fourth pixel of maps.
    """
    largest, labels = winners(coarse)
    right = F.pad((labels[..., 1:] != labels[..., :-1]).float(), (0, 1))
    below = F.pad((labels[..., 1:, :] != labels[..., :-1, :]).float(), (0, 0, 0, 1))
    near = F.max_pool2d(right + below, 2 * BORDER_DISTANCE + 1, stride=1, padding=BORDER_DISTANCE) > 0
    valid = not_uniform(largest, coarse.shape[1])
    there = torch.stack((near & valid, ~near & valid), dim=1)
    return ((1 - largest)[:, None] * there).sum(dim=(2, 3)) / there.sum(dim=(2, 3)).clamp_min(1)
