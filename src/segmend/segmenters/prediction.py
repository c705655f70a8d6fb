"""Probability maps of a whole image: mirror images, scales and tiles around a segmenter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.devices import Precision, autocast, device_of
from segmend.labels import as_image
from segmend.ops.tiles import tiled_bands


@dataclass(frozen=True)
class TestTime:
    """Augmentation at test time: logits are averaged over scales and mirror images.

    Attributes:
        scales: factors by which the image is resized.
        mirror: also predict the image mirrored from left to right.
        tile: images larger than this many pixels a side are cut into tiles.
        overlap: pixels that neighbouring tiles share.
    """

    scales: Sequence[float] = (1.0,)
    mirror: bool = False
    tile: int = 1024
    overlap: int = 128

    __test__ = False  # not a test, whatever pytest reads in the name


def predict_logits(segmenter: nn.Module, image: Tensor, test_time: TestTime) -> Tensor:
    """Logits ``[B, C, H, W]`` of an image ``[B, 3, H, W]`` in 0..1, averaged over scales and mirror."""
    size = image.shape[2:]
    total: Tensor | None = None
    for scale in test_time.scales:
        scaled = image
        if scale != 1.0:
            wanted = [max(1, round(side * scale)) for side in size]
            scaled = F.interpolate(image, size=wanted, mode="bilinear", antialias=True).clamp(0, 1)
        logits = segmenter(scaled).float()
        if test_time.mirror:
            logits = (logits + segmenter(scaled.flip(-1)).float().flip(-1)) / 2
        if logits.shape[2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        total = logits if total is None else total + logits
    assert total is not None
    return total / len(test_time.scales)


@torch.no_grad()
def predict_bands(
    segmenter: nn.Module, image: Any, test_time: TestTime, precision: Precision | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Probability maps of one image, in bands of rows ``[C, rows, W]`` from the top, on the segmenter's device.

    An image that fits a tile is one band. Memory does not grow with the image's height.

    Args:
        image: see `segmend.labels.as_image`.
        precision: of the network (None: as the caller has set it).
    """
    image = as_image(image)
    image = image.to(device_of(segmenter) or image.device)

    def predict(rows: slice, columns: slice) -> Tensor:
        with nullcontext() if precision is None else autocast(image.device, precision):
            return predict_logits(segmenter, image[None, :, rows, columns], test_time)[0]

    size = image.shape[1], image.shape[2]
    for rows, logits in tiled_bands(predict, size, (test_time.tile, test_time.tile), test_time.overlap):
        yield rows, logits.softmax(dim=0)
