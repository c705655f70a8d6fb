"""Layers that the refiner networks share: encoders of an image and a guide, a decoder, and heads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.labels import InvalidInput

Width = Literal["full", "half", "quarter"]
WIDTHS: dict[Width, int] = {"full": 64, "half": 32, "quarter": 16}
"""Channels of the finest layers. `full` is ECN's paper; the others have a half or a quarter of all channels."""

Upsampling = Literal["bilinear", "nearest"]
Block = Callable[[int, int, int], nn.Sequential]
"""Makes two convolutions from numbers of channels: in, between, out."""


def encoder_and_decoder(
    guides: int, width: Width, encoder: str | None = None, frozen: bool = False, hints: int = 0
) -> tuple[PlainEncoder | PyramidEncoder, Callable[[], Decoder]]:
    """An encoder, and a function that makes decoders for it.

    Args:
        guides: channels of the guide beside the image: the coarse map, or features of it.
        encoder: None for ECN's; or the name of a timm encoder.
        frozen: the timm encoder keeps its weights and batch statistics.
        hints: channels of a second guide at stride 2; needs a timm encoder.

    Raises:
        InvalidInput: hints for an encoder that does not take them.
    """
    base = WIDTHS[width]
    if hints and encoder is None:
        raise InvalidInput("appearance: the plain encoder has no input for it: name a timm encoder (encoder)")
    if encoder is None:
        plain = PlainEncoder(guides, base)
        return plain, lambda: Decoder(plain.channels, (4 * base, 2 * base, base), double, "bilinear")
    pyramid = PyramidEncoder(guides, base, encoder, frozen, hints)
    blocks = (4 * base, 4 * base, 2 * base, base)
    # Nearest: the blocks after it smooth, and its gradient is far cheaper on a CPU.
    return pyramid, lambda: Decoder(pyramid.channels, blocks, double_normed, "nearest")


class PlainEncoder(nn.Module):
    """Four blocks of two convolutions with three pools between (ECN's Table 5): features of stride 1, 2, 4, 8."""

    def __init__(self, guides: int, base: int) -> None:
        super().__init__()
        self.finest, self.stride = 1, 8
        self.channels = [base, 2 * base, 4 * base, 4 * base]
        inputs = [3 + guides, *self.channels[:-1]]
        self.blocks = nn.ModuleList(double(i, o, o) for i, o in zip(inputs, self.channels, strict=True))

    def forward(self, image: Tensor, guide: Tensor) -> list[Tensor]:
        """Image in -1..1 and guide ``[B, guides, H, W]`` to features, finest first."""
        x = torch.cat((image, guide), dim=1)
        features: list[Tensor] = []
        for block in self.blocks:
            x = block(F.max_pool2d(features[-1], 2) if features else x)
            features.append(x)
        return features


class PyramidEncoder(nn.Module):
    """A pyramid for image and guide, beside a timm encoder for the image: features of stride 2, 4, 8, 16, 32.

    The pyramid sees every pixel of the guide: blocks of 2 x 2 become channels, which keeps borders at a quarter of
    the cost of layers at full resolution. The timm encoder may bring pretrained features. Both are concatenated at
    each stride with the pooled guide, so that the decoder has the guide of whole regions without layers between.

    Args:
        guides: channels of the guide beside the image: the coarse map, or features of it.
        base: channels of the pyramid's first stages.
        name: the timm encoder's; None for the pyramid alone.
        frozen: the timm encoder keeps its weights and batch statistics.
        hints: channels of a second guide at stride 2.
    """

    def __init__(
        self, guides: int, base: int, name: str | None = None, frozen: bool = False, hints: int = 0
    ) -> None:
        super().__init__()
        self.finest, self.stride = 2, 32
        widths = [base, 2 * base, 4 * base, 4 * base, 8 * base]
        self.pyramid = nn.ModuleList([nn.Sequential(*conv_normed(4 * (3 + guides) + hints, widths[0]))])
        for inputs, outputs in itertools.pairwise(widths):
            self.pyramid.append(nn.Sequential(*conv_normed(inputs, outputs, stride=2)))
        self.image: nn.Module | None = None
        encoded = [0] * len(widths)
        if name is not None:
            import timm  # an optional dependency: the papers' refiners work without it

            self.image = timm.create_model(name, pretrained=False, features_only=True)
            self.image.requires_grad_(not frozen)
            encoded = self.image.feature_info.channels()  # type: ignore[union-attr, operator]
        self.frozen = frozen
        pooled = [0, *[guides + hints] * 4]  # the pyramid's first layer sees the guides themselves
        self.channels = [sum(channels) for channels in zip(widths, encoded, pooled, strict=True)]

    def train(self, mode: bool = True) -> PyramidEncoder:
        super().train(mode)
        if self.frozen and self.image is not None:
            self.image.eval()
        return self

    def forward(self, image: Tensor, guide: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """Image in -1..1, guide ``[B, guides, H, W]`` and hints ``[B, hints, H/2, W/2]`` to features."""
        # One memory layout and type before concatenation: converting the result and its gradient would cost as
        # much as the layers.
        x = channels_last(F.pixel_unshuffle(torch.cat((image, guide), dim=1), 2))
        pooled = channels_last(F.avg_pool2d(guide, 2))
        if hints is not None:
            x, pooled = (torch.cat((map_, channels_last(hints)), dim=1) for map_ in (x, pooled))
        stages = [[] for _ in self.pyramid] if self.image is None else [[map_] for map_ in self._encoded(image)]
        features: list[Tensor] = []
        for level, stage in zip(self.pyramid, stages, strict=True):
            x = level(x)
            maps = [x, *stage]
            if features:
                pooled = F.avg_pool2d(pooled, 2)
                maps.append(pooled)
            features.append(torch.cat([map_.to(x.dtype) for map_ in maps], dim=1))
        return features

    def _encoded(self, image: Tensor) -> list[Tensor]:
        """The timm encoder's features."""
        assert self.image is not None
        # In float32 whatever the precision elsewhere: bfloat16's rounding here would change labels, and depthwise
        # convolutions are no faster in it.
        with torch.autocast(image.device.type, enabled=False):
            features: list[Tensor] = self.image(channels_last(image.float()))
        return features


def channels_last(map_: Tensor) -> Tensor:
    return map_.contiguous(memory_format=torch.channels_last)


class Decoder(nn.Module):
    """From the coarsest features to the finest: upsample, concatenate the skip, convolve twice (Table 5)."""

    def __init__(self, channels: list[int], blocks: tuple[int, ...], block: Block, upsampling: Upsampling) -> None:
        super().__init__()
        self.upsampling = upsampling
        inputs = [channels[-1], *blocks[:-1]]
        skips = channels[-2::-1]
        self.blocks = nn.ModuleList(block(i + s, o, o) for i, s, o in zip(inputs, skips, blocks, strict=True))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features, finest first, to the last block's features at full resolution."""
        x = features[-1]
        for block, skip in zip(self.blocks, features[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode=self.upsampling)
            x = block(torch.cat((x, skip), dim=1))
        return x


def head(inputs: int, outputs: int, finest: int, scale: int = 1) -> nn.Sequential:
    """A last layer from features of stride `finest` to outputs of stride `scale`.

    Where the outputs are finer, each position of the features gives a block of them.
    """
    block = max(1, finest // scale)
    stride = max(1, scale // finest)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs * block**2, 3, padding=1, stride=stride), nn.PixelShuffle(block)
    )


def conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def conv_normed(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def double(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*conv(inputs, middle), *conv(middle, outputs))


def double_normed(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*conv_normed(inputs, middle), *conv_normed(middle, outputs))
