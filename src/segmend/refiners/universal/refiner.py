"""The class-agnostic refiner that comes with the package: a network for masks, and one for probability maps."""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor, nn

from segmend.labels import SMOOTHING
from segmend.ops.winners import winners
from segmend.refiners.base import Refinement
from segmend.refiners.border_network import BorderNetwork
from segmend.refiners.network import RefinerNetwork
from segmend.refiners.present_classes import not_uniform
from segmend.refiners.universal.model import UniversalPropagation


class UniversalRefiner(RefinerNetwork, paper_url="https://arxiv.org/abs/1710.01020"):
    """Refines any coarse map of any classes.

    Masks, which are certain everywhere, have borders that are off: `masks` moves them. Probability maps show where
    they are uncertain: `maps` refines them there.

    Args:
        masks: arguments of `BorderNetwork`.
        maps: arguments of `UniversalPropagation`.

    Example::

        refiner = UniversalRefiner()
        refiner.refine(torch.rand(3, 60, 80), torch.rand(5, 60, 80).softmax(dim=0)).labels.shape  # [60, 80]
    """

    takes_border_error = True
    reads_folder = True

    def __init__(self, masks: dict[str, Any] | None = None, maps: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.masks, self.maps = BorderNetwork(**(masks or {})), UniversalPropagation(**(maps or {}))

    def of_folder(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Self:
        """The same refiner, which knows the folder that masks are of (see `BorderNetwork.of_folder`)."""
        known = self._with(masks=self.masks.of_folder(images, masks))
        known.folder = known.masks.folder
        return known

    def of_maps(self, maps: Sequence[Tensor]) -> Self:
        """The same refiner, which knows the folder that maps are of (see `UniversalPropagation.of_maps`)."""
        known = self._with(maps=self.maps.of_maps(maps))
        known.far_uncertainty = known.maps.far_uncertainty
        return known

    def with_all_changes(self) -> Self:
        """The same refiner, which also changes masks little."""
        bold = self._with(masks=self.masks.with_all_changes())
        bold.folder = bold.masks.folder
        return bold

    def _with(self, **networks: nn.Module) -> Self:
        """The same refiner with another network."""
        other = copy.copy(self)
        other._modules = {**self._modules, **networks}
        return other

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`)."""
        network = self.masks if is_mask(coarse) else self.maps
        return network.refine_batch(image, coarse, border_error_px)

    def coarse_weight_for(self, coarse: Tensor, border_error_px: float | None = None) -> float:
        """That of the network which refines the map."""
        network = self.masks if is_mask(coarse[None]) else self.maps
        return network.coarse_weight_for(coarse, border_error_px)


def is_mask(coarse: Tensor) -> bool:
    """Whether probabilities ``[B, C, H, W]`` are those of a mask: one class is certain wherever there is any."""
    largest = winners(coarse)[0]
    certain = largest > 1 - 1.5 * SMOOTHING
    return bool((certain | ~not_uniform(largest, coarse.shape[1])).all())
