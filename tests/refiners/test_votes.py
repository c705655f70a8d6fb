"""Votes of places alike."""

import pytest
import torch
import torch.nn.functional as F

from segmend.refiners.votes import (
    CONTRASTS,
    FINE,
    MOST_VOTES,
    REACH,
    ROUGH,
    ROUNDS,
    WEIGHT,
    alike_votes,
    heed_votes,
)


def slow_votes(image, q, stride, rough=ROUGH):
    """Votes of a grid ``q [C, h, w]`` at the places of a stride, one by one."""
    asking, asked = (F.avg_pool2d(image, s)[0] for s in (stride, rough))
    found = torch.zeros(len(q), *asking.shape[1:])
    for y in range(found.shape[1]):
        for x in range(found.shape[2]):
            for contrast in CONTRASTS:
                weights = torch.zeros(q.shape[1:])
                for v in range(q.shape[1]):
                    for u in range(q.shape[2]):
                        colours = (asking[:, y, x] - asked[:, v, u]).square().sum() / contrast**2
                        down, across = (
                            stride * (mine + 0.5) - rough * (other + 0.5) for mine, other in ((y, v), (x, u))
                        )
                        weights[v, u] = torch.exp(-(colours + (down**2 + across**2) / REACH**2) / 2)
                found[:, y, x] += WEIGHT * (q * weights / weights.sum()).sum((1, 2))
    return found


@pytest.mark.parametrize("rough", [ROUGH, 2 * ROUGH])
def test_votes_are_the_mean_field_of_a_grid(monkeypatch, rough):
    torch.manual_seed(0)
    monkeypatch.setattr("segmend.refiners.votes.MOST", 8 if rough == ROUGH else 7)  # the finer grid has 8
    # Colours that lie close together: else each place hears itself alone.
    image, coarse = 0.5 + 0.2 * torch.rand(1, 3, 32, 64), torch.rand(1, 4, 32, 64).softmax(dim=1)
    grid = F.avg_pool2d(coarse, rough)[0]
    q = grid
    for _ in range(ROUNDS - 1):
        q = (grid.log() + slow_votes(image, q, rough, rough)).softmax(dim=0)
    found = alike_votes(image, coarse)
    assert found.shape == (1, 4, 32 // FINE, 64 // FINE)
    assert torch.allclose(found[0], slow_votes(image, q, FINE, rough), atol=1e-3)


@pytest.mark.parametrize("classes", [2, 37])
def test_votes_of_a_place_sum_to_the_weight_of_all(classes):
    torch.manual_seed(0)
    votes = alike_votes(torch.rand(2, 3, 48, 32), torch.randn(2, classes, 48, 32).softmax(dim=1))
    assert torch.allclose(votes.sum(dim=1), torch.tensor(MOST_VOTES), atol=1e-3)


def test_votes_outvote_a_region_that_looks_like_another():
    """A grey road taken for a building in one corner: the rest of the road says road."""
    image = torch.full((1, 3, 64, 64), 0.5)
    image[:, :, :32] = 0.9
    coarse = torch.zeros(1, 2, 64, 64)
    coarse[:, 0, :32] = 1
    coarse[:, 1, 32:] = 1
    coarse[:, :, 48:, :16] = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    mended = heed_votes(image, 0.9 * coarse + 0.05)
    assert mended.argmax(1)[0, 32:].unique().tolist() == [1]
    assert mended.argmax(1)[0, :32].unique().tolist() == [0]
    assert torch.allclose(mended.sum(dim=1), torch.ones(1, 64, 64))


def test_a_map_of_any_size_keeps_it():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 45, 70), torch.randn(1, 3, 45, 70).softmax(dim=1)
    mended = heed_votes(image, coarse)
    assert mended.shape == coarse.shape
    assert torch.allclose(mended.sum(dim=1), torch.ones(1, 45, 70), atol=1e-5)


def test_gradients_reach_the_coarse_map():
    logits = torch.randn(1, 3, 32, 32, requires_grad=True)
    heed_votes(torch.rand(1, 3, 32, 32), logits.softmax(dim=1))[:, 0].sum().backward()
    assert logits.grad.abs().min() > 0
