"""The folder that `propagate` writes: what is finished, what is ours, and what a kill leaves behind."""

import numpy as np
import pytest

from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.manifest import Entry, Source, read_manifest
from segmend.data.masks import write_labels
from segmend.jobs import propagated_folder
from segmend.jobs.labelled_video import open_video
from segmend.jobs.propagated_folder import Made, PropagatedFolder
from segmend.jobs.propagation_plan import Plan

LABELS = np.ones((48, 72), np.uint8)


@pytest.fixture
def plan(filmed):
    data = filmed(3, labelled=(0,))
    return Plan(open_video(data / "frames", data / "labels"), "lp", steps=2, every=1)


@pytest.fixture
def opened(plan, tmp_path):
    """A function: the folder ``out``, started."""

    def start(made_with="copies", **options):
        folder = PropagatedFolder(
            tmp_path / "out", "train", "video", plan.video.masks.classes, made_with, **options
        )
        folder.start(plan)
        return folder

    return start


@pytest.fixture
def propagated(plan):
    return list(plan.targets())[1]


def made(target, inputs="1", labels=LABELS, displacement=None):
    if target.is_given:
        return Made(Entry(target.id, "train", target.id), inputs, labels, target.sequence.file(target.frame))
    entry = Entry(target.id, "train", target.id, (Source("00000", target.frame),), "copy", "lp", "copies")
    return Made(entry, inputs, labels, np.zeros((48, 72, 3), np.uint8), LABELS * 200, displacement)


def test_an_image_is_finished_when_all_of_it_is_there(opened, propagated):
    folder = opened()
    assert not folder.is_finished(propagated, "1")
    folder.write(made(propagated))
    assert not folder.is_finished(propagated, "1")  # what an earlier run finished
    again = opened()
    assert again.is_finished(propagated, "1")
    assert not again.is_finished(propagated, "2")
    assert not opened(overwrite=True).is_finished(propagated, "1")
    assert not opened(details=True).is_finished(propagated, "1")
    for kind in ("images", "labels", "confidence"):
        folder.write(made(propagated))
        folder.path(kind, propagated.id).unlink()
        assert not opened().is_finished(propagated, "1")


@pytest.mark.parametrize("step", ["write_labels", "write_arrays", "append_entry", "write_image"])
@pytest.mark.parametrize("is_again", [True, False])
def test_a_kill_between_any_two_files_leaves_an_image_that_is_made_again(
    opened, propagated, monkeypatch, step, is_again
):
    folder = opened(details=True)
    image = made(propagated, "2", displacement=np.zeros((2, 48, 72), np.float16))
    if is_again:
        folder.write(made(propagated, "1", displacement=np.ones((2, 48, 72), np.float16)))

    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(propagated_folder, step, killed)
        with pytest.raises(KeyboardInterrupt):
            folder.write(image)
    again = opened(details=True)
    assert not again.is_finished(propagated, "2")
    again.write(image)
    assert opened(details=True).is_finished(propagated, "2")


def test_a_frame_may_be_labelled_or_lose_its_label_between_runs(opened, plan, propagated):
    given = next(plan.targets())
    folder = opened(details=True)
    folder.write(made(given))
    folder.write(made(propagated, displacement=np.zeros((2, 48, 72), np.float16)))
    assert folder.path("images", given.id).read_bytes() == given.sequence.file(0).read_bytes()
    entry = Entry(propagated.id, "train", propagated.id)
    folder.write(Made(entry, "1", LABELS, np.zeros((48, 72, 3), np.uint8)))  # by hand now
    for kind, suffix in (("confidence", ".png"), ("details", ".npz")):
        assert not folder.path(kind, propagated.id, suffix).exists()
    again = opened()
    assert not again.is_finished(propagated, "1")
    again.write(made(propagated))
    assert opened().is_finished(propagated, "1")
    assert again.remade == 1


def test_one_image_of_an_id_is_left(opened, plan, tmp_path):
    folder, given = opened(), next(plan.targets())
    folder.write(made(given))
    write_image(tmp_path / "frame.jpg", np.zeros((48, 72, 3), np.uint8))
    folder.write(Made(Entry(given.id, "train", given.id), "2", LABELS, tmp_path / "frame.jpg"))
    assert [path.name for path in (tmp_path / "out" / "images" / "train").iterdir()] == ["00000.jpg"]


def test_other_ways_to_make_it_are_refused_unless_they_overwrite(opened, propagated):
    opened().write(made(propagated))
    with pytest.raises(InvalidFile, match="made with other weights or options"):
        opened("flow")
    assert not opened("flow", overwrite=True).is_finished(propagated, "1")


@pytest.mark.parametrize("kind", ["images", "labels", "confidence", "details"])
def test_files_of_others_are_never_replaced(opened, propagated, tmp_path, kind):
    path = tmp_path / "out" / kind / "train" / f"{propagated.id}{'.npz' if kind == 'details' else '.png'}"
    path.parent.mkdir(parents=True)
    if kind == "images":
        write_image(path, np.zeros((48, 72, 3), np.uint8))
    elif kind == "details":
        np.savez(path, displacement=np.zeros(3))
    else:
        write_labels(path, LABELS)
    for overwrite in (False, True):
        with pytest.raises(InvalidFile, match="was not written by this program"):
            opened(details=True, overwrite=overwrite)
    assert not (tmp_path / "out" / "manifest.jsonl").exists()


def test_data_sets_of_others_are_left_alone(plan, tmp_path):
    for root in (tmp_path / "theirs", tmp_path / "around"):
        root.mkdir()
        (root / "dataset.yaml").write_text("name: mine\nclasses: [a, b]\n")
    classes = plan.video.masks.classes
    with pytest.raises(InvalidFile, match="describes a data set that was not propagated"):
        PropagatedFolder(tmp_path / "theirs", "train", "video", classes, "copies").start(plan)
    with pytest.raises(InvalidFile, match="lies in images of the data set"):
        PropagatedFolder(tmp_path / "around" / "images" / "new", "train", "video", classes, "copies").start(plan)
    PropagatedFolder(tmp_path / "around" / "propagated", "train", "video", classes, "copies").start(plan)


@pytest.mark.parametrize("place", ["frames", "labels", "frames/below", "."])
def test_nothing_is_written_among_what_is_read(plan, tmp_path, place):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidFile, match="which is read: choose an output folder"):
        PropagatedFolder(tmp_path / place, "train", "video", plan.video.masks.classes, "copies").start(plan)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_manifest_holds_one_entry_of_each_image(opened, propagated, tmp_path):
    folder = opened()
    for _ in range(2):
        folder.write(made(propagated))
    assert list(read_manifest(tmp_path / "out")) == [("train", propagated.id)]
    assert list(folder.entries()) == [propagated.id]
