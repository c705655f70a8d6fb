"""The appearance term."""

import pytest
import torch
import torch.nn.functional as F

from segmend.refiners.appearance import (
    APPEARANCE_SUM,
    CELL,
    COLOUR_SCALES,
    KERNEL_WEIGHT,
    POSITION_SCALE,
    ROUNDS,
    SAMPLE_DISTANCE,
    SHARES_STEP,
    appearance_at_pixels,
    appearance_term,
    combined,
    combined_keeping_shares,
    with_appearance,
)


def slow_term(image, cells, samples, q):
    """The term of samples ``q [C, N]`` at cells (row, column), at other cells, one by one: ``[C, M]``."""
    colours = F.avg_pool2d(image, CELL)[0]
    found = torch.zeros(len(q), len(cells))
    for number, (y, x) in enumerate(cells):
        for contrast in COLOUR_SCALES:
            weights = torch.zeros(len(samples))
            for k, (v, u) in enumerate(samples):
                difference = (colours[:, y, x] - colours[:, v, u]).square().sum() / contrast**2
                away = CELL**2 * ((y - v) ** 2 + (x - u) ** 2) / POSITION_SCALE**2
                weights[k] = torch.exp(-(difference + away) / 2)
            found[:, number] += KERNEL_WEIGHT * (q * weights / weights.sum()).sum(1)
    return found


@pytest.mark.parametrize("distance", [SAMPLE_DISTANCE, 2 * SAMPLE_DISTANCE])
def test_the_term_is_the_mean_field_of_the_samples(monkeypatch, distance):
    torch.manual_seed(0)
    monkeypatch.setattr(
        "segmend.refiners.appearance.MAX_SAMPLES", 16 if distance == SAMPLE_DISTANCE else 15
    )  # 16 nearer ones
    # Similar colours: otherwise each cell would get its own label alone.
    image, coarse = 0.5 + 0.1 * torch.rand(1, 3, 64, 64), torch.rand(1, 4, 64, 64).softmax(dim=1)
    step = distance // CELL
    rows = range(step // 2, 16, step)
    samples = [(y, x) for i, y in enumerate(rows) for x in range((i % 2) * step // 2, 16, step)]
    assert len(samples) == (64 // distance) ** 2
    coarse_q = torch.stack([F.avg_pool2d(coarse, CELL)[0, :, y, x] for y, x in samples], dim=1)
    q = coarse_q
    for _ in range(ROUNDS - 1):
        q = (coarse_q.log() + slow_term(image, samples, samples, q)).softmax(dim=0)
    found = appearance_term(image, coarse)
    assert found.shape == (1, 4, 16, 16)
    everywhere = [(y, x) for y in range(16) for x in range(16)]
    assert torch.allclose(found[0].flatten(1), slow_term(image, everywhere, samples, q), atol=1e-3)


@pytest.mark.parametrize("classes", [2, 37])
def test_the_term_sums_to_its_weight_at_every_cell(classes):
    torch.manual_seed(0)
    appearance = appearance_term(torch.rand(2, 3, 48, 32), torch.randn(2, classes, 48, 32).softmax(dim=1))
    assert torch.allclose(appearance.sum(dim=1), torch.tensor(APPEARANCE_SUM), atol=1e-3)


def test_the_term_outweighs_a_region_that_looks_like_another():
    """A grey road labelled as building in one corner: the rest of the road corrects it."""
    image = torch.full((1, 3, 64, 64), 0.5)
    image[:, :, :32] = 0.9
    coarse = torch.zeros(1, 2, 64, 64)
    coarse[:, 0, :32] = 1
    coarse[:, 1, 32:] = 1
    coarse[:, :, 48:, :16] = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    refined = with_appearance(image, 0.9 * coarse + 0.05)
    assert refined.argmax(1)[0, 32:].unique().tolist() == [1]
    assert refined.argmax(1)[0, :32].unique().tolist() == [0]
    assert torch.allclose(refined.sum(dim=1), torch.ones(1, 64, 64))


def test_a_map_of_any_size_keeps_it():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 45, 70), torch.randn(1, 3, 45, 70).softmax(dim=1)
    refined = with_appearance(image, coarse)
    assert refined.shape == coarse.shape
    assert torch.allclose(refined.sum(dim=1), torch.ones(1, 45, 70), atol=1e-5)


def test_the_weight_scales_the_term():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 45, 70), torch.randn(1, 3, 45, 70).softmax(dim=1)
    appearance = appearance_at_pixels(image, coarse)
    assert appearance.shape == coarse.shape
    assert torch.allclose(with_appearance(image, coarse, 0.0), coarse, atol=1e-6)
    assert torch.equal(with_appearance(image, coarse), with_appearance(image, coarse, 1.0))
    halfway = (coarse.log() + 0.25 * appearance).softmax(dim=1)
    assert torch.allclose(with_appearance(image, coarse, 0.25), halfway, atol=1e-6)


def test_gradients_reach_the_coarse_map():
    logits = torch.randn(1, 3, 32, 32, requires_grad=True)
    with_appearance(torch.rand(1, 3, 32, 32), logits.softmax(dim=1))[:, 0].sum().backward()
    assert logits.grad.abs().min() > 0


def appearance_example(seed=0, classes=4):
    generator = torch.Generator().manual_seed(seed)
    coarse = (3 * torch.randn(2, classes, 40, 56, generator=generator)).softmax(dim=1)
    return coarse, 4 * torch.rand(2, classes, 40, 56, generator=generator)


def test_without_keeping_shares_it_is_the_plain_combination():
    coarse, appearance = appearance_example()
    assert torch.equal(combined_keeping_shares(coarse, appearance, 0.5, 0.0), combined(coarse, appearance, 0.5))


def test_the_share_of_each_class_is_kept():
    """A bias of the appearance towards one class changes nothing where shares are kept, and much where not."""
    coarse, appearance = appearance_example()
    coarse, appearance = (F.interpolate(map_, scale_factor=SHARES_STEP) for map_ in (coarse, appearance))
    appearance[:, 0] += 3
    shares = coarse.mean(dim=(2, 3))
    kept = combined_keeping_shares(coarse, appearance, 1.0, 1.0)
    torch.testing.assert_close(kept.mean(dim=(2, 3)), shares, atol=5e-3, rtol=0)
    torch.testing.assert_close(kept.sum(dim=1), torch.ones(2, *kept.shape[2:]))
    assert (combined(coarse, appearance, 1.0).mean(dim=(2, 3)) - shares).abs().max() > 0.2
    half = combined_keeping_shares(coarse, appearance, 1.0, 0.5).mean(dim=(2, 3))
    assert (
        (half[:, 0] > shares[:, 0] + 0.05) & (half[:, 0] < combined(coarse, appearance, 1.0)[:, 0].mean())
    ).all()
