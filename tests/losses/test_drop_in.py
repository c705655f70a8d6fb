"""The losses in place of `torch.nn.CrossEntropyLoss`: its options, and its values where both have a meaning."""

import inspect

import pytest
import torch
from torch import nn

from segmend import losses

REDUCTIONS = ["mean", "sum", "none"]


def example(ignore_index, images=2, classes=4, size=(6, 7)):
    """Logits and labels; no label touches itself, so that each pixel is a blob."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.arange(size[0])[:, None] % 2, torch.arange(size[1]) % 2
    target = (2 * y + x).expand(images, *size).clone()
    target[:, 2, 1:3] = ignore_index
    logits = 3 * torch.randn(images, classes, *size, generator=generator)
    return logits.requires_grad_(), target


def of_one_class(ignore_index):
    """Logits and labels; each window holds one class."""
    logits, target = example(ignore_index)
    target[target != ignore_index] = 2
    return logits, target


def assert_same(loss, reference, logits, target):
    found, expected = loss(logits, target), reference(logits, target)
    assert torch.allclose(found, expected, atol=1e-5)
    gradients = (torch.autograd.grad((value * value).sum(), logits)[0] for value in (found, expected))
    assert torch.allclose(*gradients, atol=1e-4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignore_index", [255, -100, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_a_window_relaxation_is_cross_entropy(reduction, ignore_index, weighted):
    options = {"weight": torch.tensor([0.5, 2, 3, 1]) if weighted else None, "ignore_index": ignore_index}
    options["reduction"] = reduction
    reference = nn.CrossEntropyLoss(**options)
    assert_same(losses.RelaxedCrossEntropy(**options, radius=0), reference, *example(ignore_index))
    assert_same(losses.RelaxedCrossEntropy(**options), reference, *of_one_class(ignore_index))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_where_each_pixel_is_a_blob_the_others_are_cross_entropy(reduction, weighted):
    options = {"weight": torch.tensor([0.5, 2, 3, 1]) if weighted else None, "ignore_index": 255}
    options["reduction"] = reduction
    reference, (logits, target) = nn.CrossEntropyLoss(**options), example(255, images=1)
    assert_same(losses.ConsensusLoss(**options, alpha=1), reference, logits, target)
    assert_same(lambda x, y: losses.pixelwise_blob_loss(x, y, **options), reference, logits, target)


@pytest.mark.parametrize("loss", [losses.consensus_loss, losses.pixelwise_blob_loss, losses.relaxed_cross_entropy])
def test_the_map_of_losses_sums_to_their_sum(loss):
    logits, target = example(255)
    target[:, :3] = target[:, :1]
    weight = torch.tensor([0.5, 2, 3, 1])
    whole = loss(logits, target, weight, reduction="sum")
    each = loss(logits, target, weight, reduction="none")
    assert each.shape == target.shape
    assert torch.allclose(each.sum(), whole)
    nothing = loss(logits, torch.full_like(target, 255), reduction="none")
    assert torch.equal(nothing, torch.zeros(target.shape))


@pytest.mark.parametrize("loss", [losses.consensus_loss, losses.pixelwise_blob_loss])
def test_blobs_are_weighted_by_their_class(loss):
    """Two blobs: the mean is that of their losses by hand."""
    logits, target = example(255, images=1)
    target[:] = 0
    target[:, :2] = 3
    each = [loss(logits, target.where(target == label, 255)) for label in (0, 3)]
    found = loss(logits, target, torch.tensor([0.5, 9, 9, 2]))
    assert torch.allclose(found, (0.5 * each[0] + 2 * each[1]) / 2.5)


def test_options_come_in_pytorchs_order_and_have_its_names():
    reference = [name for name in inspect.signature(nn.CrossEntropyLoss).parameters if name in
               ("weight", "ignore_index", "reduction")]  # fmt: skip
    for loss in (losses.ConsensusLoss, losses.RelaxedCrossEntropy):
        parameters = inspect.signature(loss).parameters
        assert list(parameters)[:3] == reference
        assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(parameters)[3:])
    for function in (losses.consensus_loss, losses.pixelwise_blob_loss, losses.relaxed_cross_entropy):
        assert list(inspect.signature(function).parameters)[:5] == ["logits", "target", *reference]


@pytest.mark.parametrize("loss", [losses.ConsensusLoss, losses.RelaxedCrossEntropy])
def test_the_weight_moves_with_the_module(loss):
    module = loss(torch.ones(3)).double()
    assert module.weight.dtype == torch.float64
    assert list(module.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"weight": torch.ones(3)}, "each of 4 classes"), ({"reduction": "average"}, "mean, sum, none")],
)
@pytest.mark.parametrize("loss", [losses.consensus_loss, losses.pixelwise_blob_loss, losses.relaxed_cross_entropy])
def test_options_that_do_not_fit_are_refused(loss, options, message):
    logits, target = example(255)
    with pytest.raises(ValueError, match=message):
        loss(logits, target, **options)
