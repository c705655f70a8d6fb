"""Masks of single objects: refined each on its crop, beside the whole map with all objects of an image in it.

python benchmarks/universal/objects.py --runs RUNS

RUNS holds the refiners that `masks.py` trained. Each set is refined by one that was not trained on it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparison import DATA  # noqa: E402
from mask_folders import SETS  # noqa: E402
from masks import PARTS as LEFT_OUT  # noqa: E402
from masks import constants_of, trained  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import objects  # noqa: E402

from segmend.data.corruptions import fill_void, grow, moved_by, polygons  # noqa: E402
from segmend.data.dataset import open_dataset, pair_labels  # noqa: E402
from segmend.refiners import BorderNetwork, load  # noqa: E402
from segmend.refiners.objects import ObjectRefiner  # noqa: E402

NAMES = (
    "voc12_subset",
    "coffee_leaves",
    "dsb2018_nuclei",
    "pv_cells",
    "ccp_clothing",
    "fasseg_frontal",
    "dubai_aerial",
)
"""Sets whose training split is scored: the scale was chosen on the other one of some."""

IMAGES, OF_IMAGE, SMALLEST = 16, 8, 100
"""Images of each set, objects of each image, pixels of an object."""

Corrupt = Callable[[Tensor, int], Tensor]


def _side(mask: Tensor) -> float:
    return float(mask.sum()) ** 0.5


MIXTURE = ("eroded, 3 px", "dilated, 6 px", "polygons, 8 corners", "ground truth", "dilated, a tenth of its size")
KINDS: dict[str, Corrupt] = {
    "ground truth": lambda mask, number: mask,
    "eroded, 3 px": lambda mask, number: grow(mask, -3, 0),
    "eroded, 6 px": lambda mask, number: grow(mask, -6, 0),
    "dilated, 6 px": lambda mask, number: grow(mask, 6, 0),
    "shifted, 3 px": lambda mask, number: moved_by(mask, 3, 3),
    "eroded, a tenth of its size": lambda mask, number: grow(mask, -_side(mask) / 10, 0),
    "dilated, a tenth of its size": lambda mask, number: grow(mask, _side(mask) / 10, 0),
    "polygons, 8 corners": lambda mask, number: polygons(mask, 8),
    "mixed kinds": lambda mask, number: KINDS[MIXTURE[number % len(MIXTURE)]](mask, number),
}


class Object(NamedTuple):
    truth: np.ndarray
    mask: np.ndarray


class Image(NamedTuple):
    image: np.ndarray
    valid: np.ndarray
    objects: list[Object]


def images_of(root: Path, kind: str, split: str = "train") -> list[Image]:
    """Images with masks of their objects: connected parts of all classes but the largest."""
    data = open_dataset(root, split)
    records = [record for record in data if record.labels is not None]
    read = []
    for index in np.unique(np.linspace(0, len(records) - 1, min(IMAGES, len(records))).astype(int)):
        image, labels = pair_labels(data, records[index])
        read.append((image, labels != 255, fill_void(torch.from_numpy(labels)).numpy()))
    counts = sum(np.bincount(labels.ravel(), minlength=256) for _, _, labels in read)
    largest = int(np.asarray(counts).argmax())
    found, number = [], 0
    for image, valid, labels in read:
        kept = []
        for truth in _parts(labels, largest):
            mask = KINDS[kind](torch.from_numpy(truth.astype(np.uint8)), number).numpy() > 0
            number += 1
            if mask.any():
                kept.append(Object(truth, mask))
        if kept:
            found.append(Image(image, valid, kept))
    return found


def _parts(labels: np.ndarray, largest: int) -> list[np.ndarray]:
    parts = []
    for class_id in np.unique(labels):
        if class_id != largest:
            count, numbered = cv2.connectedComponents((labels == class_id).astype(np.uint8))
            parts += [numbered == one for one in range(1, count) if (numbered == one).sum() >= SMALLEST]
    parts.sort(key=lambda part: -int(part.sum()))
    if not parts:
        return []
    return [parts[i] for i in np.unique(np.linspace(0, len(parts) - 1, min(OF_IMAGE, len(parts))).astype(int))]


def iou(mask: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    both, either = (mask & truth & valid).sum(), ((mask | truth) & valid).sum()
    return float(both / either) if either else 1.0


def scored(name: str, kind: str, network: BorderNetwork, root: Path) -> dict[str, object]:
    """Figures of one set and kind."""
    images = images_of(root / name, kind)
    before = [iou(one.mask, one.truth, image.valid) for image in images for one in image.objects]
    all_objects = [(image.image, one.mask) for image in images for one in image.objects]
    every = max(1, len(all_objects) // 64)
    method = ObjectRefiner(network).of_folder(all_objects[::every])
    start, alone, expected = time.perf_counter(), [], []
    for image in images:
        for one in image.objects:
            refined = method.refine(image.image, one.mask)
            alone.append(iou(refined.mask, one.truth, image.valid))
            expected.append(refined.expected_iou)
    seconds = time.perf_counter() - start
    maps = [_map(image) for image in images]
    known = network.of_folder([image.image for image in images], maps)
    start, whole = time.perf_counter(), []
    for image, map_ in zip(images, maps, strict=True):
        labels = known.refine(image.image, map_, len(image.objects) + 1).labels.numpy()
        whole += [iou(labels == i, one.truth, image.valid) for i, one in enumerate(image.objects, 1)]
    of_maps = time.perf_counter() - start
    gain = np.array(alone) - np.array(before)
    return {
        "set": SETS[name],
        "masks": kind,
        "objects": len(before),
        "before": 100 * float(np.mean(before)),
        "refined": 100 * float(np.mean(alone)),
        "whole maps": 100 * float(np.mean(whole)),
        "degraded": 100 * float((gain < -0.005).mean()),
        "object side": method.side,
        "expected": 100 * float(np.mean(expected)),
        "rank correlation": float(spearmanr(expected, alone).statistic) if np.ptp(alone) > 0 else None,
        "seconds": seconds,
        "seconds of whole maps": of_maps,
    }


def _map(image: Image) -> np.ndarray:
    """All objects in one map, the smaller ones on top."""
    found = np.zeros(image.valid.shape, np.uint8)
    for number in sorted(range(len(image.objects)), key=lambda number: -int(image.objects[number].mask.sum())):
        found[image.objects[number].mask] = number + 1
    return found


def large_image(network: BorderNetwork, root: Path) -> dict[str, float]:
    """Seconds for the objects of one image, alone and as part of a mosaic of 16 images."""
    image = images_of(root / "davis", "eroded, 6 px", "val")[0]
    height, width = image.valid.shape
    mosaic = np.tile(image.image, (4, 4, 1))
    masks = [np.zeros(mosaic.shape[:2], bool) for _ in image.objects]
    for mask, one in zip(masks, image.objects, strict=True):
        mask[:height, :width] = one.mask
    method = ObjectRefiner(network)
    found = {}
    for what, pixels, given in (
        ("alone", image.image, [one.mask for one in image.objects]),
        ("mosaic", mosaic, masks),
    ):
        start = time.perf_counter()
        for mask in given:
            method.refine(pixels, mask)
        found[f"{what}, objects"] = time.perf_counter() - start
        map_ = np.zeros(pixels.shape[:2], np.uint8)
        for number, mask in enumerate(given, 1):
            map_[mask] = number
        start = time.perf_counter()
        network.refine(pixels, map_, len(given) + 1)
        found[f"{what}, whole map"] = time.perf_counter() - start
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Refine masks of single objects, and whole maps of them.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder that masks.py wrote")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = {part: trained(arguments.runs, arguments.data, arguments.seed, [], part) for part in [*LEFT_OUT, ()]}
    constants = constants_of(folders, arguments.data)
    figures: dict[str, object] = {}
    for name in NAMES:
        part = next((part for part in LEFT_OUT if name in part), ())
        network = load(folders[part])
        assert isinstance(network, BorderNetwork)
        network.coarse_weight, network.least_change = constants
        for kind in KINDS:
            row = scored(name, kind, network, arguments.data)
            figures[f"{row['set']}: {kind}"] = row
            print(row, flush=True)
    figures["large image"] = large_image(network, arguments.data)
    write_raw(HERE / "objects.json", figures, (arguments.seed,))
    print(objects("universal/objects"))


if __name__ == "__main__":
    main()
