"""Labels with known corruption: one kind, or all mixed, on a share of the images of a folder."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from segmend.data.corruptions import (
    add_holes,
    add_islands,
    grow,
    moved_by,
    remove_object,
    swap_class,
)

KINDS = ("class", "missing", "border", "islands", "holes", "other image")
LEAST = 0.002
"""Share of the pixels that a corruption changes, at least: an image without such an object is not chosen."""


class Corrupted(NamedTuple):
    """Labels of a folder, and what was done to them.

    Attributes:
        labels: of each image, ``[H, W]``.
        kinds: of the corrupted images, by index.
    """

    labels: list[np.ndarray]
    kinds: dict[int, str]


def corrupt(labels: list[np.ndarray], classes: int, void: int, kind: str, share: float, seed: int) -> Corrupted:
    """Corrupt a share of the label maps; `kind` is one of `KINDS`, or ``mixed``."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    wanted = max(2, round(share * len(labels)))
    present = [c for c in range(classes) if any((one == c).any() for one in labels)]
    result, kinds = list(labels), dict[int, str]()
    for index in rng.permutation(len(labels)).tolist():
        if len(kinds) == wanted:
            break
        one = KINDS[len(kinds) % len(KINDS)] if kind == "mixed" else kind
        changed = corrupted(labels, index, one, present, rng)
        valid = labels[index] != void
        if ((changed != labels[index]) & valid).mean() >= LEAST:
            result[index] = np.where(valid, changed, labels[index]) if one != "other image" else changed
            kinds[index] = one
    return Corrupted(result, kinds)


def corrupted(
    labels: list[np.ndarray], index: int, kind: str, classes: list[int], rng: np.random.Generator
) -> np.ndarray:
    """The label map of an image with a corruption of a kind."""
    own = torch.from_numpy(labels[index])
    side = max(own.shape)
    if kind == "class":
        return swap_class(own, classes).numpy()
    if kind == "missing":
        return remove_object(own).numpy()
    if kind == "border":
        pixels = 0.03 * side
        how = int(rng.integers(3))
        if how == 2:
            down, right = (round(pixels) * sign for sign in rng.choice([-1, 1], 2).tolist())
            return moved_by(own, down, right).numpy()
        return grow(own, pixels if how else -pixels).numpy()
    if kind == "islands":
        return add_islands(own, int(rng.integers(3, 6)), rng.uniform(0.02, 0.04) * side, classes).numpy()
    if kind == "holes":
        return add_holes(own, int(rng.integers(1, 4)), rng.uniform(0.03, 0.06) * side).numpy()
    other = int(rng.integers(len(labels) - 1))
    mask = labels[other + (other >= index)]
    height, width = own.shape
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
