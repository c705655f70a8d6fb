"""What `make dist` built installs into an empty environment without a compiler, and works there.

Libraries are taken from the environment of the tests; the package itself from the new one alone.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import segmend

pytestmark = pytest.mark.dist

DIST = Path(__file__).parents[1] / "dist"
VERSION = segmend.__version__
WHEELS = {"native": f"segmend-{VERSION}-py3-none-*_*.whl", "pure": f"segmend-{VERSION}-py3-none-any.whl"}
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SEGMEND_RELEASE", "SEGMEND_REFERENCE")}

USE = """
import json, warnings
import numpy as np, segmend
from segmend.ops import native

warnings.simplefilter("ignore")  # of the slow reference
y, x = np.mgrid[:96, :128]
disc = (y - 48) ** 2 + (x - 64) ** 2 < 30 ** 2
image = np.where(disc[..., None], (200, 60, 40), (60, 90, 160)).astype(np.uint8)
mask = np.roll(disc, 5, axis=1).astype(np.uint8)
refined = segmend.refine(image, mask, border_error_px=5)
wrong = [int((labels != disc).sum()) for labels in (mask, refined)]
print(json.dumps({"home": segmend.__file__, "wrong": wrong, "native": native.library() is not None}))
"""


def only(pattern: str) -> Path:
    (file,) = DIST.glob(pattern)
    return file


@pytest.fixture
def installed(tmp_path):
    """A function: a Python with a file installed and no compiler in reach, as a function of its arguments."""
    home = tmp_path / "environment"
    python = home / "bin" / "python"
    venv.create(home, symlinks=True)
    inside = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    (inside / "libraries.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files are not followed

    def run(*command: str | Path) -> str:
        environment = CLEAN | {"PATH": str(home / "bin"), "CC": "false"}
        result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def install(file: Path):
        # --ignore-installed: else pip would look at the package in the libraries of the tests
        pip = (sys.executable, "-m", "pip", "--python", python, "install", "--ignore-installed", "--no-index")
        run(*pip, "--no-deps", "--no-build-isolation", file)
        return lambda *arguments: run(python, *arguments)

    return install


@pytest.mark.parametrize("kind", WHEELS)
def test_a_wheel_refines_without_a_compiler(kind, installed, tmp_path):
    python = installed(only(WHEELS[kind]))
    found = json.loads(python("-c", USE))
    assert found["home"].startswith(str(tmp_path))
    assert found["native"] == (kind == "native")
    before, after = found["wrong"]
    assert after < before / 2
    if kind == "pure":
        assert "plain PyTorch" in python("-m", "segmend", "doctor")


def test_the_sdist_installs_without_a_compiler(installed, tmp_path):
    python = installed(only(f"segmend-{VERSION}.tar.gz"))
    home, version = python("-c", "import segmend; print(segmend.__file__, segmend.__version__)").split()
    assert home.startswith(str(tmp_path))
    assert version == VERSION
    assert "refine" in python("-m", "segmend", "--help")


def test_both_wheels_hold_the_same_but_for_the_library_and_the_sdist_its_sources():
    contents = {}
    for kind, pattern in WHEELS.items():
        with zipfile.ZipFile(only(pattern)) as wheel:
            contents[kind] = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert contents["native"] - contents["pure"] == {"segmend/ops/_native.so"}
    assert contents["pure"] < contents["native"]
    with tarfile.open(only(f"segmend-{VERSION}.tar.gz")) as archive:
        names = {name.partition("/")[2].removeprefix("src/") for name in archive.getnames()}
    sources = {f"segmend/ops/csrc/{path.name}" for path in (DIST.parent / "src/segmend/ops/csrc").iterdir()}
    assert contents["pure"] | sources <= names
    assert not any(name.startswith("tests/") for name in names)
