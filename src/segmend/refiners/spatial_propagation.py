"""SPN: Learning Affinity via Spatial Propagation Networks.

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.labels import Classes, InvalidInput
from segmend.ops.distances import similarity_gates
from segmend.ops.padding import cropped, pad_to_stride
from segmend.ops.scan import normalize_gates, scan4
from segmend.refiners.appearance import MIN_COARSE, with_appearance
from segmend.refiners.base import Refinement
from segmend.refiners.encoder_decoder import WIDTHS, Width, encoder_and_decoder, head
from segmend.refiners.network import RefinerNetwork

EMBEDDING = 16
"""Channels by which similarity gates compare pixels, beside the colours."""

OWN_WEIGHT = 1e-30
"""Weight of a pixel's own probabilities beside those that reach it: it counts where nothing else does."""

MIN_PROBABILITY = 1e-7
"""Smaller probabilities count as this in logarithms and divisions."""

MAX_COARSE_POWER = 4.0
"""Largest power that the coarse map's probabilities are raised to."""

RAW_SCALE = 4.0
"""Factor on the raw outputs of the layers that predict weights, before the sigmoid: the weights can then move far
from their initial values in few training steps."""

INITIAL = (-1.1, 0.0, -1.0)
"""Raw `PropagationWeights` before training: the coarse map keeps its probabilities (power 1), pixels weigh a half,
and a quarter of the result is propagated."""

INITIAL_RETENTION = 3.0
"""Added to the raw retention of similarity gates: a gate passes on 95 % before training (sigmoid)."""

INITIAL_COLOUR_CONTRAST = 2.0
"""Initial logarithm of the weight of colour differences (0..1) beside those of embeddings: 7.4."""


class SpatialPropagation(RefinerNetwork, paper_url="https://arxiv.org/abs/1710.01020"):
    """The spatial propagation network: a guidance network predicts gates, along which the coarse map is scanned.

    Args:
        classes: what the maps stand for.
        connections: neighbours in the previous line that a pixel is connected to: 3, or 1.
        gates: ``free``, the guidance network's own output; or ``similarity``, where a neighbour's weight depends
            on the distance between the pixels' embeddings and colours, which can be learned from few images.
        lift: None to scan the probability map itself; or the number of channels that it is lifted to, at half the
            resolution, with gates for each channel (``free``) or shared by all (the paper: 32, free). See
            `Lifted`.
        rounds: number of scans in all four directions.
        width: channels of the guidance network.
        encoder: None for a plain one; or the name of a timm encoder (say ``tf_efficientnet_lite0``).
        frozen: the timm encoder keeps its features and batch statistics.
        sees_coarse: the guidance network sees the coarse map beside the image.
        appearance: weight of the appearance term; the coarse map refined by it (`with_appearance`) is scanned. 0:
            no term.
        restrict_to_present: classes that are the most likely one nowhere in the coarse map are absent from the
            refined map (the paper's setting on VOC).
        weighted: the guidance network also predicts `PropagationWeights`, and a pixel becomes the weighted mean of
            what reaches it (`propagate_means`), not the maximum over the directions. A good map can then stay as
            it is. With a lift, the result of this is lifted. Similarity gates only: a mean needs gates that are
            not negative.

    Raises:
        InvalidInput: `weighted` with free gates.
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
        weighted: bool = False,
    ) -> None:
        super().__init__()
        if weighted and gates == "free":
            raise InvalidInput("weighted: expected similarity gates, found free ones: leave out one of the two")
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

        self.gates = make_gates(1, scale=1) if lift is None or weighted else None
        self.weights = head(WIDTHS[width], 3, finest) if weighted else None
        if self.weights is not None:
            for parameter in self.weights.parameters():
                nn.init.zeros_(parameter)  # `INITIAL` everywhere before training
        self.lifted = None if lift is None else Lifted(len(classes), lift, make_gates(lift, scale=2), rounds)

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        """The refined map's log-probabilities ``[B, C, H, W]``."""
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
        """Log-probabilities after propagation of the coarse map itself; with a lift, what is lifted."""
        if self.gates is None:
            return coarse.float().clamp_min(MIN_PROBABILITY).log()
        height, width = coarse.shape[2:]
        gates = cropped(self.gates(features, colours), height, width)
        if self.weights is None:
            refined = propagate(coarse, gates, self.rounds).clamp_min(MIN_PROBABILITY).log()
            return refined - refined.logsumexp(dim=1, keepdim=True)
        power, pixel_weight, share = propagation_weights(cropped(self.weights(features), height, width))
        start = (power * coarse.float().clamp_min(MIN_COARSE).log()).softmax(dim=1)
        refined = torch.lerp(start, propagate_means(start, pixel_weight, gates, self.rounds), share)
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
    """Gates predicted by a layer (eq. 9), normalised so that scans are stable (Theorem 3)."""

    def __init__(self, inputs: int, groups: int, connections: int, finest: int, scale: int) -> None:
        super().__init__()
        self.shape = (4, groups, connections)
        self.layer = head(inputs, 4 * groups * connections, finest, scale)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Gates ``[B, 4, G, K, h, w]``."""
        return normalize_gates(self.layer(features).float().unflatten(1, self.shape))


class SimilarityGates(nn.Module):
    """Gates that are large between similar pixels: ``exp(-distance)``, times a predicted retention below 1.

    The distance is between the pixels' colours and embeddings, which the guidance network predicts.
    """

    def __init__(
        self, inputs: int, connections: Literal[1, 3], finest: int, scale: int, embedding: int = EMBEDDING
    ) -> None:
        super().__init__()
        self.connections, self.scale, self.embedding = connections, scale, embedding
        self.layer = head(inputs, embedding + 4, finest, scale)
        self.contrast = nn.Parameter(torch.tensor(INITIAL_COLOUR_CONTRAST))
        """Logarithm of the weight of colour differences (0..1)."""

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Gates ``[B, 4, 1, K, h, w]``; image ``[B, 3, H, W]`` in 0..1."""
        embedding, retention = self.layer(features).float().split((self.embedding, 4), dim=1)
        colours = F.avg_pool2d(image, self.scale) if self.scale > 1 else image
        compared = torch.cat((embedding, colours * self.contrast.exp()), dim=1)
        return similarity_gates(compared, torch.sigmoid(retention + INITIAL_RETENTION), self.connections)


class Lifted(nn.Module):
    """Corrects a map's logits: it is lifted to more channels at half the resolution, scanned, and projected back.

    The channels and their effect on each class are learned, so the correction differs between classes, as scans of
    probabilities cannot. Before training it is 0.
    """

    def __init__(self, classes: int, channels: int, gates: nn.Module, rounds: int) -> None:
        super().__init__()
        self.lift = nn.Conv2d(classes, channels, 3, padding=1, stride=2)
        self.gates, self.rounds = gates, rounds
        self.project = nn.Conv2d(channels, classes, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, log_map: Tensor, features: Tensor, image: Tensor) -> Tensor:
        """Log-probabilities ``[B, C, H, W]`` to corrected ones, given features and an image ``[B, 3, H', W']``."""
        map_ = self.lift(log_map)
        gates = cropped(self.gates(features, image), *map_.shape[2:])
        change = self.project(propagate(map_, gates, self.rounds))
        change = F.interpolate(change, size=log_map.shape[2:], mode="bilinear", align_corners=False)
        return (log_map + change.float()).log_softmax(dim=1)


class PropagationWeights(NamedTuple):
    """How a coarse map is propagated, per pixel: ``[B, 1, H, W]`` each.

    Attributes:
        coarse_power: power of the coarse map's probabilities, 0..`MAX_COARSE_POWER`: 0 makes them uniform, above 1
            sharpens them.
        pixel_weight: weight of the pixel in the means of others, 0..1.
        propagated_share: share of the propagated map in the refined one, 0..1.
    """

    coarse_power: Tensor
    pixel_weight: Tensor
    propagated_share: Tensor


def propagation_weights(raw: Tensor, initial: tuple[float, float, float] = INITIAL) -> PropagationWeights:
    """The weights of a layer's raw outputs ``[B, 3, H, W]``; an output of 0 stands for `initial`."""
    scaled = RAW_SCALE * raw.float() + raw.new_tensor(initial)[:, None, None]
    power, pixel_weight, share = scaled.split(1, dim=1)
    return PropagationWeights(MAX_COARSE_POWER * power.sigmoid(), pixel_weight.sigmoid(), share.sigmoid())


def propagate_means(start: Tensor, pixel_weight: Tensor, gates: Tensor, rounds: int = 1) -> Tensor:
    """Weighted means of the probabilities that reach each pixel from the four directions: ``[B, C, H, W]``.

    ``mean_d scan_d(pixel_weight * start)``, `rounds` times, divided by its sum over the classes at the end. (The
    maximum of eq. 10 compares one channel at a time; over class probabilities it favours large classes over small
    ones beside them.) The values of `segmend.ops.scan.spread`, without a plane for the weights: probabilities sum
    to them. Where next to nothing arrives, a pixel keeps its own probabilities.

    Args:
        start: probabilities ``[B, C, H, W]``.
        pixel_weight: ``[B, 1, H, W]``, at least 0.
        gates: ``[B, 4, 1, K, H, W]``, at least 0.
    """
    map_ = pixel_weight / 4**rounds * start
    for _ in range(rounds):
        map_ = scan4(map_, gates, "sum")
    map_ = torch.add(map_, start, alpha=OWN_WEIGHT)
    return map_ / map_.sum(dim=1, keepdim=True)


def propagate(map_: Tensor, gates: Tensor, rounds: int) -> Tensor:
    """Scan a map ``[B, C, H, W]`` in all directions and take the maximum over them, `rounds` times (eq. 9, 10)."""
    for _ in range(rounds):
        map_ = scan4(map_, gates)
    return map_


def absent_classes(coarse: Tensor) -> Tensor:
    """Whether a class is the most likely one nowhere in its image ``[C, H, W]``: ``bool [B, C, 1, 1]``."""
    labels = coarse.argmax(dim=1).flatten(1)
    absent = torch.ones(coarse.shape[:2], dtype=torch.bool, device=coarse.device).scatter(1, labels, False)
    return absent[:, :, None, None]


def without(coarse: Tensor, absent: Tensor) -> Tensor:
    """The coarse map ``[B, C, H, W]`` without some classes, ``bool [B, C, 1, 1]``."""
    kept = coarse * ~absent
    return kept / kept.sum(dim=1, keepdim=True).clamp_min(MIN_PROBABILITY)


def propagation_loss(log_probabilities: Tensor, target: Tensor, void: int) -> Tensor:
    """Softmax loss of a refined map: mean over the pixels of ``int64 [B, H, W]`` that are not `void`."""
    valid = (target != void).sum().clamp_min(1)
    return F.nll_loss(log_probabilities.float(), target, ignore_index=void, reduction="sum") / valid
