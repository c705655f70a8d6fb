"""Frames of folders and of video files come in the order in which they are shown, and labels pair with them."""

from __future__ import annotations

import builtins
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmend.data import video_file
from segmend.data.files import InvalidFile, find_files
from segmend.data.frames import Frames, open_frames, pair_labels
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.video_file import CACHED, VideoFile, orientation_of_matrix
from segmend.labels import InvalidInput
from segmend.pixels import turned

HEIGHT, WIDTH = 48, 64


def frame(number: int) -> np.ndarray:
    """A frame that no other resembles: its number as a grey value, and noise."""
    pixels = np.full((HEIGHT, WIDTH, 3), 5 * number % 256, np.uint8)
    pixels[30:] = np.random.default_rng(number).integers(0, 256, (HEIGHT - 30, WIDTH, 3))
    return pixels


def write_video(path: Path, codec="mpeg4", frames=40, times=None, b_frames=0, rotation=None, options=None):
    """Write a video with a key frame every 12 frames; `times` in 25ths of a second."""
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"this build of av has no {codec}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = b_frames
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        for number in range(frames):
            image = av.VideoFrame.from_ndarray(frame(number), "rgb24")
            if times is not None:
                image.pts = times[number]
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    return path


def decoded(path: Path) -> list[np.ndarray]:
    """All frames of a video, one after another."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [image.to_ndarray(format="rgb24") for image in container.decode(video=0)]


def write_frames(folder: Path, names: list[str]) -> None:
    for name in names:
        write_image(folder / f"{name}.png", np.full((4, 6, 3), len(name), np.uint8))


def masks(folder: Path, names: list[str]) -> dict[str, Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_labels(folder / f"{name}.png", np.eye(4, dtype=np.uint8))
    return find_files(folder, (".png",))


def only(frames: Frames):
    (sequence,) = frames.sequences
    return sequence


# ---- folders ----


@pytest.mark.parametrize(
    ("names", "sequences"),
    [
        (["frame10", "frame9", "frame8"], {"": ["frame8", "frame9", "frame10"]}),
        (["a_2", "a_1", "b_7"], {"a": ["a_1", "a_2"], "b": ["b_7"]}),
        (["s/2", "s/1", "t/x_2", "t/y_1"], {"s": ["s/1", "s/2"], "t/x": ["t/x_2"], "t/y": ["t/y_1"]}),
        (["left", "right"], {"": ["left", "right"]}),
        (
            ["ulm_0_19_leftImg8bit", "ulm_0_20_leftImg8bit", "ulm_1_3_leftImg8bit"],
            {"ulm_0": ["ulm_0_19_leftImg8bit", "ulm_0_20_leftImg8bit"], "ulm_1": ["ulm_1_3_leftImg8bit"]},
        ),
        (["1a", "2b", "3a"], {"a": ["1a", "3a"], "b": ["2b"]}),
        (["a_1", "b_1", "a/1"], {"a": ["a/1"], "a (2)": ["a_1"], "b": ["b_1"]}),
        (["1", "2", "cover"], {"": ["1", "2"], "without numbers": ["cover"]}),
    ],
)
def test_images_form_sequences_in_the_order_of_their_numbers(tmp_path, names, sequences):
    write_frames(tmp_path, names)
    found = open_frames(tmp_path).sequences
    assert {sequence.name: list(sequence.ids) for sequence in found} == sequences
    for sequence in found:
        assert [sequence.file(i) for i in range(len(sequence))] == [tmp_path / f"{i}.png" for i in sequence.ids]


def test_names_without_numbers_are_counted(tmp_path):
    write_frames(tmp_path, ["b", "a", "c"])
    sequence = only(open_frames(tmp_path))
    assert (sequence.ids, sequence.numbers, sequence.breaks) == (("a", "b", "c"), (0, 1, 2), frozenset())


@pytest.mark.parametrize(
    ("numbers", "breaks"),
    [
        ([1, 2, 3, 9, 10], {3}),
        ([30, 60, 90, 150], {3}),
        ([0, 2, 4, 5, 7], set()),
        ([5], set()),
        ([5, 90], set()),
        ([10**18, 10**18 + 50_000_128, 10**18 + 99_999_872, 10**18 + 150_000_001, 10**18 + 249_999_999], {4}),
    ],
)
def test_gaps_break_a_sequence(tmp_path, numbers, breaks):
    write_frames(tmp_path, [f"f_{number:05d}" for number in numbers])
    assert only(open_frames(tmp_path)).breaks == breaks


def test_gaps_are_said_with_the_numbers_of_the_frames(tmp_path):
    write_frames(tmp_path, [f"a_{number:05d}" for number in (11, 12, 19, 20)])
    write_frames(tmp_path, [f"b_{number:03d}" for number in (1, 2, 3, 4, 5, 6, 9, 12, 15, 18)])
    findings = open_frames(tmp_path).findings
    assert findings[0] == f"{tmp_path}: 14 frames in 2 sequences"
    assert ("a: frames are missing between 00012 and 00019: labels are not propagated across the gap") in findings
    assert any(f.startswith("b: frames are missing at 4 places, first between 006 and 009:") for f in findings)


def test_two_frames_of_one_number_are_refused(tmp_path):
    write_frames(tmp_path, ["a1", "a01"])
    with pytest.raises(InvalidFile, match="the same frame number as"):
        open_frames(tmp_path)


def test_images_are_read_as_in_any_folder(tmp_path):
    stored = frame(7)
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(stored).save(tmp_path / "f1.png", exif=exif)
    frames = open_frames(tmp_path)
    np.testing.assert_array_equal(only(frames).read(0), turned(stored, 6, axes=(0, 1)))
    assert any("turned by their EXIF orientation" in finding for finding in frames.findings)
    (tmp_path / "f2.png").write_bytes(b"x")
    with pytest.raises(InvalidFile, match=r"f2\.png"):
        only(open_frames(tmp_path)).read(1)


def test_a_data_set_of_one_split_stands_for_its_images(tmp_path):
    (tmp_path / "dataset.yaml").write_text("name: x\nclasses: [a]\n")
    write_frames(tmp_path / "images" / "train", ["s/1", "s/2"])
    for path in (tmp_path, tmp_path / "images" / "train"):
        assert only(open_frames(path)).ids == ("s/1", "s/2")
    write_frames(tmp_path / "images" / "val", ["1"])
    with pytest.raises(InvalidFile, match="one split in images/, found train, val: give"):
        open_frames(tmp_path)


def test_what_holds_no_frames_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match="no such file or folder"):
        open_frames(tmp_path / "clip.mp4")
    with pytest.raises(InvalidFile, match="images, found no files"):
        open_frames(tmp_path)
    write_frames(tmp_path, ["a1"])
    with pytest.raises(InvalidFile, match="one image, expected a video file or a folder"):
        open_frames(tmp_path / "a1.png")
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(InvalidFile, match=r"holds 1 image \(a1.png\) and 1 video file \(a.mp4\)"):
        open_frames(tmp_path)


# ---- video files ----


@pytest.mark.parametrize(
    ("name", "codec", "b_frames", "options"),
    [
        ("a.mp4", "mpeg4", 2, None),
        ("a.mp4", "libx264", 3, None),
        ("a.mov", "libx264", 3, {"x264-params": "open-gop=1:scenecut=0"}),
        ("a.mp4", "libx264", 0, {"x264-params": "intra-refresh=1"}),
        ("a.mkv", "libx264", 3, None),
        ("a.ts", "libx264", 3, None),
        ("a.webm", "libvpx-vp9", 0, None),
        ("a.avi", "mpeg4", 0, None),
        ("a.avi", "libx264", 3, None),
        ("a.mpg", "mpeg1video", 2, None),
        ("a.gif", "gif", 0, None),
    ],
)
def test_frames_are_those_of_a_plain_decode_in_any_order(tmp_path, name, codec, b_frames, options):
    path = write_video(tmp_path / name, codec, b_frames=b_frames, options=options)
    expected = decoded(path)
    video = VideoFile(path)
    assert len(video) == len(expected) == 40
    shuffled = random.Random(0).sample(range(40), 40)
    for order in (range(40), range(39, -1, -1), shuffled, range(0, 40, 7), [12, 13, 11, 12, 10, 11, 39, 0]):
        for index in order:
            np.testing.assert_array_equal(video.read(index), expected[index], err_msg=f"frame {index}")
        video.close()


def test_a_video_is_one_sequence(tmp_path):
    path = write_video(tmp_path / "clip.mp4", frames=30)
    with open_frames(path) as frames:
        sequence = only(frames)
        assert (sequence.name, sequence.ids[12], sequence.numbers) == ("clip", "clip/000012", tuple(range(30)))
        assert (sequence.file(3), sequence.breaks, sequence.read(3).shape) == (None, frozenset(), (48, 64, 3))
        assert frames.findings == (f"{path}: 30 frames",)
        with pytest.raises(IndexError):
            sequence.read(30)


def test_several_videos_are_several_sequences(tmp_path):
    write_video(tmp_path / "b.mp4", frames=3)
    write_video(tmp_path / "sub" / "a.avi", frames=2)
    with open_frames(tmp_path) as frames:
        assert {s.name: s.ids for s in frames.sequences} == {
            "b": ("b/000000", "b/000001", "b/000002"),
            "sub/a": ("sub/a/000000", "sub/a/000001"),
        }


def test_few_decoded_frames_are_kept(tmp_path, monkeypatch):
    path = write_video(tmp_path / "long.mp4", frames=300)
    video = VideoFile(path)
    starts = []
    start = VideoFile._start
    monkeypatch.setattr(VideoFile, "_start", lambda *a: starts.append(a) or start(*a))
    for order, limit in ((range(300), 1), (range(299, -1, -1), len(video._keys))):
        starts.clear()
        for index in order:
            video.read(index)
            assert len(video._cached) <= CACHED
        assert len(starts) <= limit
    video.close()
    assert not video._cached


@pytest.mark.parametrize(
    ("rotation", "orientation"), [((90,), 8), ((-90,), 6), ((180,), 3), ((0, True), 2), ((90, True), 7)]
)
def test_the_rotation_of_a_video_is_obeyed(tmp_path, rotation, orientation):
    av = pytest.importorskip("av")
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this av does not write rotations")
    path = write_video(tmp_path / "a.mp4", frames=2, rotation=rotation)
    video = VideoFile(path)
    np.testing.assert_array_equal(video.read(1), turned(decoded(path)[1], orientation, axes=(0, 1)))
    assert video.findings == (f"{path}: frames are turned by the rotation that the file states",)


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [((1, 0, 0, 1), 1), ((0, 1, -1, 0), 6), ((0, -1, 1, 0), 8), ((-1, 0, 0, -1), 3), ((0, 1, 1, 0), 5)],
)
def test_a_display_matrix_moves_pixels_as_its_orientation_does(matrix, orientation):
    a, b, c, d = matrix
    stored = struct.pack("=9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    assert orientation_of_matrix(stored) == orientation
    rows, columns = np.mgrid[:2, :3]
    x, y = a * columns + c * rows, b * columns + d * rows
    shown = np.zeros((int(np.ptp(y)) + 1, int(np.ptp(x)) + 1), int)
    shown[y - y.min(), x - x.min()] = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(turned(np.arange(6).reshape(2, 3), orientation), shown)


def test_an_angle_between_quarter_turns_is_not_obeyed():
    assert orientation_of_matrix(struct.pack("=9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)) == 1


def test_a_variable_frame_rate_is_said(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=6, times=[0, 1, 2, 7, 8, 9])
    video = VideoFile(path)
    assert video.findings == (f"{path}: variable frame rate: frames are counted, not seconds",)
    assert len(video) == 6


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path):
    av = pytest.importorskip("av")
    path = write_video(tmp_path / "a.mp4", frames=30)
    with av.open(str(path)) as old, av.open(str(tmp_path / "b.mp4"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        step = round(1 / (25 * old.streams.video[0].time_base))
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - 7 * step, packet.dts - 7 * step, stream
                new.mux(packet)
    video, expected = VideoFile(tmp_path / "b.mp4"), decoded(tmp_path / "b.mp4")
    assert len(video) == len(expected) < 30
    for index in (20, 3, 0):
        np.testing.assert_array_equal(video.read(index), expected[index])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "the file is empty"), (b"hello" * 100, "not a video, or broken .*: copy it anew, or convert")],
)
def test_files_that_are_no_videos_are_refused(tmp_path, content, words):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InvalidFile, match=words):
        open_frames(tmp_path / "a.mp4")


def test_sound_alone_is_refused(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(InvalidFile, match="holds no frames, only sound or text"):
        VideoFile(tmp_path / "a.mkv")


@pytest.mark.parametrize(
    ("name", "words"),
    [("index_behind.mp4", "bytes are there: copy it anew"), ("index_before.mp4", "cut short: .* of 40 frames")],
)
def test_files_that_are_cut_short_are_refused(tmp_path, name, words):
    av = pytest.importorskip("av")
    path = write_video(tmp_path / "whole.mp4")
    flags = {"movflags": "faststart"} if "before" in name else {}
    with av.open(str(path)) as old, av.open(str(tmp_path / name), "w", options=flags) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(InvalidFile, match=words):
        VideoFile(tmp_path / name)


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_frames_around_broken_ones_keep_their_numbers(tmp_path, suffix):
    av = pytest.importorskip("av")
    path = write_video(tmp_path / f"a{suffix}")
    expected = decoded(path)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in packets[15:17]:
        content[position : position + size] = bytes(size)
    path.write_bytes(content)
    video = VideoFile(path)
    for order in (range(40), range(39, -1, -1)):
        for index in order:
            if index in (15, 16):
                with pytest.raises(InvalidFile, match=f"a{suffix}: frame {index} cannot be decoded"):
                    video.read(index)
            elif index < 15 or index >= 24:  # frames 17 to 23 are predicted from the lost ones
                np.testing.assert_array_equal(video.read(index), expected[index])
        video.close()


def test_large_frames_are_refused_before_decoding(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=2)
    monkeypatch.setattr(video_file, "_decoded", None)
    with pytest.raises(InvalidFile, match=r"64 x 48 pixels: raise the limit with --max-pixels"):
        VideoFile(path, max_pixels=HEIGHT * WIDTH - 1)


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    def without_av(name, *args):
        if name == "av":
            raise ImportError(name)
        return real(name, *args)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_av)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"needs a package \(av\): pip install 'segmend\[video\]'"):
        open_frames(tmp_path / "a.mp4")


# ---- labels ----


def test_labels_of_images_pair_by_name(tmp_path):
    write_frames(tmp_path / "i", [f"s/f_{n}" for n in range(9)])
    found = masks(tmp_path / "m", ["s/f_2_mask", "s/f_6_mask", "s/f_99_mask"])
    pairing = pair_labels(open_frames(tmp_path / "i"), found, "i", "m")
    assert pairing.partner == {"s/f_2": "s/f_2_mask", "s/f_6": "s/f_6_mask"}
    assert pairing.unpaired == ("s/f_99_mask",)
    assert pairing.findings == ("names pair without '_mask'",)


def test_labels_turn_with_their_frame(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "i").mkdir()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "i" / "f1.png", exif=exif)
    (tmp_path / "m").mkdir()
    write_labels(tmp_path / "m" / "f1.png", np.zeros((4, 6), np.uint8))
    found = find_files(tmp_path / "m", (".png",))
    assert pair_labels(open_frames(tmp_path / "i"), found, "i", "m").turns == {"f1": 6}


@pytest.mark.parametrize(
    ("video", "names", "partner", "unpaired"),
    [
        ("clip", ["x/3", "x/0005_mask"], {"clip/000003": "x/3", "clip/000005": "x/0005_mask"}, ()),
        ("GOPR12", ["GOPR12", "GOPR12_3"], {"GOPR12/000003": "GOPR12_3"}, ("GOPR12",)),
        ("GOPR12", ["a/GOPR12", "a/GOPR12_3"], {"GOPR12/000003": "a/GOPR12_3"}, ("a/GOPR12",)),
        ("1", ["1", "2"], {"1/000001": "1", "1/000002": "2"}, ()),
        (
            "clip",
            ["2_gtFine8bit", "3_gtFine8bit"],
            {"clip/000002": "2_gtFine8bit", "clip/000003": "3_gtFine8bit"},
            (),
        ),
    ],
)
def test_labels_of_a_video_pair_by_frame_number(tmp_path, video, names, partner, unpaired):
    frames = open_frames(write_video(tmp_path / f"{video}.mp4", frames=8))
    pairing = pair_labels(frames, masks(tmp_path / "m", names), "v", "m")
    assert (pairing.partner, pairing.unpaired) == (partner, unpaired)
    assert "pair by the number of the frame" in pairing.findings[0]


def test_labels_of_several_videos_pair_by_name_and_number(tmp_path):
    for name in ("clip1", "clip10"):
        write_video(tmp_path / "v" / f"{name}.mp4", frames=4)
    found = masks(tmp_path / "m", ["clip1/000002", "clip10_3", "000001", "clip2/000001"])
    pairing = pair_labels(open_frames(tmp_path / "v"), found, "v", "m")
    assert pairing.partner == {"clip1/000002": "clip1/000002", "clip10/000003": "clip10_3"}
    assert pairing.unpaired == ("000001", "clip2/000001")


def test_labels_counted_from_1_are_pointed_out(tmp_path):
    frames = open_frames(write_video(tmp_path / "clip.mp4", frames=8))
    pairing = pair_labels(frames, masks(tmp_path / "m", ["5", "8"]), "v", "m")
    assert pairing.unpaired == ("8",)
    assert any(
        "8.png has no frame: frames are counted from 0, the last of clip is 7" in f for f in pairing.findings
    )


def test_labels_that_belong_nowhere_are_refused_with_an_example(tmp_path):
    frames = open_frames(write_video(tmp_path / "clip.mp4", frames=8))
    words = "clip has frames 0 to 7, maps are called like '70.png': name a map by its frame, as 000000.png"
    with pytest.raises(InvalidFile, match=words):
        pair_labels(frames, masks(tmp_path / "m", ["70"]), "clip.mp4", "m")
    with pytest.raises(InvalidFile, match=r"frame 3 of clip, as .* does: give a folder with one mask"):
        pair_labels(frames, masks(tmp_path / "n", ["3", "a/3"]), "clip.mp4", "n")
