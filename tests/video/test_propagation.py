"""Labels along tracks: composed motion, what entered the image, both kinds of propagation, fusion and cuts."""

import itertools

import numpy as np
import pytest
import torch

from segmend.data.frames import open_frames
from segmend.labels import void_of
from segmend.ops.vote import vote_labels
from segmend.ops.warp import warp, warp_labels
from segmend.video import (
    FlowMotion,
    Frame,
    NoMotion,
    Propagated,
    Track,
    Tracker,
    follow,
    fuse,
    is_cut,
    propagate_jointly,
    propagate_labels,
)
from segmend.video.confidence import confidence
from segmend.video.propagation import likeness

DTYPES = [torch.uint8, torch.int32]


class Given:
    """Motion by the given displacements, one for each step."""

    def __init__(self, displacements):
        self.displacements = displacements

    def start(self, frame):
        remaining = iter(self.displacements)
        return lambda following: next(remaining)


def blocks(dtype, height=64, width=80, seed=0):
    """Random labels in blocks of 8 x 8 pixels, some of them void."""
    small = np.random.default_rng(seed).integers(0, 5, (height // 8, width // 8))
    labels = torch.from_numpy(small.repeat(8, 0).repeat(8, 1)).to(dtype)
    return labels.masked_fill(labels == 4, void_of(labels))


# ---- tracks ----


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (-1, 1), (0.35, 0), (0, -0.45)])
def test_constant_motion_composes_to_its_multiples(texture, constant, dx, dy):
    frame = Frame(texture(64, 80))
    for track in follow([frame] * 6, Given([constant(dx, dy)] * 5)):
        k = track.steps
        assert track.source is frame
        assert torch.allclose(track.displacement, constant(k * dx, k * dy), atol=1e-4)
        x, y = torch.arange(80) - k * dx, torch.arange(64)[:, None] - k * dy
        inside = (x >= -0.5) & (x <= 79.5) & (y >= -0.5) & (y <= 63.5)
        assert torch.equal(track.valid, inside)
    assert k == 5


def test_fast_motion_by_parts_of_pixels_leaves_nothing_valid_that_entered(texture, constant):
    frame = Frame(texture(64, 80))
    for track in follow([frame] * 6, Given([constant(1.6, 0)] * 5)):
        columns = track.valid.all(dim=0)
        assert torch.equal(track.valid.any(dim=0), columns)
        first = columns.nonzero().min()
        assert 1.6 * track.steps - 0.5 <= first <= 1.6 * track.steps + track.steps


def test_what_left_the_image_stays_invalid_when_the_motion_turns(texture, constant):
    """Content that leaves by three pixels to the right and comes back was out of sight."""
    frame = Frame(texture(64, 80))
    first, back = follow([frame] * 3, Given([constant(3, 0), constant(-3, 0)]))
    assert torch.equal(first.valid, (torch.arange(80) >= 3).expand(64, 80))
    assert torch.equal(back.valid, (torch.arange(80) < 77).expand(64, 80))
    assert torch.allclose(back.displacement[:, :, :77], torch.zeros(2, 64, 77))


def test_flow_follows_a_moving_texture(panning):
    frames = panning(5, 2, -1)
    for track in follow(frames, FlowMotion()):
        assert track.frame is frames[track.steps]
        inner = track.displacement[:, 12:-12, 12:-12]
        expected = torch.tensor([2.0, -1.0]).view(2, 1, 1) * track.steps
        assert (inner - expected).abs().median() < 0.1
        moved = warp(track.source.tensor[None], track.displacement[None])[0]
        assert (moved - track.frame.tensor)[:, 12:-12, 12:-12].abs().mean() < 0.02


def test_a_tracker_takes_frames_one_by_one(panning):
    frames = panning(4, 1, 1)
    tracker = Tracker(frames[0], FlowMotion())
    assert tracker.last is frames[0]
    for frame, expected in zip(frames[1:], follow(frames, FlowMotion()), strict=True):
        track = tracker.advance(frame)
        assert tracker.last is track.frame is frame
        assert track.steps == expected.steps
        assert torch.equal(track.displacement, expected.displacement)


def test_without_frames_there_is_nothing_to_follow():
    assert list(follow([], NoMotion())) == []


def test_frames_are_read_as_they_are_asked_for(panning):
    read = []
    tracks = follow((read.append(frame) or frame for frame in panning(4, 1, 1)), NoMotion())
    next(tracks)
    assert len(read) == 2
    assert len(list(tracks)) == 2


# ---- propagation ----


@pytest.fixture(scope="module")
def track(panning, constant):
    """Three steps of a texture, along its true motion."""
    return list(follow(panning(4, 3, -2), Given([constant(3, -2)] * 3)))[-1]


@pytest.mark.parametrize("vote", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_arrive_where_their_pixels_are(track, dtype, vote):
    labels = blocks(dtype)
    void = void_of(labels)
    assert void == (255 if dtype == torch.uint8 else 65535)
    found = propagate_labels(track, labels, vote)
    expected = torch.full_like(labels, void)
    expected[:58, 9:] = labels[6:, :71]
    assert found.labels.dtype == dtype
    assert (found.labels[~track.valid] == void).all()
    assert (found.labels[expected == void] == void).all()
    if vote:  # pixels around may outvote corners
        assert (found.labels == expected).float().mean() > 0.99
    else:
        assert torch.equal(found.labels, expected)


@pytest.mark.parametrize("vote", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_propagation_is_the_operations_and_their_confidence(panning, dtype, vote):
    source, target = panning(2, 3, 1)
    chance = torch.Generator().manual_seed(0)
    displacement, valid = 4 * torch.randn(2, 64, 80, generator=chance), torch.rand(64, 80, generator=chance) < 0.9
    track = Track(source, target, 3, displacement, valid)
    labels = blocks(dtype)
    found = propagate_labels(track, labels, vote)
    void = void_of(labels)
    warped = moved = warp_labels(labels[None], displacement[None])[0]
    if vote:
        moved = vote_labels(labels[None], displacement[None], target.lab[None], source.lab[None])[0][0]
    moved[~valid | (warped == void)] = void
    assert torch.equal(found.labels, moved)
    expected = confidence(moved, source, target, displacement, 3)
    expected[moved == void] = 0
    assert torch.equal(found.confidence, expected)


def test_votes_bring_labels_back_to_edges(texture):
    """A displacement that is wrong by two pixels: votes put borders where the colours change."""
    image = texture(48, 64) // 4
    image[:, 30:] += 160
    frame = Frame(image)
    labels = torch.zeros(48, 64, dtype=torch.uint8)
    labels[:, 30:] = 1
    wrong = Track(frame, frame, 1, torch.tensor([2.0, 0]).view(2, 1, 1).expand(2, 48, 64), torch.ones(48, 64) > 0)
    errors = [(propagate_labels(wrong, labels, vote).labels != labels)[:, 4:].sum() for vote in (True, False)]
    assert errors[0] == 0
    assert errors[1] == 2 * 48


@pytest.mark.parametrize("dtype", DTYPES)
def test_joint_propagation_moves_image_and_labels_alike(track, dtype):
    labels = blocks(dtype)
    image, moved = propagate_jointly(track, labels)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    expected = warp(track.source.tensor[None], track.displacement[None])[0] * 255
    np.testing.assert_array_equal(image, expected.round().permute(1, 2, 0).numpy())
    assert moved.dtype == dtype
    assert torch.equal(moved, warp_labels(labels[None], track.displacement[None])[0])  # all is valid inside
    np.testing.assert_array_equal(image[:58, 9:], track.source.rgb[6:, :71])


def test_joint_labels_are_void_where_the_image_was_entered(texture, constant):
    frame = Frame(texture(64, 80))
    labels = torch.ones(64, 80, dtype=torch.uint8)
    *_, back = follow([frame] * 3, Given([constant(3, 0), constant(-3, 0)]))
    assert torch.equal(propagate_jointly(back, labels)[1] == 255, ~back.valid)
    assert torch.equal(propagate_labels(back, labels).labels == 255, ~back.valid)


def test_copying_keeps_labels(panning):
    labels = blocks(torch.uint8)
    for track in follow(panning(3, 2, 2), NoMotion()):
        assert torch.equal(propagate_labels(track, labels, vote=False).labels, labels)
        np.testing.assert_array_equal(propagate_jointly(track, labels)[0], track.source.rgb)


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_below_a_confidence_are_void(dtype):
    labels = torch.tensor([[0, 1, 2]], dtype=dtype)
    kept = Propagated(labels, torch.tensor([[0.2, 0.5, 0.9]])).kept(0.5)
    assert kept.dtype == dtype
    assert kept.tolist() == [[void_of(labels), 1, 2]]


# ---- fusion ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_fusion_equals_a_loop_over_pixels(dtype):
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        labels = torch.from_numpy(rng.integers(0, 4, (20, 30))).to(dtype)
        sure = torch.from_numpy(rng.uniform(0.01, 0.99, (20, 30)).astype(np.float32))
        void = labels == 3
        sides.append(Propagated(labels.masked_fill(void, void_of(labels)), sure * ~void))
    found = fuse(*sides)
    assert found.labels.dtype == dtype
    for y, x in itertools.product(range(20), range(30)):
        a, p = sides[0].labels[y, x].item(), sides[0].confidence[y, x].item()
        b, q = sides[1].labels[y, x].item(), sides[1].confidence[y, x].item()
        if a == b or min(p, q) == 0:
            label, sure = a if p >= q else b, max(p, q)
        else:
            label = a if p >= q else b
            odds = p * (1 - q), q * (1 - p)
            sure = max(odds) / sum(odds)
        assert found.labels[y, x].item() == label
        assert found.confidence[y, x].item() == pytest.approx(sure, rel=1e-4)


def test_fusion_does_not_depend_on_the_order_and_void_yields():
    first = Propagated(torch.tensor([[0, 255, 255, 1]], dtype=torch.uint8), torch.tensor([[0.6, 0, 0, 0.9]]))
    second = Propagated(torch.tensor([[1, 2, 255, 255]], dtype=torch.uint8), torch.tensor([[0.8, 0.3, 0, 0]]))
    for found in (fuse(first, second), fuse(second, first)):
        assert found.labels.tolist() == [[1, 2, 255, 1]]
        assert found.confidence[0].tolist() == pytest.approx([0.32 / 0.44, 0.3, 0, 0.9])
    again = fuse(first, first)
    assert torch.equal(again.labels, first.labels)
    assert torch.equal(again.confidence, first.confidence)


def test_confidences_that_eight_bits_store_as_1_can_be_contradicted():
    one, other = (torch.tensor([[label, label]], dtype=torch.uint8) for label in (0, 2))
    found = fuse(Propagated(one, torch.ones(1, 2)), Propagated(other, torch.tensor([[0.9999, 1]])))
    assert found.confidence[0].tolist() == pytest.approx([0.5, 0.5])
    less = fuse(Propagated(one, torch.ones(1, 2)), Propagated(other, torch.tensor([[0.9, 0.5]])))
    assert less.confidence[0].tolist() == pytest.approx([0.983, 0.998], abs=1e-3)
    assert less.labels.tolist() == [[0, 0]]


# ---- cuts ----


def test_scenes_that_move_are_not_cut_and_others_are(panning):
    scene, other = panning(6, 3, -2, height=96, width=128), panning(2, 3, -2, height=96, width=128, seed=1)
    assert not any(is_cut(a, b) for a, b in itertools.pairwise(scene))
    darker = Frame(np.clip(other[0].rgb.astype(int) // 3, 0, 255).astype(np.uint8))
    assert is_cut(scene[-1], darker)
    assert is_cut(darker, scene[0])


def test_shifted_thumbnails_correlate(texture):
    whole = texture(64 + 18, 64 + 18)
    pair = [Frame(np.ascontiguousarray(whole[at : at + 64, at : at + 64])) for at in (9, 0)]
    assert likeness(pair[0], pair[0]) == pytest.approx(2, abs=1e-4)
    assert likeness(*pair) > 1.8


def test_plain_frames_are_compared_by_colour():
    def plain(*colour):
        return Frame(np.full((48, 64, 3), colour, np.uint8))

    assert not is_cut(plain(10, 10, 10), plain(10, 10, 10))
    assert is_cut(plain(10, 10, 10), plain(240, 240, 240))
    assert is_cut(plain(200, 30, 30), plain(30, 30, 200))
    for frame in (plain(0, 0, 0), plain(255, 255, 255)):
        assert likeness(frame, frame) == pytest.approx(2)


def test_a_fade_from_black_is_a_cut(texture):
    assert is_cut(Frame(np.zeros((64, 64, 3), np.uint8)), Frame(texture(64, 64)))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_cuts_between_frames_of_any_size(texture, size):
    frame = Frame(texture(*size))
    assert not is_cut(frame, frame)


def test_real_videos_are_cut_between_scenes_alone(real_data):
    firsts = []
    sequences = []
    for name in ("davis", "camvid"):
        if not (real_data / name / "images" / "val").is_dir():
            pytest.skip(f"no {name} in {real_data}")
        sequences += open_frames(real_data / name / "images" / "val").sequences
    for sequence in sequences:
        frames = [Frame(sequence.read(i)) for i in range(0, min(len(sequence), 4))]
        assert not any(is_cut(a, b) for a, b in itertools.pairwise(frames)), sequence.name
        firsts.append(frames[0])
    assert all(is_cut(a, b) for a, b in itertools.permutations(firsts, 2))
