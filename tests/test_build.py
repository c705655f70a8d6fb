"""What a build puts into wheels, and the tags of these; a stand-in for the compiler writes names of symbols."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

STAND_IN = """
import sys
with open(sys.argv[sys.argv.index("-o") + 1], "w") as library:
    library.write("memcpy@GLIBC_2.14 expf@GLIBC_2.27 floor@GLIBC_2.2.5")
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of what a build reads."""
    copy = tmp_path / "tree"
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        copy.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    leave = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", copy / "src", ignore=leave)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return copy


def build(tree: Path, hook: str, compiler: str) -> Path:
    """The wheel that a hook of setuptools builds."""
    out = tree.parent / "out"
    code = f"import setuptools.build_meta as b; b.{hook}({str(out)!r})"
    environment = {k: v for k, v in os.environ.items() if k not in ("SEGMEND_RELEASE", "PYTHONPATH")}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment | {"CC": compiler}, check=True, capture_output=True
    )
    (wheel,) = out.glob("*.whl")
    return wheel


def works(tree: Path) -> str:
    return f"{sys.executable} {tree.parent / 'stand_in.py'}"


def test_a_wheel_of_a_platform_holds_library_recipes_weights_templates_and_licences(tree):
    wheel = build(tree, "build_wheel", works(tree))
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    if sys.platform == "linux":
        assert "-manylinux_2_27_" in wheel.name, "the newest version of glibc that the library names"
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        licences = {name.rpartition("dist-info/licenses/")[2] for name in names if "dist-info/licenses/" in name}
    notices = {str(path.relative_to(ROOT)) for path in ROOT.glob("src/segmend/*/weights/*/NOTICE")}
    assert licences == {"LICENSE"} | notices
    source = ROOT / "src" / "segmend"
    wanted = [source / "py.typed", *source.glob("recipes/*.yaml"), *source.glob("report/templates/*")]
    wanted += [*source.glob("*/weights/*/*"), source / "plugins" / "napari" / "napari.yaml"]
    assert len(wanted) > 20
    assert {str(path.relative_to(source.parent)) for path in wanted} | {"segmend/ops/_native.so"} <= names
    assert not any("csrc" in name for name in names)


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_without_the_library_a_wheel_is_of_any_platform(tree, hook):
    older = [tree / "build/lib/segmend/ops/_native.so", tree / "src/segmend/ops/_native.so"]
    for library in older:
        library.parent.mkdir(parents=True, exist_ok=True)
        library.touch()
    wheel = build(tree, hook, "false")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as content:
        assert not any(name.endswith(".so") for name in content.namelist())
        tags = next(n for n in content.namelist() if n.endswith("dist-info/WHEEL"))
        assert "Root-Is-Purelib: true\nTag: py3-none-any" in content.read(tags).decode()
    if hook == "build_editable":
        assert not older[1].exists(), "a library of other sources must not be loaded"


def test_a_release_is_refused_without_the_library(tree):
    code = "import setuptools.build_meta as b; b.build_wheel('out')"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env=os.environ | {"CC": "false", "SEGMEND_RELEASE": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "the native library was not built" in result.stderr
