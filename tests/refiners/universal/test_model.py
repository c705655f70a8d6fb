"""The class-agnostic network: any size, any classes, known and estimated border errors, coarse weights."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from segmend.data.corruptions import low_resolution
from segmend.labels import as_probabilities
from segmend.refiners.spatial_propagation import MAX_COARSE_POWER, RAW_SCALE
from segmend.refiners.universal import UniversalPropagation
from segmend.refiners.universal.coarse_weight import CERTAIN, UNCERTAIN
from segmend.refiners.universal.combine import INITIAL


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
        for layer in (network.pixel_head[0], network.cell_head[0]):
            layer.weight.mul_(300)  # weights that differ from pixel to pixel
    return network


@pytest.mark.parametrize("size", [(37, 50), (64, 64), (9, 130)])
@pytest.mark.parametrize("classes", [2, 30])
def test_maps_of_any_size_and_classes_stay_probabilities(network, size, classes):
    image, coarse = example(classes, size)
    with torch.inference_mode():
        refined = network.refine_batch(image, coarse)
    assert refined.probabilities.shape == coarse.shape
    assert torch.allclose(refined.probabilities.sum(dim=1), torch.ones(2, *size), atol=1e-4)
    assert refined.changed.any()


def test_the_order_of_classes_does_not_matter(network):
    image, coarse = example(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.inference_mode():
        refined, permuted = (network(image, map_).probabilities for map_ in (coarse, coarse[:, order]))
    assert torch.allclose(refined[:, order], permuted, atol=1e-4)


def test_absent_classes_change_nothing(network):
    image, coarse = example(3)
    more = torch.cat((coarse[:, :2], torch.zeros(2, 40, 37, 50), coarse[:, 2:]), dim=1)
    with torch.inference_mode():
        refined, among = (network.refine_batch(image, map_).probabilities for map_ in (coarse, more))
    assert torch.allclose(among[:, [0, 1, 42]], refined, atol=1e-5)
    assert among[:, 2:42].max() == 0


def test_classes_absent_from_the_coarse_map_stay_absent(network):
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 40, 40), torch.rand(1, 4, 40, 40)
    coarse[:, 2] = 0.999 * coarse[:, :2].amax(dim=1)
    coarse /= coarse.sum(dim=1, keepdim=True)
    assert (coarse.argmax(dim=1) != 2).all()
    with torch.inference_mode():
        refined = network.refine_batch(image, coarse)
    assert refined.changed.any()
    assert refined.probabilities[:, 2].max() == 0


def test_a_map_of_one_class_stays_as_it_is(network):
    coarse = torch.zeros(1, 5, 20, 20)
    coarse[:, 3] = 1
    with torch.inference_mode():
        refined = network.refine_batch(torch.rand(1, 3, 20, 20), coarse)
    assert (refined.labels == 3).all()
    assert torch.equal(refined.probabilities, coarse)


def test_void_in_a_map_of_one_class_is_filled_with_it(network):
    labels = torch.full((20, 20), 3, dtype=torch.uint8)
    labels[:9] = 255
    assert (network.refine(torch.rand(3, 20, 20), labels, num_classes=5).labels == 3).all()


def test_with_a_coarse_power_of_one_and_no_other_weight_the_coarse_map_stays():
    torch.manual_seed(0)
    network, (image, coarse) = UniversalPropagation().eval(), example()
    raw = [math.log(1 / (MAX_COARSE_POWER - 1)), 0, -30, -30, 0]
    with torch.no_grad():
        for layer in (network.pixel_head[0], network.cell_head[0], network.image_head):
            layer.weight.zero_()
            layer.bias.zero_()
        network.image_head.bias.copy_((torch.tensor(raw) - torch.tensor(INITIAL)) / RAW_SCALE)
        output = network(image, coarse)
    assert torch.allclose(output.weights.coarse_power, torch.tensor(1.0), atol=1e-5)
    assert torch.allclose(output.probabilities, coarse, atol=5e-4)  # the smallest probabilities are raised


def halves(inside, band):
    """Two classes side by side, with a probability `inside` and, near their border, `band`: every fourth pixel."""
    largest = torch.full((20, 30), inside)
    largest[:, 12:18] = band
    left = torch.arange(30) < 15
    return torch.stack([torch.where(left, largest, 1 - largest), torch.where(left, 1 - largest, largest)])


def test_the_coarse_weight_depends_on_the_confidence_of_the_map():
    network = UniversalPropagation(
        coarse_weight=0.6, coarse_weight_confident=0.9, coarse_weight_masks=0.2, coarse_weight_known_error=0.4
    )
    assert network.coarse_weight_for(halves(1.0, 0.6)) == pytest.approx(0.9, abs=1e-4)
    assert network.coarse_weight_for(halves(0.8, 0.6)) == pytest.approx(0.6, abs=1e-4)
    assert network.coarse_weight_for(halves(1.0, 1.0)) == pytest.approx(0.2, abs=1e-4)
    assert network.coarse_weight_for(halves(1.0, 1.0), 5.0) == pytest.approx(0.4, abs=1e-4)
    assert network.coarse_weight_for(halves(0.8, 0.6), 5.0) == pytest.approx(0.6, abs=1e-4)
    between = 1 - (CERTAIN + UNCERTAIN) / 2
    assert network.coarse_weight_for(halves(between, 0.6)) == pytest.approx(0.75, abs=1e-4)


def test_label_maps_have_the_coarse_weight_of_masks():
    network = UniversalPropagation(coarse_weight=0.6, coarse_weight_confident=0.9, coarse_weight_masks=0.2)
    labels = (torch.arange(120) // 40).expand(80, 120).to(torch.uint8).clone()
    labels[:9] = 255
    assert network.coarse_weight_for(as_probabilities(labels, 3)[:, ::4, ::4]) == pytest.approx(0.2)
    assert network.coarse_weight_for(low_resolution(labels[9:], 3, 8)[:, ::4, ::4]) == pytest.approx(0.9)


def test_a_known_border_error_reaches_the_network(network):
    torch.manual_seed(3)
    image, coarse = torch.rand(2, 3, 32, 32), torch.randn(2, 3, 32, 32).softmax(dim=1)
    with torch.inference_mode():
        estimated = network.refine_batch(image, coarse).probabilities
        expected = network(image, coarse, torch.tensor([8.0, 8.0])).probabilities
        known = network.refine_batch(image, coarse, 8.0).probabilities
    assert not torch.allclose(known, estimated)
    assert torch.allclose(known, expected, atol=1e-5)


def test_an_unknown_border_error_is_estimated(network):
    image, coarse = example()
    with torch.inference_mode():
        estimated = network(image, coarse)
        one_known = network(image, coarse, torch.tensor([0.0, 6.0]))
        known = network(image, coarse, estimated.log2_border_error.clamp_min(0).exp2() - 1)
    assert torch.allclose(known.probabilities, estimated.probabilities, atol=1e-5)
    assert torch.allclose(one_known.probabilities[0], estimated.probabilities[0], atol=1e-5)
    assert not torch.allclose(one_known.probabilities[1], estimated.probabilities[1])
    assert torch.equal(one_known.log2_border_error, estimated.log2_border_error)


def test_gradients_reach_every_parameter():
    image, coarse = example()
    network = UniversalPropagation()
    output = network(image, coarse, torch.tensor([0.0, 4.0]))
    (output.probabilities[:, 0].log().mean() + output.log2_border_error.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_appearance_term_is_added_to_uncertain_maps_alone(network):
    image, coarse = example(size=(160, 200))
    uncertain = 0.8 * coarse + 0.2 / coarse.shape[1]
    certain = torch.eye(coarse.shape[1])[coarse.argmax(dim=1)].movedim(-1, 1)
    term = copy.copy(network)
    term.appearance = 0.5
    with torch.inference_mode():
        plain, changed = (one.refine_batch(image, uncertain).probabilities for one in (network, term))
        assert not torch.allclose(plain, changed)
        shares = (changed - plain).mean(dim=(2, 3)).abs()
        assert shares.max() < 0.02
        assert torch.equal(*(one.refine_batch(image, certain.clone()).probabilities for one in (network, term)))


def test_maps_of_a_folder_share_its_uncertainty():
    network = UniversalPropagation(coarse_weight=0.6, coarse_weight_confident=0.9)
    certain, uncertain = halves(1.0, 0.6), halves(0.8, 0.6)
    assert network.of_maps([uncertain, uncertain]).coarse_weight_for(certain) == pytest.approx(0.6, abs=1e-4)
    assert network.of_maps([certain]).coarse_weight_for(uncertain) == pytest.approx(0.9, abs=1e-4)
    between = network.of_maps([certain, halves(1 - CERTAIN - UNCERTAIN, 0.6)])  # means of both kinds
    assert between.coarse_weight_for(certain) == pytest.approx(0.75, abs=0.02)
    assert network.coarse_weight_for(certain) == pytest.approx(0.9, abs=1e-4)  # the network itself knows nothing
