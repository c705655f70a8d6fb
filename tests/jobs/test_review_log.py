"""The log of decisions: what is on disk, what a killed process leaves, and what is refused."""

import json

import pytest

from segmend.data.files import InvalidFile
from segmend.jobs.review_log import DecisionLog
from segmend.review import Decision

ALL, NONE, PART = Decision(3, (1, 2, 3)), Decision(3), Decision(3, (2,), (1,))


@pytest.fixture
def log(tmp_path):
    log = DecisionLog(tmp_path / "out" / "decisions.jsonl")
    log.open(tmp_path / "images", tmp_path / "coarse", tmp_path / "refined")
    yield log
    log.close()


def test_the_last_decision_on_an_image_holds_and_an_empty_one_takes_it_back(log, tmp_path):
    for identity, decision in (("a", ALL), ("ä/b", PART), ("c", ALL), ("a", PART), ("c", NONE)):
        log.add(identity, "hash", decision)
    again = DecisionLog(log.path)
    assert {i: one.decision for i, one in again.decisions.items()} == {"a": PART, "ä/b": PART}
    assert again.opened.paths == {name: tmp_path / name for name in ("images", "coarse", "refined")}
    assert len(log.path.read_bytes().splitlines()) == 6


def test_half_a_line_at_the_end_is_left_out_with_a_note_and_removed(log, tmp_path):
    log.add("a", "hash", ALL)
    log.add("b", "hash", PART)
    log.close()
    content = log.path.read_bytes()
    whole = content[: content.rindex(b"\n", 0, -1) + 1]
    for cut in range(len(whole) + 1, len(content)):
        log.path.write_bytes(content[:cut])
        found = DecisionLog(log.path)
        assert set(found.decisions) == {"a"}
        assert "was not written to its end" in found.notes[0]
    found.open(tmp_path / "images", tmp_path / "coarse", tmp_path / "refined")
    found.add("c", "hash", ALL)
    found.close()
    again = DecisionLog(log.path)
    assert set(again.decisions) == {"a", "c"}
    assert not again.notes
    assert log.path.read_bytes().startswith(whole)


def test_two_reviews_do_not_write_into_one_folder(log, tmp_path):
    with pytest.raises(InvalidFile, match="another review has it open"):
        DecisionLog(log.path).open(tmp_path, tmp_path, tmp_path)
    log.add("a", "hash", ALL)
    assert set(DecisionLog(log.path).decisions) == {"a"}


def test_other_folders_are_written_down_and_the_last_ones_hold(log, tmp_path):
    log.close()
    for name in ("coarse", "moved", "moved"):
        again = DecisionLog(log.path)
        again.open(tmp_path / "images", tmp_path / name, tmp_path / "refined")
        again.close()
    assert DecisionLog(log.path).opened.coarse == str(tmp_path / "moved")
    assert len(log.path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON",
        b"[]",
        b'{"kind":"decided","id":"a"}',
        b'{"kind":"other"}',
        b'{"kind":"decided","id":"a","inputs":"h","regions":2,"accepted":[3],"kept":[]}',
    ],
)
def test_a_line_of_somebody_else_is_refused_with_its_number(log, line):
    log.add("a", "hash", ALL)
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(InvalidFile, match="line 3: expected a decision of segmend review"):
        DecisionLog(log.path)


def test_a_newer_log_is_refused(log):
    line = {"kind": "opened", "schema_version": 99, "version": "9", "images": "", "coarse": "", "refined": ""}
    log.path.write_text(json.dumps(line) + "\n")
    with pytest.raises(InvalidFile, match="newer version"):
        DecisionLog(log.path)


def test_a_full_disk_leaves_no_half_line(log, monkeypatch):
    log.add("a", "hash", ALL)
    before = log.path.read_bytes()

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            return self.file.write(content[:5])

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(log, "_file", Full(log._file))
    with pytest.raises(OSError, match="No space left"):
        log.add("b", "hash", ALL)
    assert log.path.read_bytes() == before
    assert set(log.decisions) == {"a"}
