"""The figure of folders of masks before and after, by weights that never saw these sets.

python benchmarks/universal/figure.py
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparison import DATA  # noqa: E402
from mask_folders import SETS, folder_of, known, opened  # noqa: E402
from masks import PARTS, constants_of, trained  # noqa: E402

from segmend.data.images import write_image  # noqa: E402

SHOWN = (
    ("davis", "eroded, 6 px", 5),
    ("dsb2018_nuclei", "dilated, 6 px", 3),
    ("nasa_micrographs", "shifted, 6 px", 8),
    ("coffee_leaves", "each class dilated, 6 px", 2),
    ("chase_vessels", "dilated, 6 px", 6),
)
"""Set, kind of masks, and the number of the image: pairs of an image with the folder's mask, and refined."""

SIDE, SCALE = 150, 2
"""Pixels of a square of the image around its borders, and how much it is enlarged."""

COLOUR = (255, 40, 40)


def outlined(image: np.ndarray, labels: np.ndarray, square: tuple[slice, slice]) -> np.ndarray:
    """A square of an image with the borders of a mask, enlarged."""
    size = SIDE * SCALE, SIDE * SCALE
    large = cv2.resize(image[square], size, interpolation=cv2.INTER_CUBIC)
    ids = cv2.resize(labels[square], size, interpolation=cv2.INTER_NEAREST)
    border = np.zeros(ids.shape, np.uint8)
    border[1:] |= ids[1:] != ids[:-1]
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    large[cv2.dilate(border, np.ones((3, 3), np.uint8)) > 0] = COLOUR
    return large


def square_of(labels: np.ndarray) -> tuple[slice, slice]:
    """The square that holds most borders."""
    border = np.zeros(labels.shape, np.float32)
    border[1:] += labels[1:] != labels[:-1]
    border[:, 1:] += labels[:, 1:] != labels[:, :-1]
    sums = cv2.boxFilter(border, -1, (SIDE, SIDE), normalize=False, borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(sums.argmax(), sums.shape)
    top, left = (int(np.clip(at - SIDE // 2, 0, n - SIDE)) for at, n in zip((y, x), labels.shape, strict=True))
    return slice(top, top + SIDE), slice(left, left + SIDE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw folders of masks before and after.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the trainings")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = {part: trained(arguments.runs, arguments.data, 0, [], part) for part in (*PARTS, ())}
    constants = constants_of(folders, arguments.data)
    columns = []
    for name, kind, number in SHOWN:
        part = next(part for part in PARTS if name in part)
        data = opened(arguments.data / name, "val")
        images = folder_of(data, kind)
        refiner = known(folders[part], images, **constants._asdict())
        one = images[number]
        refined = refiner.refine(one.image, one.mask, len(data.classes)).labels.numpy()
        square = square_of(one.mask.numpy())
        columns.append(np.vstack([outlined(one.image, map_, square) for map_ in (one.mask.numpy(), refined)]))
        print(SETS[name], kind)
    gap = np.full((columns[0].shape[0], 8, 3), 255, np.uint8)
    figure = np.hstack([part for column in columns for part in (column, gap)][:-1])
    write_image(HERE.parents[1] / "docs" / "how_to" / "refine_any_masks.png", figure)


if __name__ == "__main__":
    main()
