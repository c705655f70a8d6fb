"""`segmend propagate` as a user runs it, and what follows: training, scores and a report."""

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from segmend.data.images import read_image
from segmend.data.manifest import read_manifest
from segmend.data.masks import read_labels, write_labels
from segmend.jobs.propagated_folder import PropagatedFolder


@pytest.fixture
def propagate_(segmend_, tmp_path, monkeypatch):
    """Runs the command on ``frames`` and ``labels``; gives its exit code, and all that it printed in one line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, frames="frames", labels="labels", out="out"):
        code, printed, errors = segmend_(
            "propagate", "--frames", frames, "--labels", labels, "--out", out, "--quiet", *arguments
        )
        return code, " ".join((printed + errors).split())

    return run


def maps(out):
    """All label and confidence maps by path."""
    return {
        path.relative_to(out): read_labels(path)[0]
        for k in ("labels", "confidence")
        for path in (out / k).rglob("*.png")
    }


def assert_equal(one, other):
    assert read_manifest(one) == read_manifest(other)
    found, expected = maps(one), maps(other)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_labels_become_a_data_set_that_is_scored_and_shown(filmed, segmend_, propagate_, tmp_path):
    filmed(9, labelled=range(9))
    code, printed = propagate_("--every", "4", "--details", "--refiner", "universal", "--classes", "ground,disc")
    assert code == 0
    assert "frames: 9 frames" in printed
    assert "1 frame away: mIoU 9" in printed
    assert "2 frames away: mIoU 9" in printed
    assert "3 labelled frames, labels propagated to 6 images in out; " in printed
    assert "% of the propagated pixels kept" in printed
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["kind"], results["method"], results["classes"]) == (
        "propagation",
        "learned",
        ["ground", "disc"],
    )
    assert segmend_("report", "out/results.json")[0] == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "6 frames labelled from 3" in page
    assert "cannot be used" not in page
    code, printed, _ = segmend_("evaluate", "--truth", "labels", "--pred", "out/labels/train")
    assert (code, "mIoU" in printed) == (0, True)


def test_scores_and_notes_are_printed_in_joint_propagation_too(filmed, propagate_):
    filmed(9, labelled=range(9))
    code, printed = propagate_("--mode", "jp", "--method", "flow", "--every", "8", "--steps", "2")
    assert code == 0
    assert "1 frame away: mIoU 9" in printed
    assert "left out" in printed
    assert "of the propagated pixels kept" not in printed


def test_what_it_writes_is_trained_on(filmed, segmend_, propagate_):
    pytest.importorskip("lightning_fabric")
    filmed()
    assert propagate_("--method", "flow")[0] == 0
    steps = ("optimisation.steps=1", "optimisation.batch=2", "augmentation.crop=32")
    code, printed, _ = segmend_("train", "linear", "data.root=out", *steps, "propagated.distance=1", "--quiet")
    assert (code, "3 labelled by hand" in printed) == (0, True)


def test_jointly_propagated_images_are_named_after_both_frames(filmed, propagate_, tmp_path):
    filmed(3, labelled=(0,))
    code, printed = propagate_("--mode", "jp", "--method", "flow")
    assert (code, "pixels kept" in printed) == (0, False)
    assert sorted(path.name for path in (tmp_path / "out" / "images" / "train").iterdir()) == [
        "00000.png",
        "00001_from_00000.png",
        "00002_from_00000.png",
    ]


@pytest.mark.parametrize("coding", ["0 and 255", "gaps", "colours"])
def test_masks_are_read_as_anywhere(filmed, propagate_, tmp_path, coding):
    filmed(3, labelled=(0,))
    values = {
        "0 and 255": np.array([0, 255], np.uint8),
        "gaps": np.array([3, 90], np.uint8),
        "colours": np.array([[10, 20, 30], [200, 0, 0]], np.uint8),
    }
    (tmp_path / "coded").mkdir()
    ids = read_labels(tmp_path / "labels" / "00000.png")[0]
    Image.fromarray(values[coding][ids]).save(tmp_path / "coded" / "00000_mask.png")
    (tmp_path / "palette").write_text("ground: 10,20,30\ndisc: 200,0,0\n")
    options = ("--palette", "palette") if coding == "colours" else ()
    assert propagate_("--method", "copy", *options, labels="coded", out="other")[0] == 0
    assert propagate_("--method", "copy")[0] == 0
    found, expected = maps(tmp_path / "other"), maps(tmp_path / "out")
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def write_video(path, images, times, rotation=None):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qscale": "2"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        if rotation is not None:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this av does not write rotations")
            stream.set_display_rotation(rotation)
        for image, at in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("kind", ["plain", "turned", "of variable rate"])
def test_a_video_file_is_propagated_by_frame_number(filmed, scene, propagate_, tmp_path, kind):
    filmed()
    images = [scene(number)[0] for number in range(9)]
    if kind == "turned":
        write_video(tmp_path / "clip.mp4", [np.rot90(image, -1) for image in images], range(9), rotation=90)
    else:
        write_video(tmp_path / "clip.mp4", images, range(9) if kind == "plain" else [0, 1, 2, 3, 8, 9, 10, 11, 12])
    code, printed = propagate_("--method", "flow", frames="clip.mp4")
    assert (code, "clip.mp4: 9 frames" in printed) == (0, True)
    assert ("variable frame rate" in printed) == (kind == "of variable rate")
    assert ("turned" in printed) == (kind == "turned")
    for number in (1, 3, 7):
        image = read_image(tmp_path / "out" / "images" / "train" / "clip" / f"{number:06d}.png")
        labels = read_labels(tmp_path / "out" / "labels" / "train" / "clip" / f"{number:06d}.png")[0]
        assert np.abs(image.astype(int) - images[number]).mean() < 12
        assert (labels == scene(number)[1])[labels != 255].mean() > 0.97
    assert "6 kept from an earlier run" in propagate_("--method", "flow", frames="clip.mp4")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--method", "teleport"), "--method teleport: expected learned, flow or copy"),
        (("--mode", "both"), "--mode both: expected lp or jp"),
        (("--mode", "jp", "--method", "copy"), "use a method with motion"),
        (("--method", "flow", "--model", "x"), "--model is for --method learned"),
        (("--method", "copy", "--flow", "x"), "leave it out for copy"),
        (("--model", "nowhere"), "nowhere: no such folder"),
        (("--method", "flow", "--flow", "nowhere.pth"), "nowhere.pth: no such file: download https://"),
        (("--flow", "frames/00000.png"), "00000.png: expected torchvision's weights of raft_small or raft_large"),
        (("--steps", "0"), "Invalid value for '--steps'"),
        (("--split", "a/../../b"), "expected the name of a folder"),
        (("--out", "frames"), "choose an output folder (--out) outside"),
        (("--out", "."), "choose an output folder (--out) outside"),
        (("--out", "/proc/nope"), "cannot be written"),
        (("--labels", "nowhere"), "nowhere: no such folder"),
        (("--frames", "frames/00000.png"), "give its folder"),
        (("--classes", "a,b,c", "--ids", "0,1"), "segmend: "),
    ],
)
def test_wrong_usage_is_refused_and_nothing_is_written(filmed, propagate_, tmp_path, arguments, words):
    filmed(3, labelled=(0,))
    before = sorted(tmp_path.rglob("*"))
    code, message = propagate_(*arguments)
    assert code == 2
    assert words in message
    assert "Traceback" not in message
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_skipped_is_listed_with_exit_code_1(filmed, propagate_, tmp_path):
    filmed()
    (tmp_path / "frames" / "00002.png").write_bytes(b"no image")
    write_labels(tmp_path / "labels" / "00044.png", np.zeros((48, 72), np.uint8))
    code, message = propagate_("--method", "flow")
    assert code == 1
    assert "labels propagated to 5 images" in message
    assert "note: 00002 cannot be read: labels are not propagated across it" in message
    assert "2 skipped: labels/00044.png: a label without its frame frames/00002.png: not an image" in message


def test_where_no_label_can_be_used_nothing_is_done(filmed, propagate_, tmp_path):
    filmed(3, labelled=(0,))
    (tmp_path / "labels" / "00000.png").write_bytes(b"no image")
    assert propagate_("--method", "flow")[0] == 2
    (tmp_path / "labels" / "00000.png").unlink()
    code, message = propagate_("--method", "flow")
    assert (code, "labels: holds no label maps" in message) == (2, True)


def test_an_interrupted_run_exits_with_130_and_resumes(filmed, propagate_, tmp_path, monkeypatch):
    filmed()
    write, written = PropagatedFolder.write, []

    def interrupted(self, made):
        written.append(made)
        if len(written) == 5:
            raise KeyboardInterrupt
        write(self, made)

    with monkeypatch.context() as patched:
        patched.setattr(PropagatedFolder, "write", interrupted)
        code, message = propagate_("--method", "flow")
    assert (code, "the same command resumes" in message) == (130, True)
    assert "kept from an earlier run" in propagate_("--method", "flow")[1]
    propagate_("--method", "flow", out="whole")
    assert_equal(tmp_path / "out", tmp_path / "whole")


def test_a_killed_run_resumes(filmed, propagate_, tmp_path):
    filmed(24, labelled=(0, 23))
    options = ("--method", "copy", "--steps", "24")
    folders = ("--frames", "frames", "--labels", "labels", "--out", "out")
    command = [sys.executable, "-m", "segmend", "propagate", *folders, *options]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while len(list((tmp_path / "out").glob("labels/train/*.png"))) < 5 and time.monotonic() < end:
            time.sleep(0.002)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    found = len(list((tmp_path / "out").glob("images/train/*.png")))
    assert found >= 3
    code, message = propagate_(*options)
    assert (code, f"{found - 2} kept from an earlier run" in message) == (0, True)
    assert propagate_(*options, out="whole")[0] == 0
    assert_equal(tmp_path / "out", tmp_path / "whole")
