"""CelebAMask-HQ for the benchmarks of refiners: left and right parts merged, at one size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.masks import write_labels

PAIRS = {part: (f"left_{part}", f"right_{part}") for part in ("eye", "brow", "ear")}
"""Left and right are one class: the source swaps them in one image of fifteen."""

NARROW = "arguments.width=16"
"""Of `recipes/face_parser.yaml`, a sixteenth of the multiplications: dozens of trainings of the paper's width
would take two cores days."""

GROUPS = {"whole_mouth": ("mouth", "upper_lip", "lower_lip")}


def merged(source: Path, root: Path, side: int) -> Path:
    """The data set at `side` x `side` px with left and right merged; an existing one is kept."""
    if (root / "dataset.yaml").is_file():
        return root
    for split in ("train", "val"):
        dataset = open_dataset(source, split).merged(PAIRS)
        for record in dataset:
            image = cv2.resize(dataset.image(record), (side, side), interpolation=cv2.INTER_AREA)
            labels = cv2.resize(dataset.labels(record), (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
            write_image(root / "images" / split / f"{record.id}.png", image)
            write_labels(root / "labels" / split / f"{record.id}.png", np.asarray(labels), dataset.classes.palette)
    write_description(root, "faces", dataset.classes)
    return root
