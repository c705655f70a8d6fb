"""The refiner that leaves coarse maps as they are: what others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.present_classes import void_filled


@dataclass(frozen=True)
class Unchanged(Refiner):
    """Changes no label; void becomes the nearest one, unless it is kept."""

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """The coarse map (see `Refiner.refine_batch`)."""
        return Refinement.of(void_filled(coarse.float()), coarse)
