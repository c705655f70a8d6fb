"""Class-uniform sampling (VPLR, after Rota Bulo et al.): crops centred on the pixels of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmend.data.dataset import Dataset
from segmend.data.files import InvalidFile


@dataclass(frozen=True)
class Centroid:
    """The mean position of a class's pixels in a tile of an image.

    Attributes:
        record: the image's number in the data set.
        y, x: in pixels from the top left corner of the image.
    """

    record: int
    y: float
    x: float


def centroids_in(labels: np.ndarray, num_classes: int, tile: int) -> list[tuple[int, float, float]]:
    """Class, y and x of the centroids in all tiles of a label map ``[H, W]``; void has none.

    Args:
        tile: side of the tiles in pixels, from the top left corner. The last ones may be smaller.
    """
    height, width = labels.shape
    across = -(-width // tile)
    valid = labels < num_classes
    y, x = np.nonzero(valid)
    key = (y // tile * across + x // tile) * num_classes + labels[valid]
    size = -(-height // tile) * across * num_classes
    counts = np.bincount(key, minlength=size)
    there = np.nonzero(counts)[0]
    means = [np.bincount(key, weights=place, minlength=size)[there] / counts[there] for place in (y, x)]
    return [(int(k % num_classes), float(v), float(u)) for k, v, u in zip(there, *means, strict=True)]


def find_centroids(dataset: Dataset, tile: int) -> list[list[Centroid]]:
    """The centroids of each class in the labelled records; a class that is in no image has none.

    Records whose labels cannot be read are skipped; sampling reports them.
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
