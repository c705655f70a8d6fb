"""Calls of the native library from several threads."""

import threading
from functools import partial

import pytest
import torch

from segmend.ops import native


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_call_runs_once_and_several_at_a_time(two_threads):
    both = threading.Barrier(2, timeout=30)
    done = []

    def call(number):
        if number < 2:
            both.wait()  # each waits for the other
        done.append(number)
        return 0

    native.run_all(partial(call, number) for number in range(20))
    assert sorted(done) == list(range(20))


def test_the_caller_does_everything_where_helpers_start_late(two_threads):
    held, done = threading.Event(), []
    busy = native._pool(1).submit(held.wait, 30)
    try:
        native.run_all(partial(lambda number: done.append(number) or 0, number) for number in range(4))
    finally:
        held.set()
    assert busy.result()
    assert done == [0, 1, 2, 3]


@pytest.mark.parametrize(("code", "error"), [(native.NO_MEMORY, MemoryError), (native.OUT_OF_RANGE, ValueError)])
def test_the_return_code_of_a_call_is_raised(two_threads, code, error):
    with pytest.raises(error):
        native.run_all([lambda: 0, lambda: 0, lambda: code])
