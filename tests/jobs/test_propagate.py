"""Propagation over whole folders: labels arrive, runs resume, and nothing depends on what it should not."""

import gc
import re
import weakref

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segmend.data.description import write_description
from segmend.data.files import InvalidFile
from segmend.data.images import read_image, write_image
from segmend.data.manifest import read_manifest
from segmend.data.masks import read_labels, write_labels
from segmend.jobs import propagate as job
from segmend.jobs.labelled_video import open_video
from segmend.jobs.motions import make_motion
from segmend.jobs.propagate import PropagateOptions, propagate
from segmend.jobs.propagated_folder import PropagatedFolder
from segmend.labels import Classes, InvalidInput
from segmend.refiners import load
from segmend.report.page import write_report
from segmend.report.results import read_results
from segmend.video import FlowMotion, Frame


@pytest.fixture
def run(tmp_path):
    """A function: propagates the labels of ``frames`` and ``labels`` into a folder, and gives the results."""

    def start(out="out", motion=None, frames="frames", labels="labels", **options):
        video = open_video(tmp_path / frames, tmp_path / labels)
        return propagate(video, motion or FlowMotion(), tmp_path / out, PropagateOptions(**options, quiet=True))

    return start


def content(out):
    """All maps by path, and the manifest."""
    maps = {path.relative_to(out): path for path in out.rglob("*.png")}
    arrays = {path.relative_to(out): path for path in out.rglob("*.npz")}
    found = {
        name: read_image(path) if name.parts[0] == "images" else read_labels(path)[0]
        for name, path in maps.items()
    }
    found |= {name: np.load(path)["displacement"] for name, path in arrays.items()}
    return found, read_manifest(out)


def assert_equal(one, other):
    (maps, manifest), (others, other_manifest) = content(one), content(other)
    assert manifest == other_manifest
    assert maps.keys() == others.keys()
    assert [name for name in maps if not np.array_equal(maps[name], others[name])] == []


def shown(out, kind="labels"):
    return sorted(path.stem for path in (out / kind / "train").rglob("*.*"))


def agreement(labels, truth):
    known = labels != 255
    return (labels == truth)[known].mean(), known.mean()


# ---- what is made ----


@pytest.mark.parametrize("method", ["flow", "learned"])
def test_labels_follow_what_moves(filmed, scene, run, method):
    root = filmed()
    result = run(motion=make_motion(method))
    assert (result.labelled, result.done, result.notes, result.skipped) == (3, 6, [], [])
    for number in (1, 2, 3, 5, 6, 7):
        labels = read_labels(root / "out" / "labels" / "train" / f"{number:05d}.png")[0]
        right, kept = agreement(labels, scene(number)[1])
        assert right > 0.985
        assert kept > 0.9
    right, _ = agreement(scene(0)[1], scene(2)[1])
    assert right < 0.93  # as they were


def test_the_data_set_holds_frames_labels_and_confidence(filmed, run):
    root = filmed()
    write_labels(
        root / "labels" / "00004.png", np.zeros((48, 72), np.uint8) + np.arange(72).astype(np.uint8) // 40
    )
    run(details=True)
    out = root / "out"
    numbers = [f"{n:05d}" for n in range(9)]
    assert shown(out, "images") == shown(out) == numbers
    assert (
        shown(out, "confidence")
        == shown(out, "details")
        == [n for n in numbers if n not in ("00000", "00004", "00008")]
    )
    for number in numbers:
        assert (out / "images" / "train" / f"{number}.png").read_bytes() == (
            root / "frames" / f"{number}.png"
        ).read_bytes()
    assert np.array_equal(
        read_labels(out / "labels" / "train" / "00004.png")[0], read_labels(root / "labels" / "00004.png")[0]
    )
    manifest = read_manifest(out)
    for number in ("00001", "00007"):
        confidence, labels = (
            read_labels(out / kind / "train" / f"{number}.png")[0] for kind in ("confidence", "labels")
        )
        assert (labels[confidence < 0.74 * 255] == 255).all()
        assert (labels[confidence > 0.76 * 255] < 2).all()
        entry = manifest["train", number]
        assert entry.confidence == pytest.approx(confidence.mean() / 255, abs=1e-4)
        assert sum(k for k, _ in entry.kept.values()) == (labels != 255).sum()
    assert [(source.frame, source.steps) for source in manifest["train", "00001"].sources] == [
        ("00000", 1),
        ("00004", -3),
    ]
    assert manifest["train", "00000"].method == "given"


def test_details_are_the_displacement_from_the_nearest_label(filmed, run):
    root = filmed(4, labelled=(0, 3))
    run(details=True)
    for number, background in ((1, -1), (2, 1)):  # it moves to the left, and back from the last frame
        moved = np.load(root / "out" / "details" / "train" / f"{number:05d}.npz")["displacement"]
        assert moved.dtype == np.float16
        assert moved.shape == (2, 48, 72)
        assert np.median(moved[0]) == pytest.approx(background, abs=0.15)


def test_jointly_image_and_labels_move_together(filmed, scene, run):
    root = filmed(4, labelled=(0, 3))
    result = run(mode="jp", steps=2)
    assert result.done == 4
    out = root / "out"
    assert shown(out) == [
        "00000",
        "00001_from_00000",
        "00001_from_00003",
        "00002_from_00000",
        "00002_from_00003",
        "00003",
    ]
    image = read_image(out / "images" / "train" / "00001_from_00000.png").astype(int)
    assert np.abs(image - scene(1)[0]).mean() < np.abs(scene(0)[0].astype(int) - scene(1)[0]).mean() / 2
    assert (image != scene(1)[0]).any()
    entry = read_manifest(out)["train", "00001_from_00000"]
    assert (entry.frame, entry.mode, entry.distance) == ("00001", "jp", 1)


def test_held_out_labels_score_the_result_by_distance(filmed, run):
    root = filmed(9, labelled=range(9))
    result = run(every=4)
    assert result.truth == "../labels"
    assert [(q.distance, q.images) for q in result.quality] == [(1, 4), (2, 2)]
    assert all(q.mean_iou > 0.9 and q.pixel_accuracy > 0.97 for q in result.quality)
    copied = run("copied", make_motion("copy"), every=4)
    assert copied.quality[0].mean_iou < result.quality[0].mean_iou
    write_labels(root / "labels" / "00001.png", np.zeros((5, 5), np.uint8))
    assert "of the size of their frame, 72 x 48, found 5 x 5" in run("again", every=4).skipped[0].reason


def test_a_distance_at_which_nothing_is_kept_has_no_scores_and_runs_resume(filmed, run, monkeypatch):
    root = filmed(5, labelled=range(5))
    monkeypatch.setattr("segmend.video.propagation.confidence", lambda labels, *others: torch.zeros(labels.shape))
    result = run(every=4)
    assert [(q.distance, q.kept, q.mean_iou, q.pixel_accuracy) for q in result.quality] == [
        (1, 0, None, None),
        (2, 0, None, None),
    ]
    assert read_results(root / "out" / "results.json") == result
    assert run(every=4).kept == 3


def test_labels_of_one_sequence_of_a_data_set_have_its_classes_and_void(filmed, run):
    root = filmed(3, labelled=range(3))
    write_description(root, "films", Classes(("ground", "disc", "border")))
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text().replace("void: 255", "void: 2"))
    for number in range(3):
        labels = read_labels(root / "labels" / f"{number:05d}.png")[0]
        labels[30 : 40 if number == 1 else 31] = 2
        write_labels(root / "labels" / "val" / "a" / f"{number:05d}.png", labels)
    result = run(labels="labels/val/a", every=2)
    assert result.classes == ["ground", "disc", "border"]
    assert (read_labels(root / "out" / "labels" / "train" / "00000.png")[0][30] == 255).all()
    assert [q.distance for q in result.quality] == [1]
    assert result.quality[0].pixel_accuracy > 0.97
    page = write_report(root / "out" / "results.json").read_text()
    right = re.findall(r"<dt>Right</dt><dd>([0-9.]+) %", page)
    assert [float(share) > 97 for share in right] == [True]


def test_turned_frames_are_written_upright(filmed, run):
    root = filmed(3, labelled=(0,))
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in (root / "frames").iterdir():
        turned = Image.fromarray(np.ascontiguousarray(read_image(path)[::-1, ::-1]))
        (root / "turned").mkdir(exist_ok=True)
        turned.save(root / "turned" / path.name, exif=exif)
    run()
    run("other", frames="turned")
    assert_equal(root / "out", root / "other")
    assert all("exif" not in Image.open(path).info for path in (root / "other" / "images").rglob("*.png"))


def test_a_refiner_refines_by_the_frame(filmed, run):
    root = filmed(3, labelled=(0,))
    run(min_confidence=0)
    result = run("refined", refiner=load("guided"), min_confidence=0)
    assert result.done == 2
    for number in (1, 2):
        before, found = (
            read_labels(root / out / "labels" / "train" / f"{number:05d}.png")[0] for out in ("out", "refined")
        )
        frame = read_image(root / "frames" / f"{number:05d}.png")
        refined = load("guided").refine(frame, before, 2, keep_void=True)
        assert np.array_equal(found, refined.labels)
        assert not np.array_equal(found, before)
    with pytest.raises(InvalidInput, match="refiner is for label propagation"):
        run("jp", mode="jp", refiner=load("guided"))


def test_copies_are_not_propagated_jointly(filmed, run):
    filmed()
    with pytest.raises(InvalidInput, match="use a method with motion"):
        run(motion=make_motion("copy"), mode="jp")


@pytest.mark.parametrize(
    ("count", "labelled", "words"), [(1, (0,), "the only one of its video"), (3, range(3), "--every")]
)
def test_labels_that_have_nowhere_to_go_are_refused(filmed, run, count, labelled, words):
    root = filmed(count, labelled)
    with pytest.raises(InvalidInput, match=words):
        run()
    assert not (root / "out").exists()


@pytest.mark.parametrize("split", ["a/b", "..", "", ".hidden"])
def test_a_split_is_the_name_of_a_folder(filmed, run, split):
    filmed()
    with pytest.raises(InvalidInput, match="expected the name of a folder"):
        run(split=split)


# ---- what cannot be used ----


def test_a_walk_ends_at_a_frame_that_cannot_be_read(filmed, run):
    root = filmed()
    for number in (2, 3):
        (root / "frames" / f"0000{number}.png").write_bytes(b"" if number == 2 else b"no image")
    result = run(steps=9)
    assert sorted(shown(root / "out")) == ["00000", "00001", "00004", "00005", "00006", "00007", "00008"]
    assert [skipped.file[-9:] for skipped in result.skipped] == ["00003.png", "00002.png"]
    assert result.notes == ["00002 cannot be read: labels are not propagated across it"]
    manifest = read_manifest(root / "out")
    assert [source.frame for source in manifest["train", "00001"].sources] == ["00000"]
    assert run(steps=9).kept == 4  # what cannot be made is not in the way of what is finished


def test_labels_start_again_behind_a_frame_that_cannot_be_read(filmed, run):
    root = filmed(9, labelled=(0, 8))
    (root / "frames" / "00004.png").write_bytes(b"no image")
    result = run(steps=9)
    assert result.notes == ["00004 cannot be read: labels are not propagated across it"]
    sources = {e.frame: [s.frame for s in e.sources] for e in read_manifest(root / "out").values()}
    assert sources["00003"] == ["00000"]
    assert sources["00005"] == ["00008"]
    assert "00004" not in sources


def test_a_labelled_frame_or_label_that_cannot_be_used_is_listed_once(filmed, run):
    root = filmed()
    write_labels(root / "labels" / "00004.png", np.ones((20, 30), np.uint8))
    result = run()
    assert (result.labelled, result.done, len(result.skipped)) == (2, 6, 1)
    assert "00004" not in shown(root / "out", "images")
    (root / "frames" / "00004.png").write_bytes(b"no image")
    result = run("again")
    assert (result.labelled, result.done, len(result.skipped)) == (2, 6, 1)
    (root / "labels" / "00000.png").write_bytes(b"no image")
    assert {s.file[-16:] for s in run("third").skipped} == {"labels/00000.png", "frames/00004.png"}


def test_no_labels_cross_a_cut_or_a_change_of_size(filmed, run):
    root = filmed(9, labelled=(0, 8))
    for number in range(5, 9):
        image = read_image(root / "frames" / f"{number:05d}.png")
        write_image(root / "frames" / f"{number:05d}.png", np.ascontiguousarray(255 - image[::-1, :, ::-1] // 2))
    result = run(steps=9)
    assert result.notes == ["a new scene begins between 00004 and 00005: labels are not propagated across the cut"]
    for number in range(5, 9):
        write_image(root / "frames" / f"{number:05d}.png", read_image(root / "frames" / "00000.png")[:40])
    write_labels(root / "labels" / "00008.png", np.zeros((40, 72), np.uint8))
    result = run("sizes", steps=9)
    assert result.notes == ["00004 and 00005 differ in size: labels are not propagated from one to the other"]
    (root / "labels" / "00008.png").unlink()
    result = run("one_side", steps=9)
    assert result.notes[1:] == ["no labels reach 4 frames near a labelled one: left out"]
    sources = {e.frame: [s.frame for s in e.sources] for e in read_manifest(root / "out").values()}
    assert sources["00004"] == ["00000"]
    assert sources["00005"] == ["00008"]


def test_frames_far_from_labels_and_videos_without_are_counted(filmed, run):
    root = filmed(9, labelled=(4,), name="a")
    filmed(3, labelled=(), name="b")
    filmed(1, labelled=(0,), name="c")
    result = run(steps=2)
    assert result.notes == [
        "b: no labelled frame, nothing to propagate",
        "c: one frame alone, nothing to propagate to",
        "4 frames are left out: no labelled frame within 2 (--steps)",
    ]
    assert len(shown(root / "out")) == 6


def test_a_walk_whose_start_cannot_be_read_does_not_continue_another(filmed, run, scene):
    """The labelled frames of two videos have the same index: the second's labels must not come from the first."""
    root = filmed(3, labelled=(1,), name="a")
    filmed(3, labelled=(1,), name="b")
    (root / "labels" / "b" / "00001.png").write_bytes(b"no image")
    for number in (0, 2):
        (root / "frames" / "a" / f"{number:05d}.png").write_bytes(b"no image")
    run()
    assert not (root / "out" / "labels" / "train" / "b").exists()


# ---- runs that resume ----


@pytest.mark.parametrize("options", [{"mode": "lp", "details": True}, {"mode": "jp", "steps": 3}])
@pytest.mark.parametrize("killed_at", [1, 6])
def test_a_stopped_run_resumes_and_ends_as_if_it_had_not_stopped(filmed, run, monkeypatch, options, killed_at):
    root = filmed()
    run("whole", **options)
    write, written = PropagatedFolder.write, []

    def stopping(self, made):
        written.append(made)
        if len(written) == killed_at:
            raise KeyboardInterrupt
        write(self, made)

    with monkeypatch.context() as patched:
        patched.setattr(PropagatedFolder, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(**options)
    result = run(**options)
    assert result.remade == 0
    assert_equal(root / "out", root / "whole")
    assert run(**options).done == 0


def test_only_what_depends_on_a_changed_file_is_made_again(filmed, run, monkeypatch):
    root = filmed(13, labelled=(0, 4, 8, 12))
    run()
    write, again = PropagatedFolder.write, []
    monkeypatch.setattr(
        PropagatedFolder, "write", lambda self, made: (again.append(made.entry.id), write(self, made))
    )

    def made_again():
        again.clear()
        result = run()
        assert result.remade == len(again)
        return [int(identity) for identity in sorted(again)]

    write_labels(root / "labels" / "00004.png", np.ones((48, 72), np.uint8))
    assert made_again() == [1, 2, 3, 4, 5, 6, 7]
    write_image(root / "frames" / "00010.png", read_image(root / "frames" / "00010.png") + 1)
    assert made_again() == [9, 10, 11]
    for folder in ("images", "confidence"):
        (root / "out" / folder / "train" / "00002.png").unlink()
        assert made_again() == [2]
    monkeypatch.undo()
    run("anew")
    assert_equal(root / "out", root / "anew")


def test_more_labels_and_steps_extend_a_run(filmed, scene, run):
    root = filmed(9, labelled=(0,))
    assert run(steps=2).done == 2
    result = run(steps=4)
    assert (result.done, result.kept, result.remade) == (2, 2, 0)
    write_labels(root / "labels" / "00004.png", scene(4)[1])
    result = run(steps=4)
    assert (result.done, result.kept) == (7, 0)
    run("anew", steps=4)
    assert_equal(root / "out", root / "anew")
    result = run(steps=1)
    assert "4 images of earlier runs lie in" in result.notes[-1]


def test_other_options_are_refused_unless_they_overwrite(filmed, run):
    root = filmed(3, labelled=(0,))
    run()
    before = content(root / "out")[0]
    for options in ({"min_confidence": 0.5}, {"align": False}, {"refiner": load("guided")}):
        with pytest.raises(InvalidFile, match="made with other weights or options"):
            run(**options)
    with pytest.raises(InvalidFile, match="made with other weights or options"):
        run(motion=make_motion("copy"))
    assert all(np.array_equal(before[name], found) for name, found in content(root / "out")[0].items())
    result = run(motion=make_motion("copy"), overwrite=True)
    assert (result.done, result.remade) == (2, 3)


def test_what_cannot_be_made_any_more_is_removed(filmed, run):
    root = filmed()
    run(details=True)
    for path in (root / "frames" / "00002.png", root / "labels" / "00008.png"):
        path.write_bytes(b"no image")
    result = run(details=True)
    assert "2 images of earlier runs were removed" in result.notes[-1]
    run("anew", details=True)
    assert_equal(root / "out", root / "anew")


def test_a_run_of_which_nothing_could_be_made_is_not_in_the_way(filmed, run):
    root = filmed(3, labelled=(0,))
    labels = (root / "labels" / "00000.png").read_bytes()
    (root / "labels" / "00000.png").write_bytes(b"no image")
    assert run().done == 0
    (root / "labels" / "00000.png").write_bytes(labels)
    assert run().done == 2


# ---- what the result does not depend on ----


def test_results_do_not_depend_on_the_number_of_threads(filmed, run):
    root = filmed(3, labelled=(0,))
    run(motion=make_motion("learned"))
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(2)
        cv2.setNumThreads(2)
        run("two", make_motion("learned"))
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    assert_equal(root / "out", root / "two")


@pytest.mark.parametrize("ids", [(0, 255), (3, 40), (40, 3)])
def test_results_do_not_depend_on_the_numbering_of_ids(filmed, run, ids):
    root = filmed(3, labelled=(0,))
    for path in (root / "labels").iterdir():
        write_labels(root / "renumbered" / path.name, np.array(ids, np.uint8)[read_labels(path)[0]])
    run()
    run("other", labels="renumbered")
    for number in range(3):
        one, other = (
            read_labels(root / out / "labels" / "train" / f"{number:05d}.png")[0] for out in ("out", "other")
        )
        expected = np.where(one == 255, 255, one if ids[0] < ids[1] else 1 - one)
        assert np.array_equal(other, expected)


def test_the_input_is_never_touched(filmed, run):
    root = filmed()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*.png")}
    run()
    assert all((path.read_bytes(), path.stat().st_mtime_ns) == found for path, found in before.items())


@pytest.mark.parametrize("labelled", [(0,), (0, 39)])
def test_few_frames_are_held_at_a_time(filmed, run, monkeypatch, labelled):
    filmed(40, labelled)
    alive, most = weakref.WeakSet(), []

    class Counted(Frame):
        def __init__(self, rgb):
            super().__init__(rgb)
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr(job, "Frame", Counted)
    gc.collect()
    run(motion=make_motion("copy"), steps=40)
    assert len(most) >= 40
    assert max(most) <= 12
