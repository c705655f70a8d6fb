from __future__ import annotations

from pathlib import Path

import pytest

from segmend.data.files import InvalidFile
from segmend.data.manifest import MANIFEST, Entry, Source, append_entry, read_manifest

PROPAGATED = Entry(
    "a/0003",
    "train",
    "a/0003",
    (Source("a/0001", 2), Source("a/0004", -1)),
    "learned",
    "lp",
    "motion",
    0.9,
    {"sky": (8, 10), "car": (2, 10)},
)


def test_entries_come_back_the_last_of_each_image(tmp_path: Path) -> None:
    given = Entry("a/0001", "train", "a/0001")
    append_entry(tmp_path, given)
    append_entry(tmp_path, Entry("a/0003", "train", "a/0003"))
    append_entry(tmp_path, PROPAGATED)
    assert read_manifest(tmp_path) == {("train", "a/0001"): given, ("train", "a/0003"): PROPAGATED}
    assert (given.distance, PROPAGATED.distance) == (0, 1)
    assert (given.labelled, PROPAGATED.labelled) == (("a/0001",), ("a/0004", "a/0001"))
    assert (given.kept_share, PROPAGATED.kept_share) == (1, 0.5)


def test_a_line_that_a_kill_cut_off_is_left_out_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    append_entry(tmp_path, PROPAGATED)
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"id": "a/00')
    assert list(read_manifest(tmp_path)) == [("train", "a/0003")]
    append_entry(tmp_path, Entry("a/0001", "train", "a/0001"))
    assert list(read_manifest(tmp_path)) == [("train", "a/0003"), ("train", "a/0001")]
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write('{"id": "é'.encode()[:-1])
    append_entry(tmp_path, Entry("é/0001", "train", "é/0001"))
    assert list(read_manifest(tmp_path))[1:] == [("train", "a/0001"), ("train", "é/0001")]


def test_a_folder_without_a_manifest_has_no_entries(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == {}


def test_lines_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"name": 1}\n')
    with pytest.raises(InvalidFile, match="line 1"):
        read_manifest(tmp_path)
