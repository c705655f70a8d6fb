"""Corruption done on purpose: what makes a good label map look like a coarse one.

Each function takes a probability map ``float32 [C, H, W]`` and gives one; randomness is torch's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.labels import one_hot, void_of
from segmend.ops.warp import warp


def fill_void(labels: Tensor) -> Tensor:
    """Label map ``[H, W]`` whose void pixels took the label of the nearest pixel that has one."""
    void = (labels == void_of(labels)).numpy()
    if not void.any() or void.all():
        return labels
    _, nearest = cv2.distanceTransformWithLabels(
        void.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = labels.numpy()[~void]
    number = np.zeros(nearest.max() + 1, dtype=known.dtype)
    number[nearest[~void]] = known
    return torch.from_numpy(number[nearest])


def grow(labels: Tensor, pixels: float) -> Tensor:
    """Label map ``[H, W]`` whose classes have grown over the largest one (`pixels` > 0), or shrunk from it.

    Void stays. A pixel between two that grow takes the nearer; one that a shrunk class left takes the nearest
    label of another.
    """
    array = labels.numpy()
    void = array == void_of(labels)
    if void.all():
        return labels
    names, counts = np.unique(array[~void], return_counts=True)
    largest = names[counts.argmax()]
    if pixels > 0:
        sources = [~void & (array != largest)]
    else:
        sources = [~void & (array != name) for name in names if name != largest]
    grown = array.copy()
    for source in sources:
        if source.any():
            away, nearest = cv2.distanceTransformWithLabels(
                (~source).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
            )
            number = np.zeros(nearest.max() + 1, dtype=array.dtype)
            number[nearest[source]] = array[source]
            reached = ~void & ~source & (away <= abs(pixels))
            grown[reached] = number[nearest[reached]]
    return torch.from_numpy(grown)


def polygons(labels: Tensor, corners: int) -> Tensor:
    """Label map ``[H, W]`` with each region drawn as a polygon of at most `corners` corners, large ones first.

    As somebody draws masks by hand: what lies between polygons becomes the largest class. Void stays.
    """
    array = labels.numpy()
    void = array == void_of(labels)
    if void.all():
        return labels
    names, counts = np.unique(array[~void], return_counts=True)
    drawn = np.full_like(array, names[counts.argmax()])
    outlines = []
    for name in names[np.argsort(-counts)][1:]:
        found, _ = cv2.findContours((array == name).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outlines += [(cv2.contourArea(outline), int(name), outline) for outline in found]
    for _, name, outline in sorted(outlines, key=lambda one: -one[0]):
        cv2.fillPoly(drawn, [_simplified(outline, corners)], name)
    drawn[void] = array[void]
    return torch.from_numpy(drawn)


def _simplified(outline: np.ndarray, corners: int) -> np.ndarray:
    tolerance = 0.5
    while len(outline) > corners:
        outline = cv2.approxPolyDP(outline, tolerance, closed=True)
        tolerance *= 1.3
    return outline


def sharpen(map_: Tensor, power: float) -> Tensor:
    """Probabilities to a power: above 1 more certain, below 1 less."""
    powered = map_.clamp_min(1e-6) ** power
    return powered / powered.sum(dim=0, keepdim=True)


def coarsen(map_: Tensor, factor: float) -> Tensor:
    """The map at ``1 / factor`` of its resolution, brought back bilinearly: borders blur and round off."""
    size = map_.shape[1:]
    small = [max(1, round(side / factor)) for side in size]
    shrunk = F.interpolate(map_[None], size=small, mode="bilinear", antialias=True)
    return F.interpolate(shrunk, size=size, mode="bilinear", align_corners=False)[0]


def wobble(map_: Tensor, pixels: float, grain: float) -> Tensor:
    """The map moved by a smooth random field: `pixels` its typical length, `grain` its typical extent."""
    height, width = map_.shape[1:]
    grid = [max(2, round(side / grain) + 1) for side in (height, width)]
    field = F.interpolate(torch.randn(1, 2, *grid) * pixels, size=(height, width), mode="bicubic")
    return warp(map_[None], field)[0]


def confuse(map_: Tensor, amount: float, grain: float) -> Tensor:
    """Some regions believe in another class: a random class is mixed in where a smooth noise is high.

    Half of the time it is a class that the map holds already (a region swallows its neighbour).
    """
    height, width = map_.shape[1:]
    grid = [max(2, round(side / grain) + 1) for side in (height, width)]
    noise = F.interpolate(torch.randn(1, 1, *grid), size=(height, width), mode="bicubic")[0]
    weight = torch.sigmoid((noise - 1.0) * 6) * amount
    if torch.rand(()) < 0.5:
        masses = map_.mean(dim=(1, 2))
        other = int(torch.multinomial(masses, 1))
    else:
        other = int(torch.randint(map_.shape[0], ()))
    mixed = map_ * (1 - weight)
    mixed[other] += weight[0]
    return mixed


@dataclass(frozen=True)
class Corruption:
    """Random corruption of a coarse map, each kind with its chance.

    Attributes:
        strength: 1 makes a true label map look like a poor segmenter's; lower values vary a map that is
            coarse already.
    """

    strength: float = 1.0

    def __call__(self, map_: Tensor) -> Tensor:
        """Corruption a probability map ``[C, H, W]``."""
        s = self.strength
        if _chance(0.7 * s):
            map_ = wobble(map_, pixels=_between(0.5, 6.0) * s, grain=_log_between(12, 64))
        if _chance(0.6 * s):
            map_ = confuse(map_, amount=_between(0.3, 1.0), grain=_log_between(16, 96))
        if _chance(0.9 * s):
            map_ = coarsen(map_, factor=1 + _log_between(1, 20) * s)
        if _chance(min(1.0, s + 0.2)):
            map_ = sharpen(map_, power=math.exp(_between(-0.8, 0.8)))
        return map_

    def of_truth(self, labels: Tensor, num_classes: int) -> Tensor:
        """A corrupted probability map of true labels ``[H, W]``; void is filled from beside it first."""
        return self(one_hot(fill_void(labels), num_classes, smoothing=0.02))


@dataclass(frozen=True)
class AnyCorruption:
    """A good label map made coarse in one of the ways in which masks are.

    Masks grown or shrunk; polygons drawn by hand; masks that are good, the truth itself or off by a pixel; and,
    twice as often each, soft maps like a segmenter's (`Corruption`), and low resolution with soft or hard borders.
    """

    def of_truth(self, labels: Tensor, num_classes: int) -> Tensor:
        """A coarse probability map ``[C, H, W]`` of true labels ``[H, W]``."""
        filled = fill_void(labels)
        kind = int(torch.randint(7, ()))
        if kind < 2:
            return Corruption().of_truth(labels, num_classes)
        if kind == 2:
            sign = 1 if torch.rand(()) < 0.5 else -1
            return one_hot(grow(filled, sign * _between(2, 10)), num_classes)
        if kind == 3:
            return one_hot(polygons(filled, int(_between(5, 21))), num_classes)
        if kind < 6:
            return low_resolution(filled, num_classes, 2 ** _between(2, 4.2), soft=bool(torch.rand(()) < 0.7))
        return one_hot(shifted(filled, int(torch.randint(2, ()))), num_classes)


def low_resolution(labels: Tensor, num_classes: int, factor: float, soft: bool = True) -> Tensor:
    """The shares of the classes in blocks of `factor` pixels, brought back bilinearly; hard: the largest share."""
    map_ = one_hot(labels, num_classes)
    size = [max(1, round(side / factor)) for side in labels.shape]
    small = F.interpolate(map_[None], size=size, mode="area")
    found = F.interpolate(small, size=labels.shape, mode="bilinear", align_corners=False)[0]
    return found if soft else one_hot(found.max(dim=0).indices.to(labels.dtype), num_classes)


def shifted(labels: Tensor, pixels: int) -> Tensor:
    """The map moved by `pixels` in a random direction of eight, its last lines repeated."""
    height, width = labels.shape
    dy, dx = ((torch.randint(3, (2,)) - 1) * pixels).tolist()
    rows = (torch.arange(height) - dy).clamp(0, height - 1)
    columns = (torch.arange(width) - dx).clamp(0, width - 1)
    return labels[rows][:, columns]


def _chance(probability: float) -> bool:
    return bool(torch.rand(()) < probability)


def _between(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()


def _log_between(low: float, high: float) -> float:
    return math.exp(_between(math.log(low), math.log(high)))
