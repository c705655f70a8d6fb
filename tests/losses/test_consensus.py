"""Consensus of blobs, against loops over blobs and pixels."""

import pytest
import torch
import torch.nn.functional as F

from segmend.losses import ConsensusLoss, consensus_loss, pixelwise_blob_loss
from segmend.ops.blobs import find_blobs


def example(classes=4, size=(3, 9, 8)):
    torch.manual_seed(0)
    target = torch.randint(0, classes, (size[0], 3, 4)).repeat_interleave(3, 1).repeat_interleave(2, 2)
    target[0, 4] = 255
    target[2] = 255
    return torch.randn(size[0], classes, *size[1:]) * 2, target


def slow(logits, target, alpha, beta):
    """Equations 6 to 8, one blob and one pixel after another, in float64."""
    p = logits.double().softmax(1)
    blobs = find_blobs(target, 255)
    losses = []
    for image in range(len(target)):
        own = []
        for m in range(len(blobs)):
            positions = (blobs.ids[image] == m).nonzero()
            if blobs.images[m] != image:
                assert not len(positions)
                continue
            pixels = [p[image, :, y, x] for y, x in positions.tolist()]
            assert {target[image, y, x].item() for y, x in positions.tolist()} == {blobs.labels[m].item()}
            q = sum(pixels) / len(pixels)
            kl = sum((q * (q.log() - one.log())).sum() for one in pixels) / len(pixels)
            own.append(alpha * -q[blobs.labels[m]].log() + beta * kl)
        if own:
            losses.append(sum(own) / len(own))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("alpha", "beta"), [(10, 5), (1, 0), (0, 1)])
def test_it_is_equations_6_to_8(alpha, beta):
    logits, target = example()
    found = consensus_loss(logits, target, alpha=alpha, beta=beta)
    assert torch.allclose(found.double(), slow(logits, target, alpha, beta), atol=1e-5)
    module = ConsensusLoss(alpha=alpha, beta=beta)(logits, target, find_blobs(target, 255))
    assert torch.equal(module, found)


def test_blobs_of_one_pixel_give_cross_entropy():
    board = torch.tensor([[0, 1], [2, 3]]).repeat(4, 4)[None]
    board = board + 4 * (torch.arange(8)[None, :, None] // 2 % 2)  # no class touches itself
    logits = torch.randn(1, 8, 8, 8)
    assert len(find_blobs(board)) == 64
    found = consensus_loss(logits, board, alpha=3)
    assert torch.allclose(found, 3 * F.cross_entropy(logits, board), atol=1e-5)


def test_a_large_blob_weighs_as_much_as_a_small_one():
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[0, 0, 0] = 1
    logits = torch.randn(1, 2, 4, 4)
    each = F.cross_entropy(logits, target, reduction="none")[0]
    expected = (each[0, 0] + each[target[0] == 0].mean()) / 2
    assert torch.allclose(pixelwise_blob_loss(logits, target), expected)


def test_gradients_are_right_in_float64():
    logits, target = example(3, (3, 9, 8))
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: consensus_loss(x, target), logits)


def test_far_logits_stay_finite():
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.tensor([-800.0, 800.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4).clone().requires_grad_()
    loss = consensus_loss(logits, target)
    assert torch.allclose(loss, torch.tensor(16000.0))
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()
    assert consensus_loss(logits.bfloat16(), target).isfinite()


def test_only_void_has_no_gradient():
    logits, target = example()
    logits.requires_grad_()
    for loss in (consensus_loss, pixelwise_blob_loss):
        nothing = loss(logits, torch.full_like(target, 255))
        assert nothing == 0
        assert torch.autograd.grad(nothing, logits)[0].abs().max() == 0


def test_blobs_that_do_not_fit_are_refused():
    logits, target = example()
    with pytest.raises(ValueError, match="blobs of the target"):
        consensus_loss(logits, target, blobs=find_blobs(target[:1]))
    with pytest.raises(ValueError, match=r"labels 0\.\.2"):
        consensus_loss(logits[:, :3], target)
    with pytest.raises(ValueError, match="expected"):
        consensus_loss(logits, target[:, 1:])
