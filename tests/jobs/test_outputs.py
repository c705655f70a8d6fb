"""Notes and hashes: which files are ours, and which of them are still right."""

import os

import numpy as np
import pytest

from segmend.coding import Coding
from segmend.data.dataset import Record
from segmend.data.files import InvalidFile, check_writable_file, check_writable_folder
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import read_probabilities, write_arrays, write_probabilities
from segmend.jobs.maps import MapFolder
from segmend.jobs.outputs import INPUTS, check_outputs, fingerprint, hash_of, note_of
from segmend.labels import Classes
from segmend.refiners import ECN, DenseCRF, GuidedFilter


def test_a_hash_is_of_content_and_not_of_names_or_times(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"abc")
    two.write_bytes(b"abc")
    os.utime(two, (0, 0))
    assert hash_of(one) == hash_of(two)
    assert hash_of(one, None) != hash_of(one)
    two.write_bytes(b"abd")
    assert hash_of(one) != hash_of(two)
    assert hash_of(one, two) != hash_of(two, one)
    assert hash_of(tmp_path / "nowhere") == ""


def test_models_that_differ_have_other_fingerprints():
    classes = Classes.numbered(3)
    assert fingerprint(ECN(classes, "quarter")) != fingerprint(ECN(classes, "quarter"))  # of other weights
    assert fingerprint(GuidedFilter()) == fingerprint(GuidedFilter())
    assert (
        len({fingerprint(f) for f in (GuidedFilter(), GuidedFilter(9), DenseCRF(), DenseCRF(iterations=6))}) == 4
    )


def test_notes_stand_in_label_maps_and_arrays(tmp_path):
    labels, map_ = np.zeros((3, 4), np.uint8), np.full((2, 3, 4), 0.5, np.float32)
    write_labels(tmp_path / "a.png", labels, note="made so")
    write_probabilities(tmp_path / "a.npz", map_, note="made so")
    write_arrays(tmp_path / "b.npz", "made so", changed=labels)
    assert {note_of(tmp_path / name) for name in ("a.png", "a.npz", "b.npz")} == {"made so"}
    assert np.array_equal(read_probabilities(tmp_path / "a.npz"), map_)
    write_labels(tmp_path / "a.png", labels)
    write_probabilities(tmp_path / "a.npz", map_)
    (tmp_path / "b.npz").write_bytes(b"broken")
    assert {note_of(tmp_path / name) for name in ("a.png", "a.npz", "b.npz", "c.npz", "c.png")} == {""}


def test_what_may_be_written(tmp_path):
    ours, theirs = tmp_path / "ours.png", tmp_path / "theirs.png"
    write_labels(ours, np.zeros((3, 4), np.uint8), note=f"by A{INPUTS}123")
    write_labels(theirs, np.zeros((3, 4), np.uint8))
    check_outputs([(ours, "by A"), (tmp_path / "new.png", "by A")], [theirs])
    check_outputs([(ours, "by B")], [theirs], overwrite=True)
    for output, inputs, overwrite, words in (
        ((ours, "by B"), [], False, r"other weights or options \(by A; now by B\)"),
        ((theirs, "by A"), [], False, "not written by this program"),
        ((theirs, "by A"), [], True, "not written by this program"),
        ((ours, "by A"), [theirs, ours], True, "an input"),
    ):
        with pytest.raises(InvalidFile, match=words):
            check_outputs([output], inputs, overwrite)
    linked = tmp_path / "linked.png"
    linked.symlink_to(ours)
    with pytest.raises(InvalidFile, match="an input"):
        check_outputs([(ours, "by A")], [linked])


@pytest.mark.parametrize(
    ("ids", "expected"), [((7, 0, 9), [7, 0, 9, 255]), ((1000, 3, 2), [1000, 3, 2, 255]), (None, [0, 1, 2, 255])]
)
def test_label_files_hold_the_ids_that_are_asked_for(tmp_path, ids, expected):
    coding = None if ids is None else Coding(ids)
    folder, record = MapFolder(tmp_path, Classes.numbered(3), "by A", coding=coding), Record("a")
    maps = folder.new_maps("123", 1, 4)
    maps.labels[:] = [0, 1, 2, 255]
    folder.write(record, maps)
    assert read_labels(folder.path("labels", record))[0][0].tolist() == expected


def test_where_files_can_be_written(tmp_path):
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    check_writable_folder(tmp_path)
    check_writable_folder(tmp_path / "new" / "folder")
    check_writable_file(file)
    check_writable_file(tmp_path / "new" / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]
    for folder in (file, file / "below", tmp_path / "dangling"):
        with pytest.raises(InvalidFile, match="expected a folder"):
            check_writable_folder(folder)
    for folder in ("/proc/nowhere", tmp_path / ("long" * 100)):
        with pytest.raises(InvalidFile, match="cannot be written"):
            check_writable_folder(folder)
    with pytest.raises(InvalidFile, match="a folder, expected a file"):
        check_writable_file(tmp_path)
    with pytest.raises(InvalidFile, match="expected a folder"):
        check_writable_file(file / "below")
