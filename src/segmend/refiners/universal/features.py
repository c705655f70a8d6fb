"""What the network sees of a coarse map: quantities that do not depend on which classes the map has, or how many.

A cell is a block of ``CELL x CELL`` pixels (`segmend.refiners.appearance`). Images have sides that are multiples
of 32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.winners import winners
from segmend.refiners.appearance import APPEARANCE_SUM, CELL, appearance_term

PIXEL_FEATURES, CELL_FEATURES = 4, 7
"""Channels of `Features`."""

IMAGE_FEATURES = 2 * (PIXEL_FEATURES + CELL_FEATURES) + 1
"""Length of `image_features`."""

SHARE_OFFSET = 1e-2
"""Added to probabilities before their ratios and logarithms. Much smaller probabilities then make no difference:
whether a cell holds a class to 0.01 % or to 0.1 % is noise."""

SURROUNDINGS = 9
"""Side of a cell's surroundings in cells: 36 pixels."""

NEAR_BORDER = 5
"""Side in cells of the window around a cell in which a label border makes the cell near a border."""

MIN_AREA = 1e-3
"""Smallest share of an image's area that is divided by, or whose logarithm is taken."""

AREA_SCALE = 10.0
"""``-log2`` of `MIN_AREA`: brings logarithms of area shares to 0..1."""

LOG_RATIO_SCALE = 4.0
"""About the largest `CellEvidence.log_appearance_ratio`, ``log(1 / SHARE_OFFSET)``: brings it to about -1..1."""

LOG2_ERROR_SCALE = 4.0
"""``log2`` of 16 pixels, the largest border errors in training: brings `log2_border_error` to about 0..1."""


def log2_border_error(border_error_px: Tensor) -> Tensor:
    """``log2(1 + pixels)``: from 1 to 3 pixels is as large a step as from 7 to 15."""
    return border_error_px.add(1).log2()


class CellEvidence(NamedTuple):
    """Class probabilities around each cell, ``[B, C, H / CELL, W / CELL]`` each.

    Attributes:
        coarse: means of the coarse map over the cells.
        appearance: A, the mean of the coarse map over samples of similar colour (`appearance_term` of one round,
            divided by its sum).
        log_appearance_ratio: ``log(A / P)``, P the class's share of the whole image; both plus `SHARE_OFFSET`.
        log_surroundings: ``log(S)``, S the mean of the coarse map over the `SURROUNDINGS`; plus `SHARE_OFFSET`.
    """

    coarse: Tensor
    appearance: Tensor
    log_appearance_ratio: Tensor
    log_surroundings: Tensor


@torch.no_grad()
def cell_evidence(image: Tensor, coarse: Tensor) -> CellEvidence:
    """The evidence in an image ``[B, 3, H, W]`` in 0..1 and its coarse probabilities ``[B, C, H, W]``."""
    cells = F.avg_pool2d(coarse, CELL)
    appearance = appearance_term(image, coarse, rounds=1) / APPEARANCE_SUM
    overall = cells.mean(dim=(2, 3), keepdim=True)
    ratio = (appearance + SHARE_OFFSET) / (overall + SHARE_OFFSET)
    around = F.avg_pool2d(cells, SURROUNDINGS, stride=1, padding=SURROUNDINGS // 2, count_include_pad=False)
    return CellEvidence(cells, appearance, ratio.log(), (around + SHARE_OFFSET).log())


class Features(NamedTuple):
    """Class-agnostic features of an image and its coarse map.

    Attributes:
        pixels: label border to the right or below (0 or 1), largest probability, entropy, and the colours'
            differences to the right and below: ``[B, PIXEL_FEATURES, H, W]``.
        cells: ``[B, CELL_FEATURES, H / CELL, W / CELL]``; of the coarse map the margin between the two most likely
            classes; of `CellEvidence.appearance` the largest probability, that of the cell's label, and its scalar
            product with the coarse map; of the cell's label the log appearance ratio, the logarithm of its share
            of the image's area, and the mean probability of the label over all cells that have it.
    """

    pixels: Tensor
    cells: Tensor


@torch.no_grad()
def features(image: Tensor, coarse: Tensor, log_coarse: Tensor, evidence: CellEvidence) -> Features:
    """Features of an image ``[B, 3, H, W]`` in 0..1 and its coarse map.

    Args:
        coarse, log_coarse: probabilities ``[B, C, H, W]``, C at least 2, and their logarithms.
    """
    largest, labels = winners(coarse)
    entropy = -(log_coarse * coarse).sum(dim=1, keepdim=True)
    right = F.pad(labels[..., 1:] != labels[..., :-1], (0, 1))
    below = F.pad(labels[..., 1:, :] != labels[..., :-1, :], (0, 0, 0, 1))
    border = (right | below).float().unsqueeze(1)
    change = F.pad((image[..., 1:] - image[..., :-1]).abs(), (0, 1)).sum(dim=1, keepdim=True)
    change = change + F.pad((image[..., 1:, :] - image[..., :-1, :]).abs(), (0, 0, 0, 1)).sum(dim=1, keepdim=True)
    pixels = torch.cat((border, largest.unsqueeze(1), entropy, change), dim=1)
    return Features(pixels, _cell_features(evidence))


def _cell_features(evidence: CellEvidence) -> Tensor:
    coarse, appearance = evidence.coarse, evidence.appearance
    (first, second), (label, _) = (found.split(1, dim=1) for found in coarse.topk(2, dim=1))
    labels = label.flatten(2).squeeze(1)
    zeros = first.new_zeros(coarse.shape[:2])
    count = zeros.scatter_add(1, labels, torch.ones_like(first).flatten(1))
    confidence = zeros.scatter_add(1, labels, first.flatten(1)) / count.clamp_min(1)
    area = (count / labels.shape[1]).clamp_min(MIN_AREA).log2() / -AREA_SCALE
    of_label = [by_class.gather(1, labels).view_as(first) for by_class in (area, confidence)]
    return torch.cat(
        (
            first - second,
            appearance.amax(dim=1, keepdim=True),
            appearance.gather(1, label),
            (appearance * coarse).sum(dim=1, keepdim=True),
            evidence.log_appearance_ratio.gather(1, label) / LOG_RATIO_SCALE,
            *of_label,
        ),
        dim=1,
    )


@torch.no_grad()
def image_features(seen: Features) -> Tensor:
    """Means of all features near label borders, their means elsewhere, and the share of cells that are near.

    ``[B, IMAGE_FEATURES]``, signed square roots: small values differ more than large ones.

    They show, for example, a map that is confident far from borders and uncertain in a wide band along them: a
    good map of low resolution, whatever its classes.
    """
    cells = torch.cat((F.avg_pool2d(seen.pixels, CELL), seen.cells), dim=1)
    near = F.max_pool2d((cells[:, :1] > 0).float(), NEAR_BORDER, stride=1, padding=NEAR_BORDER // 2)
    shares = [near.mean(dim=(2, 3)), 1 - near.mean(dim=(2, 3))]
    sums = [(cells * weight).mean(dim=(2, 3)) for weight in (near, 1 - near)]
    means = [total / share.clamp_min(MIN_AREA) for total, share in zip(sums, shares, strict=True)]
    found = torch.cat((*means, shares[0]), dim=1)
    return found.sign() * found.abs().sqrt()
