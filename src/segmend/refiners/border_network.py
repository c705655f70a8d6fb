"""A class-agnostic network for masks: each pixel near a border decides between its class and the one beyond.

Shapes: image ``[B, 3, H, W]`` in 0..1, masks ``[B, H, W]``, any number of classes, any H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from segmend.borders.evidence import PLANES, border_evidence, up_to_border
from segmend.borders.pairs import DESCRIPTION
from segmend.borders.strength import deep
from segmend.ops import native
from segmend.ops.padding import cropped, pad_to_stride
from segmend.ops.winners import winners
from segmend.refiners.base import Refinement
from segmend.refiners.encoder_decoder import (
    WIDTHS,
    Decoder,
    PyramidEncoder,
    Width,
    double_normed,
    head,
)
from segmend.refiners.folder_of_masks import FolderOfMasks, Mask, in_threads
from segmend.refiners.network import RefinerNetwork
from segmend.refiners.present_classes import not_uniform, present_classes, void_filled

EMBEDDING = 16
"""Channels by which the network sees the profile of a pixel's pair of classes."""

TRIED = 12
"""Masks of a folder on which the network is tried, at most."""

LOG2_ERROR_SCALE = 4.0
"""``log2`` of 16 pixels: brings known border errors to about 0..1."""


class BorderNetwork(RefinerNetwork, paper_url="https://arxiv.org/abs/1710.01020"):
    """Refines masks of any classes by moving their borders, by what the image and the folder show.

    Each pixel nearer than `segmend.borders.REACH` to a border is decided between its own class and its rival, that
    of the nearest pixel of another class. One pass decides all classes. The network sees the image and
    `segmend.borders.evidence.BorderEvidence`: where the pixel lies, what speaks for either class, and the border
    profile of the two classes, in the folder (`of_folder`) and in this image.

    Where the network would change little, it changes nothing, in a folder all masks or none: few changes are more
    often wrong than right.

    Args:
        width: channels of the network.
        coarse_weight: share of the mask in the result (0..1).
        least_change: ``1 - mIoU`` of masks after and before, below which they stay as they are.

    Example::

        network = BorderNetwork()
        mask = torch.zeros(60, 80, dtype=torch.uint8)
        mask[20:40, 20:50] = 1
        network.refine(torch.rand(3, 60, 80), mask).labels.shape  # [60, 80]
    """

    takes_border_error = True
    reads_folder = True

    def __init__(self, width: Width = "quarter", coarse_weight: float = 0.0, least_change: float = 0.0) -> None:
        super().__init__()
        self.coarse_weight, self.least_change = coarse_weight, least_change
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

    def of_folder(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Self:
        """The same network, which knows the folder that masks are of.

        Masks that are evidently too small, too large or shifted are moved before the network decides, if their
        borders then lie on edges far more often. Masks that seem to belong to other images are left as they are.

        Args:
            images: some of the folder, ``uint8 [H, W, 3]`` each.
            masks: of these images, ids or void ``[H, W]``.
        """
        folder, given = FolderOfMasks.of(images, masks)
        known = copy.copy(self)
        known.folder = folder
        tried = [given[i] for i in np.linspace(0, len(given) - 1, min(TRIED, len(given))).astype(int)]
        decided = in_threads(known._rivals, tried)
        is_left = known._changes_little([(mask, *found) for mask, found in zip(tried, decided, strict=True)])
        known.folder = folder._replace(is_left=is_left)
        return known

    def with_all_changes(self) -> Self:
        """The same network, which also changes masks little."""
        bold = copy.copy(self)
        bold.least_change = 0.0
        bold.folder = None if self.folder is None else self.folder._replace(is_left=False)
        return bold

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
            border_error_px = image.new_zeros(image.shape[0])  # len() would be fixed by an export
        error = (border_error_px.add(1).log2() / LOG2_ERROR_SCALE).view(-1, 1, 1)
        described = torch.cat((descriptions, error.expand(-1, descriptions.shape[1], 1)), dim=2)
        embedded = self.description(described)
        embedded = embedded * (torch.arange(embedded.shape[1], device=image.device) > 0).view(1, -1, 1)
        chosen = at_cells.flatten(1).unsqueeze(2).expand(-1, -1, EMBEDDING)
        hints = embedded.gather(1, chosen).transpose(1, 2).unflatten(2, at_cells.shape[1:])
        decoded = self.decoder(self.encoder(2 * image - 1, planes, hints))
        logits: Tensor = cropped(self.head(decoded)[:, 0], height, width).float()
        return logits

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`): the most likely class of each pixel is its mask.

        Where no border is near, the coarse map stays as it is. Void is filled by the nearest class, or that one's
        rival.
        """
        filled = void_filled(coarse.float())
        others = self.folder is not None and self.folder.are_of_other_images
        if others or len(present_classes(coarse)) < 2:
            return Refinement.of(filled, coarse)
        void = ~not_uniform(winners(coarse)[0], coarse.shape[1])
        refined = [self._refined(*one, border_error_px) for one in zip(image, filled, void, strict=True)]
        # One image is not copied again: maps of many classes are large.
        return Refinement.of(refined[0][None] if len(refined) == 1 else torch.stack(refined), coarse)

    def coarse_weight_for(self, coarse: Tensor, border_error_px: float | None = None) -> float:
        """`coarse_weight`, for all masks."""
        return self.coarse_weight

    def _refined(self, image: Tensor, filled: Tensor, void: Tensor, border_error_px: float | None) -> Tensor:
        """Probabilities ``[C, H, W]`` of one image."""
        pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
        before = winners(filled[None])[1][0].cpu().numpy()
        mask = Mask(pixels, before, deep(void.cpu().numpy()))
        if self.folder is not None and self.folder.move is not None:
            mask = mask.moved(self.folder.move)
        rival, share = mask.labels, np.zeros(before.shape, np.float32)
        if self.folder is None or not self.folder.is_left:
            found = self._rivals(mask, border_error_px)
            if self.folder is not None or not self._changes_little([(mask, *found)]):
                rival, share = found
        touched = (share > 0) | (mask.labels != before)
        places = torch.from_numpy(touched).to(image.device)
        own, other, shares = (
            torch.from_numpy(values[touched]).to(image.device)[:, None] for values in (mask.labels, rival, share)
        )
        chosen = torch.zeros(len(own), len(filled), device=image.device)
        chosen.scatter_(1, own.long(), 1 - shares).scatter_add_(1, other.long(), shares)
        probabilities = native.empty_like(filled, torch.float32).copy_(filled)
        probabilities.movedim(0, -1)[places] = chosen
        return probabilities

    @torch.no_grad()
    def _rivals(self, mask: Mask, border_error_px: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The rival of each pixel, and its share of the decision: 0 where no border is near, ``[H, W]`` each."""
        folder = None if self.folder is None else self.folder.moved
        evidence = border_evidence(mask.image, mask.labels, folder, ignored=mask.ignored)
        if not evidence.near.any():
            return evidence.rival, np.zeros(mask.labels.shape, np.float32)
        device = next(self.parameters()).device
        image = torch.from_numpy(np.ascontiguousarray(mask.image)).to(device).permute(2, 0, 1) / 255
        seen = (
            torch.from_numpy(part).to(device)[None]
            for part in (evidence.planes, evidence.pair, evidence.descriptions)
        )
        error = image.new_tensor([border_error_px]) if border_error_px else None
        share = self(image[None], *seen, error)[0].sigmoid().cpu().numpy()
        share = np.where(evidence.near, share, np.float32(0))
        return evidence.rival, up_to_border(share, mask.labels, evidence.place)

    def _changes_little(self, decisions: Iterable[tuple[Mask, np.ndarray, np.ndarray]]) -> bool:
        """Whether masks, given with what `_rivals` found, would change by less than `least_change`."""
        limit = 0.5 / (1 - self.coarse_weight) if self.coarse_weight < 0.5 else 1.0
        counts: Counter[tuple[str, int]] = Counter()
        for mask, rival, share in decisions:
            after = np.where(share > limit, rival, mask.labels)
            for what, labels in (("before", mask.labels), ("after", after), ("both", after[after == mask.labels])):
                for id_, count in zip(*np.unique(labels, return_counts=True), strict=True):
                    counts[what, int(id_)] += int(count)
        both = {id_: counts["both", id_] for what, id_ in counts if what == "before"}
        agreement = [n / (counts["before", id_] + counts["after", id_] - n) for id_, n in both.items()]
        return not agreement or 1 - sum(agreement) / len(agreement) < self.least_change
