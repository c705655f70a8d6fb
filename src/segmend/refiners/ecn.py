"""ECN: Error Correction for Dense Semantic Image Labeling (LabelPropagation, LabelReplacement, Fusion).

Shapes: image ``[B, 3, H, W]`` in 0..1, coarse probability map ``[B, C, H, W]``, any H and W.
"""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.labels import Classes
from segmend.ops.warp import warp
from segmend.refiners.base import Mended, Refiner

Branches = Literal["both", "propagation", "replacement"]
Width = Literal["full", "half", "quarter"]

WIDTHS: dict[Width, int] = {"full": 64, "half": 32, "quarter": 16}
"""Channels of the first layer by preset; the paper's is `full`, the others divide all by 2 or 4."""


Block = Callable[[int, int, int], nn.Sequential]
"""Makes two convolutions, of channels in, between and out."""


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


def correction_loss(correction: Correction, target: Tensor, void: int) -> Tensor:
    """L_fuse (eq. 6): cross-entropy of the fused, the propagated and the replaced map.

    Args:
        target: true labels, ``int64 [B, H, W]``; `void` pixels do not count. An all-void batch gives 0.
    """
    known = target != void
    index = target.masked_fill(~known, 0).unsqueeze(1)
    # Only the true class's probability enters the loss: taken out first, it is C times less to compute.
    moved = new = None
    losses = []
    if correction.propagated is not None:
        moved = correction.propagated.float().gather(1, index)
        losses.append(moved.clamp_min(1e-7).log())
    if correction.replaced_logits is not None:
        log_new = correction.replaced_logits.float().log_softmax(dim=1).gather(1, index)
        new = log_new.exp()
        losses.append(log_new)
    if correction.mask is not None and moved is not None and new is not None:
        fused = correction.mask * moved + (1 - correction.mask) * new
        losses.append(fused.clamp_min(1e-7).log())
    total = sum(losses, start=index.new_zeros((), dtype=torch.float32))
    return -(total * known.unsqueeze(1)).sum() / known.sum().clamp_min(1)


class ECN(
    nn.Module,
    Refiner,
    PyTorchModelHubMixin,
    library_name="segmend",
    tags=["image-segmentation"],
    paper_url="https://arxiv.org/abs/1712.03812",
):
    """The error correction network: a shared encoder, two decoders, and a fusion of their results.

    Args:
        classes: what the maps stand for.
        width: the paper's widths, or half or a quarter of them.
        branches: both and their fusion, or one alone.
        encoder: None for the paper's encoder; or the name of a timm encoder (say
            ``tf_efficientnet_lite0``), which sees the image, while a small pyramid of its own reads the
            coarse map. Its layers and the decoders' then have batch norm, and the fusion is lighter.
        frozen: the timm encoder keeps its features and batch statistics, which halves a training step on a
            CPU.
        residual: the replacement branch adds its logits to the coarse map's log probabilities, so that it too
            starts from the coarse map; the paper's gives all of S_repl anew, which few pictures cannot teach.
        max_displacement: the longest displacement per axis in pixels; None for half the picture
            (the paper's normalised units).
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
    ) -> None:
        super().__init__()
        self.classes = classes
        self.num_classes = len(classes)
        self.branches = branches
        self.max_displacement = max_displacement
        self.residual = residual
        base = WIDTHS[width]
        blocks: tuple[int, ...]
        fusion: tuple[int, ...]
        self.encoder: PaperEncoder | PretrainedEncoder
        if encoder is None:
            self.encoder = PaperEncoder(self.num_classes, base)
            blocks, block = (4 * base, 2 * base, base), _double
            fusion = (base, base, 4 * base)
        else:
            self.encoder = PretrainedEncoder(self.num_classes, base // 2, encoder, frozen)
            blocks, block = (3 * base, 2 * base, base, base // 2, base // 2), _double_normed
            fusion = (base // 2, base // 2)
        self.stride = 2 ** (len(self.encoder.channels) - 1)
        last = blocks[-1]
        if branches != "replacement":
            self.propagation = Decoder(self.encoder.channels, blocks, block)
            self.flow = nn.Conv2d(last, 2, 3, padding=1)
        if branches != "propagation":
            self.replacement = Decoder(self.encoder.channels, blocks, block)
            self.classify = nn.Conv2d(last, self.num_classes, 3, padding=1)
        if branches == "both":
            pairs = itertools.pairwise((2 * last, *fusion))
            layers = [layer for inputs, outputs in pairs for layer in _conv(inputs, outputs)]
            self.fusion = nn.Sequential(*layers, nn.Conv2d(fusion[-1], 1, 3, padding=1))
        self._initialise()

    def _initialise(self) -> None:
        """Xavier's uniform; layers that start from the coarse map at 1/100 of it."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("encoder.image"):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            if self.branches != "replacement":
                self.flow.weight.mul_(0.01)
            if self.branches != "propagation" and self.residual:
                self.classify.weight.mul_(0.01)

    def forward(self, image: Tensor, coarse: Tensor) -> Correction:
        height, width = image.shape[2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        features = self.encoder(
            F.pad(2 * image - 1, padding, mode="replicate"), F.pad(coarse, padding, mode="replicate")
        )
        displacement = propagated = logits = mask = None
        decoded = []
        if self.branches != "replacement":
            decoded.append(self.propagation(features))
            raw = _precisely(self.flow, decoded[-1])[:, :, :height, :width]
            displacement = torch.tanh(raw) * self._reach(height, width, raw)
            propagated = warp(coarse, displacement)
        if self.branches != "propagation":
            decoded.append(self.replacement(features))
            logits = _precisely(self.classify, decoded[-1])[:, :, :height, :width]
            if self.residual:
                logits = logits + coarse.float().clamp_min(1e-4).log()
        if self.branches == "both":
            blend = self.fusion[:-1](torch.cat(decoded, dim=1))
            mask = _precisely(self.fusion[-1], blend)[:, :, :height, :width].sigmoid()
        return Correction(displacement, propagated, logits, mask)

    def _reach(self, height: int, width: int, like: Tensor) -> Tensor:
        longest = self.max_displacement
        reach = (width / 2, height / 2) if longest is None else (longest, longest)
        return like.new_tensor(reach).view(1, 2, 1, 1)

    def mend(self, image: Tensor, coarse: Tensor) -> Mended:
        """Mend a batch (see `Refiner.mend`), showing displacements and the fusion mask."""
        correction = self(image, coarse)
        mask = None if correction.mask is None else correction.mask[:, 0]
        return Mended.of(correction.probabilities, coarse, displacement=correction.displacement, fusion_mask=mask)


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


class PaperEncoder(nn.Module):
    """Four blocks of two convolutions with three pools between (Table 5): features of stride 1, 2, 4, 8."""

    def __init__(self, num_classes: int, base: int) -> None:
        super().__init__()
        self.channels = [base, 2 * base, 4 * base, 4 * base]
        inputs = [3 + num_classes, *self.channels[:-1]]
        self.blocks = nn.ModuleList(_double(i, o, o) for i, o in zip(inputs, self.channels, strict=True))

    def forward(self, image: Tensor, coarse: Tensor) -> list[Tensor]:
        """Image in -1..1 and coarse map to features, finest first."""
        x = torch.cat((image, coarse), dim=1)
        features: list[Tensor] = []
        for block in self.blocks:
            x = block(F.max_pool2d(features[-1], 2) if features else x)
            features.append(x)
        return features


class PretrainedEncoder(nn.Module):
    """A timm encoder for the image beside a pyramid for image and coarse map: strides 1, 2, 4, 8, 16, 32.

    The pyramid keeps the coarse map's borders at full resolution; the encoder brings what it knows of
    pictures. Both are concatenated at each stride.
    """

    def __init__(self, num_classes: int, base: int, name: str, frozen: bool = False) -> None:
        super().__init__()
        import timm  # an extra: ECN as in the paper works without it

        self.frozen = frozen
        self.image = timm.create_model(name, pretrained=False, features_only=True)
        self.image.requires_grad_(not frozen)
        widths = [base, base, 2 * base, 2 * base, 4 * base, 4 * base]
        self.pyramid = nn.ModuleList([nn.Sequential(*_conv_normed(3 + num_classes, widths[0]))])
        for inputs, outputs in itertools.pairwise(widths):
            self.pyramid.append(nn.Sequential(*_conv_normed(inputs, outputs, stride=2)))
        known = [0, *self.image.feature_info.channels()]  # type: ignore[union-attr, operator]
        self.channels = [a + b for a, b in zip(widths, known, strict=True)]

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        super().train(mode)
        if self.frozen:
            self.image.eval()
        return self

    def forward(self, image: Tensor, coarse: Tensor) -> list[Tensor]:
        """Image in -1..1 and coarse map to features, finest first."""
        x = torch.cat((image, coarse), dim=1)
        features = []
        for level, known in zip(self.pyramid, [None, *self.image(image)], strict=True):
            x = level(x)
            features.append(x if known is None else torch.cat((x, known), dim=1))
        return features


class Decoder(nn.Module):
    """From the coarsest features to the finest: upsample, concatenate the skip, convolve twice (Table 5)."""

    def __init__(self, channels: list[int], blocks: tuple[int, ...], block: Block) -> None:
        super().__init__()
        inputs = [channels[-1], *blocks[:-1]]
        skips = channels[-2::-1]
        self.blocks = nn.ModuleList(block(i + s, o, o) for i, s, o in zip(inputs, skips, blocks, strict=True))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features, finest first, to the last block's features at full resolution."""
        x = features[-1]
        for block, skip in zip(self.blocks, features[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = block(torch.cat((x, skip), dim=1))
        return x


def _precisely(head: nn.Module, features: Tensor) -> Tensor:
    """A last layer in float32 whatever the precision around it: its rounding would go straight to the labels."""
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = head(features.float())
    return result


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def _conv_normed(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _double(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, middle), *_conv(middle, outputs))


def _double_normed(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_conv_normed(inputs, middle), *_conv_normed(middle, outputs))
