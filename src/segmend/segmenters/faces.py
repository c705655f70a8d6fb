"""The face parser of structure via consensus (SVC, Table 5): light, fully convolutional, for 128 x 128 faces."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmend.ops.elu import elu


class FaceParser(nn.Module):
    """Two encoders and a decoder of blocks of convolution, ELU and batch norm; 4,524,323 parameters for 3 classes.

    The first encoder halves the resolution twice; the second widens the receptive field with dilations of 4 and 3;
    their features are concatenated. The decoder restores the resolution with two pixel shuffles. Padding reflects.
    The receptive field is 95 x 95 pixels (the paper's 121 counts the decoder's layers as if they had stride 4).

    Args:
        classes: number of classes.
        dropout: probability with which a channel of the decoder is dropped in training.
        width: channels of the first layer, an even number; other layers have multiples of it. The paper's is 64;
            half of it costs a quarter.

    Input is a normalised image batch ``[B, 3, H, W]``, H and W multiples of 4 and at least 20 (Table 5 has 128);
    output logits ``[B, C, H, W]``.
    """

    def __init__(self, classes: int, dropout: float = 0.0, width: int = 64) -> None:
        super().__init__()
        two, four, eight, half = 2 * width, 4 * width, 8 * width, width // 2
        self.encoder = nn.Sequential(
            _conv(3, width),
            _ELU(),
            *_block(width, two, stride=2),
            *_block(two, two),
            *_block(two, two),
            *_block(two, four, stride=2),
        )
        self.wider = nn.Sequential(*_block(four, four, dilation=4), *_block(four, four, dilation=3))
        self.decoder = nn.Sequential(
            *_block(eight, eight),
            nn.PixelShuffle(2),
            nn.Dropout2d(dropout),
            *_block(two, two),
            *_block(two, two),
            nn.PixelShuffle(2),
            nn.Dropout2d(dropout),
            _conv(half, half),
            _ELU(),
            _conv(half, half),
            _ELU(),
            _conv(half, classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder(image)
        logits: Tensor = self.decoder(torch.cat((features, self.wider(features)), dim=1))
        return logits


class _ELU(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return elu(features)


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, padding_mode="reflect")


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    return [_conv(inputs, outputs, stride, dilation), _ELU(), nn.BatchNorm2d(outputs)]
