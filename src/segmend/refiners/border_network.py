"""A class-agnostic network for masks: each pixel near a border decides between its class and the one beyond.

Shapes: image ``[B, 3, H, W]`` in 0..1, masks ``[B, H, W]``, any number of classes, any H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import copy
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from segmend.borders.evidence import PLANES, border_evidence
from segmend.borders.pairs import DESCRIPTION, PairProfiles
from segmend.borders.profile import BorderProfile
from segmend.borders.strength import deep
from segmend.ops import native
from segmend.ops.winners import winners
from segmend.refiners.base import Refinement
from segmend.refiners.encoder_decoder import (
    WIDTHS,
    Decoder,
    PyramidEncoder,
    Width,
    double_normed,
    head,
    pad_to_stride,
)
from segmend.refiners.network import RefinerNetwork
from segmend.refiners.present_classes import not_uniform, present_classes, void_filled

EMBEDDING = 16
"""Channels by which the network sees the profile of a pixel's pair of classes."""

LOG2_ERROR_SCALE = 4.0
"""``log2`` of 16 pixels: brings known border errors to about 0..1."""


class BorderNetwork(RefinerNetwork, paper_url="https://arxiv.org/abs/1710.01020"):
    """Refines masks of any classes by moving their borders, by what the image and the folder show.

    Each pixel nearer than `segmend.borders.REACH` to a border is decided between its own class and its rival, that
    of the nearest pixel of another class. One pass decides all classes. The network sees the image and
    `segmend.borders.evidence.BorderEvidence`: where the pixel lies, what speaks for either class, and the border
    profile of the two classes, in the folder (`of_folder`) and in this image.

    Args:
        width: channels of the network.

    Example::

        network = BorderNetwork()
        mask = torch.zeros(60, 80, dtype=torch.uint8)
        mask[20:40, 20:50] = 1
        network.refine(torch.rand(3, 60, 80), mask).labels.shape  # [60, 80]
    """

    takes_border_error = True
    reads_folder = True

    def __init__(self, width: Width = "quarter") -> None:
        super().__init__()
        base = WIDTHS[width]
        self.description = nn.Sequential(
            nn.Linear(2 * DESCRIPTION + 1, 3 * EMBEDDING),
            nn.ReLU(),
            nn.Linear(3 * EMBEDDING, EMBEDDING),
            nn.Tanh(),
        )
        self.encoder = PyramidEncoder(PLANES, base, hints=EMBEDDING)
        self.decoder = Decoder(
            self.encoder.channels, (4 * base, 4 * base, 2 * base, base), double_normed, "nearest"
        )
        self.head = head(base, 1, self.encoder.finest)
        self._folder: PairProfiles | None = None

    def of_folder(self, profile: BorderProfile) -> Self:
        """The same network, which knows the profile of the folder that images are of."""
        known = copy.copy(self)
        known._folder = PairProfiles(profile.images, profile.areas)
        return known

    def forward(
        self,
        image: Tensor,
        planes: Tensor,
        pair: Tensor,
        descriptions: Tensor,
        border_error_px: Tensor | None = None,
    ) -> Tensor:
        """The logit that each pixel is its rival's, ``float32 [B, H, W]``.

        Args:
            planes, pair, descriptions: of `segmend.borders.evidence.BorderEvidence`, ``[B, PLANES, H, W]``,
                ``int64 [B, H, W]`` and ``[B, 1 + P, 2 DESCRIPTION]``.
            border_error_px: ``[B]``, the known border error in pixels; 0, or None: not known.
        """
        height, width = image.shape[2:]
        image, planes = (pad_to_stride(map_, self.encoder.stride) for map_ in (image, planes))
        rows, columns = (torch.arange(0, n, self.encoder.finest, device=image.device) for n in image.shape[2:])
        at_cells = pair[:, rows.clamp_max(height - 1)][:, :, columns.clamp_max(width - 1)]
        if border_error_px is None:
            border_error_px = image.new_zeros(len(image))
        error = (border_error_px.add(1).log2() / LOG2_ERROR_SCALE).view(-1, 1, 1)
        described = torch.cat((descriptions, error.expand(-1, descriptions.shape[1], 1)), dim=2)
        embedded = self.description(described)
        embedded = embedded * (torch.arange(embedded.shape[1], device=image.device) > 0).view(1, -1, 1)
        chosen = at_cells.flatten(1).unsqueeze(2).expand(-1, -1, EMBEDDING)
        hints = embedded.gather(1, chosen).transpose(1, 2).unflatten(2, at_cells.shape[1:])
        decoded = self.decoder(self.encoder(2 * image - 1, planes, hints))
        logits: Tensor = self.head(decoded)[:, 0, :height, :width].float()
        return logits

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`): the most likely class of each pixel is its mask.

        Where no border is near, the coarse map stays as it is. Void is filled by the nearest class, or that one's
        rival.
        """
        if len(present_classes(coarse)) < 2:
            return Refinement.of(void_filled(coarse.float()), coarse)
        refined = [self._refined(*one, border_error_px) for one in zip(image, coarse.float(), strict=True)]
        return Refinement.of(torch.stack(refined), coarse)

    def _refined(self, image: Tensor, coarse: Tensor, border_error_px: float | None) -> Tensor:
        """Probabilities ``[C, H, W]`` of one image."""
        valid = not_uniform(winners(coarse[None])[0], len(coarse))[0]
        filled = void_filled(coarse[None])[0]
        labels = winners(filled[None])[1][0]
        pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
        ignored = deep(~valid.cpu().numpy())
        evidence = border_evidence(pixels, labels.cpu().numpy(), self._folder, ignored=ignored)
        if not evidence.near.any():
            return filled
        planes, pair, descriptions, rival = (
            torch.from_numpy(np.ascontiguousarray(found)).to(image.device)
            for found in (evidence.planes, evidence.pair, evidence.descriptions, evidence.rival)
        )
        error = image.new_tensor([border_error_px]) if border_error_px else None
        logits = self(image[None], planes[None], pair[None], descriptions[None], error)[0]
        near = pair > 0
        share = logits.sigmoid()[near]
        probabilities = native.empty_like(filled, torch.float32).copy_(filled)
        of_pixels = torch.zeros(len(share), len(coarse), device=image.device)
        of_pixels.scatter_(1, labels.long()[near][:, None], 1 - share[:, None])
        of_pixels.scatter_(1, rival.long()[near][:, None], share[:, None])
        probabilities.movedim(0, -1)[near] = of_pixels
        return probabilities
