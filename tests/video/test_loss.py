"""The self-supervised loss: lowest at the true displacement, blind where nothing corresponds."""

import pytest
import torch

from segmend.ops.warp import inside
from segmend.video.loss import CENSUS, SMOOTHNESS, agreement, motion_loss, roughness


@pytest.fixture(scope="module")
def moved(panning):
    """A texture and the same moved by (3, -2), ``[1, 3, 64, 80]`` each."""
    source, target = panning(2, 3, -2)
    return source.tensor[None], target.tensor[None]


ALL = torch.ones(1, 1, 64, 80)


def test_the_loss_is_lowest_at_the_true_displacement(moved, constant):
    def at(dx, dy):
        return motion_loss(constant(dx, dy)[None], *moved, ALL).item()

    lowest = at(3, -2)
    others = [(3 + x, -2 + y) for x in (-1, -0.5, 0, 0.5, 1) for y in (-1, -0.5, 0, 0.5, 1) if (x, y) != (0, 0)]
    assert all(at(*other) > 2 * lowest for other in [*others, (0, 0), (-3, 2), (-2, 3)])


def test_gradients_lead_to_the_true_displacement(moved, constant):
    displacement = constant(2, -1.2)[None].requires_grad_()
    motion_loss(displacement, *moved, ALL).backward()
    mean = displacement.grad[..., 8:-8, 8:-8].mean(dim=(0, 2, 3))
    assert mean[0] < 0  # dx has to grow
    assert mean[1] > 0


def test_gradients_are_those_of_finite_differences(moved):
    source, target = (image[..., :7, :6].double() for image in moved)
    chance = torch.Generator().manual_seed(0)
    displacement = torch.rand(1, 2, 7, 6, dtype=torch.float64, generator=chance) * 0.8 + 0.1
    visible = (torch.rand(1, 1, 7, 6, generator=chance) < 0.8).double()
    assert torch.autograd.gradcheck(
        lambda d: motion_loss(d, source, target, visible), displacement.requires_grad_(), atol=1e-4
    )


def test_the_loss_equals_its_formula_pixel_by_pixel(moved):
    source, target = (image[..., :5, :6].double() for image in moved)
    visible = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    visible[..., 2:4, 3] = 0
    still = torch.zeros(1, 2, 5, 6, dtype=torch.float64)
    found = motion_loss(still, source, target, visible)

    a, b, v = source[0].numpy(), target[0].numpy(), visible[0, 0].numpy()

    def smooth(value):
        return (value**2 + 1e-6) ** 0.5

    def mean(pairs):
        return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)

    pixels = [(y, x) for y in range(5) for x in range(6)]
    d = a - b
    colours = mean([(smooth(d[c, y, x]), v[y, x]) for y, x in pixels for c in range(3)])
    across = mean([(smooth(d[c, y, x] - d[c, y, x - 1]), v[y, x]) for y, x in pixels if x for c in range(3)])
    down = mean([(smooth(d[c, y, x] - d[c, y - 1, x]), v[y, x]) for y, x in pixels if y for c in range(3)])

    def sign(image, y, x, dy, dx):
        grey = 255 * image.mean(axis=0)
        difference = grey[min(max(y + dy, 0), 4), min(max(x + dx, 0), 5)] - grey[y, x]
        return difference / (9 + difference**2) ** 0.5

    def census(y, x):
        shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
        squared = [(sign(a, y, x, *shift) - sign(b, y, x, *shift)) ** 2 for shift in shifts]
        return sum(s / (0.1 + s) for s in squared) / 8

    expected = colours + across + down + CENSUS * mean([(census(y, x), v[y, x]) for y, x in pixels])
    assert found.item() == pytest.approx(expected + SMOOTHNESS * roughness(still, target).item())


def test_invisible_pixels_do_not_count(moved, constant):
    source, target = moved
    visible = ALL.clone()
    visible[..., 20:40, 30:60] = 0
    changed = target.clone()
    changed[..., 21:39, 31:59] = torch.rand(3, 18, 28, generator=torch.Generator().manual_seed(0))
    smooth = [SMOOTHNESS * roughness(constant(3, -2)[None], image) for image in (target, changed)]
    losses = [motion_loss(constant(3, -2)[None], source, image, visible) for image in (target, changed)]
    assert (losses[0] - smooth[0]).item() == pytest.approx((losses[1] - smooth[1]).item(), rel=1e-5)
    assert motion_loss(constant(3, -2)[None], source, changed, ALL) > 2 * losses[1]
    nothing = motion_loss(constant(3, -2)[None], source, target, 0 * ALL)
    assert nothing.item() == pytest.approx(smooth[0].item())


def test_what_enters_the_image_does_not_count(moved, constant):
    source, target = moved
    changed = target.clone()
    entered = ~inside(constant(3, -2)[None])[0]
    assert entered.sum() == 3 * 64 + 2 * 80 - 3 * 2
    changed[..., :2] = 0  # one column less: neighbours are compared too
    changed[..., -1:, :] = 1
    displacement = constant(3, -2)[None]
    terms = [
        motion_loss(displacement, source, t, ALL) - SMOOTHNESS * roughness(displacement, t)
        for t in (target, changed)
    ]
    assert terms[0].item() == pytest.approx(terms[1].item(), rel=1e-5)


def test_roughness_weighs_less_across_edges():
    displacement = torch.zeros(1, 2, 8, 8)
    displacement[..., 4:] = 2
    plain, edge = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 0.5
    still = roughness(0 * displacement, plain).item()
    rough = roughness(displacement, plain).item()
    assert rough - still == pytest.approx(2 / 7, abs=1e-3)  # one of seven differences is 2
    assert roughness(displacement, edge).item() - still == pytest.approx(2 / 7 * 0.0067, abs=1e-3)
    assert roughness(displacement.mT, plain).item() == pytest.approx(rough)


def test_opposite_motions_agree_unless_occluded():
    """A square moves right by 8 px: the strip in front of it was seen only before, the one behind only after."""
    forward, backward = torch.zeros(1, 2, 48, 64), torch.zeros(1, 2, 48, 64)
    forward[:, 0, 16:32, 24:40] = 8  # at the pixels of the target
    backward[:, 0, 16:32, 16:32] = -8
    found = agreement(forward, backward)[0, 0]
    expected = torch.ones(48, 64)
    expected[16:32, 16:24] = 0  # background that the square uncovers: it cannot be seen in the source
    assert torch.equal(found, expected)


def test_agreement_tolerates_a_share_of_the_motion(constant):
    forward = constant(20, 0)[None]
    for error, expected in ((0, 1), (2, 1), (4, 0)):
        inner = agreement(forward, constant(error - 20, 0)[None])[..., 24:-24]
        assert (inner == expected).all()
