"""ECN: parameter counts of the paper, eq. 5 and 6, sizes, start from the coarse map, saving."""

import pytest
import torch
import torch.nn.functional as F

from segmend.labels import Classes, most_likely
from segmend.model_folder import save_model
from segmend.ops.warp import warp
from segmend.refiners import load
from segmend.refiners.ecn import ECN, CorrectedSegmenter, correction_loss

CLASSES = Classes.numbered(5)


def example(height=37, width=50, batch=2, classes=5):
    torch.manual_seed(0)
    return torch.rand(batch, 3, height, width), torch.randn(batch, classes, height, width).softmax(1)


@pytest.mark.parametrize(("width", "count"), [("full", 7_626_968), ("half", 1_915_000), ("quarter", 482_888)])
def test_the_number_of_parameters_is_that_of_the_paper(width, count):
    with torch.device("meta"):
        network = ECN(Classes.numbered(21), width)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("encoder", [None, "tf_efficientnet_lite0"])
@pytest.mark.parametrize("branches", ["both", "propagation", "replacement"])
def test_any_size_gives_a_probability_map_of_that_size(branches, encoder):
    image, coarse = example()
    network = ECN(CLASSES, "quarter", branches, encoder).eval()
    refined = network.refine_batch(image, coarse)
    assert refined.probabilities.shape == coarse.shape
    assert refined.labels.shape == refined.changed.shape == refined.confidence.shape == (2, 37, 50)
    assert torch.allclose(refined.probabilities.sum(1), torch.ones(2, 37, 50), atol=1e-4)
    assert (refined.displacement is None) == (branches == "replacement")
    assert (refined.fusion_mask is None) == (branches != "both")


def test_training_starts_from_the_coarse_map():
    image, coarse = example()
    correction = ECN(CLASSES, "quarter")(image, coarse)
    assert correction.displacement.abs().max() < 1
    assert (most_likely(correction.propagated) == most_likely(coarse)).float().mean() > 0.7
    residual = ECN(CLASSES, "quarter", residual=True)(image, coarse)
    assert (most_likely(residual.replaced) == most_likely(coarse)).float().mean() > 0.95


def test_fusion_is_equation_5():
    image, coarse = example()
    c = ECN(CLASSES, "quarter")(image, coarse)
    expected = c.mask * warp(coarse, c.displacement) + (1 - c.mask) * c.replaced_logits.softmax(1)
    assert torch.allclose(c.probabilities, expected)


def test_loss_is_the_sum_of_three_cross_entropies_over_valid_pixels():
    image, coarse = example()
    target = torch.randint(0, 5, (2, 37, 50))
    target[:, :9] = 255
    c = ECN(CLASSES, "quarter")(image, coarse)
    expected = sum(
        F.nll_loss(p.clamp_min(1e-7).log(), target, ignore_index=255)
        for p in (c.probabilities, c.propagated, c.replaced)
    )
    assert torch.allclose(correction_loss(c, target, 255), expected, atol=1e-5)


def test_held_out_images_train_the_mask_and_the_others_the_branches():
    image, coarse = example()
    target = torch.randint(0, 5, (2, 37, 50))
    c = ECN(CLASSES, "quarter")(image, coarse)
    fused = F.nll_loss(c.probabilities[1:].clamp_min(1e-7).log(), target[1:])
    branches = [F.nll_loss(p[:1].clamp_min(1e-7).log(), target[:1]) for p in (c.propagated, c.replaced)]
    found = correction_loss(c, target, 255, held_out=torch.tensor([False, True]))
    assert torch.allclose(found, fused + sum(branches), atol=1e-5)


@pytest.mark.parametrize("encoder", [None, "tf_efficientnet_lite0"])
def test_the_loss_of_a_detached_mask_does_not_reach_the_branches(encoder):
    image, coarse = example()
    network = ECN(CLASSES, "quarter", encoder=encoder)
    target = torch.randint(0, 5, (2, 37, 50))
    correction = network(image, coarse, detach_mask=True)
    correction_loss(correction, target, 255, held_out=torch.tensor([True, True])).backward()
    reached = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"fusion"}


def test_coarse_weight_keeps_a_share_of_the_coarse_map():
    (image,), (coarse,) = example(batch=1)
    network = ECN(CLASSES, "quarter").eval()
    alone = network.refine(image, coarse)
    network.coarse_weight = 0.3
    mixture = network.refine(image, coarse)
    assert torch.allclose(mixture.probabilities, 0.7 * alone.probabilities + 0.3 * coarse, atol=1e-6)
    assert 0 < mixture.changed.sum() < alone.changed.sum()
    assert torch.equal(network.refine(image, coarse, min_confidence=0.5).probabilities, alone.probabilities)


def test_a_batch_of_void_has_no_loss_and_no_nan():
    image, coarse = example()
    network = ECN(CLASSES, "quarter")
    loss = correction_loss(network(image, coarse), torch.full((2, 37, 50), 255), 255)
    loss.backward()
    assert loss == 0
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_displacements_stay_within_the_maximum():
    image, coarse = example()
    network = ECN(CLASSES, "quarter", max_displacement=4.0)
    with torch.no_grad():
        network.flow[0].weight.mul_(1e4)
    assert 3 < network(image, coarse).displacement.abs().max() <= 4
    half = ECN(CLASSES, "quarter", max_displacement=None)
    with torch.no_grad():
        half.flow[0].weight.mul_(1e4)
    dx, dy = half(image, coarse).displacement.abs().amax(dim=(0, 2, 3))
    assert 18 < dx <= 25
    assert 14 < dy <= 18.5


def test_learns_to_undo_a_known_shift():
    """Overfitting one pair whose coarse map is the ground truth moved by (3, 0): propagation must undo it."""
    torch.manual_seed(0)
    truth = torch.zeros(1, 24, 24, dtype=torch.long)
    truth[:, 6:18, 6:18] = 1
    coarse = F.one_hot(truth.roll(3, dims=2), 5).permute(0, 3, 1, 2) * 0.9 + 0.02
    image = truth[:, None].expand(-1, 3, -1, -1).float()
    network = ECN(CLASSES, "quarter", "propagation", max_displacement=8)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(60):
        loss = correction_loss(network(image, coarse), truth, 255)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    before = (most_likely(coarse) == truth).float().mean()
    after = (network.refine_batch(image, coarse).labels == truth).float().mean()
    assert after > 0.97 > before


def test_a_frozen_encoder_keeps_its_features():
    network = ECN(CLASSES, "quarter", encoder="tf_efficientnet_lite0", frozen=True).train()
    before = {name: value.clone() for name, value in network.encoder.image.state_dict().items()}
    image, coarse = example(height=64, width=64)
    correction_loss(network(image, coarse), torch.zeros(2, 64, 64, dtype=torch.long), 255).backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.image.state_dict().items())
    assert all(parameter.grad is None for parameter in network.encoder.image.parameters())
    assert all(parameter.grad is not None for parameter in network.encoder.pyramid.parameters())


@pytest.mark.parametrize("encoder", [None, "tf_efficientnet_lite0"])
def test_a_saved_network_is_loaded_as_it_was(tmp_path, encoder):
    image, coarse = example(batch=1)
    network = ECN(Classes(("a", "b", "c", "d", "e")), "quarter", encoder=encoder, max_displacement=7.0).eval()
    save_model(network, tmp_path / "model", "# A card")
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, ECN)
    assert loaded.classes == network.classes
    assert torch.equal(
        loaded.refine(image[0], coarse[0]).probabilities, network.refine(image[0], coarse[0]).probabilities
    )
    assert "# A card" in (tmp_path / "model" / "README.md").read_text()


def test_behind_a_segmenter_the_losses_reach_it():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 24, 24)
    target = (image[:, 0] > 0.5).long()
    module = CorrectedSegmenter(torch.nn.Conv2d(3, 5, 1), ECN(CLASSES, "quarter"))
    optimiser = torch.optim.Adam(module.parameters(), 0.003)
    losses = []
    for _ in range(60):
        logits, correction = module(image)
        assert logits.shape == correction.probabilities.shape == (2, 5, 24, 24)
        loss = correction_loss(correction, target, 255)
        optimiser.zero_grad()
        loss.backward()
        losses.append(loss.item())
        assert module.segmenter.weight.grad.abs().sum() > 0
        optimiser.step()
    assert losses[-1] < 0.6 * losses[0]
