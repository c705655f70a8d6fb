"""Layers that the learned refiners share: an encoder with a guide beside the image, a decoder, last layers."""

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
"""Channels of the finest layers by preset; ECN's paper has `full`, the others divide all by 2 or 4."""

Upsampling = Literal["bilinear", "nearest"]
Block = Callable[[int, int, int], nn.Sequential]
"""Makes two convolutions, of channels in, between and out."""


def encoder_and_decoder(
    guides: int, width: Width, encoder: str | None = None, frozen: bool = False, votes: bool = False
) -> tuple[PlainEncoder | PretrainedEncoder, Callable[[], Decoder]]:
    """An encoder, and what makes decoders for it.

    Args:
        guides: channels that come beside the image: the coarse map's, or what is said of it.
        encoder: None for ECN's; or the name of a timm encoder.
        frozen: the timm encoder keeps its weights and batch statistics.
        votes: it also sees `alike_votes` about the guide.

    Raises:
        InvalidInput: votes for an encoder that does not take them.
    """
    base = WIDTHS[width]
    if votes and encoder is None:
        raise InvalidInput("votes: the plain encoder takes none; name an encoder")
    if encoder is None:
        plain = PlainEncoder(guides, base)
        return plain, lambda: Decoder(plain.channels, (4 * base, 2 * base, base), double, "bilinear")
    known = PretrainedEncoder(guides, base, encoder, frozen, votes)
    # Nearest: the blocks after it smooth, and its gradient is far cheaper on a CPU.
    return known, lambda: Decoder(known.channels, (4 * base, 4 * base, 2 * base, base), double_normed, "nearest")


def pad_to_stride(map_: Tensor, stride: int) -> Tensor:
    """The map with its last lines repeated until the sides are multiples of `stride`."""
    height, width = map_.shape[2:]
    return F.pad(map_, (0, -width % stride, 0, -height % stride), mode="replicate")


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


class PretrainedEncoder(nn.Module):
    """A timm encoder for the image beside a pyramid for image and coarse map: strides 2, 4, 8, 16, 32.

    The pyramid takes in every pixel of the coarse map (blocks of 2 x 2 become channels: a quarter of the work
    of layers at full resolution, and no border is lost); the encoder brings what it knows of pictures. Both
    are concatenated at each stride, with the guide itself, pooled: what a whole region is taken for should not
    have to pass through layers to be known.

    Args:
        guides: channels that come beside the image: the coarse map's, or what is said of it.
        base: channels of the pyramid's first stages.
        name: of the timm encoder.
        frozen: the encoder keeps its weights and batch statistics.
        votes: `alike_votes` about the guide join it at every stride.
    """

    def __init__(self, guides: int, base: int, name: str, frozen: bool = False, votes: bool = False) -> None:
        super().__init__()
        import timm  # an extra: refiners as in their papers work without it

        self.frozen = frozen
        self.image = timm.create_model(name, pretrained=False, features_only=True)
        self.image.requires_grad_(not frozen)
        self.finest, self.stride = 2, 32
        widths = [base, 2 * base, 4 * base, 4 * base, 8 * base]
        voted = guides * len(CONTRASTS) if votes else 0
        said = guides + voted  # the guide itself, and votes about it
        self.pyramid = nn.ModuleList([nn.Sequential(*conv_normed(4 * (3 + guides) + voted, widths[0]))])
        for inputs, outputs in itertools.pairwise(widths):
            self.pyramid.append(nn.Sequential(*conv_normed(inputs, outputs, stride=2)))
        known = self.image.feature_info.channels()  # type: ignore[union-attr, operator]
        self.channels = [a + b + said for a, b in zip(widths, known, strict=True)]
        self.votes = votes

    def train(self, mode: bool = True) -> PretrainedEncoder:
        super().train(mode)
        if self.frozen:
            self.image.eval()
        return self

    def forward(self, image: Tensor, guide: Tensor) -> list[Tensor]:
        """Image in -1..1 and guide ``[B, guides, H, W]`` to features, finest first."""
        x = F.pixel_unshuffle(torch.cat((image, guide), dim=1), 2)
        said = F.avg_pool2d(guide, 2)
        if self.votes:
            votes = [alike_votes((image + 1) / 2, guide, contrast) for contrast in CONTRASTS]
            x = torch.cat((x, *votes), dim=1)
            said = torch.cat((said, *votes), dim=1)
        # In float32 whatever the precision around it: bfloat16's rounding would reach the labels from here,
        # and depthwise convolutions gain nothing by it.
        with torch.autocast(image.device.type, enabled=False):
            known = self.image(image.float())
        features = []
        for level, stage in zip(self.pyramid, known, strict=True):
            x = level(x)
            features.append(torch.cat((x, stage, said), dim=1))
            said = F.avg_pool2d(said, 2, ceil_mode=True)
        return features


CONTRASTS = (0.04, 0.1)
"""Differences of colour (0..1) that count as one, for two kinds of votes."""

REACH = 300.0
"""Distance in pixels that counts as much."""


@torch.no_grad()
def alike_votes(image: Tensor, map_: Tensor, contrast: float, fine: int = 2, rough: int = 16) -> Tensor:
    """What places of the same colour, near rather than far, say of a map.

    The dense CRF's appearance kernel, ``exp(-|colours|^2 / 2 contrast^2 - |places|^2 / 2 REACH^2)``, normalised,
    between each place at stride `fine` and all at stride `rough`: a few hundred of them say enough, and the cost
    stays linear in pixels for pictures of a size.

    Args:
        image: ``[B, 3, H, W]`` in 0..1; sides are multiples of `rough`.
        map_: ``[B, C, H, W]``.

    Returns:
        ``[B, C, H / fine, W / fine]``.
    """
    asking, asked = (_colours_and_places(image, stride, contrast) for stride in (fine, rough))
    centre = asked.mean(dim=1, keepdim=True)  # for precision: likeness is of differences alone
    asking, asked = asking - centre, asked - centre
    likeness = torch.cat((asked, -0.5 * asked.square().sum(-1, keepdim=True)), dim=-1)
    said = F.avg_pool2d(map_.float(), rough).flatten(2).transpose(1, 2)
    query = torch.cat((asking, torch.ones_like(asking[..., :1])), dim=-1)
    votes = _attend(query, likeness, said)
    size = image.shape[2] // fine, image.shape[3] // fine
    return votes.transpose(1, 2).unflatten(2, size)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(query key^T) value`` of ``[B, places, channels]``, in float32."""
    # Of one width, a multiple of 8, all three take PyTorch's fused kernel: 7 times faster on a CPU.
    width = -(-max(query.shape[2], value.shape[2]) // 8) * 8
    query, key, padded = (F.pad(m, (0, width - m.shape[2])).unsqueeze(1) for m in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):
        found = F.scaled_dot_product_attention(query, key, padded, scale=1.0)
    return found.squeeze(1)[..., : value.shape[2]]


def _colours_and_places(image: Tensor, stride: int, contrast: float) -> Tensor:
    """``[B, places, 5]``, in units of `contrast` and `REACH`."""
    small = F.avg_pool2d(image.float(), stride)
    height, width = small.shape[2:]
    rows, columns = ((torch.arange(n, device=image.device) + 0.5) * (stride / REACH) for n in (height, width))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(image), -1, -1, -1)
    return torch.cat((small / contrast, places), dim=1).flatten(2).transpose(1, 2)


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
    """A last layer over features of stride `finest`, with results of stride `scale`.

    Where the results are finer, each position gives a block of them.
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
