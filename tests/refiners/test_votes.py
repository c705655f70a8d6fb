"""Votes of places alike."""

import pytest
import torch
import torch.nn.functional as F

from segmend.refiners.votes import (
    APART,
    CELL,
    CONTRASTS,
    MOST_VOTES,
    REACH,
    ROUNDS,
    WEIGHT,
    alike_votes,
    heed_votes,
    votes_at,
)


def slow_votes(image, asking, witnesses, q):
    """Votes of witnesses ``q [C, N]`` at cells (row, column), at other cells, one by one: ``[C, M]``."""
    colours = F.avg_pool2d(image, CELL)[0]
    found = torch.zeros(len(q), len(asking))
    for number, (y, x) in enumerate(asking):
        for contrast in CONTRASTS:
            weights = torch.zeros(len(witnesses))
            for k, (v, u) in enumerate(witnesses):
                apart = (colours[:, y, x] - colours[:, v, u]).square().sum() / contrast**2
                away = CELL**2 * ((y - v) ** 2 + (x - u) ** 2) / REACH**2
                weights[k] = torch.exp(-(apart + away) / 2)
            found[:, number] += WEIGHT * (q * weights / weights.sum()).sum(1)
    return found


@pytest.mark.parametrize("apart", [APART, 2 * APART])
def test_votes_are_the_mean_field_of_the_witnesses(monkeypatch, apart):
    torch.manual_seed(0)
    monkeypatch.setattr("segmend.refiners.votes.MOST", 16 if apart == APART else 15)  # 16 nearer ones
    # Colours that lie close together: else each place hears itself alone.
    image, coarse = 0.5 + 0.1 * torch.rand(1, 3, 64, 64), torch.rand(1, 4, 64, 64).softmax(dim=1)
    step = apart // CELL
    rows = range(step // 2, 16, step)
    witnesses = [(y, x) for i, y in enumerate(rows) for x in range((i % 2) * step // 2, 16, step)]
    assert len(witnesses) == (64 // apart) ** 2
    known = torch.stack([F.avg_pool2d(coarse, CELL)[0, :, y, x] for y, x in witnesses], dim=1)
    q = known
    for _ in range(ROUNDS - 1):
        q = (known.log() + slow_votes(image, witnesses, witnesses, q)).softmax(dim=0)
    found = alike_votes(image, coarse)
    assert found.shape == (1, 4, 16, 16)
    everywhere = [(y, x) for y in range(16) for x in range(16)]
    assert torch.allclose(found[0].flatten(1), slow_votes(image, everywhere, witnesses, q), atol=1e-3)


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


def test_votes_count_as_much_as_they_are_heeded():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 45, 70), torch.randn(1, 3, 45, 70).softmax(dim=1)
    votes = votes_at(image, coarse)
    assert votes.shape == coarse.shape
    assert torch.allclose(heed_votes(image, coarse, 0.0), coarse, atol=1e-6)
    assert torch.equal(heed_votes(image, coarse), heed_votes(image, coarse, 1.0))
    halfway = (coarse.log() + 0.25 * votes).softmax(dim=1)
    assert torch.allclose(heed_votes(image, coarse, 0.25), halfway, atol=1e-6)


def test_gradients_reach_the_coarse_map():
    logits = torch.randn(1, 3, 32, 32, requires_grad=True)
    heed_votes(torch.rand(1, 3, 32, 32), logits.softmax(dim=1))[:, 0].sum().backward()
    assert logits.grad.abs().min() > 0
