"""The class-agnostic network.

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any C, H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import copy
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.ops import native
from segmend.ops.padding import cropped, pad_to_stride
from segmend.refiners.appearance import CELL, MIN_COARSE, appearance_at_pixels, combined_keeping_shares
from segmend.refiners.base import EVERY, Refinement
from segmend.refiners.encoder_decoder import (
    WIDTHS,
    Decoder,
    PyramidEncoder,
    Width,
    double_normed,
    head,
)
from segmend.refiners.network import RefinerNetwork
from segmend.refiners.present_classes import present_classes, void_filled
from segmend.refiners.spatial_propagation import SimilarityGates
from segmend.refiners.universal.coarse_weight import Uncertainty, uncertainty
from segmend.refiners.universal.combine import CombinationWeights, combine
from segmend.refiners.universal.features import (
    CELL_FEATURES,
    IMAGE_FEATURES,
    LOG2_ERROR_SCALE,
    PIXEL_FEATURES,
    cell_evidence,
    features,
    image_features,
    log2_border_error,
)

EMBEDDING = 8
"""Channels by which gates compare pixels, beside the colours."""

INITIAL_SCALE = 0.01
"""Factor on the initial weights of the layers that predict `CombinationWeights`, so that training starts close to
`segmend.refiners.universal.combine.INITIAL`."""


VOID_SHARE = 0.1
"""Share of the nearest label in the coarse probabilities of void pixels: it decides where nothing else does."""


class UniversalOutput(NamedTuple):
    """What `UniversalPropagation` predicts for a batch.

    Attributes:
        probabilities: the refined map ``[B, C, H, W]``.
        weights: how its sources were weighted, over an image padded to sides that are multiples of 32.
        log2_border_error: ``log2(1 + pixels)`` of the estimated border error, ``[B]``; may be below 0.
    """

    probabilities: Tensor
    weights: CombinationWeights
    log2_border_error: Tensor


class UniversalPropagation(RefinerNetwork, paper_url="https://arxiv.org/abs/1710.01020"):
    """Spatial propagation with gates shared by all classes, guided by the image and class-agnostic features.

    The start is a product of experts (`segmend.refiners.universal.combine.product_of_experts`): the coarse map,
    what pixels of similar colour are labelled, and the surroundings of each pixel, each to a power that the
    network predicts per pixel or cell. The refined map is a mixture of this start and its propagation along the
    gates. The network never sees which classes a map has, only how confident it is, how its borders run, and how
    well it agrees with the image. From these features it also estimates the border error, on which its predictions
    depend; a known border error replaces the estimate.

    Args:
        width: channels of the guidance network.
        connections: neighbours in the previous line that a pixel is connected to: 3, or 1.
        coarse_weight: share of the coarse map in the result (0..1) for maps that are uncertain far from their
            borders.
        coarse_weight_confident: the same for maps that are confident there and uncertain near borders. They may be
            as good as they look, so it should be higher.
        coarse_weight_masks: the same for masks, which are confident everywhere and do not show where they may be
            wrong. From 0.5 on no mask is changed.
        coarse_weight_known_error: the same for masks with a known border error.
        appearance: weight of the appearance term (`segmend.refiners.appearance`) that is added to the refined map
            where the coarse map is uncertain far from its borders, as those of segmenters are.
        keep_shares: how far the appearance term leaves the shares of the classes in the image as they are (0..1).

    Example::

        network = UniversalPropagation(width="quarter")
        output = network(torch.rand(1, 3, 60, 80), torch.rand(1, 5, 60, 80).softmax(dim=1))
        output.probabilities.shape  # [1, 5, 60, 80]
    """

    takes_border_error = True

    folder_uncertainty: Uncertainty | None = None
    """Mean over the maps of a folder; None: each map stands alone."""

    def __init__(
        self,
        width: Width = "quarter",
        connections: Literal[1, 3] = 3,
        coarse_weight: float = 0.0,
        coarse_weight_confident: float = 0.0,
        coarse_weight_masks: float = 0.0,
        coarse_weight_known_error: float = 0.0,
        appearance: float = 0.0,
        keep_shares: float = 1.0,
    ) -> None:
        super().__init__()
        self.coarse_weight, self.coarse_weight_confident = coarse_weight, coarse_weight_confident
        self.coarse_weight_masks, self.coarse_weight_known_error = coarse_weight_masks, coarse_weight_known_error
        self.appearance, self.keep_shares = appearance, keep_shares
        base = WIDTHS[width]
        self.encoder = PyramidEncoder(PIXEL_FEATURES, base, hints=CELL_FEATURES + 1)
        self.decoder = Decoder(
            self.encoder.channels, (4 * base, 4 * base, 2 * base, base), double_normed, "nearest"
        )
        finest = self.encoder.finest
        self.gates = SimilarityGates(base, connections, finest, scale=1, embedding=EMBEDDING)
        self.pixel_head, self.cell_head = head(base, 3, finest), head(base, 2, finest, CELL)
        self.image_layer = nn.Sequential(nn.Linear(IMAGE_FEATURES, 2 * base), nn.ReLU())
        self.border_error_head = nn.Linear(2 * base, 1)
        self.image_head = nn.Linear(2 * base + 1, len(CombinationWeights._fields))
        with torch.no_grad():
            for parameter in nn.ModuleList((self.pixel_head, self.cell_head, self.image_head)).parameters():
                parameter.mul_(INITIAL_SCALE)

    def forward(self, image: Tensor, coarse: Tensor, border_error_px: Tensor | None = None) -> UniversalOutput:
        """Refine coarse probabilities ``[B, C, H, W]`` of at least 2 classes.

        Args:
            border_error_px: ``[B]``, the known border error of each coarse map in pixels; 0, or None: not known.
        """
        height, width = image.shape[2:]
        image, coarse = (pad_to_stride(map_, self.encoder.stride) for map_ in (image, coarse.float()))
        log_coarse = coarse.clamp_min(MIN_COARSE).log_()
        evidence = cell_evidence(image, coarse)
        seen = features(image, coarse, log_coarse, evidence)
        of_image = self.image_layer(image_features(seen))
        estimate = self.border_error_head(of_image).squeeze(1).float()
        error = estimate.detach().clamp_min(0)
        if border_error_px is not None:
            error = torch.where(border_error_px > 0, log2_border_error(border_error_px), error)
        error = error[:, None] / LOG2_ERROR_SCALE
        error_map = error[:, :, None, None].expand(-1, -1, *seen.cells.shape[2:])
        hints = F.interpolate(torch.cat((seen.cells, error_map), dim=1), scale_factor=CELL // self.encoder.finest)
        decoded = self.decoder(self.encoder(2 * image - 1, seen.pixels, hints))
        overall = self.image_head(torch.cat((of_image, error), dim=1)).float()[:, :, None, None]
        weights = CombinationWeights.of(
            self.pixel_head(decoded).float() + overall[:, :3], self.cell_head(decoded).float() + overall[:, 3:]
        )
        refined = combine(log_coarse, evidence, weights, self.gates(decoded, image))
        return UniversalOutput(cropped(refined, height, width), weights, estimate)

    def of_maps(self, maps: Sequence[Tensor]) -> Self:
        """The same network, which takes all maps for as uncertain as these are on average."""
        known = copy.copy(self)
        known.folder_uncertainty = found = Uncertainty(
            *np.mean([uncertainty(map_) for map_ in maps], axis=0).tolist()
        )
        known.far_uncertainty = found.far_from_borders
        return known

    def _uncertainty(self, coarse: Tensor) -> Uncertainty:
        """That of the folder, or of this map: every `EVERY`-th pixel ``[C, h, w]``."""
        return self.folder_uncertainty or uncertainty(coarse)

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`).

        Classes that are the most likely one nowhere in the coarse maps are absent from the refined ones, and cost
        nothing. Maps of one class stay as they are, with void filled.
        """
        present = present_classes(coarse)
        if len(present) < 2:
            return Refinement.of(void_filled(coarse.float()), coarse)
        restricted = coarse[:, present].clamp_min_(MIN_COARSE)
        restricted /= restricted.sum(dim=1, keepdim=True)
        restricted = void_filled(restricted, VOID_SHARE)
        error = torch.full((len(image),), border_error_px, device=image.device) if border_error_px else None
        refined = self._with_appearance(image, restricted, self(image, restricted, error).probabilities)
        probabilities = native.empty_like(coarse, torch.float32).zero_().index_copy_(1, present, refined)
        return Refinement.of(probabilities, coarse)

    def _with_appearance(self, image: Tensor, coarse: Tensor, refined: Tensor) -> Tensor:
        """The refined maps with the appearance term of the coarse ones, all ``[B, C, H, W]``."""
        if self.appearance <= 0:
            return refined
        far = [self._uncertainty(one[:, ::EVERY, ::EVERY]).shares()[1] for one in coarse]
        if not any(far):
            return refined
        return self.add_appearance(image, coarse, refined, torch.tensor(far, device=image.device))

    def add_appearance(self, image: Tensor, coarse: Tensor, refined: Tensor, far: Tensor) -> Tensor:
        """The refined maps with the appearance term of the coarse ones, all ``[B, C, H, W]``.

        Args:
            far: how uncertain the coarse maps are far from their borders, ``[B]`` in 0..1; where 0, nothing is
                added.
        """
        far = far.view(-1, 1, 1, 1)
        appearance = appearance_at_pixels(image, coarse).mul_(far)
        found = combined_keeping_shares(refined, appearance, self.appearance, self.keep_shares)
        return torch.where(far > 0, found, refined)

    def coarse_weight_for(self, coarse: Tensor, border_error_px: float | None = None) -> float:
        """The weight of masks, of confident maps or of uncertain ones, or between them, by their `uncertainty`."""
        weight: float = self.coarse_weight_of(*self._uncertainty(coarse).shares(), border_error_px)
        return weight

    def coarse_weight_of(self, near: Any, far: Any, border_error_px: float | None = None) -> Any:
        """The weight for shares of `Uncertainty` near borders and far from them: numbers, or tensors ``[B]``."""
        masks = self.coarse_weight_known_error if border_error_px else self.coarse_weight_masks
        certain = masks + (self.coarse_weight_confident - masks) * near
        return certain + (self.coarse_weight - certain) * far
