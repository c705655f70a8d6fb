"""Class-agnostic features: of pixels, of cells, of the image."""

import math

import torch
import torch.nn.functional as F

from segmend.refiners.appearance import MIN_COARSE
from segmend.refiners.universal.features import (
    AREA_SCALE,
    CELL_FEATURES,
    IMAGE_FEATURES,
    LOG_RATIO_SCALE,
    PIXEL_FEATURES,
    SHARE_OFFSET,
    Features,
    cell_evidence,
    features,
    image_features,
    log2_border_error,
)


def features_of(image, coarse):
    return features(image, coarse, coarse.clamp_min(MIN_COARSE).log(), cell_evidence(image, coarse))


def test_border_errors_are_logarithms_of_pixels():
    assert log2_border_error(torch.tensor([0.0, 3.0])).tolist() == [0, 2]


def test_evidence_is_of_the_cell_of_similar_colours_and_of_the_surroundings():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 64, 32), torch.randn(1, 3, 16, 8).softmax(dim=1)
    coarse = F.interpolate(coarse, scale_factor=4)
    evidence = cell_evidence(image, coarse)
    assert torch.allclose(evidence.coarse, coarse[..., ::4, ::4], atol=1e-6)
    assert torch.allclose(evidence.appearance.sum(dim=1), torch.tensor(1.0), atol=1e-3)
    overall = coarse.mean(dim=(2, 3), keepdim=True)
    ratio = (evidence.appearance + SHARE_OFFSET) / (overall + SHARE_OFFSET)
    assert torch.allclose(evidence.log_appearance_ratio, ratio.log(), atol=1e-5)
    around = evidence.coarse[0, :, 4:13].mean(dim=(1, 2))  # of the cell in row 8 and column 4
    assert torch.allclose(evidence.log_surroundings[0, :, 8, 4], (around + SHARE_OFFSET).log(), atol=1e-5)


def test_features_do_not_depend_on_the_order_of_classes():
    torch.manual_seed(0)
    image, coarse = torch.rand(2, 3, 32, 64), torch.randn(2, 4, 32, 64).softmax(dim=1)
    pixels, cells = features_of(image, coarse)
    assert pixels.shape == (2, PIXEL_FEATURES, 32, 64)
    assert cells.shape == (2, CELL_FEATURES, 8, 16)
    for found, permuted in zip((pixels, cells), features_of(image, coarse[:, [2, 0, 3, 1]]), strict=True):
        assert torch.allclose(permuted, found, atol=1e-5)


def test_features_are_borders_confidence_appearance_and_areas():
    coarse = torch.zeros(1, 3, 32, 32)
    coarse[:, 0, :, :8] = 0.8
    coarse[:, 1, :, :8] = 0.2
    coarse[:, 2, :, 8:] = 1.0
    image = coarse.clone()  # as many colours as labels: cells of the same colour agree
    pixels, cells = features_of(image, coarse)
    border, largest, entropy, change = pixels[0, :, 16]
    margin, top, own, agreement, ratio, area, confidence = cells[0, :, 4].repeat_interleave(4, dim=1)
    assert border.nonzero().flatten().tolist() == [7]
    assert torch.allclose(change, torch.eye(32)[7] * 2.0)
    for found, left, right in (
        (largest, 0.8, 1.0),
        (entropy, 0.5004, 0.0),
        (margin, 0.6, 1.0),
        (top, 0.8, 1.0),
        (own, 0.8, 1.0),
        (agreement, 0.68, 1.0),
        (ratio, math.log(0.81 / 0.21) / LOG_RATIO_SCALE, math.log(1.01 / 0.76) / LOG_RATIO_SCALE),
        (area, 2 / AREA_SCALE, -math.log2(0.75) / AREA_SCALE),
        (confidence, 0.8, 1.0),
    ):
        assert torch.allclose(found, torch.tensor([left] * 8 + [right] * 24), atol=2e-3)


def test_image_features_are_means_near_borders_and_elsewhere():
    seen = Features(torch.zeros(1, PIXEL_FEATURES, 32, 64), torch.zeros(1, CELL_FEATURES, 8, 16))
    seen.pixels[:, 0, :, 31] = 1  # a border down the image: near are its column of cells, and two to either side
    seen.pixels[:, 1, :, 20:40] = 3
    seen.pixels[:, 1, :, 60:] = -11
    seen.cells[:, 2, :, 5:10] = 4
    found = image_features(seen)
    every = PIXEL_FEATURES + CELL_FEATURES
    assert found.shape == (1, IMAGE_FEATURES)
    assert torch.allclose(found[0, 1], torch.tensor(3.0).sqrt())
    assert torch.allclose(found[0, every + 1], torch.tensor(-1.0))
    assert torch.allclose(found[0, PIXEL_FEATURES + 2], torch.tensor(2.0))
    assert found[0, every + PIXEL_FEATURES + 2] == 0
    assert torch.allclose(found[0, -1], torch.tensor(5 / 16).sqrt())
