"""The pipeline: order, bounded memory, what is broken is listed, what is finished is kept."""

import errno
import threading
import time

import pytest

from segmend.data.files import InvalidFile
from segmend.jobs.pipeline import AHEAD, OutOfSpace, Pipeline
from segmend.jobs.progress import Silent
from segmend.labels import InvalidInput


def run(items, read=lambda i: i, work=lambda i, r: r, write=lambda i, m: None):
    return Pipeline(str, read, work, write).run(items, Silent())


def test_every_item_is_read_worked_and_written_in_order():
    written = []
    outcome = run(range(20), lambda i: i * i, lambda i, r: r + 1, lambda i, m: written.append((i, m)))
    assert written == [(i, i * i + 1) for i in range(20)]
    assert (outcome.done, outcome.kept, outcome.skipped) == (20, 0, [])
    assert set(outcome.seconds) == {"read", "network", "write", "waited", "total"}


@pytest.mark.parametrize("where", ["read", "work", "write"])
def test_a_broken_item_stops_nothing_and_is_listed(where):
    def break_seven(item, *rest):
        if item == 7:
            raise InvalidInput("seven is broken")
        return item

    written = []
    parts = {where: break_seven}
    if where != "write":
        parts["write"] = lambda i, m: written.append(i)
    outcome = run(range(10), **parts)
    assert outcome.done == 9
    assert [(s.file, s.reason) for s in outcome.skipped] == [("7", "seven is broken")]
    assert where == "write" or written == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_a_file_that_cannot_be_used_is_listed_by_its_own_name():
    def read(item):
        raise InvalidFile("masks/3.png", "the file is empty")

    assert [(s.file, s.reason) for s in run([3], read=read).skipped] == [("masks/3.png", "the file is empty")]


def test_what_the_reader_finds_finished_is_kept():
    worked, written = [], []
    outcome = run(
        range(6),
        read=lambda i: None if i % 2 == 0 else i,
        work=lambda i, r: worked.append(i),
        write=lambda i, m: written.append(i),
    )
    assert worked == written == [1, 3, 5]
    assert (outcome.done, outcome.kept) == (3, 3)


def test_a_full_disk_stops_the_run_and_says_what_to_do():
    def write(item, made):
        if item == 3:
            raise OSError(errno.ENOSPC, "No space left on device", "out/3.png")

    with pytest.raises(OutOfSpace, match=r"out/3\.png: no space left"):
        run(range(100), write=write)


def test_reading_runs_ahead_but_not_far():
    read, lock = [], threading.Lock()
    ahead = []

    def note(item):
        with lock:
            read.append(item)
        return item

    def work(item, _):
        time.sleep(0.002)
        ahead.append(len(read) - item)

    run(range(60), read=note, work=work)
    assert max(ahead) <= AHEAD + 2
    assert max(ahead[10:]) > 1


def test_an_interrupt_finishes_what_was_handed_over():
    written = []

    def work(item, read):
        if item == 5:
            raise KeyboardInterrupt
        return item

    with pytest.raises(KeyboardInterrupt):
        run(range(9), work=work, write=lambda i, m: (time.sleep(0.01), written.append(i)))
    assert written == [0, 1, 2, 3, 4]


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(range(3), work=lambda i, r: 1 / 0)
