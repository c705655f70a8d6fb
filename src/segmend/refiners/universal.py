"""Mends masks of any classes with one set of weights: spatial propagation that knows how far to trust a mask.

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any C, H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.data.class_free import believed
from segmend.refiners.base import Mended, Refiner
from segmend.refiners.encoder_decoder import (
    WIDTHS,
    Decoder,
    PyramidEncoder,
    Width,
    double_normed,
    head,
    pad_to_stride,
)
from segmend.refiners.spatial_propagation import SimilarityGates, propagate
from segmend.refiners.votes import CELL, LEAST, MOST_VOTES, alike_votes

SUMMARIES = 9
"""Channels of `summaries`."""


BY_CLASS = 0.1
"""How much the mean over classes counts in the loss. It moves the odds of a class with a share s of the pixels by
``1 + BY_CLASS / (classes * s)``; IoU is best where a class is taken at a probability of IoU / (1 + IoU), so odds
of 1.7 for small classes at an IoU of 0.6: more than a tenth would grow them over their borders."""


HARMLESS = 0.003
"""A cost of which no less is worth learning."""


class Blend(NamedTuple):
    """How the network weighs what it has, ``[B, 1, H, W]`` in 0..1 each.

    Attributes:
        trust: the power to which the coarse map's probabilities are taken; 0 forgets them.
        heed: how much the votes count beside them.
        evidence: how much a pixel of the start tells its neighbours.
        spread: how much of the mended map is propagated; the rest is the start.
    """

    trust: Tensor
    heed: Tensor
    evidence: Tensor
    spread: Tensor


FIRST = (3.0, -1.0, 0.0, 0.0)
"""Logits of the blend before training: the coarse map is trusted, the votes are heard a little."""


class UniversalPropagation(
    nn.Module,
    Refiner,
    PyTorchModelHubMixin,
    library_name="segmend",
    tags=["image-segmentation"],
    paper_url="https://arxiv.org/abs/1710.01020",
):
    """Three-way propagation along gates shared by all classes, guided by picture and class-free summaries.

    ``start = softmax(trust log coarse + heed votes)`` (`alike_votes`), ``spread(start)`` is the scan in four
    directions of ``evidence * start``, normalised over the classes, and the mended map blends both. A mask that
    is good already stays as it is where the network trusts it, and gives `heed` and `spread` of 0. What it sees of
    the mask is how sure, how finely bordered and how agreeing with the picture it is, never which classes it has.

    Args:
        width: channels of the guidance network.
        connections: neighbours in the line before that a pixel is connected to: 3, or 1.
        rounds: how often all four directions are scanned.

    Attributes:
        error_px: how many pixels the borders of the coarse maps that `mend` gets are off, about; 0: not known.
    """

    error_px: float = 0.0

    def __init__(self, width: Width = "quarter", connections: Literal[1, 3] = 3, rounds: int = 1) -> None:
        super().__init__()
        base = WIDTHS[width]
        self.rounds = rounds
        self.encoder = PyramidEncoder(SUMMARIES, base)
        self.decoder = Decoder(
            self.encoder.channels, (4 * base, 4 * base, 2 * base, base), double_normed, "nearest"
        )
        self.gates = SimilarityGates(base, connections, self.encoder.finest, scale=1)
        self.blend = head(base, len(Blend._fields), self.encoder.finest)
        with torch.no_grad():
            for parameter in self.blend.parameters():
                parameter.mul_(0.01)

    def forward(self, image: Tensor, coarse: Tensor, error_px: Tensor | None = None) -> tuple[Tensor, Blend]:
        """Mended probabilities ``[B, C, H, W]`` of the classes in `coarse`, at least 2, and how they were blended.

        Args:
            error_px: ``[B]``, how many pixels borders of the coarse map are off, about; 0, or None: not known.
        """
        height, width = image.shape[2:]
        image, coarse = (pad_to_stride(map_, self.encoder.stride) for map_ in (image, coarse.float()))
        votes = F.interpolate(alike_votes(image, coarse), scale_factor=CELL, mode="bilinear")
        seen = summaries(coarse, votes / MOST_VOTES, error_px)
        features = self.decoder(self.encoder(2 * image - 1, seen))
        raw = self.blend(features).float() + image.new_tensor(FIRST).view(1, -1, 1, 1)
        blend = Blend(*raw.sigmoid().split(1, dim=1))
        known = coarse.clamp_min(LEAST).log()
        start = (blend.trust * known + blend.heed * votes).softmax(dim=1)
        spread = propagate(blend.evidence * start, self.gates(features, image), self.rounds)
        spread = spread / spread.sum(dim=1, keepdim=True).clamp_min(LEAST)
        mended = torch.lerp(start, spread, blend.spread)
        return mended[..., :height, :width], Blend(*(map_[..., :height, :width] for map_ in blend))

    def mend(self, image: Tensor, coarse: Tensor) -> Mended:
        """Mend a batch (see `Refiner.mend`); classes that the coarse maps nowhere believe in cost nothing."""
        chosen = believed(coarse)
        known = coarse[:, chosen].clamp_min(LEAST)
        told = torch.full((len(image),), self.error_px, device=image.device) if self.error_px > 0 else None
        mended, _ = self(image, known / known.sum(dim=1, keepdim=True), told)
        probabilities = torch.zeros_like(coarse, dtype=torch.float32).index_copy(1, chosen, mended)
        return Mended.of(probabilities, coarse)


def summaries(coarse: Tensor, said: Tensor, error_px: Tensor | None = None) -> Tensor:
    """What can be said of a coarse map whatever its classes: ``[B, SUMMARIES, H, W]``.

    Its largest probability, the margin to the next, the entropy; label borders; the votes' largest probability,
    theirs for the coarse label, and the agreement of both maps; and how far borders are off, where that is known.

    Args:
        coarse, said: probabilities ``[B, C, H, W]``, C at least 2.
        error_px: ``[B]`` (see `UniversalPropagation.forward`).
    """
    first, labels = coarse.max(dim=1, keepdim=True)
    second = coarse.scatter(1, labels, -1.0).amax(dim=1, keepdim=True)  # a third of what `topk` takes
    entropy = -(coarse.clamp_min(LEAST).log() * coarse).sum(dim=1, keepdim=True)
    right = F.pad(labels[..., 1:] != labels[..., :-1], (0, 1))
    below = F.pad(labels[..., 1:, :] != labels[..., :-1, :], (0, 0, 0, 1))
    borders = (right | below).float()
    votes = [said.amax(dim=1, keepdim=True), said.gather(1, labels), (said * coarse).sum(dim=1, keepdim=True)]
    error = torch.zeros(len(coarse), device=coarse.device) if error_px is None else error_px
    told = torch.stack(((error > 0).float(), error.clamp_min(1).log2() / 4), dim=1)
    told = told[:, :, None, None].expand(-1, -1, *coarse.shape[2:])
    return torch.cat((first, first - second, entropy, borders, *votes, told), dim=1)


def universal_loss(mended: Tensor, target: Tensor, void: int) -> Tensor:
    """Mean over pictures of ``log(cost + HARMLESS)``: to halve the cost is worth as much in each.

    A cost is the cross-entropy of the mended probabilities ``[B, C, H, W]``: its mean over pixels, plus `BY_CLASS`
    times its mean over the classes of the picture, of their own means, so that small regions count too.
    Without the logarithm, maps that nobody could mend far outweigh those that should be left as they are.

    Args:
        target: ``int64 [B, H, W]``; `void` pixels do not count.
    """
    pictures, classes = mended.shape[:2]
    known = target != void
    index = target.masked_fill(~known, 0)
    costs = -mended.float().gather(1, index.unsqueeze(1)).clamp_min(LEAST).log().squeeze(1) * known
    slots = index + torch.arange(pictures, device=target.device).view(-1, 1, 1) * classes
    sums, counts = (
        torch.zeros(pictures * classes, device=costs.device)
        .index_add(0, slots.flatten(), values.flatten().float())
        .view(pictures, classes)
        for values in (costs, known)
    )
    present = (counts > 0).sum(dim=1)
    by_class = (sums / counts.clamp_min(1)).sum(dim=1) / present.clamp_min(1)
    overall = sums.sum(dim=1) / counts.sum(dim=1).clamp_min(1)
    seen = present > 0
    return ((overall + BY_CLASS * by_class + HARMLESS).log() * seen).sum() / seen.sum().clamp_min(1)
