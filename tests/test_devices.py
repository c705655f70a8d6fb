"""Where networks run, and what a program may ask of its memory."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from segmend.devices import keep_memory


def test_a_c_library_without_such_options_is_left_alone(monkeypatch):
    for found in (SimpleNamespace(), None):
        monkeypatch.setattr(ctypes, "CDLL", lambda name, found=found: found)
        keep_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_freed_memory_stays_with_the_process():
    measure = (
        "import torch\n"
        "def resident():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "from segmend.devices import keep_memory\n"
        "keep_memory()\n"
        "block = torch.ones(50_000_000)\n"
        "before = resident()\n"
        "del block\n"
        "print(before - resident() < 100_000_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_refining_loads_no_more_than_it_needs():
    """Torchvision and torch's compiler take seconds and 200 MB, and are for training."""
    heavy = ("torchvision", "torch._dynamo", "kornia", "matplotlib")
    code = f"import sys, segmend.jobs.refine\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
