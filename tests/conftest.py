"""What all tests share: one thread, so that small tensors are quick and results are the same everywhere."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton's kernels run on the CPU, line by line


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """The embedded data set, small: 12 training and 4 validation images of 96 x 64."""
    from segmend.data.synthetic import generate_dataset

    root = tmp_path_factory.mktemp("synthetic") / "data"
    generate_dataset(root, train=12, val=4, height=64, width=96)
    return root


@pytest.fixture(scope="session")
def coarse(synthetic):
    """Folder of coarse maps of the synthetic set, ``train`` and ``val``, made by corruption."""
    from segmend.data.dataset import open_dataset
    from segmend.jobs.demo import corrupt

    for split in ("train", "val"):
        corrupt(open_dataset(synthetic, split), synthetic.parent / "coarse" / split, seed=0, quiet=True)
    return synthetic.parent / "coarse"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says how to name it."""
    here = Path(os.environ.get("SEGMEND_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not here.is_dir():
        pytest.skip(f"real data not found in {here}: set SEGMEND_DATA to its folder")
    return here
