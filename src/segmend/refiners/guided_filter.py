"""The cheap baseline: each class's probability, filtered with the image as guide (He et al.)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from segmend.refiners.base import Refinement, Refiner

SEARCHED = {"radius": (2.0, 40.0), "eps": (1e-6, 1e-1)}
"""Range of each parameter that a search tries, evenly on a log scale."""


@dataclass(frozen=True)
class GuidedFilter(Refiner):
    """Kornia's guided filter over the probability map.

    It is solved at a quarter of its radius's resolution, as its authors advise (the fast guided filter, 2015):
    windows of 32 px would take kornia seconds otherwise, and refine no better.

    Attributes:
        radius: half of the window's side, in pixels.
        eps: regularisation; smaller follows the image's edges more closely (colours in 0..1).
    """

    radius: int = 8
    eps: float = 1e-3

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`)."""
        from kornia.filters import guided_blur  # takes a while to load, which others should not wait for

        side = 2 * self.radius + 1
        coarser = max(1, self.radius // 4)
        height, width = image.shape[2:]
        # kornia reflects the image at its border, which a smaller one than half a window does not allow
        least = coarser * (self.radius // coarser + 1)
        missing = (0, max(0, least - width), 0, max(0, least - height))
        if any(missing):
            image, coarse = (F.pad(map_, missing, mode="replicate") for map_ in (image, coarse))
        filtered = guided_blur(image, coarse, side, self.eps, subsample=coarser).clamp_min(0)
        filtered, coarse = (map_[..., :height, :width] for map_ in (filtered, coarse))
        return Refinement.of(filtered / filtered.sum(dim=1, keepdim=True).clamp_min(1e-6), coarse)
