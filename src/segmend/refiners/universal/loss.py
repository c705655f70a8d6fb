"""The loss that the class-agnostic refiner is trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.refiners.appearance import MIN_COARSE
from segmend.refiners.universal.features import log2_border_error
from segmend.refiners.universal.model import UniversalOutput

CLASS_MEAN_WEIGHT = 0.1
"""Weight of the mean over classes, beside the mean over pixels. It multiplies the odds of a class with a share s
of the pixels by ``1 + CLASS_MEAN_WEIGHT / (classes * s)``. IoU is highest where a class is chosen from a
probability of IoU / (1 + IoU) on: at an IoU of 0.6, odds 1.7 times as high for small classes. A larger weight
would grow them beyond their borders."""

COST_OFFSET = 0.006
"""Added to an image's cost before its logarithm, so that costs far below it are not worth reducing further."""

BORDER_ERROR_WEIGHT = 0.3
"""Weight of the error of the estimated border error, beside the logarithm of the cost."""


def universal_loss(output: UniversalOutput, target: Tensor, void: int, border_error_px: Tensor) -> Tensor:
    """Mean over images of ``log(cost + COST_OFFSET) + BORDER_ERROR_WEIGHT * smooth_l1(border error)``.

    The second term compares the estimate with ``log2(1 + border_error_px)``.

    An image's cost is the cross-entropy of the refined probabilities: its mean over pixels, plus
    `CLASS_MEAN_WEIGHT` times the mean over the image's classes of their own means, so that small regions count
    too. With the logarithm, halving the cost of one image is worth as much as halving that of another; without it,
    maps that no refiner could improve would outweigh those that should stay as they are.

    Args:
        target: ``int64 [B, H, W]``; `void` pixels do not count. A batch of void alone gives 0.
        border_error_px: ``[B]``, measured (see `segmend.data.class_agnostic.border_error_pixels`).
    """
    probabilities = output.probabilities.float()
    images, classes = probabilities.shape[:2]
    valid = target != void
    index = target.masked_fill(~valid, 0)
    costs = -probabilities.gather(1, index.unsqueeze(1)).clamp_min(MIN_COARSE).log().squeeze(1) * valid
    slots = index + torch.arange(images, device=target.device).view(-1, 1, 1) * classes
    sums, counts = (
        torch.zeros(images * classes, device=costs.device)
        .index_add(0, slots.flatten(), values.flatten().float())
        .view(images, classes)
        for values in (costs, valid)
    )
    present = (counts > 0).sum(dim=1)
    class_mean = (sums / counts.clamp_min(1)).sum(dim=1) / present.clamp_min(1)
    pixel_mean = sums.sum(dim=1) / counts.sum(dim=1).clamp_min(1)
    off = F.smooth_l1_loss(output.log2_border_error, log2_border_error(border_error_px), reduction="none")
    loss = (pixel_mean + CLASS_MEAN_WEIGHT * class_mean + COST_OFFSET).log() + BORDER_ERROR_WEIGHT * off
    not_void = present > 0
    return (loss * not_void).sum() / not_void.sum().clamp_min(1)
