"""The closed form, against a loop over classes, and what it is for."""

import numpy as np
import pytest
import torch

from segmend.dual.reconstruction import Guide, of_mean_colours, reconstruct_by_colours


def slow(log_p, guides, rounds):
    """One image, class by class, in float64."""
    start = log_p - np.log(np.exp(log_p).sum(0))
    found = start.copy()
    for _ in range(rounds):
        p = np.exp(found) / np.exp(found).sum(0)
        found = start.copy()
        for guide, weight in guides:
            costs = []
            for c in range(len(p)):
                mean = (p[c] * guide).sum((1, 2)) / p[c].sum()
                costs.append(((guide - mean[:, None, None]) ** 2).sum(0))
            costs = np.stack(costs)
            variance = (p * costs).sum() / p.sum()
            found -= weight * costs / variance
    return found - np.log(np.exp(found).sum(0))


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_equals_the_formula_class_by_class(rounds):
    rng = np.random.default_rng(0)
    log_p, first, second = (rng.normal(size=(2, n, 6, 7)) for n in (3, 4, 2))
    guides = [Guide(torch.from_numpy(first), 0.7), Guide(torch.from_numpy(second), 0.3)]
    found = reconstruct_by_colours(torch.from_numpy(log_p), guides, rounds)
    for image in range(2):
        expected = slow(log_p[image], [(first[image], 0.7), (second[image], 0.3)], rounds)
        np.testing.assert_allclose(found[image].numpy(), expected, atol=1e-6)


def test_results_are_normalised_and_do_not_depend_on_a_guides_scale():
    torch.manual_seed(0)
    log_p, guide = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 8, 8)
    found = reconstruct_by_colours(log_p, [Guide(guide, 1.0)])
    assert torch.allclose(found.exp().sum(1), torch.ones(2, 8, 8), atol=1e-5)
    assert torch.allclose(found, reconstruct_by_colours(log_p, [Guide(10 * guide + 3, 1.0)]), atol=1e-3)


def test_a_blurred_map_gets_the_borders_of_the_image():
    image = torch.zeros(1, 3, 16, 16)
    image[..., 10:] = 1
    image += 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(3, -3, 16).expand(1, 1, 16, 16)  # its border is at 8
    blurred = torch.cat((ramp, -ramp), dim=1)
    truth = torch.zeros(16, 16, dtype=torch.long)
    truth[:, 10:] = 1
    wrong = (blurred.argmax(1)[0] != truth).float().mean()
    sharpened = reconstruct_by_colours(blurred, [Guide(image, 1.0)])
    assert wrong > 0.1
    assert (sharpened.argmax(1)[0] == truth).all()


def test_a_plain_image_changes_little_and_classes_that_are_absent_stay_so():
    log_p = torch.tensor([0.7, 0.3, 1e-12]).log().view(1, 3, 1, 1).expand(1, 3, 8, 8)
    found = reconstruct_by_colours(log_p, [Guide(torch.zeros(1, 3, 8, 8), 1.0)])
    assert torch.isfinite(found).all()
    assert (found.argmax(1) == 0).all()
    assert found[:, 2].exp().max() < 1e-6


def test_the_image_of_mean_colours_is_the_sum_over_classes():
    torch.manual_seed(3)
    log_p, colours = torch.randn(2, 3, 4, 5).log_softmax(1), torch.rand(2, 3, 4, 5)
    p = log_p.exp()
    expected = torch.zeros_like(colours)
    for b in range(2):
        for c in range(3):
            mean = (p[b, c] * colours[b]).sum((1, 2)) / p[b, c].sum()
            expected[b] += p[b, c] * mean[:, None, None]
    assert torch.allclose(of_mean_colours(log_p, colours), expected, atol=1e-6)
