"""Simulated errors in labels: what a folder's errors would look like, for `Detector`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import cv2
import numpy as np
import torch

from segmend.data.corruptions import add_holes, add_islands, grow, moved_by, remove_object, swap_class

Error = Literal["class", "missing", "islands", "holes", "border", "other image"]

KINDS: tuple[Error, ...] = ("class", "missing", "islands", "holes", "border", "other image")
"""Kinds of errors: an area in another class, an object that was left out, small areas in another class, holes in
objects, borders that are off, and the mask of another image."""

LEAST = 5e-4
"""Share of the valid pixels that an error changes, at least."""


def simulated_errors(
    labels: np.ndarray, other: np.ndarray | None, classes: Sequence[int], void: int, seed: int
) -> Iterator[tuple[Error, np.ndarray]]:
    """A label map ``[H, W]`` with one error of each kind that it can have. Valid pixels stay valid.

    Args:
        other: the label map of another image; None: there is none.
        classes: those of the folder.
        seed: the same one gives the same errors.
    """
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for kind in KINDS:
            found = other if kind == "other image" else _with_error(kind, labels, classes, rng)
            if found is None:
                continue
            height, width = labels.shape
            fitted = cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST)
            changed = np.where((labels == void) | (fitted == void), labels, fitted)
            if (changed != labels).sum() >= LEAST * max(1, (labels != void).sum()):
                yield kind, changed


def _with_error(kind: Error, labels: np.ndarray, classes: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    map_, side = torch.from_numpy(labels), max(labels.shape)

    def pixels(low: float, high: float) -> float:
        return float(side * math.exp(rng.uniform(math.log(low), math.log(high))))

    if kind == "class":
        return swap_class(map_, classes, 0.003).numpy()
    if kind == "missing":
        return remove_object(map_, 0.003, 0.6).numpy()
    if kind == "islands":
        return add_islands(map_, int(rng.integers(1, 5)), pixels(0.01, 0.06), classes).numpy()
    if kind == "holes":
        return add_holes(map_, int(rng.integers(1, 4)), pixels(0.01, 0.08)).numpy()
    amount, angle = pixels(0.012, 0.05), rng.uniform(0, 2 * math.pi)
    how = int(rng.integers(3))
    if how == 2:
        return moved_by(map_, round(amount * math.sin(angle)), round(amount * math.cos(angle))).numpy()
    return grow(map_, amount if how else -amount).numpy()
