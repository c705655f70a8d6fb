"""Distances of neighbours, against a slow loop."""

import math

import pytest
import torch

from segmend.ops import native
from segmend.ops.distances import neighbour_distances, similarity_gates


def neighbours(y, x):
    """Positions that a pixel is compared with, by direction."""
    return {
        0: [(y - 1, x - 1), (y, x - 1), (y + 1, x - 1)],
        1: [(y - 1, x + 1), (y, x + 1), (y + 1, x + 1)],
        2: [(y - 1, x - 1), (y - 1, x), (y - 1, x + 1)],
        3: [(y + 1, x - 1), (y + 1, x), (y + 1, x + 1)],
    }


@pytest.mark.parametrize("size", [(5, 6), (1, 7), (4, 1), (1, 1)])
def test_distances_are_those_of_the_neighbours_in_the_line_before(backend, size):
    torch.manual_seed(0)
    features = torch.randn(2, 4, *size)
    found = neighbour_distances(features, 3)
    assert found.shape == (2, 4, 3, *size)
    for b in range(2):
        for y in range(size[0]):
            for x in range(size[1]):
                for direction, positions in neighbours(y, x).items():
                    for k, (v, u) in enumerate(positions):
                        expected = math.inf
                        if 0 <= v < size[0] and 0 <= u < size[1]:
                            expected = (features[b, :, y, x] - features[b, :, v, u]).square().sum().item()
                        assert found[b, direction, k, y, x].item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(neighbour_distances(features, 1), found[:, :, 1:2])


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_formula(connections, layout, monkeypatch):
    torch.manual_seed(0)
    features = torch.randn(2, 5, 6, 70).contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn(2, 4, connections, 6, 70)

    def gradient():
        gates = torch.exp(-neighbour_distances(features, connections))
        return torch.autograd.grad((gates * weights).sum(), features)[0]

    found = gradient()
    monkeypatch.setenv(native.REFERENCE, "1")
    assert torch.allclose(found, gradient(), atol=1e-5)


def test_the_formula_has_right_gradients_in_float64():
    features = torch.rand(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: torch.exp(-neighbour_distances(f, 3)), features)


def test_half_precision_is_computed_in_float32(backend):
    features = torch.randn(1, 3, 4, 5).bfloat16()
    found = neighbour_distances(features, 3)
    assert found.dtype == torch.float32
    assert torch.allclose(found, neighbour_distances(features.float(), 3))


def test_a_batch_without_images_stays_one(backend):
    assert neighbour_distances(torch.zeros(0, 3, 4, 5), 3).shape == (0, 4, 3, 4, 5)


def test_pytorch_knows_the_operation():
    features = torch.randn(1, 3, 4, 5, requires_grad=True)
    operation = torch.ops.segmend.neighbour_distances.default
    # Differences of infinities are not numbers, so that gradients are compared above alone.
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    assert set(torch.library.opcheck(operation, (features, 3), test_utils=tests).values()) == {"SUCCESS"}
    compiled = torch.compile(neighbour_distances, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(features, 3), neighbour_distances(features, 3))


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 or 3 connections"):
        neighbour_distances(torch.zeros(1, 2, 3, 4), 2)
    with pytest.raises(ValueError, match=r"\[B, E, H, W\]"):
        neighbour_distances(torch.zeros(2, 3, 4), 3)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("size", [(6, 70), (1, 7), (4, 1)])
def test_gates_are_exponentials_of_distances_normalised(backend, connections, size):
    torch.manual_seed(0)
    features, kept = torch.randn(2, 3, *size), torch.rand(2, 4, *size)
    features[0] /= 3  # so that there are sums above 1, and below
    features[1] *= 20
    parts = torch.exp(-neighbour_distances(features, connections))
    expected = (parts / parts.sum(dim=2, keepdim=True).clamp_min(1) * kept[:, :, None]).unsqueeze(2)
    assert torch.allclose(similarity_gates(features, kept, connections), expected, rtol=1e-4, atol=1e-30)
    with torch.inference_mode():
        assert torch.allclose(similarity_gates(features, kept, connections), expected, rtol=1e-4, atol=1e-30)


def test_pytorch_knows_the_operation_of_gates():
    arguments = torch.rand(2, 3, 5, 7), torch.rand(2, 4, 5, 7), 3
    found = torch.library.opcheck(torch.ops.segmend.similarity_gates.default, arguments)
    assert set(found.values()) == {"SUCCESS"}
