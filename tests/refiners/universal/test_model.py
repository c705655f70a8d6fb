"""The class-agnostic refiner."""

import math

import pytest
import torch
import torch.nn.functional as F

from segmend.data.corruptions import low_resolution
from segmend.labels import as_probabilities
from segmend.refiners.spatial_propagation import MOST_TRUST
from segmend.refiners.universal import (
    BY_CLASS,
    COST_FLOOR,
    DOUBTFUL,
    ERROR,
    FIRST,
    MIN_COARSE,
    PIXELS,
    PLACES,
    RARE,
    STEP,
    SURE,
    Blend,
    Propagated,
    Summaries,
    UniversalPropagation,
    clues,
    doubt,
    near_and_far,
    scale_of,
    start_of,
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
        for layer in (network.at_pixels[0], network.at_places[0]):
            layer.weight.mul_(300)  # so that it blends here one way, there another
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


def test_names_of_classes_do_not_matter(network):
    image, coarse = example(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.inference_mode():
        refined, renamed = (network.refine_batch(image, map_).probabilities for map_ in (coarse, coarse[:, order]))
    assert torch.allclose(refined[:, order], renamed, atol=1e-4)


def test_classes_that_are_nowhere_change_nothing(network):
    image, coarse = example(3)
    more = torch.cat((coarse[:, :2], torch.zeros(2, 40, 37, 50), coarse[:, 2:]), dim=1)
    with torch.inference_mode():
        refined, among = (network.refine_batch(image, map_).probabilities for map_ in (coarse, more))
    assert torch.allclose(among[:, [0, 1, 42]], refined, atol=1e-5)
    assert among[:, 2:42].max() == 0


def test_no_class_appears_that_the_coarse_map_does_not_have(network):
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 40, 40), torch.rand(1, 4, 40, 40)
    coarse[:, 2] = 0.999 * coarse[:, :2].amax(dim=1)
    coarse /= coarse.sum(dim=1, keepdim=True)
    assert (coarse.argmax(dim=1) != 2).all()
    with torch.inference_mode():
        refined = network.refine_batch(image, coarse)
    assert refined.changed.any()
    assert refined.probabilities[:, 2].max() == 0


def test_a_map_of_one_class_stays_one(network):
    coarse = torch.zeros(1, 5, 20, 20)
    coarse[:, 3] = 1
    with torch.inference_mode():
        refined = network.refine_batch(torch.rand(1, 3, 20, 20), coarse)
    assert (refined.labels == 3).all()
    assert torch.equal(refined.probabilities, coarse)


def test_trusted_and_left_alone_the_coarse_map_stays():
    torch.manual_seed(0)
    network, (image, coarse) = UniversalPropagation().eval(), example()
    alone = [math.log(1 / (MOST_TRUST - 1)), 0, -30, -30, 0]  # trusted with a power of 1
    with torch.no_grad():
        for layer in (network.at_pixels[0], network.at_places[0], network.overall):
            layer.weight.zero_()
            layer.bias.zero_()
        network.overall.bias.copy_((torch.tensor(alone) - torch.tensor(FIRST)) / STEP)
        found = network(image, coarse)
    assert torch.allclose(found.blend.trust, torch.tensor(1.0), atol=1e-5)
    assert torch.allclose(found.refined, coarse, atol=5e-4)  # the least probabilities are lifted


def halves(inside, band):
    """Two classes side by side, with a probability `inside` and, near their border, `band`: every fourth pixel."""
    sure = torch.full((20, 30), inside)
    sure[:, 12:18] = band
    left = torch.arange(30) < 15
    return torch.stack([torch.where(left, sure, 1 - sure), torch.where(left, 1 - sure, sure)])


def test_doubt_is_what_a_map_lacks_near_its_borders_and_far_from_them():
    assert doubt(halves(0.9, 0.9)) == pytest.approx((0.1, 0.1), abs=1e-5)
    near = (3 * 0.1 + 6 * 0.49) / 9  # the border's column and 4 to each side, of which 6 are unsure
    assert doubt(halves(0.9, 0.51)) == pytest.approx((near, 0.1), abs=1e-5)
    assert doubt(halves(1.0, 1.0)) == (0, 0)
    unknown = halves(0.9, 0.9)
    unknown[:, :8] = 0.5
    assert doubt(unknown) == pytest.approx((0.1, 0.1), abs=1e-5)
    checkered = (torch.arange(20)[:, None] + torch.arange(20)) % 2
    nowhere_far = doubt(torch.stack([checkered * 0.4 + 0.3, 0.7 - checkered * 0.4]))
    assert nowhere_far == pytest.approx((0.3, 0), abs=1e-5)
    assert doubt(torch.stack([torch.full((9, 9), 0.8), torch.full((9, 9), 0.2)])).near == 0  # there is no border


def test_it_is_more_careful_with_maps_that_are_sure_of_themselves():
    careful = UniversalPropagation(
        coarse_weight=0.6, coarse_weight_confident=0.9, coarse_weight_masks=0.2, coarse_weight_known_error=0.4
    )
    assert careful.coarse_weight_for(halves(1.0, 0.6)) == pytest.approx(0.9, abs=1e-4)
    assert careful.coarse_weight_for(halves(0.8, 0.6)) == pytest.approx(0.6, abs=1e-4)
    assert careful.coarse_weight_for(halves(1.0, 1.0)) == pytest.approx(0.2, abs=1e-4)
    assert careful.coarse_weight_for(halves(1.0, 1.0), 5.0) == pytest.approx(0.4, abs=1e-4)
    assert careful.coarse_weight_for(halves(0.8, 0.6), 5.0) == pytest.approx(0.6, abs=1e-4)
    between = 1 - (SURE + DOUBTFUL) / 2
    assert careful.coarse_weight_for(halves(between, 0.6)) == pytest.approx(0.75, abs=1e-4)


def test_label_maps_are_taken_for_masks():
    careful = UniversalPropagation(coarse_weight=0.6, coarse_weight_confident=0.9, coarse_weight_masks=0.2)
    labels = (torch.arange(120) // 40).expand(80, 120).to(torch.uint8).clone()
    labels[:9] = 255
    assert careful.coarse_weight_for(as_probabilities(labels, 3)[:, ::4, ::4]) == pytest.approx(0.2)
    assert careful.coarse_weight_for(low_resolution(labels[9:], 3, 8)[:, ::4, ::4]) == pytest.approx(0.9)


def test_what_is_known_of_the_error_reaches_the_network(network):
    torch.manual_seed(3)
    image, coarse = torch.rand(2, 3, 32, 32), torch.randn(2, 3, 32, 32).softmax(dim=1)
    with torch.inference_mode():
        unknown = network.refine_batch(image, coarse).probabilities
        expected = network(image, coarse, torch.tensor([8.0, 8.0])).refined
        told = network.refine_batch(image, coarse, 8.0).probabilities
    assert not torch.allclose(told, unknown)
    assert torch.allclose(told, expected, atol=1e-5)


def test_every_weight_learns():
    image, coarse = example()
    network = UniversalPropagation()
    found = network(image, coarse, torch.tensor([0.0, 4.0]))
    (found.refined[:, 0].log().mean() + found.error.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_start_is_a_product_of_what_is_known_to_powers():
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 64, 32), torch.randn(1, 3, 16, 8).softmax(dim=1)
    coarse = F.interpolate(coarse, scale_factor=4)  # the same in each place, so that nothing is smoothed
    held = clues(image, coarse)
    assert torch.allclose(held.coarse, coarse[..., ::4, ::4], atol=1e-6)
    whole = coarse.mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(held.likeness, ((held.alike + RARE) / (whole + RARE)).log(), atol=1e-5)
    around = held.coarse[0, :, 4:13].mean(dim=(1, 2))  # of the place in row 8 and column 4
    assert torch.allclose(held.surroundings[0, :, 8, 4], (around + RARE).log(), atol=1e-5)
    known = coarse.clamp_min(MIN_COARSE).log()
    one, place = torch.ones(1, 1, 64, 32), torch.ones(1, 1, 16, 8)
    start = start_of(known, held, Blend(2 * one, one, one, 0.2 * place, 0.3 * place))
    said = 0.2 * held.likeness - 0.3 * held.surroundings
    expected = (2 * known + F.interpolate(said, scale_factor=4, mode="bilinear")).softmax(dim=1)
    assert torch.allclose(start, expected, atol=1e-5)


def test_what_is_not_known_of_the_error_is_guessed(network):
    image, coarse = example()
    with torch.inference_mode():
        guessed = network(image, coarse)
        with_one_known = network(image, coarse, torch.tensor([0.0, 6.0]))
        told = network(image, coarse, guessed.error.clamp_min(0).exp2() - 1)
    assert torch.allclose(told.refined, guessed.refined, atol=1e-5)
    assert torch.allclose(with_one_known.refined[0], guessed.refined[0], atol=1e-5)
    assert not torch.allclose(with_one_known.refined[1], guessed.refined[1])
    assert torch.equal(with_one_known.error, guessed.error)
    assert scale_of(torch.tensor([0.0, 3.0])).tolist() == [0, 2]


def test_summaries_tell_nothing_of_names():
    torch.manual_seed(0)
    image, coarse = torch.rand(2, 3, 32, 64), torch.randn(2, 4, 32, 64).softmax(dim=1)
    pixels, places = told_of(image, coarse)
    assert pixels.shape == (2, PIXELS, 32, 64)
    assert places.shape == (2, PLACES, 8, 16)
    for told, renamed in zip((pixels, places), told_of(image, coarse[:, [2, 0, 3, 1]]), strict=True):
        assert torch.allclose(renamed, told, atol=1e-5)


def test_summaries_tell_borders_confidence_appearance_and_shares():
    coarse = torch.zeros(1, 3, 32, 32)
    coarse[:, 0, :, :8] = 0.8
    coarse[:, 1, :, :8] = 0.2
    coarse[:, 2, :, 8:] = 1.0
    image = coarse.clone()  # as many colours as labels: places of the same colour all agree
    pixels, places = told_of(image, coarse)
    border, first, entropy, change = pixels[0, :, 16]
    margin, vote, own, agreement, likeness, share, sure = places[0, :, 4].repeat_interleave(4, dim=1)
    assert border.nonzero().flatten().tolist() == [7]
    assert torch.allclose(change, torch.eye(32)[7] * 2.0)
    for found, left, right in (
        (first, 0.8, 1.0),
        (entropy, 0.5004, 0.0),
        (margin, 0.6, 1.0),
        (vote, 0.8, 1.0),
        (own, 0.8, 1.0),
        (agreement, 0.68, 1.0),
        (likeness, math.log(0.81 / 0.21) / 4, math.log(1.01 / 0.76) / 4),
        (share, 0.2, -math.log2(0.75) / 10),
        (sure, 0.8, 1.0),
    ):
        assert torch.allclose(found, torch.tensor([left] * 8 + [right] * 24), atol=2e-3)


def told_of(image, coarse):
    return summaries(image, coarse, coarse.clamp_min(MIN_COARSE).log(), clues(image, coarse))


def test_means_are_told_near_borders_and_away_from_them():
    seen = Summaries(torch.zeros(1, PIXELS, 32, 64), torch.zeros(1, PLACES, 8, 16))
    seen.pixels[:, 0, :, 31] = 1  # a border down the image: near are the place of it, and two to either side
    seen.pixels[:, 1, :, 20:40] = 3
    seen.pixels[:, 1, :, 60:] = -11
    seen.places[:, 2, :, 5:10] = 4
    told = near_and_far(seen)
    every = PIXELS + PLACES
    assert told.shape == (1, 2 * every + 1)
    assert torch.allclose(told[0, 1], torch.tensor(3.0).sqrt())
    assert torch.allclose(told[0, every + 1], torch.tensor(-1.0))
    assert torch.allclose(told[0, PIXELS + 2], torch.tensor(2.0))
    assert told[0, every + PIXELS + 2] == 0
    assert torch.allclose(told[0, -1], torch.tensor(5 / 16).sqrt())


def test_the_loss_is_a_mean_of_logarithms_of_means_over_pixels_and_over_classes():
    torch.manual_seed(0)
    refined = torch.rand(3, 3, 4, 5).softmax(dim=1)
    target = torch.zeros(3, 4, 5, dtype=torch.int64)
    target[0, 0] = 2
    target[1, 1] = 1
    target[1, 2] = 255
    target[2] = 255
    costs = F.nll_loss(refined.log(), target, ignore_index=255, reduction="none")
    logs = []
    for i, classes in ((0, (0, 2)), (1, (0, 1))):
        by_class = sum(costs[i][target[i] == c].mean() for c in classes) / 2
        logs.append((costs[i][target[i] != 255].mean() + BY_CLASS * by_class + COST_FLOOR).log())
    found = Propagated(refined, Blend(*[refined] * 5), torch.tensor([2.0, 4.5, 9.0]))
    off = ERROR * 2.0  # smooth L1 of a guess that is off by 2.5, in logarithms
    loss = universal_loss(found, target, 255, torch.tensor([3.0, 3.0, 3.0]))
    assert torch.allclose(loss, (sum(logs) + off) / 2)
    assert universal_loss(found, torch.full_like(target, 255), 255, torch.zeros(3)) == 0
