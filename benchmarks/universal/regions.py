"""Label maps of regions of one colour, which any photograph has, in random classes.

Their borders lie on edges of the image, at every size down to a few pixels. They are examples of borders on edges
and of small regions that stay, which label maps of objects rarely hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.segmentation import felzenszwalb

from segmend.data.description import write_description
from segmend.data.files import find_files
from segmend.data.images import read_image, write_image
from segmend.data.masks import write_labels
from segmend.labels import Classes

CLASSES = Classes(tuple(f"region {number}" for number in range(5)))
SCALES = (100.0, 2000.0)
"""Range of the scale of regions in Felzenszwalb and Huttenlocher, Efficient Graph-Based Image Segmentation."""


def write_regions(images: Path, root: Path, count: int, seed: int = 0) -> None:
    """A data set whose split ``train`` is `count` images of a folder, evenly spread, with regions for labels."""
    files = list(find_files(images, (".jpg", ".png")).items())
    for number, (name, file) in enumerate(files[:: max(1, len(files) // count)][:count]):
        image = read_image(file)
        write_image(root / "images" / "train" / f"{name}.png", image)
        labels = regions(image, np.random.default_rng((seed, number)))
        write_labels(root / "labels" / "train" / f"{name}.png", labels, CLASSES.palette)
    write_description(root, "regions", CLASSES, source="images of the VOC 2012 subset, labelled by a script")


def regions(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels ``uint8 [H, W]`` of an image ``uint8 [H, W, 3]``: regions, each in one of 2 to 5 classes."""
    low, high = np.log(SCALES)
    scale = float(np.exp(rng.uniform(low, high)))
    found = felzenszwalb(image, scale=scale, sigma=0.8, min_size=int(scale / 4))
    used = rng.integers(2, len(CLASSES) + 1)
    return rng.integers(used, size=found.max() + 1).astype(np.uint8)[found]
