"""ECN: Error Correction for Dense Semantic Image Labeling (LabelPropagation, LabelReplacement, Fusion).

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import itertools
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.labels import Classes
from segmend.ops.padding import cropped, pad_to_stride
from segmend.ops.warp import warp
from segmend.refiners.appearance import MIN_COARSE, with_appearance
from segmend.refiners.base import Refinement
from segmend.refiners.encoder_decoder import WIDTHS, Width, conv, encoder_and_decoder, head
from segmend.refiners.network import RefinerNetwork

MIN_PROBABILITY = 1e-7
"""Smaller probabilities of the true class count as this in the losses' logarithms."""

INITIAL_SCALE = 0.01
"""Factor on Xavier's weights of the layers that change the coarse map, so that training starts close to it."""

Branches = Literal["both", "propagation", "replacement"]


class Correction(NamedTuple):
    """What the network predicts for a batch.

    Attributes:
        displacement: ``[B, 2, H, W]``, (dx, dy) in pixels (None without the propagation branch).
        propagated: S_prop ``[B, C, H, W]``, the coarse map moved by it (eq. 3).
        replaced_logits: logits of S_repl ``[B, C, H, W]`` (None without the replacement branch).
        mask: m ``[B, 1, H, W]`` in 0..1 (None unless there are both branches).
    """

    displacement: Tensor | None
    propagated: Tensor | None
    replaced_logits: Tensor | None
    mask: Tensor | None

    @property
    def replaced(self) -> Tensor | None:
        """S_repl, a probability map."""
        return None if self.replaced_logits is None else self.replaced_logits.softmax(dim=1)

    @property
    def probabilities(self) -> Tensor:
        """S_fuse = m * S_prop + (1 - m) * S_repl (eq. 5), or the only branch's map."""
        if self.mask is not None:
            assert self.propagated is not None
            assert self.replaced is not None
            return self.mask * self.propagated + (1 - self.mask) * self.replaced
        only = self.propagated if self.propagated is not None else self.replaced
        assert only is not None
        return only


def correction_loss(correction: Correction, target: Tensor, void: int, held_out: Tensor | None = None) -> Tensor:
    """L_fuse (eq. 6): cross-entropy of the fused, the propagated and the replaced map.

    Args:
        target: ground truth, ``int64 [B, H, W]``; `void` pixels do not count. A batch of void alone gives 0.
        held_out: ``bool [B]``, images whose loss reaches the fusion mask alone; that of the others reaches the
            branches alone (None: all losses reach all, as in the paper).
    """
    valid = (target != void).unsqueeze(1)
    index = target.unsqueeze(1).masked_fill(~valid, 0)
    to_branches = to_mask = valid
    if held_out is not None:
        to_branches = valid & ~held_out.view(-1, 1, 1, 1)
        to_mask = valid & held_out.view(-1, 1, 1, 1)
    # Only the true class's probability enters the loss: gathered first, there is C times less to compute.
    moved = new = None
    loss = index.new_zeros((), dtype=torch.float32)
    if correction.propagated is not None:
        moved = correction.propagated.float().gather(1, index)
        loss = loss - _mean(moved.clamp_min(MIN_PROBABILITY).log(), to_branches)
    if correction.replaced_logits is not None:
        log_new = correction.replaced_logits.float().log_softmax(dim=1).gather(1, index)
        new = log_new.exp()
        loss = loss - _mean(log_new, to_branches)
    if correction.mask is not None and moved is not None and new is not None:
        if held_out is not None:
            moved, new = moved.detach(), new.detach()
        fused = correction.mask * moved + (1 - correction.mask) * new
        loss = loss - _mean(fused.clamp_min(MIN_PROBABILITY).log(), to_mask)
    return loss


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp_min(1)


class ECN(RefinerNetwork, paper_url="https://arxiv.org/abs/1712.03812"):
    """The error correction network: a shared encoder, two decoders, and a fusion of their results.

    Args:
        classes: what the maps stand for.
        width: the paper's widths, or half or a quarter of them.
        branches: both and their fusion, or one alone.
        encoder: None for the paper's encoder; or the name of a timm encoder (say
            ``tf_efficientnet_lite0``), which sees the image, while a small pyramid sees the coarse map. The
            pyramid and the decoders then have batch norm, and the fusion has fewer channels.
        frozen: the timm encoder keeps its features and batch statistics. A training step takes half the time on a
            CPU, and the network overfits less.
        residual: the replacement branch adds its logits to the coarse map's log-probabilities, so that it too
            starts from the coarse map. The paper's branch predicts S_repl from nothing, which takes many images.
        max_displacement: the longest displacement per axis in pixels; None for half the image
            (the paper's normalised units).
        appearance: weight of the appearance term (`with_appearance`). The network then sees the coarse map refined
            by the term beside the coarse map itself, and both branches start from it. Needs a timm encoder; 0: no
            term.
        coarse_weight: share of the coarse map in the result (0..1). A label then changes only where the correction
            is more confident of the new one than the coarse map of the old one; fewer images are degraded.
    """

    def __init__(
        self,
        classes: Classes,
        width: Width = "full",
        branches: Branches = "both",
        encoder: str | None = None,
        max_displacement: float | None = 32.0,
        residual: bool = False,
        frozen: bool = False,
        coarse_weight: float = 0.0,
        appearance: float = 0.0,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.num_classes = len(classes)
        self.branches = branches
        self.max_displacement = max_displacement
        self.residual = residual
        self.coarse_weight, self.appearance = coarse_weight, appearance
        self.encoder, make_decoder = encoder_and_decoder(
            len(classes), width, encoder, frozen, hints=len(classes) if appearance > 0 else 0
        )
        finest = self.encoder.finest
        last = WIDTHS[width]
        if branches != "replacement":
            self.propagation = make_decoder()
            self.flow = head(last, 2, finest)
        if branches != "propagation":
            self.replacement = make_decoder()
            self.classify = head(last, self.num_classes, finest)
        if branches == "both":
            # The paper's, or one without its last layer, as wide as the decoders.
            widths = (2 * last, last, last, 4 * last) if encoder is None else (2 * last, last, last)
            layers = [layer for inputs, outputs in itertools.pairwise(widths) for layer in conv(inputs, outputs)]
            self.fusion = nn.Sequential(nn.Sequential(*layers), head(widths[-1], 1, finest))
        self._initialise()

    def _initialise(self) -> None:
        """Xavier's uniform weights; those of layers that change the coarse map times `INITIAL_SCALE`."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("encoder.image"):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        small: list[nn.Module] = []
        if self.branches != "replacement":
            small.append(self.flow)
        if self.branches != "propagation" and self.residual:
            small.append(self.classify)
        if self.branches == "both":
            small.append(self.fusion[-1])
        with torch.no_grad():
            for layer in small:
                next(layer.parameters()).mul_(INITIAL_SCALE)

    def forward(self, image: Tensor, coarse: Tensor, detach_mask: bool = False) -> Correction:
        """Correct a batch; with `detach_mask` no gradient reaches the branches through the fusion mask."""
        height, width = image.shape[2:]
        colours, guide = (pad_to_stride(map_, self.encoder.stride) for map_ in (image, coarse))
        start, hints = coarse, []
        if self.appearance > 0:
            refined = with_appearance(colours, guide, self.appearance)
            start = cropped(refined, height, width)
            hints.append(F.avg_pool2d(refined, self.encoder.finest))
        features = self.encoder(2 * colours - 1, guide, *hints)
        displacement = propagated = logits = mask = None
        decoded = []
        if self.branches != "replacement":
            decoded.append(self.propagation(features))
            raw = cropped(self.flow(decoded[-1]), height, width).float()
            displacement = self._reached(torch.tanh(raw))
            propagated = warp(start, displacement)
        if self.branches != "propagation":
            decoded.append(self.replacement(features))
            logits = cropped(self.classify(decoded[-1]), height, width).float()
            if self.residual:
                logits = logits + start.clamp_min(MIN_COARSE).log()
        if self.branches == "both":
            both = torch.cat(decoded, dim=1)
            fusion = self.fusion(both.detach() if detach_mask else both)
            mask = cropped(fusion, height, width).float().sigmoid()
        return Correction(displacement, propagated, logits, mask)

    def _reached(self, share: Tensor) -> Tensor:
        """Displacements in pixels from shares (-1..1) of the longest ones, ``[B, 2, H, W]``."""
        if self.max_displacement is not None:
            return self.max_displacement * share
        height, width = share.shape[2:]
        return torch.stack((0.5 * width * share[:, 0], 0.5 * height * share[:, 1]), dim=1)

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`), with displacements and the fusion mask."""
        correction = self(image, coarse)
        mask = None if correction.mask is None else correction.mask[:, 0]
        return Refinement.of(
            correction.probabilities, coarse, displacement=correction.displacement, fusion_mask=mask
        )

    def coarse_weight_for(self, coarse: Tensor, border_error_px: float | None = None) -> float:
        """`coarse_weight`, for all coarse maps."""
        return self.coarse_weight


class CorrectedSegmenter(nn.Module):
    """Any segmenter with the error correction network behind it, as one module to train end to end.

    Args:
        segmenter: image ``[B, 3, H, W]`` in 0..1 to logits ``[B, C, H, W]``.
        ecn: of the same classes. Its losses (`correction_loss`) reach the segmenter through the coarse map;
            add a loss of the logits to keep that map a segmentation.
    """

    def __init__(self, segmenter: nn.Module, ecn: ECN) -> None:
        super().__init__()
        self.segmenter, self.ecn = segmenter, ecn

    def forward(self, image: Tensor) -> tuple[Tensor, Correction]:
        """Logits of the segmenter, and their correction."""
        logits = self.segmenter(image)
        return logits, self.ecn(image, logits.float().softmax(dim=1))
