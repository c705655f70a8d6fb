"""Builds the native library beside the Python files; everything else is in pyproject.toml.

The library needs a C compiler and nothing of Python's, so one wheel serves every version of Python. Without a
compiler the package installs too: its operations run in plain PyTorch, and its wheel carries no platform tag. With
SEGMEND_RELEASE set the build fails instead.
"""

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

OPS = Path("segmend/ops")
# Products are not fused into sums, so that results are the same on every processor. Nothing traps floating-point
# errors: without that promise gcc vectorises selections and roundings, so every exponential, with AVX-512 only.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-trapping-math", "-fPIC", "-shared"]


@functools.cache
def compiled() -> Path | None:
    """The library in a temporary folder, compiled at the first call; None where it cannot be compiled."""
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)
    folder = tempfile.mkdtemp(prefix="segmend-build-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder, "_native.so")
    sources = sorted(map(str, Path("src", OPS, "csrc").glob("*.c")))
    try:
        if compiler is None:
            raise OSError("no C compiler (gcc or clang) was found")
        subprocess.run([*compiler.split(), *FLAGS, "-o", str(library), *sources, "-lm"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("SEGMEND_RELEASE"):
            raise SystemExit(f"the native library was not built: {error}") from error
        print(
            f"warning: operations will run in plain PyTorch, many times slower: {error}",
            file=sys.stderr,
        )
        return None
    return library


def glibc_of(library: bytes) -> str | None:
    """The oldest glibc that has all symbols which a library uses, as a wheel's tag names it: 2_17 or newer.

    None for a library that uses no symbols of glibc, but those of another C library.
    """
    used = {(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)}
    return "{}_{}".format(*max(used | {(2, 17)})) if used else None


class BuildWithLibrary(build_py):
    """Copies the library beside the Python files."""

    def run(self) -> None:
        super().run()
        target = Path("src" if self.editable_mode else self.build_lib, OPS, "_native.so")
        # An older build's library must not stay where this one fails, nor be overwritten while a process uses it.
        target.unlink(missing_ok=True)
        if (library := compiled()) is not None:
            shutil.copy(library, target)


class PlatformWheel(bdist_wheel):
    """A wheel for any Python: of this platform and the glibc it needs; without the library, of any platform."""

    @property
    def root_is_pure(self) -> bool:
        return compiled() is None

    @root_is_pure.setter
    def root_is_pure(self, value: bool | None) -> None:
        """Ignored: setuptools looks for extension modules, of which there are none."""

    def run(self) -> None:
        if not self.root_is_pure:
            self.distribution.has_ext_modules = lambda: True  # so that all files lie where auditwheel wants them
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        platform = super().get_tag()[2]
        library = compiled()
        if library is not None and platform.startswith("linux_") and (glibc := glibc_of(library.read_bytes())):
            platform = platform.replace("linux", f"manylinux_{glibc}", 1)
        return "py3", "none", platform


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
