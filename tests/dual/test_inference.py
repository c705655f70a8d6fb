"""Inference of DIS: what it promises, and that its steps are gradient steps."""

import copy

import pytest
import torch

from segmend.dual.inference import STEP, infer, infer_at
from segmend.dual.model import DualFeatures, DualSegmentation, image_loss, tag_loss, target_image
from segmend.labels import Classes


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DualSegmentation(Classes.numbered(5), width=16).eval()


@pytest.fixture(scope="module")
def given(model):
    torch.manual_seed(1)
    image = torch.rand(3, 3, 64, 80)
    with torch.no_grad():
        features = model.encode(image)
    tags = torch.tensor([[1.0, 1, 0, 0, 0], [1, 0, 1, 1, 0], [1, 0, 0, 0, 0]])
    return features, target_image(image), tags


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
@pytest.mark.parametrize("losses", ["image", "tags", "both"])
def test_no_loss_rises_and_it_falls_at_last(model, given, kind, losses):
    features, image, tags = given
    found = infer(
        model, features, image if losses != "tags" else None, tags if losses != "image" else None, 20, kind=kind
    )
    assert found.losses.shape == (21, 3)
    assert (found.losses.diff(dim=0) <= 0).all()
    assert (found.losses[-1] < found.losses[0]).all()
    with torch.no_grad():
        again = torch.zeros(3)
        if losses != "tags":
            again += image_loss(model.reconstruct(model.map_logits(found.features)), image, found.features.valid)
        if losses != "image":
            again += tag_loss(model.tag_logits(found.features), tags, kind)
    assert torch.allclose(again, found.losses[-1], atol=1e-6)


def test_the_first_step_follows_the_normalised_gradients_of_each_feature(model, given):
    features, image, tags = given
    u1, v1 = (one.clone().requires_grad_() for one in features[:2])
    now = DualFeatures(u1, v1, features.valid)
    loss = image_loss(model.reconstruct(model.map_logits(now)), image, now.valid)
    loss = loss + tag_loss(model.tag_logits(now), tags)
    du1, dv1 = torch.autograd.grad(loss.sum(), (u1, v1))
    found = infer(model, features, image, tags, 1)
    moved = found.losses[1] < found.losses[0]
    assert moved.any()
    for b in moved.nonzero().flatten().tolist():
        for before, gradient, after in ((u1, du1, found.features.u1), (v1, dv1, found.features.v1)):
            length = STEP * before[b].square().mean().sqrt() / gradient[b].square().mean().sqrt()
            assert torch.allclose(after[b], before[b] - length * gradient[b], atol=1e-5)


def test_images_of_a_batch_do_not_depend_on_each_other(model, given):
    features, image, tags = given
    together = infer(model, features, image, tags, 8)
    for b in range(3):
        alone = infer(
            model, DualFeatures(*(one[b : b + 1] for one in features)), image[b : b + 1], tags[b : b + 1], 8
        )
        assert torch.allclose(together.map_logits[b], alone.map_logits[0], atol=1e-4)
        assert torch.allclose(together.losses[:, b], alone.losses[:, 0], atol=1e-5)


def test_the_model_stays_as_it_is(model, given):
    features, image, tags = given
    before = copy.deepcopy(model.state_dict())
    found = infer(model, features, image, tags, 5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(one.requires_grad for one in (*found.features, found.map_logits, found.tag_logits))
    again = infer(model, features, image, tags, 5)
    assert torch.equal(found.map_logits, again.map_logits)


def test_no_steps_change_nothing(model, given):
    features, _, _ = given
    found = infer(model, features, steps=0)
    with torch.no_grad():
        assert torch.allclose(found.map_logits, model.map_logits(features), atol=1e-5)
        assert torch.allclose(found.tag_logits, model.tag_logits(features), atol=1e-5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(model, given, mode):
    features, image, tags = given
    expected = infer(model, features, image, tags, 4)
    with mode():
        inside = DualFeatures(*(one.clone() for one in features))
        found = infer(model, inside, image.clone(), tags.clone(), 4)
    assert torch.allclose(found.map_logits, expected.map_logits, atol=1e-5)


def test_steps_without_anything_to_explain_are_refused(model, given):
    with pytest.raises(ValueError, match="image to reconstruct, or tags"):
        infer(model, given[0], steps=3)


@pytest.mark.parametrize("steps", [(0, 3, 8), (8, 0), (5,), (3, 3)])
def test_one_run_finds_what_runs_of_each_length_find(model, given, steps):
    features, image, tags = given
    together = infer_at(model, features, image, tags, steps)
    assert len(together) == len(steps)
    for number, found in zip(steps, together, strict=True):
        alone = infer(model, features, image, tags, number)
        assert found.losses.shape == (number + 1, 3)
        for a, b in zip((*found.features, *found[1:]), (*alone.features, *alone[1:]), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("steps", [0, 2])
def test_there_is_one_pass_back_for_each_step(model, given, steps, monkeypatch):
    passes = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *of: passes.append(1) or grad(*of))
    found = infer(model, *given, steps)
    assert len(passes) == steps
    assert found.losses.shape == (steps + 1, 3)
    assert (found.losses > 0).all()
