"""The baseline that users know: a fully connected CRF with Gaussian edges (Krähenbühl and Koltun)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segmend.labels import InvalidInput
from segmend.refiners.base import Refinement, Refiner

SEARCHED = {
    "smooth_sxy": (1.0, 8.0),
    "smooth_weight": (0.3, 10.0),
    "bilateral_sxy": (10.0, 120.0),
    "bilateral_srgb": (3.0, 30.0),
    "bilateral_weight": (0.5, 20.0),
    "certainty": (0.3, 3.0),
}
"""Range of each parameter that a search tries, evenly on a log scale."""


@dataclass(frozen=True)
class DenseCRF(Refiner):
    """Mean-field inference by pydensecrf2, one image after the other, on the CPU.

    Attributes:
        iterations: of mean field.
        smooth_sxy, smooth_weight: deviation (pixels) and weight of the kernel over positions.
        bilateral_sxy, bilateral_srgb, bilateral_weight: of the kernel over positions and colours (0..255).
        certainty: the unary is the coarse map to this power.
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
        crf = DenseCRF2D(width, height, count)
        unary = -self.certainty * coarse.clamp_min(1e-5).log().reshape(count, -1)
        crf.setUnaryEnergy(np.ascontiguousarray(unary.cpu().numpy(), dtype=np.float32))
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
        if self.smooth_weight > 0:
            crf.addPairwiseGaussian(sxy=self.smooth_sxy, compat=self.smooth_weight)
        if self.bilateral_weight > 0:
            crf.addPairwiseBilateral(
                sxy=self.bilateral_sxy, srgb=self.bilateral_srgb, rgbim=pixels, compat=self.bilateral_weight
            )
        beliefs = np.array(crf.inference(self.iterations), dtype=np.float32)
        return torch.from_numpy(beliefs).reshape(count, height, width)
