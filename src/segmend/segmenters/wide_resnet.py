"""DeepLabV3+ on WideResNet-38, the network of VPLR's submissions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (
    # channels of a block's convolutions, blocks, stride of the first, dilation, dropout
    ((128, 128), 3, 1, 1, 0.0),
    ((256, 256), 3, 1, 1, 0.0),
    ((512, 512), 6, 2, 1, 0.0),
    ((512, 1024), 3, 1, 2, 0.0),
    ((512, 1024, 2048), 1, 1, 4, 0.3),
    ((1024, 2048, 4096), 1, 1, 4, 0.5),
)
"""Model A2 of Wu, Shen and van den Hengel, "Wider or Deeper". Pooling comes before each of the first two stages,
so that the stride is 8."""


class WideResNet38(nn.Module):
    """The trunk: 38 convolutions deep, up to 4096 channels wide; 105,070,912 parameters.

    Input ``[B, 3, H, W]``; features ``[B, 128, H / 2, W / 2]`` and ``[B, 4096, H / 8, W / 8]``, sides rounded up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, inputs = [], 64
        for channels, count, stride, dilation, dropout in STAGES:
            blocks: list[nn.Module] = []
            for number in range(count):
                blocks.append(ResidualBlock(inputs, channels, 1 if number else stride, dilation, dropout))
                inputs = channels[-1]
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.last = normed(inputs)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stages[0](self.pool(self.first(image)))
        x = self.stages[1](self.pool(fine))
        for stage in self.stages[2:]:
            x = stage(x)
        return fine, self.last(x)


class ResidualBlock(nn.Module):
    """Batch norm and ReLU come before each convolution: the shortcut is the identity where shapes allow.

    Args:
        channels: of two convolutions of 3 x 3, or of three, of which the first and last are 1 x 1.
    """

    def __init__(
        self, inputs: int, channels: tuple[int, ...], stride: int = 1, dilation: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        kernels, strides = ((3, 3), (stride, 1)) if len(channels) == 2 else ((1, 3, 1), (1, stride, 1))
        self.before = normed(inputs)
        layers: list[nn.Module] = []
        previous = inputs
        for number, (outputs, kernel, step) in enumerate(zip(channels, kernels, strides, strict=True)):
            if number:
                layers.append(normed(previous))
            if number == len(channels) - 1 and dropout:
                layers.append(nn.Dropout2d(dropout))
            spread = dilation if kernel == 3 else 1
            layers.append(
                nn.Conv2d(
                    previous, outputs, kernel, step, padding=spread * (kernel // 2), dilation=spread, bias=False
                )
            )
            previous = outputs
        self.layers = nn.Sequential(*layers)
        same = stride == 1 and inputs == previous
        self.shortcut = None if same else nn.Conv2d(inputs, previous, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        ready = self.before(x)
        found: Tensor = self.layers(ready) + (x if self.shortcut is None else self.shortcut(ready))
        return found


class DeepLabV3PlusWide(nn.Module):
    """DeepLabV3+ on `WideResNet38`: dilated convolutions of three rates and image pooling, then a decoder.

    Args:
        classes: number of classes; 137,112,128 parameters for Cityscapes' 19.

    Input is a normalised image batch ``[B, 3, H, W]``; output logits ``[B, C, H, W]``.
    """

    RATES = (12, 24, 36)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = WideResNet38()
        deep = STAGES[-1][0][-1]
        self.views = nn.ModuleList([_convolution(deep, 256, 1)])
        self.views.extend(_convolution(deep, 256, 3, rate) for rate in self.RATES)
        self.whole = _convolution(deep, 256, 1)
        self.joined = nn.Conv2d(256 * (2 + len(self.RATES)), 256, 1, bias=False)
        self.fine = nn.Conv2d(STAGES[0][0][-1], 48, 1, bias=False)
        self.decoder = nn.Sequential(
            _convolution(256 + 48, 256, 3), _convolution(256, 256, 3), nn.Conv2d(256, classes, 1, bias=False)
        )

    def forward(self, image: Tensor) -> Tensor:
        fine, deep = self.encoder(image)
        # The mean is one value for each image and channel: in training, batch norm needs more than one image.
        mean = self.whole(deep.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *deep.shape[2:])
        seen = self.joined(torch.cat([mean, *(view(deep) for view in self.views)], dim=1))
        seen = F.interpolate(seen, size=fine.shape[2:], mode="bilinear")
        logits = self.decoder(torch.cat((self.fine(fine), seen), dim=1))
        return F.interpolate(logits, size=image.shape[2:], mode="bilinear")


def normed(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _convolution(inputs: int, outputs: int, kernel: int, rate: int = 1) -> nn.Sequential:
    padding = rate * (kernel // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(convolution, normed(outputs))
