"""SPN: starts from the coarse map, follows edges, takes any size, has stable gates, is saved and loaded."""

import pytest
import torch

from segmend.labels import Classes, InvalidInput, most_likely
from segmend.model_folder import save_model
from segmend.ops.scan import normalize_gates, spread
from segmend.refiners import load
from segmend.refiners.spatial_propagation import (
    MAX_COARSE_POWER,
    SpatialPropagation,
    absent_classes,
    propagate,
    propagate_means,
    propagation_loss,
    propagation_weights,
    without,
)

CLASSES = Classes.numbered(5)
KINDS = [
    {"gates": "similarity"},
    {"gates": "free"},
    {"gates": "free", "lift": 6},
    {"gates": "similarity", "lift": 6},
    {"gates": "similarity", "connections": 1, "rounds": 2, "sees_coarse": False},
    {"gates": "free", "lift": 6, "encoder": "tf_efficientnet_lite0"},
    {"gates": "similarity", "encoder": "tf_efficientnet_lite0", "appearance": True},
    {"gates": "similarity", "weighted": True, "rounds": 2},
    {"gates": "similarity", "weighted": True, "lift": 6},
]


def example(height=37, width=50, batch=2):
    torch.manual_seed(0)
    return torch.rand(batch, 3, height, width), torch.randn(batch, 5, height, width).softmax(1)


@pytest.mark.parametrize("kind", KINDS)
def test_any_size_gives_a_probability_map_of_that_size(kind):
    image, coarse = example()
    network = SpatialPropagation(CLASSES, width="quarter", **kind).eval()
    refined = network.refine_batch(image, coarse)
    assert refined.probabilities.shape == coarse.shape
    assert torch.allclose(refined.probabilities.sum(1), torch.ones(2, 37, 50), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_stable_and_gradients_reach_every_layer(kind):
    image, coarse = example()
    network = SpatialPropagation(CLASSES, width="quarter", **kind)
    for gates in (network.gates, network.lifted and network.lifted.gates):
        assert gates is None or gates(*network._guidance(image, coarse)).abs().sum(3).max() <= 1 + 1e-5
    if network.lifted is not None:
        torch.nn.init.normal_(network.lifted.project.weight)
    propagation_loss(network(image, coarse), torch.randint(0, 5, (2, 37, 50)), 255).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_without_a_propagated_share_the_coarse_map_stays():
    image, coarse = example()
    network = SpatialPropagation(CLASSES, width="quarter", weighted=True).eval()
    with torch.no_grad():
        assert not torch.allclose(network(image, coarse).exp(), coarse, atol=1e-2)
        network.weights[0].bias[2] = -10  # the propagated share
    assert torch.allclose(network(image, coarse).exp(), coarse, atol=1e-2)


def test_weights_have_their_initial_values_and_ranges():
    first = propagation_weights(torch.zeros(1, 3, 2, 2))
    assert first[0].unique().item() == pytest.approx(1, abs=1e-2)
    assert first[1].unique().item() == pytest.approx(0.5)
    for sign, expected in ((-100, (0, 0, 0)), (100, (MAX_COARSE_POWER, 1, 1))):
        found = propagation_weights(torch.full((1, 3, 2, 2), float(sign)))
        assert [w.unique().item() for w in found] == pytest.approx(expected)


def test_with_a_lift_training_starts_from_the_coarse_map():
    image, coarse = example()
    network = SpatialPropagation(CLASSES, lift=6, gates="free", width="quarter")
    assert torch.allclose(network(image, coarse).exp(), coarse, atol=1e-3)


def test_a_lift_starts_from_the_propagated_map():
    image, coarse = example()
    propagating = SpatialPropagation(CLASSES, width="quarter", weighted=True).eval()
    lifting = SpatialPropagation(CLASSES, width="quarter", weighted=True, lift=6).eval()
    lifting.load_state_dict(propagating.state_dict(), strict=False)
    expected = propagating(image, coarse).exp()
    assert torch.allclose(lifting(image, coarse).exp(), expected, atol=1e-4)
    torch.nn.init.constant_(lifting.lifted.project.bias[3:4], 5.0)
    assert (lifting(image, coarse).exp()[:, 3] > expected[:, 3]).all()


def test_similarity_gates_refine_a_blurred_border_before_any_training():
    """Two areas of one colour each: labels spread from the confident inside up to the image's edge."""
    truth = torch.zeros(1, 32, 32, dtype=torch.long)
    truth[:, :, 15:] = 1
    image = truth[:, None].expand(-1, 3, -1, -1).float()
    ramp = torch.sigmoid((torch.arange(32.0) - 19.5) / 3).expand(1, 32, 32)
    coarse = torch.stack((1 - ramp, ramp), dim=1)
    torch.manual_seed(0)
    refined = SpatialPropagation(Classes.numbered(2), width="quarter").eval().refine_batch(image, coarse)
    before = (most_likely(coarse) == truth).float().mean()
    after = (refined.labels == truth).float().mean()
    assert after > before + 0.05


def test_more_rounds_reach_around_corners():
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 0, 0] = 1
    gates = torch.zeros(1, 4, 1, 3, 9, 9)
    gates[:, :, :, 1] = 0.9
    assert propagate(point, gates, 1)[0, 0, 8, 8] == 0
    assert propagate(point, gates, 2)[0, 0, 8, 8] > 0


def test_a_pixel_becomes_the_weighted_mean_of_what_reaches_it():
    """Two pixels have a weight, one three times the other's; the gates pass on all of both."""
    start, weight = torch.full((1, 2, 1, 5), 0.5), torch.zeros(1, 1, 1, 5)
    start[0, :, 0, 0], weight[..., 0] = torch.tensor([1.0, 0.0]), 0.3
    start[0, :, 0, 4], weight[..., 4] = torch.tensor([0.0, 1.0]), 0.1
    gates = torch.zeros(1, 4, 1, 3, 1, 5)
    gates[:, :, :, 1] = 1
    found = propagate_means(start, weight, gates)
    assert torch.allclose(found[0, :, 0, 2], torch.tensor([0.75, 0.25]))
    assert torch.allclose(propagate_means(start, torch.ones_like(weight), 0 * gates), start)


@pytest.mark.parametrize("rounds", [1, 2])
def test_means_are_those_of_the_spread_operation(rounds):
    torch.manual_seed(0)
    start, weight = torch.randn(2, 3, 6, 7).softmax(dim=1), torch.rand(2, 1, 6, 7)
    gates = 0.9 * normalize_gates(torch.rand(2, 4, 1, 3, 6, 7))
    expected, _ = spread(start, weight, gates, rounds)
    assert torch.allclose(propagate_means(start, weight, gates, rounds), expected, atol=1e-5)


def test_only_similarity_gates_can_be_weighted():
    with pytest.raises(InvalidInput, match="similarity"):
        SpatialPropagation(CLASSES, weighted=True, gates="free")


@pytest.mark.parametrize(
    "options", [{}, {"weighted": True}, {"lift": 4}, {"weighted": True, "lift": 4, "appearance": 1.0}]
)
def test_classes_that_are_absent_stay_absent(options):
    image, coarse = example(batch=1)
    coarse[:, 3] = 0
    coarse[:, 3, 4, 4] = 0.1
    coarse = coarse / coarse.sum(1, keepdim=True)
    absent = absent_classes(coarse)
    assert absent.flatten().tolist() == [False, False, False, True, False]
    assert without(coarse, absent)[:, 3].max() == 0
    assert torch.allclose(without(coarse, absent).sum(1), torch.ones(1, 37, 50), atol=1e-5)
    network = SpatialPropagation(CLASSES, width="quarter", restrict_to_present=True, **options).eval()
    if network.lifted is not None:
        with torch.no_grad():
            network.lifted.project.bias[3] = 40
    assert not (network.refine_batch(image, coarse).labels == 3).any()


def test_void_does_not_count_in_the_loss():
    image, coarse = example()
    found = SpatialPropagation(CLASSES, width="quarter")(image, coarse)
    target = torch.randint(0, 5, (2, 37, 50))
    target[:, :9] = 255
    expected = torch.nn.functional.nll_loss(found, target, ignore_index=255)
    assert torch.allclose(propagation_loss(found, target, 255), expected)
    assert propagation_loss(found, torch.full_like(target, 255), 255) == 0


def test_a_saved_network_is_loaded_as_it_was(tmp_path):
    image, coarse = example(batch=1)
    network = SpatialPropagation(CLASSES, width="quarter", lift=4, gates="free", rounds=2).eval()
    save_model(network, tmp_path / "model", "# A card")
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, SpatialPropagation)
    expected = network.refine(image[0], coarse[0]).probabilities
    assert torch.equal(loaded.refine(image[0], coarse[0]).probabilities, expected)


@pytest.mark.parametrize("weight", [0.0, 1e-35, 1e-12, 1e-6])
def test_means_sum_to_one_however_little_arrives(weight):
    torch.manual_seed(0)
    start = torch.rand(1, 3, 9, 12).softmax(dim=1)
    gates = 0.3 * torch.rand(1, 4, 1, 3, 9, 12)
    means = propagate_means(start, torch.full((1, 1, 9, 12), weight), gates)
    assert torch.allclose(means.sum(dim=1), torch.ones(1, 9, 12), atol=1e-5)
    expected = propagate_means(start, torch.ones(1, 1, 9, 12), gates) if weight > 1e-20 else start
    assert torch.allclose(means, expected, atol=1e-4)
