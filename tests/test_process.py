"""What a program settles for its process: memory, waiting threads, and what is loaded when."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from segmend.process import M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD, keep_memory


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
        "from segmend.process import keep_memory\n"
        "keep_memory()\n"
        "block = torch.ones(50_000_000)\n"
        "before = resident()\n"
        "del block\n"
        "print(before - resident() < 100_000_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def started(environment: dict[str, str]) -> str:
    """How threads wait, as torch finds it when the command loads it."""
    code = (
        "import os, sys\n"
        "class Torch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            sys.exit(print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT')))\n"
        "sys.meta_path.insert(0, Torch())\n"
        "from segmend.__main__ import main\n"
        "sys.argv = ['segmend', 'doctor']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return done.stdout.strip()


def test_threads_wait_briefly_unless_the_user_says_otherwise():
    assert started({}) == "None 10000"
    assert started({"OMP_WAIT_POLICY": "active"}) == "active None"
    assert started({"GOMP_SPINCOUNT": "7"}) == "None 7"


def test_help_does_not_load_torch():
    code = (
        "import sys\n"
        "from segmend.__main__ import main\n"
        "sys.argv = ['segmend', 'refine', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--coarse" in done.stdout
    assert done.stdout.split()[-1] == "False"
