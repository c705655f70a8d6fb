"""The product of experts, and its propagation."""

import pytest
import torch
import torch.nn.functional as F

from segmend.ops.scan import normalize_gates
from segmend.refiners.appearance import MIN_COARSE
from segmend.refiners.spatial_propagation import propagate_means
from segmend.refiners.universal.combine import CombinationWeights, combine, product_of_experts
from segmend.refiners.universal.features import cell_evidence


@pytest.fixture
def example():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 64, 32), torch.randn(1, 3, 64, 32).softmax(dim=1)
    pixels, cells = torch.ones(1, 1, 64, 32), torch.ones(1, 1, 16, 8)
    weights = CombinationWeights(2 * pixels, 0.7 * pixels, 0.4 * pixels, 0.2 * cells, 0.3 * cells)
    return coarse.clamp_min(MIN_COARSE).log(), cell_evidence(image, coarse), weights


def test_each_expert_is_raised_to_its_power(example):
    log_coarse, evidence, weights = example
    cells = 0.2 * evidence.log_appearance_ratio - 0.3 * evidence.log_surroundings
    expected = (2 * log_coarse + F.interpolate(cells, scale_factor=4, mode="bilinear")).softmax(dim=1)
    assert torch.allclose(product_of_experts(log_coarse, evidence, weights), expected, atol=1e-5)


def test_a_share_of_the_result_is_propagated(example):
    log_coarse, evidence, weights = example
    gates = 0.9 * normalize_gates(torch.rand(1, 4, 1, 3, 64, 32))
    start = product_of_experts(log_coarse, evidence, weights)
    expected = 0.6 * start + 0.4 * propagate_means(start, weights.pixel_weight, gates)
    assert torch.allclose(combine(log_coarse, evidence, weights, gates), expected, atol=1e-6)


def test_weights_have_their_initial_values_and_ranges():
    first = CombinationWeights.of(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 2, 2))
    assert [w.unique().item() for w in first] == pytest.approx([1.0, 0.5, 0.5, 0.119, 0.0], abs=2e-3)
    for sign, expected in ((-100, (0, 0, 0, 0, -1)), (100, (4, 1, 1, 1, 1))):
        found = CombinationWeights.of(torch.full((1, 3, 8, 8), float(sign)), torch.full((1, 2, 2, 2), float(sign)))
        assert [w.unique().item() for w in found] == pytest.approx(expected)
