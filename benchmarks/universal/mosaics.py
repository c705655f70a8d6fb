"""Mosaics of small images, with the maps of a segmenter that was not trained on them.

A mosaic has many classes and objects that are small beside the blur of their coarse maps, like faces and streets.
Images of one object hold too few regions of that kind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from segmend.data.dataset import Dataset, open_dataset, pair_labels
from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.jobs.predict import PredictOptions, predict

SIDE = 384
TILES = (2, 3)
"""Images in a row, and in a column."""


def write_mosaics(images: Path, segmenter: Path, root: Path, count: int, seed: int = 0) -> None:
    """A data set whose split ``train`` is `count` mosaics, and their coarse maps in ``coarse/probs``.

    Args:
        images: a data set whose split ``train`` has labels.
        segmenter: what ``segmend train --folds`` made of it: a mosaic's images are of one fold, and its coarse
            map is by the segmenter of that fold, which was not trained on them.
    """
    dataset = open_dataset(images, "train")
    folds = sorted((segmenter / "folds").iterdir(), key=lambda folder: int(folder.name))
    write_description(root, "mosaics", dataset.classes, source=f"images of {dataset.name}, combined by a script")
    for number in range(count):
        _, part = dataset.fold(number % len(folds), len(folds))
        image, labels = mosaic(part, np.random.default_rng((seed, number)))
        name = f"{number % len(folds)}_{number:04d}.png"
        write_image(root / "images" / "train" / name, image)
        write_labels(root / "labels" / "train" / name, labels, dataset.classes.palette)
    mosaics = open_dataset(root, "train")
    for index, folder in enumerate(folds):
        own = mosaics.subset({r.id for r in mosaics.records if r.id.startswith(f"{index}_")})
        predict(folder, own, root / "coarse", PredictOptions(probs=True))


def mosaic(images: Dataset, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image ``uint8 [SIDE, SIDE, 3]`` and labels ``uint8 [SIDE, SIDE]`` of random images side by side."""
    tiles = int(rng.choice(TILES))
    side = SIDE // tiles
    image, labels = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    for place, number in enumerate(rng.choice(len(images), tiles**2, replace=False)):
        rows, columns = (slice(at * side, (at + 1) * side) for at in divmod(place, tiles))
        pixels, truth = (torch.from_numpy(a) for a in pair_labels(images, images.records[number]))
        small = F.resize(pixels.permute(2, 0, 1), [side], antialias=True)
        nearest = InterpolationMode.NEAREST_EXACT
        image[rows, columns] = F.center_crop(small, [side]).permute(1, 2, 0)
        labels[rows, columns] = F.center_crop(F.resize(truth[None], [side], interpolation=nearest), [side])[0]
    return image, labels
