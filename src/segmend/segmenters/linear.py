"""The weakest useful segmenter: a linear classifier on frozen features. Its maps are blurred."""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearProbe(nn.Module):
    """A 1 x 1 convolution on the features of stride 16 and 32 of a frozen timm encoder.

    Args:
        classes: number of classes.
        encoder: name of a timm encoder; neither its weights nor its batch statistics are trained.

    Input is a normalised image batch ``[B, 3, H, W]``, output logits ``[B, C, H / 16, W / 16]``.
    """

    def __init__(self, classes: int, encoder: str = "tf_efficientnet_lite0") -> None:
        super().__init__()
        self.encoder = timm.create_model(encoder, pretrained=False, features_only=True, out_indices=(-2, -1))
        self.encoder.requires_grad_(False)
        channels = sum(self.encoder.feature_info.channels())  # type: ignore[union-attr, operator]
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Conv2d(self.norm.num_features, classes, 1)

    def train(self, mode: bool = True) -> LinearProbe:
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        with torch.no_grad():
            middle, deep = self.encoder(image)
        deep = F.interpolate(deep, size=middle.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.classifier(self.norm(torch.cat((middle, deep), dim=1)))
        return logits
