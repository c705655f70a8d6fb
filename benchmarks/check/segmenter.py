"""Out-of-fold probability maps of a linear classifier on frozen features, fitted in seconds to any labels.

It is the network of the recipe `linear` (`segmend.segmenters.linear.LinearProbe`). Its features do not depend on
labels, so they are computed once for an image; the classifier is fitted to corrupted labels, as a user's would be.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.segmenters.base import IMAGENET_MEAN, IMAGENET_STD
from segmend.segmenters.features import load_imagenet_features
from segmend.segmenters.linear import LinearProbe

CELL = 16
"""Side in pixels of a cell of the features."""

STEPS, BATCH = 200, 1024
"""Of the fit; a batch holds cells."""


class Features(NamedTuple):
    """Of an image: ``float16 [D, h, w]``, and its height and width in pixels."""

    values: Tensor
    size: tuple[int, int]


class FrozenEncoder:
    """Image ``uint8 [H, W, 3]`` to `Features`."""

    def __init__(self) -> None:
        self.probe = LinearProbe(2).eval()
        load_imagenet_features(self.probe.encoder)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Features:
        x = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - IMAGENET_MEAN[0]) / IMAGENET_STD[0]
        height, width = image.shape[:2]
        x = F.pad(x, (0, -width % 32, 0, -height % 32), mode="replicate")
        middle, deep = self.probe.encoder(x)
        deep = F.interpolate(deep, size=middle.shape[2:], mode="bilinear", align_corners=False)
        return Features(torch.cat((middle, deep), dim=1)[0].half(), (height, width))


def shares_of(labels: np.ndarray, classes: int, void: int, cells: tuple[int, int]) -> Tensor:
    """Share of each class in each cell of a label map, ``float32 [C, h, w]``; void belongs to no class."""
    planes = torch.zeros(classes, cells[0] * CELL, cells[1] * CELL)
    valid = torch.from_numpy(labels != void)
    rows, columns = valid.nonzero(as_tuple=True)
    planes[torch.from_numpy(labels.astype(np.int64))[valid], rows, columns] = 1
    return F.avg_pool2d(planes[None], CELL)[0]


def out_of_fold_logits(
    features: list[Features], labels: list[np.ndarray], classes: int, void: int, folds: int
) -> list[Tensor]:
    """Logits ``[C, h, w]`` of each image by a classifier that was fitted to the other folds."""
    logits: list[Tensor] = [torch.empty(0)] * len(features)
    for fold in range(folds):
        inside = list(range(fold, len(features), folds))
        outside = [i for i in range(len(features)) if i % folds != fold]
        found = fitted_logits(
            [features[i] for i in outside],
            [labels[i] for i in outside],
            [features[i] for i in inside],
            classes,
            void,
        )
        for i, one in zip(inside, found, strict=True):
            logits[i] = one
    return logits


def fitted_logits(
    features: list[Features], labels: list[np.ndarray], others: list[Features], classes: int, void: int
) -> list[Tensor]:
    """Logits ``[C, h, w]`` of other images by a classifier that was fitted to labels."""
    shares = [
        shares_of(one, classes, void, tuple(f.values.shape[1:])) for f, one in zip(features, labels, strict=True)
    ]
    x = torch.cat([one.values.flatten(1).T for one in features])
    y = torch.cat([one.flatten(1).T for one in shares])
    weight, bias = _fitted(x, y, classes)
    return [torch.einsum("cd,dhw->chw", weight, one.values.float()) + bias[:, None, None] for one in others]


def _fitted(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weight ``[C, D]`` and bias ``[C]``, fitted to shares ``y [N, C]`` of the classes in cells ``x [N, D]``."""
    generator = torch.Generator().manual_seed(0)
    few = x[torch.randperm(len(x), generator=generator)[:20_000]].float()
    mean, std = few.mean(0), few.std(0) + 1e-4
    weight, bias = torch.zeros(classes, x.shape[1]), torch.zeros(classes)
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        some = torch.randint(len(x), (BATCH,), generator=generator)
        logits = F.linear((x[some].float() - mean) / std, weight, bias)
        loss = -(y[some] * logits.log_softmax(dim=1)).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    scaled = weight.detach() / std
    return scaled, bias.detach() - scaled @ mean


def probabilities(logits: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A probability map ``float32 [C, H, W]`` of an image of height and width `size`."""
    whole = tuple(CELL * length for length in logits.shape[1:])
    large = F.interpolate(logits[None], size=whole, mode="bilinear", align_corners=False)
    return large[0, :, : size[0], : size[1]].softmax(dim=0).numpy()
