"""SPN: Learning Affinity via Spatial Propagation Networks.

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import math
from typing import Literal

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.labels import Classes, InvalidInput
from segmend.ops.distances import similarity_gates
from segmend.ops.scan import normalize_gates, scan4
from segmend.refiners.appearance import with_appearance
from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.encoder_decoder import WIDTHS, Width, encoder_and_decoder, head, pad_to_stride

EMBEDDING = 16
"""Channels by which similarity gates compare pixels, beside the colours."""

MIN_PROBABILITY = 1e-7
"""The least probability that enters a logarithm."""

LEAST_TRUSTED = 1e-4
"""The least probability of a coarse map that is raised to a power: what is smaller is noise."""

MOST_TRUST = 4.0

STEP = 4.0
"""What a layer's output of 1 moves `weights` by before it is squashed: they have far to go in few steps."""

FIRST = (-1.1, 0.0, -1.0)
"""What stands for `weights` before training: the coarse map is trusted as it is, and a quarter is propagated."""


class SpatialPropagation(
    nn.Module,
    Refiner,
    PyTorchModelHubMixin,
    library_name="segmend",
    tags=["image-segmentation"],
    paper_url="https://arxiv.org/abs/1710.01020",
):
    """The spatial propagation network: a guidance network gives gates, along which the coarse map is scanned.

    Args:
        classes: what the maps stand for.
        connections: neighbours in the line before that a pixel is connected to: 3, or 1.
        gates: ``free``, the guidance network's own output; or ``similarity``, each neighbour weighted by how
            alike the pixels' embeddings and colours are, which few images can teach.
        lift: None to scan the probability map itself; or so many channels to lift it to, at half the
            resolution, with gates for each (``free``) or for all (the paper: 32, free). See `Lifted`.
        rounds: how often all four directions are scanned.
        width: channels of the guidance network.
        encoder: None for a plain one; or the name of a timm encoder (say ``tf_efficientnet_lite0``).
        frozen: the timm encoder keeps its features and batch statistics.
        sees_coarse: the guidance network sees the coarse map beside the image.
        appearance: weight of the appearance term: the coarse map that it refined (`with_appearance`) is scanned.
            0: no term.
        restrict_to_present: classes that are the most likely one nowhere in the coarse map are not in the
            refined one (the paper's setting on VOC).
        weighed: the guidance network also says how far the coarse map is to be trusted, how much each of its
            pixels tells, and how much of the refined map is propagated (`weights`); and a pixel becomes the mean
            of what reaches it, not the maximum over directions (`propagate_evidence`). So a good map can stay
            good. With a lift, that is of what comes out of this. For similarity gates: means need weights that are
            not negative.

    Raises:
        InvalidInput: weighed, and free gates.
    """

    def __init__(
        self,
        classes: Classes,
        connections: Literal[1, 3] = 3,
        gates: Literal["free", "similarity"] = "similarity",
        lift: int | None = None,
        rounds: int = 1,
        width: Width = "half",
        encoder: str | None = None,
        frozen: bool = False,
        sees_coarse: bool = True,
        appearance: float = 0.0,
        restrict_to_present: bool = False,
        weighed: bool = False,
    ) -> None:
        super().__init__()
        if weighed and gates == "free":
            raise InvalidInput("weighed: only with similarity gates; leave one of them out")
        self.classes = classes
        self.num_classes = len(classes)
        self.rounds, self.sees_coarse, self.appearance = rounds, sees_coarse, appearance
        self.restrict_to_present = restrict_to_present
        self.encoder, make_decoder = encoder_and_decoder(
            len(classes) if sees_coarse else 0, width, encoder, frozen
        )
        self.decoder = make_decoder()
        finest = self.encoder.finest

        def make_gates(groups: int, scale: int) -> FreeGates | SimilarityGates:
            if gates == "free":
                return FreeGates(WIDTHS[width], groups, connections, finest, scale)
            return SimilarityGates(WIDTHS[width], connections, finest, scale)

        self.gates = make_gates(1, scale=1) if lift is None or weighed else None
        self.weights = head(WIDTHS[width], 3, finest) if weighed else None
        if self.weights is not None:
            for parameter in self.weights.parameters():
                nn.init.zeros_(parameter)  # the same everywhere before training
        self.lifted = None if lift is None else Lifted(len(classes), lift, make_gates(lift, scale=2), rounds)

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        """Refinement log probabilities ``[B, C, H, W]``."""
        absent = absent_classes(coarse) if self.restrict_to_present else None
        if self.appearance > 0:
            coarse = with_appearance(image, coarse, self.appearance)
        features, colours = self._guidance(image, coarse)
        if absent is not None:
            coarse = without(coarse, absent)
        refined = self._propagated(coarse, features, colours)
        if self.lifted is not None:
            refined = self.lifted(refined, features, colours)
        if absent is not None:
            refined = (
                refined.masked_fill(absent, -math.inf).log_softmax(dim=1).clamp_min(math.log(MIN_PROBABILITY))
            )
        return refined

    def _propagated(self, coarse: Tensor, features: Tensor, colours: Tensor) -> Tensor:
        """Log probabilities of what is made of the coarse map without a lift."""
        if self.gates is None:
            return coarse.float().clamp_min(MIN_PROBABILITY).log()
        height, width = coarse.shape[2:]
        gates = self.gates(features, colours)[..., :height, :width]
        if self.weights is None:
            refined = propagate(coarse, gates, self.rounds).clamp_min(MIN_PROBABILITY).log()
            return refined - refined.logsumexp(dim=1, keepdim=True)
        trust, evidence, spread = weights(self.weights(features)[..., :height, :width])
        start = (trust * coarse.float().clamp_min(LEAST_TRUSTED).log()).softmax(dim=1)
        refined = torch.lerp(start, propagate_evidence(start, evidence, gates, self.rounds), spread)
        return refined.clamp_min(MIN_PROBABILITY).log()

    def _guidance(self, image: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """The guidance network's features, and the image, both padded to its stride."""
        guide = coarse if self.sees_coarse else coarse[:, :0]
        padded = pad_to_stride(torch.cat((image, guide), dim=1), self.encoder.stride)
        colours, guide = padded.split((3, guide.shape[1]), dim=1)
        return self.decoder(self.encoder(2 * colours - 1, guide)), colours

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`)."""
        return Refinement.of(self(image, coarse).exp(), coarse)


class FreeGates(nn.Module):
    """Gates as a layer gives them (eq. 9), normalised so that scans are stable (Theorem 3)."""

    def __init__(self, inputs: int, groups: int, connections: int, finest: int, scale: int) -> None:
        super().__init__()
        self.shape = (4, groups, connections)
        self.layer = head(inputs, 4 * groups * connections, finest, scale)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Gates ``[B, 4, G, K, h, w]``."""
        return normalize_gates(self.layer(features).float().unflatten(1, self.shape))


class SimilarityGates(nn.Module):
    """Gates that are large between pixels alike: ``exp(-distance)``, times a learned retention below 1.

    The distance is between embeddings that the guidance network gives, and between colours.
    """

    def __init__(self, inputs: int, connections: int, finest: int, scale: int, embedding: int = EMBEDDING) -> None:
        super().__init__()
        self.connections, self.scale, self.embedding = connections, scale, embedding
        self.layer = head(inputs, embedding + 4, finest, scale)
        self.contrast = nn.Parameter(torch.tensor(2.0))
        """Logarithm of how much a difference of colours (0..1) weighs."""

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Gates ``[B, 4, 1, K, h, w]``; image ``[B, 3, H, W]`` in 0..1."""
        embedding, retention = self.layer(features).float().split((self.embedding, 4), dim=1)
        colours = F.avg_pool2d(image, self.scale) if self.scale > 1 else image
        compared = torch.cat((embedding, colours * self.contrast.exp()), dim=1)
        return similarity_gates(compared, torch.sigmoid(retention + 3), self.connections)


class Lifted(nn.Module):
    """Changes of a map's logits, found where it is lifted to more channels, at half the resolution, and scanned.

    What channels hold, and what they do to which class, is learned: so it can tell classes apart, as scans of the
    probabilities cannot. Training starts from the map.
    """

    def __init__(self, classes: int, channels: int, gates: nn.Module, rounds: int) -> None:
        super().__init__()
        self.lift = nn.Conv2d(classes, channels, 3, padding=1, stride=2)
        self.gates, self.rounds = gates, rounds
        self.project = nn.Conv2d(channels, classes, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, known: Tensor, features: Tensor, image: Tensor) -> Tensor:
        """Log probabilities ``[B, C, H, W]`` to others, by features and an image ``[B, 3, H', W']`` in 0..1."""
        map_ = self.lift(known)
        gates = self.gates(features, image)[..., : map_.shape[2], : map_.shape[3]]
        change = self.project(propagate(map_, gates, self.rounds))
        change = F.interpolate(change, size=known.shape[2:], mode="bilinear", align_corners=False)
        return (known + change.float()).log_softmax(dim=1)


def weights(raw: Tensor, first: tuple[float, float, float] = FIRST) -> tuple[Tensor, Tensor, Tensor]:
    """How a coarse map is refined by propagation, of what a layer says ``[B, 3, H, W]``; 0 is `first`.

    Returns:
        ``[B, 1, H, W]`` each: the power of the coarse map's probabilities, 0..`MOST_TRUST` (0 forgets them, above
        1 sharpens them); how much a pixel tells its neighbours, 0..1; and how much of the refined map is
        propagated, 0..1.
    """
    trust, evidence, spread = (STEP * raw.float() + raw.new_tensor(first)[:, None, None]).split(1, dim=1)
    return MOST_TRUST * trust.sigmoid(), evidence.sigmoid(), spread.sigmoid()


def propagate_evidence(start: Tensor, evidence: Tensor, gates: Tensor, rounds: int = 1) -> Tensor:
    """Means of the probabilities that reach each pixel in the four directions: ``[B, C, H, W]``.

    ``mean_d scan_d(evidence start)``, `rounds` times, normalised over the classes at the end. (The maximum of
    eq. 10 is for one channel at a time: among classes it prefers large ones to small ones beside them.) The values
    of `segmend.ops.scan.spread`, without a plane for the evidence: probabilities sum to it.

    Args:
        start: probabilities ``[B, C, H, W]``.
        evidence: ``[B, 1, H, W]``, at least 0: how much each pixel tells.
        gates: ``[B, 4, 1, K, H, W]``, at least 0.
    """
    map_ = evidence / 4**rounds * start
    for _ in range(rounds):
        map_ = scan4(map_, gates, "sum")
    return map_ / map_.sum(dim=1, keepdim=True).clamp_min(MIN_PROBABILITY)


def propagate(map_: Tensor, gates: Tensor, rounds: int) -> Tensor:
    """Scan a map ``[B, C, H, W]`` in all directions and keep the largest value, `rounds` times (eq. 9, 10)."""
    for _ in range(rounds):
        map_ = scan4(map_, gates)
    return map_


def absent_classes(coarse: Tensor) -> Tensor:
    """Whether a class wins nowhere in its image, of a coarse map ``[B, C, H, W]``: ``bool [B, C, 1, 1]``."""
    winners = coarse.argmax(dim=1).flatten(1)
    absent = torch.ones(coarse.shape[:2], dtype=torch.bool, device=coarse.device).scatter(1, winners, False)
    return absent[:, :, None, None]


def without(coarse: Tensor, absent: Tensor) -> Tensor:
    """The coarse map ``[B, C, H, W]`` without some classes, ``bool [B, C, 1, 1]``."""
    kept = coarse * ~absent
    return kept / kept.sum(dim=1, keepdim=True).clamp_min(MIN_PROBABILITY)


def propagation_loss(log_probabilities: Tensor, target: Tensor, void: int) -> Tensor:
    """Softmax loss of a refined map: mean over the pixels of ``int64 [B, H, W]`` that are not `void`."""
    known = (target != void).sum().clamp_min(1)
    return F.nll_loss(log_probabilities.float(), target, ignore_index=void, reduction="sum") / known
