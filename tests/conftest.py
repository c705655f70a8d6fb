"""What all tests share: one thread, so that small tensors are quick and results are the same everywhere."""

import os
from pathlib import Path

import numpy as np
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


@pytest.fixture(scope="session")
def scene():
    """A function: frame `number` of a video, ``uint8 [48, 72, 3]``, and its labels: a disc before a background.

    Both are textured. The background moves by one pixel from frame to frame, the disc by three the other way.
    """
    import cv2

    def texture(seed):
        noise = np.random.default_rng(seed).random((48, 172, 3), dtype=np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
        return (smooth - smooth.min()) / (smooth.max() - smooth.min())

    far, near = texture(0) * (200, 160, 90), 60 + texture(1) * (195, 80, 40)
    y, x = np.mgrid[:48, :72]

    def make(number):
        labels = ((y - 24) ** 2 + (x - 18 - 3 * number) ** 2 <= 12**2).astype(np.uint8)
        shown = np.where(
            labels[..., None], np.roll(near, 3 * number, axis=1)[:, :72], far[:, number : number + 72]
        )
        return shown.astype(np.uint8), labels

    return make


@pytest.fixture
def filmed(tmp_path, scene):
    """A function that writes frames 0 to `count` - 1 of `scene` and the labels of some, as PNG files.

    It gives their folder, with ``frames/00000.png`` and ``labels/00000.png``; both may lie in a subfolder `name`.
    """
    from segmend.data.images import write_image
    from segmend.data.masks import write_labels

    def write(count=9, labelled=(0, 4, 8), name=""):
        for number in range(count):
            image, labels = scene(number)
            write_image(tmp_path / "frames" / name / f"{number:05d}.png", image)
            if number in labelled:
                write_labels(tmp_path / "labels" / name / f"{number:05d}.png", labels)
        return tmp_path

    return write


@pytest.fixture
def write_review():
    """A function that writes images, coarse and refined label maps, as they are reviewed."""
    return _write_review


def _write_review(root, count=4, size=(60, 80)):
    """`count` images with palette masks; the refined map of image i has i + 1 squares of other classes.

    The refined map of the last image is its coarse map.
    """
    from segmend.data.images import write_image
    from segmend.data.masks import write_labels

    palette = ((20, 20, 20), (200, 60, 40), (60, 160, 220), (90, 200, 90))
    for index in range(count):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
        coarse = np.zeros(size, np.uint8)
        coarse[10:40, 15:50], coarse[50:] = 1, 255
        refined = coarse.copy()
        for k in range(index + 1 if index < count - 1 else 0):
            refined[5 + 14 * (k % 3) : 13 + 14 * (k % 3), 5 + 15 * (k // 3) : 12 + 15 * (k // 3)] = 2 + k % 2
        write_image(root / "images" / f"{index:02}.png", image)
        write_labels(root / "coarse" / f"{index:02}.png", coarse, palette)
        write_labels(root / "refined" / f"{index:02}.png", refined, palette)
    return root / "images", root / "coarse", root / "refined"
