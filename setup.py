"""Builds the native library beside the Python files; everything else is in pyproject.toml.

It needs a C compiler and nothing of Python's: one wheel serves every version of Python. Without a compiler the
package installs too, and its operations run in plain PyTorch; with SEGMEND_RELEASE set the build fails instead.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

OPS = Path("segmend/ops")
# Products are not fused into sums, so that results are the same on every processor. Nobody traps floating-point
# errors: without that promise gcc vectorises choices and roundings, so every exponential, with AVX-512 alone.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-trapping-math", "-fPIC", "-shared"]


class BuildWithLibrary(build_py):
    def run(self) -> None:
        super().run()
        root = Path("src" if self.editable_mode else self.build_lib)
        compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)
        sources = sorted(map(str, Path("src", OPS, "csrc").glob("*.c")))
        try:
            if compiler is None:
                raise OSError("no C compiler (gcc or clang) was found")
            subprocess.run(
                [*compiler.split(), *FLAGS, "-o", str(root / OPS / "_native.so"), *sources, "-lm"], check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            if os.environ.get("SEGMEND_RELEASE"):
                raise SystemExit(f"the native library was not built: {error}") from error
            self.warn(f"segmend will run its operations in plain PyTorch, many times slower: {error}")


class PlatformWheel(bdist_wheel):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
