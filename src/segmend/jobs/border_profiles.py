"""The border profile of a folder's masks, and the move that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from segmend.borders import BorderProfile, BorderStrength, Offset, border_strength, moved
from segmend.borders.strength import deep
from segmend.data.corruptions import fill_void
from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import InvalidFile
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput

MEASURED = 100
"""Images whose borders are measured, at most: a folder's profile needs no more."""

STEP = 0.5
"""Moves are rounded to it, so that another image in the folder does not change all results."""


class Move(NamedTuple):
    """A move of borders: classes grow over the class `over` by `pixels`, or shrink where these are negative."""

    pixels: float
    over: int

    def __call__(self, labels: np.ndarray, void: int) -> np.ndarray:
        """The moved mask ``[H, W]``."""
        return moved(labels, self.pixels, self.over, void)

    def __str__(self) -> str:
        return f"moved by {self.pixels:+.1f} px over class {self.over}"


class FoundMove(NamedTuple):
    """What a folder's profile says.

    Attributes:
        measured: number of images.
        are_of_other_images: whether the masks seem to belong to other images.
        move: None where no offset is evident.
    """

    offset: Offset
    measured: int
    are_of_other_images: bool
    move: Move | None


def sampled(records: Sequence[Record]) -> list[Record]:
    """The records whose borders are measured: at most `MEASURED`, evenly spaced."""
    chosen = np.linspace(0, len(records) - 1, min(MEASURED, len(records))).astype(int)
    return [records[index] for index in chosen]


def borders_of(image: np.ndarray, labels: np.ndarray, void: int) -> BorderStrength:
    """Edge strength around the borders of a mask, in which void next to labels is filled, and the rest ignored."""
    return border_strength(image, fill_void(torch.from_numpy(labels)).numpy(), deep(labels == void))


def count_classes(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Number of pixels of each class in a mask, ``[C]``."""
    valid = labels[labels != classes.void]
    counts: np.ndarray = np.bincount(valid.ravel().astype(np.int64), minlength=len(classes))
    return counts


def find_move(images: Dataset, quiet: bool = False) -> FoundMove:
    """Whether masks are evidently too small or too large, and the move that mends this.

    Files that cannot be read are left out here; whoever reads them all lists them.

    Raises:
        InvalidInput: the coarse maps are probabilities.
    """
    if any(record.coarse is not None and record.coarse.suffix == ".npz" for record in images):
        raise InvalidInput(
            "borders are moved in masks, and the coarse maps are probabilities: leave --move-borders out"
        )
    measured = []
    records = sampled(list(images))
    with bar("borders", len(records), quiet) as progress:
        for record in records:
            try:
                image, labels = pair_coarse(images, record, as_stored=True)
                if (labels != images.classes.void).any():
                    measured.append(borders_of(image, labels, images.classes.void))
            except InvalidFile:
                pass
            progress.advance()
    profile = BorderProfile.of(measured)
    offset, are_of_others = profile.offset(), profile.precision().are_of_other_images
    is_moved = offset.is_evident and not are_of_others
    move = Move(STEP * round(offset.pixels / STEP), profile.largest) if is_moved else None
    return FoundMove(offset, sum(len(one.pairs) > 0 for one in measured), are_of_others, move)
