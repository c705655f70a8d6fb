"""Class-uniform sampling (VPLR, after Rota Bulo et al.): crops around places of each class, rare ones too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmend.data.dataset import Dataset
from segmend.data.files import InvalidFile


@dataclass(frozen=True)
class Centroid:
    """Where pixels of a class lie in a tile of an image: their mean, in pixels.

    Attributes:
        record: its number in the data set.
    """

    record: int
    y: float
    x: float


def centroids_in(labels: np.ndarray, num_classes: int, tile: int) -> list[tuple[int, float, float]]:
    """Class, y and x of each class's pixels in each tile of a label map ``[H, W]``; void has none.

    Tiles have sides of `tile` px from the top left corner; the last ones may be smaller, and so may an image.
    """
    height, width = labels.shape
    across = -(-width // tile)
    known = labels < num_classes
    y, x = np.nonzero(known)
    key = (y // tile * across + x // tile) * num_classes + labels[known]
    size = -(-height // tile) * across * num_classes
    counts = np.bincount(key, minlength=size)
    there = np.nonzero(counts)[0]
    means = [np.bincount(key, weights=place, minlength=size)[there] / counts[there] for place in (y, x)]
    return [(int(k % num_classes), float(v), float(u)) for k, v, u in zip(there, *means, strict=True)]


def find_centroids(dataset: Dataset, tile: int) -> list[list[Centroid]]:
    """The centroids of each class over the labelled records; a class that no image holds has none.

    Records whose labels cannot be read are skipped: sampling meets and names them.
    """
    found: list[list[Centroid]] = [[] for _ in dataset.classes.names]
    for number, record in enumerate(dataset):
        if record.labels is None:
            continue
        try:
            labels = dataset.labels(record)
        except InvalidFile:
            continue
        for label, y, x in centroids_in(labels, len(dataset.classes), tile):
            found[label].append(Centroid(number, y, x))
    return found
