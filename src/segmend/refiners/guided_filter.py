"""A baseline: the guided filter over each class's probability, with the image as guide (He et al., 2010)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.present_classes import void_filled

SEARCHED = {"radius": (2.0, 40.0), "eps": (1e-6, 1e-1)}
"""Range of each parameter for `segmend.training.tasks.filter`, which samples them evenly on a log scale."""

SUBSAMPLED_RADIUS = 4
"""Radius in pixels of the subsampled image at which the filter is solved."""

MIN_SUM = 1e-6
"""Smallest sum of filtered probabilities that is divided by."""


@dataclass(frozen=True)
class GuidedFilter(Refiner):
    """Kornia's guided filter over the probability map.

    It is solved on a subsampled image, as its authors advise (He and Sun, Fast Guided Filter, 2015): for a radius
    of 16 pixels kornia would take seconds otherwise, with no better result.

    Attributes:
        radius: half of the window's side, in pixels.
        eps: regularisation; smaller values follow the image's edges more closely (colours in 0..1).

    Example::

        GuidedFilter(radius=6, eps=1e-4).refine(image, coarse).labels
    """

    radius: int = 8
    eps: float = 1e-3

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`)."""
        from kornia.filters import guided_blur  # takes a while to import: only where it is used

        subsample = max(1, self.radius // SUBSAMPLED_RADIUS)
        # An image as small as the window has too few pixels to reflect.
        fits = min(image.shape[2:]) // subsample > self.radius // subsample + 1
        filtered = guided_blur(
            image,
            void_filled(coarse),  # a window of void alone would give all classes the same
            kernel_size=2 * self.radius + 1,
            eps=self.eps,
            border_type="reflect" if fits else "replicate",
            subsample=subsample,
        ).clamp_min(0)
        return Refinement.of(filtered / filtered.sum(dim=1, keepdim=True).clamp_min(MIN_SUM), coarse)
