"""Where networks run, and what a program may ask of its memory."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from segmend.devices import M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD, keep_memory


def test_three_options_are_set_where_the_c_library_has_them(monkeypatch):
    asked = []
    found = SimpleNamespace(mallopt=lambda option, value: asked.append((option, value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: found)
    keep_memory()
    assert [option for option, _ in asked] == [M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD]
    assert dict(asked)[M_MMAP_MAX] == 0
    del found.mallopt
    keep_memory()  # another C library
    assert len(asked) == 3


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
    code = (
        "import sys, torch, segmend, segmend.jobs.refine\n"
        "segmend.load('universal').refine(torch.rand(3, 40, 40), torch.randint(3, (40, 40)))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
