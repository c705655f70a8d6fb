"""The names that `import segmend` gives, and the version of the installed package."""

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import segmend

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_the_package_lists_its_public_names_alone():
    assert sorted(dir(segmend)) == dir(segmend)
    assert set(dir(segmend)) == {
        *(
            "load",
            "refine",
            "refine_objects",
            "refine_region",
            "open_dataset",
            "Classes",
            "InvalidInput",
            "Refinement",
            "Refiner",
            "Segmenter",
        ),
        *("borders", "dual", "losses", "metrics", "ops", "tidy", "video", "__version__"),
    }
    for name in dir(segmend):
        assert getattr(segmend, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'refine_all'"):
        segmend.refine_all  # noqa: B018


HEAVY = ("torch", "numpy", "PIL", "cv2", "matplotlib", "pydantic", "kornia", "torchmetrics", "torchvision")


@pytest.mark.parametrize("use", ["import segmend; dir(segmend)", "from segmend.cli import app; app(['--help'])"])
def test_the_package_and_its_help_load_nothing_heavy(use):
    code = f"import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules)); {use}"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    _, _, loaded = result.stdout.rpartition("LOADED")
    assert "segmend" in loaded.split()
    assert not set(HEAVY) & set(loaded.split())


def test_submodules_are_reachable_and_torch_is_loaded_at_their_first_use():
    code = "import segmend, sys; segmend.losses.ConsensusLoss; segmend.metrics.MeanIoU; segmend.ops.scan4"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' in sys.modules"], check=True)


@pytest.mark.parametrize(
    "module", [segmend.dual, segmend.losses, segmend.metrics, segmend.ops, segmend.video], ids=lambda m: m.__name__
)
def test_submodules_list_their_public_names_alone(module):
    assert dir(module) == sorted(module.__all__)
    assert all(callable(getattr(module, name)) or name.isupper() for name in module.__all__)


def test_the_version_stands_in_one_place():
    assert "version" in tomllib.loads(PYPROJECT.read_text())["project"]["dynamic"]
    assert version("segmend") == segmend.__version__
