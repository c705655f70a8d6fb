"""A baseline: the fully connected CRF with Gaussian edge potentials (Krähenbühl and Koltun, 2011)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segmend.labels import InvalidInput
from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.present_classes import class_order

MIN_PROBABILITY = 1e-5
"""Smaller probabilities of a coarse map count as this in the unary energies."""

SEARCHED = {
    "smooth_sxy": (1.0, 8.0),
    "smooth_weight": (0.3, 10.0),
    "bilateral_sxy": (10.0, 120.0),
    "bilateral_srgb": (3.0, 30.0),
    "bilateral_weight": (0.5, 20.0),
    "certainty": (0.3, 3.0),
}
"""Range of each parameter for `segmend.training.tasks.filter`, which samples them evenly on a log scale."""


@dataclass(frozen=True)
class DenseCRF(Refiner):
    """Mean-field inference by pydensecrf2, one image after the other, on the CPU.

    Attributes:
        iterations: number of mean-field iterations.
        smooth_sxy, smooth_weight: standard deviation in pixels, and weight, of the kernel over positions.
        bilateral_sxy, bilateral_srgb, bilateral_weight: standard deviations in pixels and in colour values
            (0..255), and weight, of the kernel over positions and colours.
        certainty: power of the coarse map's probabilities in the unary energy.

    Example::

        DenseCRF(bilateral_sxy=30).refine(image, coarse).labels
    """

    iterations: int = 5
    smooth_sxy: float = 3.0
    smooth_weight: float = 3.0
    bilateral_sxy: float = 60.0
    bilateral_srgb: float = 10.0
    bilateral_weight: float = 5.0
    certainty: float = 1.0

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`)."""
        refined = [self._infer(i, c) for i, c in zip(image, coarse, strict=True)]
        return Refinement.of(torch.stack(refined).to(coarse.device), coarse)

    def _infer(self, image: Tensor, coarse: Tensor) -> Tensor:
        try:
            from pydensecrf.densecrf import DenseCRF2D
        except ImportError:
            raise InvalidInput("the dense CRF needs a package: pip install 'segmend[crf]'") from None
        count, height, width = coarse.shape
        # Sums over the classes are rounded in their order: one that does not depend on how they are numbered.
        order = class_order(coarse.unsqueeze(0))
        crf = DenseCRF2D(width, height, count)
        unary = -self.certainty * coarse[order].clamp_min(MIN_PROBABILITY).log().reshape(count, -1)
        crf.setUnaryEnergy(np.ascontiguousarray(unary.cpu().numpy(), dtype=np.float32))
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
        if self.smooth_weight > 0:
            crf.addPairwiseGaussian(sxy=self.smooth_sxy, compat=self.smooth_weight)
        if self.bilateral_weight > 0:
            crf.addPairwiseBilateral(
                sxy=self.bilateral_sxy, srgb=self.bilateral_srgb, rgbim=pixels, compat=self.bilateral_weight
            )
        marginals = torch.from_numpy(np.array(crf.inference(self.iterations), dtype=np.float32))
        return marginals.reshape(count, height, width)[order.argsort().cpu()]
