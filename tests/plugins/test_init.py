"""What all plugins share."""

import doctest
import itertools
import subprocess
import sys

from segmend import plugins
from segmend.plugins import LOOKED_AT, looked_at, object_refiner


def test_the_refiner_is_loaded_once():
    assert object_refiner("guided") is object_refiner("guided")


def test_regions_are_looked_at_evenly_from_the_first_to_the_last():
    for count in (1, 2, LOOKED_AT, LOOKED_AT + 1, 1000):
        found = looked_at(count)
        assert len(found) == min(count, LOOKED_AT)
        assert (found[0], found[-1]) == (0, count - 1)
        steps = [after - before for before, after in itertools.pairwise(found)]
        assert not steps or max(steps) - min(steps) <= 1


def test_examples_give_what_they_show():
    assert doctest.testmod(plugins).failed == 0


def test_tools_that_look_for_plugins_load_no_torch():
    code = "import segmend.plugins.napari, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
