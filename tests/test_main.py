import subprocess
import sys


def started(environment: dict[str, str]) -> str:
    """How threads wait, as torch finds it when the command loads it."""
    code = (
        "import os, sys\n"
        "class Torch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            sys.exit(print(os.environ['OMP_WAIT_POLICY']))\n"
        "sys.meta_path.insert(0, Torch())\n"
        "from segmend.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return done.stdout.strip()


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise():
    assert started({}) == "passive"
    assert started({"OMP_WAIT_POLICY": "active"}) == "active"
