"""The refiner of any classes."""

import pytest
import torch
import torch.nn.functional as F

from segmend.data.class_free import believed
from segmend.refiners.universal import (
    BY_CLASS,
    HARMLESS,
    SUMMARIES,
    UniversalPropagation,
    summaries,
    universal_loss,
)


def example(classes=4, size=(37, 50), batch=2):
    torch.manual_seed(0)
    blocks = torch.randn(batch, classes, 5, 6) * 4
    coarse = F.interpolate(blocks, size=size, mode="bilinear").softmax(dim=1)
    return torch.rand(batch, 3, *size), coarse


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = UniversalPropagation().eval()
    with torch.no_grad():
        network.blend[0].weight.mul_(300)  # so that it blends here one way, there another
    return network


@pytest.mark.parametrize("size", [(37, 50), (64, 64), (9, 130)])
@pytest.mark.parametrize("classes", [2, 30])
def test_maps_of_any_size_and_classes_stay_probabilities(network, size, classes):
    image, coarse = example(classes, size)
    with torch.inference_mode():
        mended = network.mend(image, coarse)
    assert mended.probabilities.shape == coarse.shape
    assert torch.allclose(mended.probabilities.sum(dim=1), torch.ones(2, *size), atol=1e-4)
    assert mended.changed.any()


def test_names_of_classes_do_not_matter(network):
    image, coarse = example(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.inference_mode():
        mended, renamed = (network.mend(image, map_).probabilities for map_ in (coarse, coarse[:, order]))
    assert torch.allclose(mended[:, order], renamed, atol=1e-4)


def test_classes_that_are_nowhere_change_nothing(network):
    image, coarse = example(3)
    more = torch.cat((coarse[:, :2], torch.zeros(2, 40, 37, 50), coarse[:, 2:]), dim=1)
    assert believed(more).tolist() == [0, 1, 42]
    with torch.inference_mode():
        mended, among = (network.mend(image, map_).probabilities for map_ in (coarse, more))
    assert torch.allclose(among[:, [0, 1, 42]], mended, atol=1e-5)
    assert among[:, 2:42].max() == 0


def test_a_map_of_one_class_stays_one(network):
    coarse = torch.zeros(1, 5, 20, 20)
    coarse[:, 3] = 1
    with torch.inference_mode():
        mended = network.mend(torch.rand(1, 3, 20, 20), coarse)
    assert (mended.labels == 3).all()


def test_trusted_and_left_alone_the_coarse_map_stays(network):
    image, coarse = example()
    with torch.no_grad():
        network.blend[0].weight.zero_()
        network.blend[0].bias.copy_(torch.tensor([30.0, -30, 0, -30]).repeat_interleave(4))
        mended, _ = network(image, coarse)
    assert torch.allclose(mended, coarse, atol=5e-4)  # the least probabilities are lifted


def test_what_is_known_of_the_error_reaches_the_network(network):
    torch.manual_seed(3)
    image, coarse = torch.rand(2, 3, 32, 32), torch.randn(2, 3, 32, 32).softmax(dim=1)
    with torch.inference_mode():
        unknown = network.mend(image, coarse).probabilities
        expected, _ = network(image, coarse, torch.tensor([8.0, 8.0]))
        network.error_px = 8.0
        told = network.mend(image, coarse).probabilities
        network.error_px = 0.0
    assert not torch.allclose(told, unknown)
    assert torch.allclose(told, expected, atol=1e-5)


def test_every_weight_learns():
    image, coarse = example()
    network = UniversalPropagation()
    mended, _ = network(image, coarse, torch.tensor([0.0, 4.0]))
    mended[:, 0].log().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_summaries_tell_sureness_borders_agreement_and_what_is_known_of_the_error():
    coarse = torch.zeros(2, 3, 4, 6)
    coarse[:, 0, :, :3] = 0.8
    coarse[:, 1, :, :3] = 0.2
    coarse[:, 2, :, 3:] = 1.0
    voted = coarse.roll(1, dims=1)
    told = summaries(coarse, voted, torch.tensor([0.0, 4.0]))
    assert told.shape == (2, SUMMARIES, 4, 6)
    first, margin, entropy, borders, vote, own, agreement, known, error = told[1, :, 0].unbind()
    assert torch.allclose(first, torch.tensor([0.8] * 3 + [1.0] * 3))
    assert torch.allclose(margin, torch.tensor([0.6] * 3 + [1.0] * 3))
    assert torch.allclose(entropy, torch.tensor([0.5004] * 3 + [0.0] * 3), atol=1e-4)
    assert borders.tolist() == [0, 0, 1, 0, 0, 0]
    assert torch.allclose(vote, torch.tensor([0.8] * 3 + [1.0] * 3))
    assert torch.allclose(own, torch.tensor([0.0] * 3 + [0.0] * 3))
    assert torch.allclose(agreement, torch.tensor([0.16] * 3 + [0.0] * 3))
    assert (known == 1).all()
    assert (error == 0.5).all()
    assert (told[0, -2:] == 0).all()
    assert torch.equal(summaries(coarse, voted)[0], told[0])


def test_the_loss_is_a_mean_of_logarithms_of_means_over_pixels_and_over_classes():
    mended = torch.rand(3, 3, 4, 5).softmax(dim=1)
    target = torch.zeros(3, 4, 5, dtype=torch.int64)
    target[0, 0] = 2
    target[1, 1] = 1
    target[1, 2] = 255
    target[2] = 255
    costs = F.nll_loss(mended.log(), target, ignore_index=255, reduction="none")
    logs = []
    for i, classes in ((0, (0, 2)), (1, (0, 1))):
        by_class = sum(costs[i][target[i] == c].mean() for c in classes) / 2
        logs.append((costs[i][target[i] != 255].mean() + BY_CLASS * by_class + HARMLESS).log())
    assert torch.allclose(universal_loss(mended, target, 255), sum(logs) / 2)
    assert universal_loss(mended, torch.full_like(target, 255), 255) == 0
