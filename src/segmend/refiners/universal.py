"""Refines masks of any classes with one set of weights: spatial propagation that knows how far to trust a mask.

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any C, H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.ops import native
from segmend.ops.winners import present, winners
from segmend.refiners.appearance import APPEARANCE_SUM, CELL, MIN_COARSE, appearance_term
from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.encoder_decoder import (
    WIDTHS,
    Decoder,
    PyramidEncoder,
    Width,
    double_normed,
    head,
    pad_to_stride,
)
from segmend.refiners.spatial_propagation import STEP, SimilarityGates, propagate_evidence, weights

PIXELS, PLACES = 4, 7
"""Channels of `Summaries`."""

EMBEDDING = 8
"""Channels by which gates compare pixels, beside the colours."""

RARE = 1e-2
"""Probability beside which smaller ones tell nothing, in ratios of what places hold on the whole."""

SURROUNDINGS = 9
"""Side of a place's surroundings, in cells of `CELL` pixels."""

BY_CLASS = 0.1
"""How much the mean over classes counts in the loss. It moves the odds of a class with a share s of the pixels by
``1 + BY_CLASS / (classes * s)``; IoU is best where a class is taken at a probability of IoU / (1 + IoU), so odds
of 1.7 for small classes at an IoU of 0.6: more than a tenth would grow them over their borders."""

FAR = 4
"""Cells from the nearest label border, from which on a place is far from all of them."""

SURE, DOUBTFUL = 0.03, 0.05
"""`Doubt` of maps that are sure, and of those that are not. Masks have 0.02, which `one_hot` leaves to other
classes, and true shares of places little more far from their borders."""

COST_FLOOR = 0.006
"""A cost of which no less is worth learning."""

ERROR = 0.3
"""How much a guess of the error counts in the loss, beside the refined map."""


class Blend(NamedTuple):
    """How the network weighs what it has.

    Attributes:
        trust, evidence, spread: see `segmend.refiners.spatial_propagation.weights`, ``[B, 1, H, W]`` each.
        likeness: how much it counts that places of the same colour hold a class more often than the whole image
            does, 0..1.
        contrast: how much a place's surroundings are held against it, -1..1: above 0 sharpens a blurred map. These
            two: ``[B, 1, H / CELL, W / CELL]``.
    """

    trust: Tensor
    evidence: Tensor
    spread: Tensor
    likeness: Tensor
    contrast: Tensor

    @classmethod
    def of(cls, pixels: Tensor, places: Tensor) -> Self:
        """The blend of what layers say, ``[B, 3, H, W]`` and ``[B, 2, H / CELL, W / CELL]``; 0 is `FIRST`."""
        likeness, contrast = (STEP * places + places.new_tensor(FIRST[3:])[:, None, None]).split(1, dim=1)
        return cls(*weights(pixels, FIRST[:3]), likeness.sigmoid(), contrast.tanh())


FIRST = (-1.1, 0.0, 0.0, -2.0, 0.0)
"""What stands for the blend before training: the coarse map is trusted as it is, likeness counts a little."""


class Propagated(NamedTuple):
    """What `UniversalPropagation` makes of a batch.

    Attributes:
        refined: probabilities ``[B, C, H, W]``.
        blend: how they were blended, over an image whose sides are multiples of 32.
        error: `scale_of` the pixels by which borders of the coarse maps seem to be off, ``[B]``.
    """

    refined: Tensor
    blend: Blend
    error: Tensor


def scale_of(border_error_px: Tensor) -> Tensor:
    """``log2(1 + pixels)``."""
    return border_error_px.add(1).log2()


class UniversalPropagation(
    nn.Module,
    Refiner,
    PyTorchModelHubMixin,
    library_name="segmend",
    tags=["image-segmentation"],
    paper_url="https://arxiv.org/abs/1710.01020",
):
    """Three-way propagation along gates shared by all classes, guided by image and class-agnostic summaries.

    The start is a product of experts, each to a power that the network chooses (`Blend`, `clues`)::

        start = softmax(trust log coarse + likeness log(A / P) - contrast log S)

    of the coarse map, what places alike hold A and the whole image P, and a place's surroundings S. The refined
    map blends it with the means of what reaches each pixel (`propagate_evidence`). A good mask stays as it is
    where it is trusted alone. What the network sees of the mask is how sure, how finely bordered and how agreeing
    with the image it is, never which classes it has. From that it guesses how far borders are off, where nobody
    says, and how to blend depends on it.

    Args:
        width: channels of the guidance network.
        connections: neighbours in the line before that a pixel is connected to: 3, or 1.
        coarse_weight: share of the coarse map in what comes out (see `mixed`), for maps that are unsure also far
            from their borders.
        coarse_weight_confident: the same for maps that are sure there: they may well be as good as they look, and
            nothing that was learned on some sets is as reliable on others.
        coarse_weight_masks: the same for masks, which are sure everywhere and do not say where their borders may
            be off. With a half or more no mask is changed.
        coarse_weight_known_error: the same for masks whose error is told (`border_error_px`), as the network is
            bolder then.
    """

    takes_border_error = True

    def __init__(
        self,
        width: Width = "quarter",
        connections: Literal[1, 3] = 3,
        coarse_weight: float = 0.0,
        coarse_weight_confident: float = 0.0,
        coarse_weight_masks: float = 0.0,
        coarse_weight_known_error: float = 0.0,
    ) -> None:
        super().__init__()
        self.coarse_weight, self.coarse_weight_confident = coarse_weight, coarse_weight_confident
        self.coarse_weight_masks, self.coarse_weight_known_error = coarse_weight_masks, coarse_weight_known_error
        base = WIDTHS[width]
        self.encoder = PyramidEncoder(PIXELS, base, hints=PLACES + 1)
        self.decoder = Decoder(
            self.encoder.channels, (4 * base, 4 * base, 2 * base, base), double_normed, "nearest"
        )
        finest = self.encoder.finest
        self.gates = SimilarityGates(base, connections, finest, scale=1, embedding=EMBEDDING)
        self.at_pixels, self.at_places = head(base, 3, finest), head(base, 2, finest, CELL)
        self.image_summary = nn.Sequential(nn.Linear(2 * (PIXELS + PLACES) + 1, 2 * base), nn.ReLU())
        self.error = nn.Linear(2 * base, 1)
        self.overall = nn.Linear(2 * base + 1, len(Blend._fields))
        with torch.no_grad():
            for parameter in nn.ModuleList((self.at_pixels, self.at_places, self.overall)).parameters():
                parameter.mul_(0.01)

    def forward(self, image: Tensor, coarse: Tensor, border_error_px: Tensor | None = None) -> Propagated:
        """Refine coarse probabilities ``[B, C, H, W]`` of at least 2 classes.

        Args:
            border_error_px: ``[B]``, how many pixels borders of the coarse map are off, about; 0, or None: not
                known.
        """
        height, width = image.shape[2:]
        image, coarse = (pad_to_stride(map_, self.encoder.stride) for map_ in (image, coarse.float()))
        known = coarse.clamp_min(MIN_COARSE).log_()
        held = clues(image, coarse)
        seen = summaries(image, coarse, known, held)
        summary = self.image_summary(near_and_far(seen))
        guess = self.error(summary).squeeze(1).float()
        error = guess.detach().clamp_min(0)
        if border_error_px is not None:
            error = torch.where(border_error_px > 0, scale_of(border_error_px), error)
        told = error[:, None, None, None].expand(-1, 1, *seen.places.shape[2:]) / 4
        hints = F.interpolate(torch.cat((seen.places, told), dim=1), scale_factor=CELL // self.encoder.finest)
        features = self.decoder(self.encoder(2 * image - 1, seen.pixels, hints))
        overall = self.overall(torch.cat((summary, error[:, None] / 4), dim=1)).float()[:, :, None, None]
        blend = Blend.of(
            self.at_pixels(features).float() + overall[:, :3], self.at_places(features).float() + overall[:, 3:]
        )
        start = start_of(known, held, blend)
        spread = propagate_evidence(start, blend.evidence, self.gates(features, image))
        refined = torch.lerp(start, spread, blend.spread)
        return Propagated(refined[..., :height, :width], blend, guess)

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`).

        Classes that are the likeliest nowhere in the coarse maps are not in the refined ones, and cost nothing.
        """
        chosen = present(coarse)
        if len(chosen) == 1:
            return Refinement.of(coarse.float(), coarse)
        known = coarse[:, chosen].clamp_min_(MIN_COARSE)
        known /= known.sum(dim=1, keepdim=True)
        error = torch.full((len(image),), border_error_px, device=image.device) if border_error_px else None
        refined = self(image, known, error).refined
        probabilities = native.empty_like(coarse, torch.float32).zero_().index_copy_(1, chosen, refined)
        return Refinement.of(probabilities, coarse)

    def coarse_weight_for(self, coarse: Tensor, border_error_px: float | None = None) -> float:
        """`coarse_weight`, or that of sure maps or masks, or between them, as there is `doubt` in the map."""
        soft, doubtful = (min(max((lacks - SURE) / (DOUBTFUL - SURE), 0.0), 1.0) for lacks in doubt(coarse))
        hard = self.coarse_weight_known_error if border_error_px else self.coarse_weight_masks
        careful = hard + (self.coarse_weight_confident - hard) * soft
        return careful + (self.coarse_weight - careful) * doubtful


class Doubt(NamedTuple):
    """What a map's largest probabilities lack to 1, on average near its label borders and far from them.

    0 where no place is near or far.
    """

    near: float
    far: float


@torch.no_grad()
def doubt(coarse: Tensor) -> Doubt:
    """The doubt of a map. Void pixels, which are uniform, do not count.

    Near borders also the best map is unsure, if its resolution is low; far from them it is not.

    Args:
        coarse: probabilities ``[C, h, w]``, one pixel of each cell.
    """
    largest, labels = winners(coarse)
    border = torch.zeros_like(largest)
    border[:, :-1] += labels[:, 1:] != labels[:, :-1]
    border[:-1] += labels[1:] != labels[:-1]
    near = F.max_pool2d(border[None], 2 * FAR + 1, stride=1, padding=FAR)[0] > 0
    told = largest > 1.01 / len(coarse)
    return Doubt(
        *(float(1 - largest[there].mean()) if there.any() else 0.0 for there in (near & told, ~near & told))
    )


class Clues(NamedTuple):
    """What is known of each place of ``CELL x CELL`` pixels, ``[B, C, H / CELL, W / CELL]`` each.

    Attributes:
        coarse: the coarse map.
        alike: what places of the same colour hold (`appearance_term` of one round, as shares).
        likeness: logarithm of how much more often they hold it than the whole image does.
        surroundings: logarithm of what the places around hold.
    """

    coarse: Tensor
    alike: Tensor
    likeness: Tensor
    surroundings: Tensor


@torch.no_grad()
def clues(image: Tensor, coarse: Tensor) -> Clues:
    """Clues of an image ``[B, 3, H, W]`` and its coarse map ``[B, C, H, W]``, their sides multiples of 32."""
    small = F.avg_pool2d(coarse, CELL)
    alike = appearance_term(image, coarse, rounds=1) / APPEARANCE_SUM
    overall = small.mean(dim=(2, 3), keepdim=True)
    likeness = ((alike + RARE) / (overall + RARE)).log()
    around = F.avg_pool2d(small, SURROUNDINGS, stride=1, padding=SURROUNDINGS // 2, count_include_pad=False)
    return Clues(small, alike, likeness, (around + RARE).log())


def start_of(known: Tensor, held: Clues, blend: Blend) -> Tensor:
    """The product of experts ``[B, C, H, W]`` (see `UniversalPropagation`)."""
    said = blend.likeness * held.likeness - blend.contrast * held.surroundings
    return F.interpolate(said, scale_factor=CELL, mode="bilinear").addcmul_(blend.trust, known).softmax(dim=1)


class Summaries(NamedTuple):
    """What can be said of a coarse map whatever its classes.

    Attributes:
        pixels: label borders; the largest probability, and the entropy; and how much the colours change:
            ``[B, PIXELS, H, W]``.
        places: the margin to the next class; of places alike the largest share, the label's, and how they agree
            with the map; the likeness of the label, its share of the image, and how sure the map is of it on the
            whole: ``[B, PLACES, H / CELL, W / CELL]``.
    """

    pixels: Tensor
    places: Tensor


@torch.no_grad()
def summaries(image: Tensor, coarse: Tensor, known: Tensor, held: Clues) -> Summaries:
    """Summaries of an image ``[B, 3, H, W]`` and its coarse map.

    Args:
        coarse, known: probabilities ``[B, C, H, W]``, C at least 2, and their logarithms.
    """
    first, labels = winners(coarse)
    entropy = -(known * coarse).sum(dim=1, keepdim=True)
    right = F.pad(labels[..., 1:] != labels[..., :-1], (0, 1))
    below = F.pad(labels[..., 1:, :] != labels[..., :-1, :], (0, 0, 0, 1))
    change = F.pad((image[..., 1:] - image[..., :-1]).abs(), (0, 1)).sum(dim=1, keepdim=True)
    change = change + F.pad((image[..., 1:, :] - image[..., :-1, :]).abs(), (0, 0, 0, 1)).sum(dim=1, keepdim=True)
    border = (right | below).float().unsqueeze(1)
    return Summaries(torch.cat((border, first.unsqueeze(1), entropy, change), dim=1), _of_places(held))


def _of_places(held: Clues) -> Tensor:
    (first, second), (label, _) = (found.split(1, dim=1) for found in held.coarse.topk(2, dim=1))
    alike = held.alike
    place = label.flatten(2).squeeze(1)
    empty = first.new_zeros(held.coarse.shape[:2])
    count = empty.scatter_add(1, place, torch.ones_like(first).flatten(1))
    sure = empty.scatter_add(1, place, first.flatten(1)) / count.clamp_min(1)
    share = count / place.shape[1]
    of_class = [table.gather(1, place).view_as(first) for table in (share.clamp_min(1e-3).log2() / -10, sure)]
    shares = [alike.amax(dim=1, keepdim=True), alike.gather(1, label), (alike * held.coarse).sum(1, keepdim=True)]
    return torch.cat((first - second, *shares, held.likeness.gather(1, label) / 4, *of_class), dim=1)


@torch.no_grad()
def near_and_far(seen: Summaries) -> Tensor:
    """Roots of means of `Summaries` near label borders and away from them, and of how much is near.

    ``[B, 2 (PIXELS + PLACES) + 1]``.

    Sure far from borders and unsure in a wide band at them, say, is a good map of low resolution, whatever it
    shows.
    """
    places = torch.cat((F.avg_pool2d(seen.pixels, CELL), seen.places), dim=1)
    near = F.max_pool2d((places[:, :1] > 0).float(), 5, stride=1, padding=2)
    shares = [near.mean(dim=(2, 3)), 1 - near.mean(dim=(2, 3))]
    sums = [(places * weight).mean(dim=(2, 3)) for weight in (near, 1 - near)]
    means = [total / share.clamp_min(1e-3) for total, share in zip(sums, shares, strict=True)]
    told = torch.cat((*means, shares[0]), dim=1)
    return told.sign() * told.abs().sqrt()  # small ones tell as much as large ones


def universal_loss(found: Propagated, target: Tensor, void: int, border_error_px: Tensor) -> Tensor:
    """Mean over images of ``log(cost + COST_FLOOR)``, and `ERROR` times how far the guess of the error is off.

    A cost is the cross-entropy of the refined probabilities: its mean over pixels, plus `BY_CLASS` times its mean
    over the classes of the image, of their own means, so that small regions count too. With the logarithm it is
    worth as much in each image to halve it; without, maps that nobody could refine far outweigh those that should
    be left as they are.

    Args:
        target: ``int64 [B, H, W]``; `void` pixels do not count.
        border_error_px: ``[B]``, the true ones (see `segmend.data.class_agnostic.border_error_pixels`).
    """
    refined = found.refined.float()
    images, classes = refined.shape[:2]
    known = target != void
    index = target.masked_fill(~known, 0)
    costs = -refined.gather(1, index.unsqueeze(1)).clamp_min(MIN_COARSE).log().squeeze(1) * known
    slots = index + torch.arange(images, device=target.device).view(-1, 1, 1) * classes
    sums, counts = (
        torch.zeros(images * classes, device=costs.device)
        .index_add(0, slots.flatten(), values.flatten().float())
        .view(images, classes)
        for values in (costs, known)
    )
    present = (counts > 0).sum(dim=1)
    by_class = (sums / counts.clamp_min(1)).sum(dim=1) / present.clamp_min(1)
    overall = sums.sum(dim=1) / counts.sum(dim=1).clamp_min(1)
    off = F.smooth_l1_loss(found.error, scale_of(border_error_px), reduction="none")
    loss = (overall + BY_CLASS * by_class + COST_FLOOR).log() + ERROR * off
    seen = present > 0
    return (loss * seen).sum() / seen.sum().clamp_min(1)
