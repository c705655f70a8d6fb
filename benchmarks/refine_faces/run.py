"""Faces: refiners over the maps of a parser that sees 128 x 128 px, brought up to 256 x 256, as in ECN 4.3.

python benchmarks/refine_faces/run.py
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from segmend.data.dataset import open_dataset, write_description
from segmend.data.files import write_image, write_labels

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import COLUMNS, SHORTER, main  # noqa: E402

SIDE = 256
PAIRS = {part: (f"left_{part}", f"right_{part}") for part in ("eye", "brow", "ear")}
"""Left and right are one class: the source swaps them in one picture of fifteen."""

GROUPS = {"whole_mouth": ("mouth", "upper_lip", "lower_lip")}
PARTS = {
    "eyes": "eye",
    "brows": "brow",
    "nose": "nose",
    "in mouth": "mouth",
    "upper lip": "upper_lip",
    "lower lip": "lower_lip",
    "mouth all": "whole_mouth",
    "facial skin": "skin",
}
"""Columns of the paper's Table 4, and the class or group that each is the F-measure of."""


def prepare(source: Path, root: Path) -> Path:
    """The data set at 256 x 256 px with left and right merged; kept where it is there already."""
    if (root / "dataset.yaml").is_file():
        return root
    for split in ("train", "val"):
        dataset = open_dataset(source, split).merged(PAIRS)
        for record in dataset:
            image = cv2.resize(dataset.image(record), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            labels = cv2.resize(dataset.labels(record), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST_EXACT)
            write_image(root / "images" / split / f"{record.id}.png", image)
            write_labels(root / "labels" / split / f"{record.id}.png", np.asarray(labels), dataset.classes.palette)
    write_description(root, "faces", dataset.classes)
    return root


COMPARED = {"unet_small": SHORTER}

if __name__ == "__main__":
    parts = {f"F {title}": lambda s, name=name: s.f_measure[name] for title, name in PARTS.items()}
    columns = {"mIoU": COLUMNS["mIoU"], "trimap 3 px": COLUMNS["trimap 3 px"], **parts}
    main(HERE, "celebamask_hq_mini", COMPARED, prepare=prepare, groups=GROUPS, columns=columns)
