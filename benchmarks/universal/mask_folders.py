"""Folders whose masks are all off in one way, of the data sets."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmend.data.corruptions import blocky, fill_void, grow, grow_each, moved_by, polygons, ragged
from segmend.data.dataset import Dataset, open_dataset, pair_labels
from segmend.refiners import Refiner, load

sys.path[:0] = [str(Path(__file__).parents[1])]

from faces import PAIRS  # noqa: E402

IMAGES = 12
"""Images of each set, evenly spread."""

SETS = {
    "msrc21": "MSRC-21",
    "camvid": "CamVid",
    "fasseg_frontal": "FASSEG",
    "celebamask_hq_mini": "CelebAMask-HQ",
    "ccp_clothing": "clothing",
    "voc12_subset": "VOC 2012 subset",
    "davis": "DAVIS",
    "dubai_aerial": "satellite",
    "dsb2018_nuclei": "nuclei",
    "chase_vessels": "retina vessels",
    "pv_cells": "solar cells",
    "nasa_micrographs": "micrographs",
    "axon_sem": "nerve tissue",
    "coffee_leaves": "leaves",
}
"""Names by folder; the split ``val`` of each is scored."""

Corrupt = Callable[[Tensor, int, int], Tensor]
"""A mask without void, of the true one, the folder's largest class, and the number of the image."""

MIXTURE = ("eroded, 3 px", "dilated, 6 px", "polygons, 8 corners", "ground truth", "ragged", "shifted, 3 px")
KINDS: dict[str, Corrupt] = {
    "ground truth": lambda labels, largest, number: labels,
    **{f"eroded, {px} px": lambda labels, largest, number, px=px: grow(labels, -px, largest) for px in (3, 6, 9)},
    **{f"dilated, {px} px": lambda labels, largest, number, px=px: grow(labels, px, largest) for px in (3, 6, 9)},
    "each class eroded, 6 px": lambda labels, largest, number: grow_each(labels, -6),
    "each class dilated, 6 px": lambda labels, largest, number: grow_each(labels, 6),
    **{f"shifted, {px} px": lambda labels, largest, number, px=px: moved_by(labels, px, px) for px in (3, 6)},
    **{f"polygons, {n} corners": lambda labels, largest, number, n=n: polygons(labels, n) for n in (5, 8)},
    "ragged": lambda labels, largest, number: ragged(labels, 4, 12),
    "1/8 resolution": lambda labels, largest, number: blocky(labels, 8),
    "mixed kinds": lambda labels, largest, number: KINDS[MIXTURE[number % len(MIXTURE)]](labels, largest, number),
}


class Image(NamedTuple):
    image: np.ndarray
    truth: np.ndarray
    mask: Tensor


def opened(root: Path, split: str) -> Dataset:
    data = open_dataset(root, split)
    return data.merged(PAIRS) if root.name == "celebamask_hq_mini" else data


def folder_of(data: Dataset, kind: str) -> list[Image]:
    """Images of a set whose masks are off in one way."""
    records = list(data)
    found = []
    for index in np.unique(np.linspace(0, len(records) - 1, min(IMAGES, len(records))).astype(int)):
        image, truth = pair_labels(data, records[index])
        found.append((image, truth, fill_void(torch.from_numpy(truth))))
    counts = sum(labels.flatten().long().bincount(minlength=256) for _, _, labels in found)
    largest = int(torch.as_tensor(counts).argmax())
    images = []
    for number, (image, truth, labels) in enumerate(found):
        torch.manual_seed(number)
        images.append(Image(image, truth, KINDS[kind](labels, largest, number)))
    return images


def known(folder: Path, images: list[Image], **constants: float) -> Refiner:
    """The refiner in a folder, with other constants where some are given, which knows what it will refine."""
    network = load(str(folder))
    for name, value in constants.items():
        setattr(network, name, value)
    return network.of_folder([one.image for one in images], [one.mask.numpy() for one in images])
