"""The cheap baseline: each class's probability, filtered with the image as guide (He et al.)."""

from __future__ import annotations

from dataclasses import dataclass

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
        filtered = guided_blur(image, coarse, side, self.eps, subsample=coarser).clamp_min(0)
        return Refinement.of(filtered / filtered.sum(dim=1, keepdim=True).clamp_min(1e-6), coarse)
