"""Relaxed cross-entropy, against a slow loop over windows, and finite for any logits."""

import math

import pytest
import torch
import torch.nn.functional as F

from segmend.ops.relaxed_cross_entropy import relaxed_cross_entropy


def example(classes=5, size=(2, 7, 9), spread=3.0):
    torch.manual_seed(0)
    target = torch.randint(0, classes, (size[0], -(-size[1] // 3), -(-size[2] // 3)))
    target = target.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, : size[1], : size[2]].contiguous()
    target[:, 2, ::4] = 255
    return torch.randn(size[0], classes, *size[1:]) * spread, target


def slow(logits, target, radius, strict=()):
    """Equation 5, pixel by pixel."""
    loss = torch.zeros(target.shape, dtype=torch.float64)
    probabilities = logits.double().softmax(1)
    images, height, width = target.shape
    for b in range(images):
        for y in range(height):
            for x in range(width):
                own = target[b, y, x].item()
                if own == 255:
                    continue
                r = 0 if own in strict else radius
                window = target[b, max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1]
                classes = set(window.flatten().tolist()) - {255}
                loss[b, y, x] = -math.log(sum(probabilities[b, c, y, x].item() for c in classes))
    return loss


@pytest.mark.parametrize("radius", [0, 1, 2])
@pytest.mark.parametrize("strict", [(), (0, 2)])
def test_it_is_equation_5(backend, radius, strict):
    logits, target = example()
    found = relaxed_cross_entropy(logits, target, radius=radius, strict_classes=strict, reduction="none")
    assert torch.allclose(found.double(), slow(logits, target, radius, strict), atol=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 64, 65, 255])
def test_any_number_of_classes_and_long_rows(backend, classes):
    logits, target = example(classes, (1, 3, 521))
    target[target == 255] = 0
    logits.requires_grad_()
    found = relaxed_cross_entropy(logits, target, ignore_index=-1)
    double = logits.detach().double().requires_grad_()
    expected = relaxed_cross_entropy(double, target, ignore_index=-1)
    assert torch.allclose(found.double(), expected, atol=1e-5)
    grads = torch.autograd.grad(found, logits)[0].double(), torch.autograd.grad(expected, double)[0]
    assert torch.allclose(*grads, atol=1e-7)


def test_without_a_window_it_is_cross_entropy(backend):
    logits, target = example()
    logits.requires_grad_()
    weight = torch.rand(5)
    found = relaxed_cross_entropy(logits, target, radius=0, weight=weight)
    expected = F.cross_entropy(logits, target, weight, ignore_index=255)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(
        torch.autograd.grad(found, logits)[0], torch.autograd.grad(expected, logits)[0], atol=1e-7
    )


def test_inside_an_area_a_window_changes_nothing(backend):
    logits, _ = example()
    target = torch.full((2, 7, 9), 3)
    assert torch.equal(relaxed_cross_entropy(logits, target), relaxed_cross_entropy(logits, target, radius=0))


def test_gradients_are_right_in_float64():
    logits, target = example(4, (1, 4, 5))
    logits = logits.double().requires_grad_()
    weight = torch.rand(4)
    assert torch.autograd.gradcheck(lambda x: relaxed_cross_entropy(x, target, weight=weight), logits)


def test_far_logits_stay_finite(backend):
    """The probability of the window underflows; its logarithm must not."""
    logits = torch.tensor([-500.0, 0.0, 500.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4).clone().requires_grad_()
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    loss = relaxed_cross_entropy(logits, target)
    assert loss == 1000
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.allclose(grad[0, :, 0, 0] * 16, torch.tensor([-1.0, 0.0, 1.0]))
    assert relaxed_cross_entropy(logits.bfloat16(), target).isfinite()


def test_void_has_no_gradient(backend):
    logits, target = example()
    logits.requires_grad_()
    nothing = relaxed_cross_entropy(logits, torch.full_like(target, 255))
    assert nothing == 0
    assert torch.autograd.grad(nothing, logits)[0].abs().max() == 0
    (grad,) = torch.autograd.grad(relaxed_cross_entropy(logits, target), logits)
    assert grad.movedim(1, -1)[target == 255].abs().max() == 0


def test_a_batch_without_images_has_no_loss(backend):
    logits = torch.zeros(0, 3, 4, 5, requires_grad=True)
    loss = relaxed_cross_entropy(logits, torch.zeros(0, 4, 5, dtype=torch.int64))
    assert loss == 0
    assert torch.autograd.grad(loss, logits)[0].shape == logits.shape


def test_pytorch_knows_the_operation():
    logits, target = example()
    strict = torch.zeros(5, dtype=torch.bool)
    arguments = (logits.requires_grad_(), target, strict, 1, 255)
    assert set(torch.library.opcheck(torch.ops.segmend.relaxed_cross_entropy.default, arguments).values()) == {
        "SUCCESS"
    }
    compiled = torch.compile(relaxed_cross_entropy, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(logits, target), relaxed_cross_entropy(logits, target))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": torch.zeros(2, 7, 8)}, "expected"),
        ({"target": torch.zeros(2, 7, 9)}, "integers"),
        ({"weight": torch.ones(4)}, "each of 5 classes"),
        ({"strict_classes": (5,)}, "strict"),
        ({"radius": -1}, "radius"),
        ({"reduction": "all"}, "reduction"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    logits, target = example()
    with pytest.raises(ValueError, match=message):
        relaxed_cross_entropy(**({"logits": logits, "target": target} | arguments))


@pytest.mark.parametrize("label", [5, -1, 254])
def test_a_label_that_is_no_class_is_refused(backend, label):
    logits, target = example()
    target[1, 6, 8] = label
    with pytest.raises((ValueError, RuntimeError)):
        relaxed_cross_entropy(logits, target)
