"""A refined map from a coarse map and cell evidence: a product of experts, then propagation along gates."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.refiners.appearance import CELL
from segmend.refiners.spatial_propagation import RAW_SCALE, propagate_means, propagation_weights
from segmend.refiners.universal.features import CellEvidence

INITIAL = (-1.1, 0.0, 0.0, -2.0, 0.0)
"""Raw `CombinationWeights` before training. In the order of the fields: the coarse map keeps its probabilities
(power 1), pixels weigh a half, half of the result is propagated, appearance has a power of 0.12, surroundings
0."""


class CombinationWeights(NamedTuple):
    """How much each source counts in the refined map, predicted by the network.

    Attributes:
        coarse_power, pixel_weight, propagated_share: see
            `segmend.refiners.spatial_propagation.propagation_weights`; ``[B, 1, H, W]`` each.
        appearance_power: power of the appearance ratio, 0..1.
        surroundings_power: power of the surroundings, by which is divided, -1..1: above 0 sharpens a blurred map.
            These two ``[B, 1, H / CELL, W / CELL]``.
    """

    coarse_power: Tensor
    pixel_weight: Tensor
    propagated_share: Tensor
    appearance_power: Tensor
    surroundings_power: Tensor

    @classmethod
    def of(cls, pixels: Tensor, cells: Tensor) -> Self:
        """The weights of raw layer outputs ``[B, 3, H, W]`` and ``[B, 2, H / CELL, W / CELL]``; 0 is `INITIAL`."""
        raw = RAW_SCALE * cells + cells.new_tensor(INITIAL[3:])[:, None, None]
        appearance, surroundings = raw.split(1, dim=1)
        return cls(*propagation_weights(pixels, INITIAL[:3]), appearance.sigmoid(), surroundings.tanh())


def product_of_experts(log_coarse: Tensor, evidence: CellEvidence, weights: CombinationWeights) -> Tensor:
    """``softmax(a log coarse + b log(A / P) - c log S)``, probabilities ``[B, C, H, W]``.

    a, b and c are `weights`' powers of the coarse map, the appearance ratio and the surroundings
    (`segmend.refiners.universal.features.CellEvidence`). Cells are interpolated to pixels.
    """
    cells = (
        weights.appearance_power * evidence.log_appearance_ratio
        - weights.surroundings_power * evidence.log_surroundings
    )
    pixels = F.interpolate(cells, scale_factor=CELL, mode="bilinear")
    return pixels.addcmul_(weights.coarse_power, log_coarse).softmax(dim=1)


def combine(log_coarse: Tensor, evidence: CellEvidence, weights: CombinationWeights, gates: Tensor) -> Tensor:
    """The refined map ``[B, C, H, W]``: the product of experts, and a share of its propagation along `gates`."""
    start = product_of_experts(log_coarse, evidence, weights)
    propagated = propagate_means(start, weights.pixel_weight, gates)
    return torch.lerp(start, propagated, weights.propagated_share)
