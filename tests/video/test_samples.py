"""Samples of motion: successive frames and their flow, the same for the same number, from what can be read."""

import itertools

import cv2
import numpy as np
import pytest
import torch

from segmend.data.files import InvalidFile
from segmend.data.frames import FrameSequence, open_frames
from segmend.data.sampling import collate
from segmend.labels import InvalidInput
from segmend.ops.warp import warp
from segmend.video import DISFlow
from segmend.video.samples import MotionSamples


class Images:
    """Frames in memory, some of which cannot be read."""

    def __init__(self, images, broken=()):
        self.images, self.broken = images, broken

    def read(self, index):
        if index in self.broken:
            raise InvalidFile(f"{index}.png", "broken")
        return self.images[index]

    def close(self):
        pass


def sequence(images, broken=(), breaks=(), name="v"):
    ids = tuple(f"{name}/{index}" for index in range(len(images)))
    return FrameSequence(name, ids, tuple(range(len(images))), Images(images, broken), frozenset(breaks))


def numbered(count, height=16, width=24):
    """Plain frames with the grey value of their number."""
    return [np.full((height, width, 3), index, np.uint8) for index in range(count)]


def no_flow(source, target):
    return torch.zeros(2, *source.size)


def samples(*sequences, flow=no_flow, past=2, crop=(16, 24), length=60, seed=0):
    return MotionSamples(sequences, flow, past, crop, length, seed)


def shown(sample):
    """The numbers of the frames of a sample, and whether they run backwards."""
    numbers = (255 * sample["frames"][0, :, 0, 0]).round().int().tolist()
    return tuple(sorted(numbers)), numbers[0] > numbers[-1]


def test_all_windows_are_drawn_in_every_epoch_half_of_them_backwards():
    drawn = [shown(samples(sequence(numbered(8)), length=600)[i]) for i in range(600)]
    windows = [window for window, _ in drawn]
    for epoch in range(100):
        assert sorted(windows[6 * epoch : 6 * epoch + 6]) == [(i, i + 1, i + 2) for i in range(6)]
    assert len({tuple(windows[6 * epoch : 6 * epoch + 6]) for epoch in range(100)}) > 20
    assert sum(backwards for _, backwards in drawn) == pytest.approx(300, abs=60)


@pytest.mark.parametrize("past", [1, 2, 3])
def test_no_window_spans_missing_frames(past):
    drawn = samples(sequence(numbered(10), breaks=(4, 9)), sequence(numbered(3)), past=past, length=80)
    windows = {(number, last) for number, last in drawn.windows}
    expected = set()
    for number, runs in enumerate([[range(4), range(4, 9), range(9, 10)], [range(3)]]):
        for run in runs:
            expected |= {(number, last) for last in run if last - past in run}
    assert windows == expected
    assert len(drawn.windows) == len(expected)
    for index in range(len(windows)):
        frames, _ = shown(drawn[index])
        assert len(frames) == past + 1
        assert all(b - a == 1 for a, b in itertools.pairwise(frames))


def test_videos_without_successive_frames_are_refused():
    with pytest.raises(InvalidInput, match="motion needs 3 frames one after the other, and no video has them"):
        samples(sequence(numbered(2)), sequence(numbered(4), breaks=(2,)))


@pytest.fixture(scope="module")
def moving(panning):
    """Eight frames of a texture that moves by (2, -1), larger than the crops."""
    return sequence([frame.rgb for frame in panning(8, 2, -1, height=96, width=128)])


def test_a_sample_depends_on_seed_and_number_alone(moving):
    first, again, other = (samples(moving, flow=DISFlow(), crop=(48, 64), seed=seed) for seed in (3, 3, 4))
    again[7]
    torch.rand(3)
    for index in (5, 0):
        a, b, c = first[index], again[index], other[index]
        assert all(torch.equal(a[key], b[key]) for key in ("frames", "flows", "visible"))
        assert a["broken"] == b["broken"] == []
        assert not torch.equal(a["frames"], c["frames"])
    assert len(first) == 60


def test_shapes_and_batches(moving):
    drawn = samples(moving, flow=DISFlow(), crop=(40, 56), past=3)
    sample = drawn[0]
    assert sample["frames"].shape == (3, 4, 40, 56)
    assert sample["flows"].shape == (2, 3, 40, 56)
    assert sample["visible"].shape == (1, 40, 56)
    assert {sample[key].dtype for key in ("frames", "flows", "visible")} == {torch.float32}
    batch = collate([drawn[i] for i in range(3)])
    assert batch["frames"].shape == (3, 3, 4, 40, 56)
    assert batch["flows"].shape == (3, 2, 3, 40, 56)


def test_the_flow_of_every_sample_moves_its_frames(moving):
    """Whichever way a sample is mirrored and runs: its flow is the motion there, and gives the next frame."""
    drawn = samples(moving, flow=DISFlow(), crop=(48, 64))
    ways = set()
    for index in range(24):
        sample = drawn[index]
        frames, flows = sample["frames"], sample["flows"]
        for t in range(2):
            moved = warp(frames[None, :, t], flows[None, :, t])[0]
            inner = (moved - frames[:, t + 1])[:, 6:-6, 6:-6].abs().mean()
            assert inner < 0.02
            assert inner < (frames[:, t] - frames[:, t + 1])[:, 6:-6, 6:-6].abs().mean() / 3
        dx, dy = (round(flows[axis].median().item()) for axis in (0, 1))
        ways.add((dx, dy))
        assert sample["visible"].mean() > 0.9
    assert ways == {(2, -1), (-2, -1), (-2, 1), (2, 1)}  # as it is, mirrored, backwards, both


def test_flow_is_estimated_beyond_the_crop(moving):
    """The flow sees what is around the crop, up to the margin, and is cut to the crop."""
    asked = []

    def flow(source, target):
        asked.append(source.size)
        return torch.from_numpy(np.stack(np.mgrid[: source.size[0], : source.size[1]][::-1])).float()

    drawn = samples(moving, flow=flow, crop=(20, 30))
    for index in range(30):
        sample = drawn[index]
        height, width = asked[-1]
        assert 52 <= height <= 84
        assert 62 <= width <= 94
        columns, rows = sample["flows"][:, 0]
        assert (columns == columns[0, 0] + torch.arange(30)).all()
        assert (rows == rows[0, 0] + torch.arange(20)[:, None]).all()
        assert 0 <= rows[0, 0] <= 32
        assert columns[-1, -1] <= width - 1
    assert asked[0] == asked[1] == asked[2]  # two flows forward and one back


def test_crops_are_no_larger_than_the_smallest_frames():
    small, large = sequence(numbered(3, 10, 40)), sequence(numbered(3, 30, 20))
    unused = sequence(numbered(2, 4, 4))
    drawn = samples(small, large, unused, crop=(16, 24))
    assert drawn.crop == (10, 20)
    assert all(drawn[i]["frames"].shape == (3, 3, 10, 20) for i in range(4))


@pytest.mark.parametrize("broken", [(0,), (3,), (0, 1, 2, 3)])
def test_broken_frames_are_replaced_and_named(broken):
    drawn = samples(sequence(numbered(9), broken=broken), length=70)
    found = [drawn[i] for i in range(70)]
    assert all(set(broken).isdisjoint(shown(sample)[0]) for sample in found)
    messages = {message for sample in found for message in sample["broken"]}
    assert messages
    assert messages <= {f"{index}.png: broken" for index in broken}


def test_without_any_frame_that_can_be_read_the_first_is_named():
    drawn = samples(sequence(numbered(4), broken=range(4)))
    with pytest.raises(InvalidInput, match=r"no frames of the videos can be read; the first: \d\.png: broken"):
        drawn[0]


def test_frames_of_other_sizes_are_replaced():
    images = [*numbered(6), *numbered(1, 20, 24), *numbered(3, 8, 24)]
    drawn = samples(sequence(images))
    found = [drawn[i] for i in range(40)]
    assert all(sample["frames"].shape == (3, 3, 16, 24) for sample in found)
    text = " ".join(message for sample in found for message in sample["broken"])
    assert "v/6: the frames before it have another size" in text
    assert "v/9: smaller than the crop of 16 x 24 pixels" in text


@pytest.fixture
def video_file(tmp_path, panning):
    """A video of 12 frames."""
    av = pytest.importorskip("av")
    if "libx264" not in av.codecs_available:
        pytest.skip("this build of av has no libx264")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for frame in panning(12, 2, 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.rgb, "rgb24")))
        container.mux(stream.encode())
    return tmp_path / "a.mp4"


def test_workers_read_a_video_file(video_file):
    """Decoders have threads, which processes do not inherit: a file that stayed open would block the workers."""
    with open_frames(video_file) as frames:
        drawn = MotionSamples(frames.sequences, no_flow, 2, (32, 48), 8, 0)
        expected = [drawn[i] for i in range(8)]
        loader = torch.utils.data.DataLoader(drawn, 4, num_workers=2, collate_fn=collate, timeout=60)
        found = torch.cat([batch["frames"] for batch in loader])
    assert torch.equal(found, torch.stack([sample["frames"] for sample in expected]))


def test_occluded_pixels_are_not_visible(texture):
    """A square moves by 8 px: the strip of background that it covers or uncovers is in one frame alone."""
    images = []
    for left in (24, 32):
        image = np.array(texture(96, 96, seed=1)) // 2
        image[32:64, left : left + 32] = cv2.convertScaleAbs(texture(32, 32, seed=2), alpha=0.5, beta=120)
        images.append(image)
    drawn = samples(sequence(images), flow=DISFlow(), past=1, crop=(96, 96))
    for index in range(6):
        sample = drawn[index]
        bright = sample["frames"].mean(dim=0) > 0.48
        uncovered = bright[0] & ~bright[1]
        assert uncovered.sum() > 100
        seen = sample["visible"][0]
        assert seen[uncovered].mean() < 0.3
        assert seen.mean() > 0.9
