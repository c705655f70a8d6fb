"""Motion from frame to frame: what networks are shown, and the network itself."""

import numpy as np
import pytest
import torch
from torch import nn

from segmend.labels import InvalidInput
from segmend.model_folder import save_model
from segmend.ops.warp import compose, warp
from segmend.video import FlowMotion, Frame, LearnedMotion, MotionNet, NoMotion, follow, load_motion


class FlowOfNumbers:
    """A flow that states its frames, which are plain with the grey value of their number: (source, target)."""

    def __call__(self, source, target):
        numbers = [float(frame.rgb.flat[0]) for frame in (source, target)]
        return torch.tensor(numbers).view(2, 1, 1).expand(2, *target.size)


class Recording(nn.Module):
    """A network that records what it is shown, as numbers of frames and pairs of them."""

    def __init__(self, mode, past):
        super().__init__()
        self.mode, self.past, self.seen = mode, past, []

    def forward(self, frames, flows):
        assert len(frames) == len(flows) == 1
        assert frames.shape[1:2] + frames.shape[3:] == (3, 4, 6)
        assert flows.shape[1:2] + flows.shape[3:] == (2, 4, 6)
        numbers = [round(255 * value) for value in frames[0, 0, :, 0, 0].tolist()]
        self.seen.append((numbers, [tuple(pair) for pair in flows[0, :, :, 0, 0].T.tolist()]))
        return torch.full((1, 2, 4, 6), float(len(self.seen)))


def numbered(count):
    return [Frame(np.full((4, 6, 3), number, np.uint8)) for number in range(1, count + 1)]


STILL = (0, 0)
"""The flow before the first frame."""


@pytest.mark.parametrize(
    ("mode", "past", "expected"),
    [
        ("reconstruction", 1, [([1, 2], [(1, 2)]), ([2, 3], [(2, 3)]), ([3, 4], [(3, 4)])]),
        (
            "reconstruction",
            2,
            [([1, 1, 2], [STILL, (1, 2)]), ([1, 2, 3], [(1, 2), (2, 3)]), ([2, 3, 4], [(2, 3), (3, 4)])],
        ),
        (
            "reconstruction",
            3,
            [
                ([1, 1, 1, 2], [STILL, STILL, (1, 2)]),
                ([1, 1, 2, 3], [STILL, (1, 2), (2, 3)]),
                ([1, 2, 3, 4], [(1, 2), (2, 3), (3, 4)]),
            ],
        ),
        ("prediction", 1, [([1], []), ([2], []), ([3], [])]),
        ("prediction", 2, [([1, 1], [STILL]), ([1, 2], [(1, 2)]), ([2, 3], [(2, 3)])]),
        (
            "prediction",
            3,
            [([1, 1, 1], [STILL, STILL]), ([1, 1, 2], [STILL, (1, 2)]), ([1, 2, 3], [(1, 2), (2, 3)])],
        ),
    ],
)
def test_the_network_is_shown_past_frames_and_the_flows_between_them(mode, past, expected):
    network = Recording(mode, past)
    first, *others = numbered(4)
    step = LearnedMotion(network, FlowOfNumbers()).start(first)
    found = [step(frame) for frame in others]
    assert network.seen == expected
    assert [displacement[0, 0, 0].item() for displacement in found] == [1, 2, 3]
    assert all(displacement.shape == (2, 4, 6) for displacement in found)


def test_every_start_begins_anew():
    network = Recording("reconstruction", 2)
    motion = LearnedMotion(network, FlowOfNumbers())
    frames = numbered(3)
    first, second = motion.start(frames[0]), motion.start(frames[2])
    first(frames[1])
    second(frames[1])
    first(frames[2])
    assert [numbers for numbers, _ in network.seen] == [[1, 1, 2], [3, 3, 2], [1, 2, 3]]


def test_flow_is_from_each_frame_to_the_next():
    frames = numbered(4)
    step = FlowMotion(FlowOfNumbers()).start(frames[0])
    assert [tuple(step(frame)[:, 0, 0].tolist()) for frame in frames[1:]] == [(1, 2), (2, 3), (3, 4)]


def test_nothing_moves_without_motion():
    frames = numbered(3)
    for track in follow(frames, NoMotion()):
        assert not track.displacement.any()
        assert track.valid.all()


@pytest.fixture
def shown():
    """A function: random frames and flows for a network of this mode and past."""

    def make(mode, past, size=(24, 32)):
        frames = past + (mode == "reconstruction")
        chance = torch.Generator().manual_seed(0)
        return (
            torch.rand(2, 3, frames, *size, generator=chance),
            3 * torch.randn(2, 2, frames - 1, *size, generator=chance),
        )

    return make


@pytest.mark.parametrize("past", [1, 2, 3])
@pytest.mark.parametrize("mode", ["reconstruction", "prediction"])
def test_the_network_starts_as_the_flow_and_learns(shown, mode, past):
    torch.manual_seed(0)
    network = MotionNet(mode, past, (8, 12, 16), radius=1)
    frames, flows = shown(mode, past)
    found = network(frames, flows)
    expected = flows[:, :, -1] if flows.shape[2] else torch.zeros(2, 2, 24, 32)
    assert found.shape == (2, 2, 24, 32)
    assert torch.allclose(found, expected, atol=0.05)
    assert not torch.equal(found, expected)
    found.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (17, 33), (40, 8)])
@pytest.mark.parametrize("mode", ["reconstruction", "prediction"])
def test_any_size_is_taken(shown, mode, size):
    network = MotionNet(mode, 2, (8, 12, 16)).eval()
    assert network(*shown(mode, 2, size)).shape == (2, 2, *size)


@pytest.mark.parametrize(("mode", "right"), [("reconstruction", 3), ("prediction", 2)])
def test_other_numbers_of_frames_are_refused(mode, right):
    network = MotionNet(mode, 2, (8, 12, 16))
    for count, flows in ((right - 1, right - 2), (right + 1, right), (right, right)):
        with pytest.raises(
            ValueError, match=f"expected {right} frames and the flows between them, found {count} and {flows}"
        ):
            network(torch.rand(1, 3, count, 8, 8), torch.rand(1, 2, flows, 8, 8))


def test_the_next_frame_is_not_shown_for_prediction(panning):
    """The displacement does not depend on the frame that it leads to."""
    torch.manual_seed(0)
    motion = LearnedMotion(MotionNet("prediction", 2, (8, 12, 16)))
    frames = panning(3, 2, 1)
    found = []
    for last in (frames[2], frames[0]):
        step = motion.start(frames[0])
        step(frames[1])
        found.append(step(last))
    assert torch.equal(*found)


@pytest.mark.parametrize("mode", ["reconstruction", "prediction"])
def test_past_frames_are_compared_at_the_time_of_the_next(panning, constant, mode):
    """With the true flow a moving texture stands still, so all differences vanish away from the rim."""
    frames = torch.stack([frame.tensor for frame in panning(4, 2, -1)], dim=1)[None]
    flows = constant(2, -1)[None, :, None].expand(-1, -1, 3, -1, -1)
    if mode == "prediction":
        frames, flows = frames[:, :, :-1], flows[:, :, :-1]
    network = MotionNet(mode, 3, (8, 12, 16))
    seen, costs = network._see(frames, flows, flows[:, :, -1])
    inner = seen[..., 8:-8, 8:-8]
    assert inner[:, :3].std() > 0.05  # the image itself
    assert inner[:, 3:].abs().max() < 1e-4
    if mode == "reconstruction":
        assert (costs[..., 8:-8, 8:-8].argmin(dim=1) == 12).all()  # the middle one of 5 x 5
    else:
        assert costs is None


def test_older_frames_follow_the_composed_flows(shown):
    frames, flows = shown("reconstruction", 2)
    network = MotionNet("reconstruction", 2, (8, 12, 16))
    seen, _ = network._see(frames, flows, flows[:, :, -1])
    older = warp(frames[:, :, 0], compose(flows[:, :, 0], flows[:, :, 1]))
    assert torch.allclose(seen[:, 6], 4 * (older - frames[:, :, 2]).mean(dim=1), atol=1e-5)
    last = warp(frames[:, :, 1], flows[:, :, 1])
    assert torch.allclose(seen[:, 3:6], 4 * (frames[:, :, 2] - last), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"mode": "prediction", "past": 3, "widths": (8, 12, 16), "radius": 1}])
def test_a_network_comes_back_from_its_folder(tmp_path, panning, options):
    torch.manual_seed(0)
    network = MotionNet(**options)
    save_model(network, tmp_path)
    again = load_motion(tmp_path)
    assert (again.mode, again.past, again.radius) == (network.mode, network.past, network.radius)
    assert not again.training
    frames = panning(3, 1, 2)
    for a, b in zip(*(follow(frames, LearnedMotion(net)) for net in (network, again)), strict=True):
        assert torch.equal(a.displacement, b.displacement)


def test_what_is_no_network_of_motion_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="not a model folder"):
        load_motion(tmp_path)
    (tmp_path / "config.json").write_text('{"type": "Segmenter"}')
    with pytest.raises(InvalidInput, match="holds a Segmenter, expected a MotionNet"):
        load_motion(tmp_path)


def test_a_fresh_network_moves_frames_as_flow_does(panning):
    frames = panning(3, 3, -2)
    torch.manual_seed(0)
    learned = [track.displacement for track in follow(frames, LearnedMotion(MotionNet()))]
    flow = [track.displacement for track in follow(frames, FlowMotion())]
    assert all(torch.allclose(a, b, atol=0.1) for a, b in zip(learned, flow, strict=True))
