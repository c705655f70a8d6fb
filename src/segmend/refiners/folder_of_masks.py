"""What a refiner knows of the folder that masks are of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from segmend.borders import BorderProfile, BorderStrength, Move, border_strength, evident_move
from segmend.borders.pairs import PairProfiles
from segmend.borders.strength import deep
from segmend.data.corruptions import fill_void
from segmend.devices import available_cores
from segmend.labels import void_of

BETTER = 1.4
"""So many times the share of the borders lies on the strongest edges after a move, or it is not made."""


class Mask(NamedTuple):
    """A mask over an image.

    Attributes:
        image: ``uint8 [H, W, 3]``.
        labels: ids without void, ``[H, W]``.
        ignored: pixels whose edges do not count, ``bool [H, W]``.
    """

    image: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray) -> Mask:
        """Of a mask with void, which becomes the nearest label."""
        return cls(image, fill_void(torch.from_numpy(mask)).numpy(), deep(mask == void_of(mask)))

    def moved(self, move: Move) -> Mask:
        """The mask with its borders moved."""
        return self._replace(labels=move(self.labels, void_of(self.labels)))

    def measured(self) -> BorderStrength:
        """The edges around its borders."""
        return border_strength(self.image, self.labels, self.ignored)


T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """A function of each item, in a thread for each core: most of the time NumPy runs without the lock."""
    with ThreadPoolExecutor(available_cores()) as threads:
        return list(threads.map(function, items))


class FolderOfMasks(NamedTuple):
    """What is known of the folder that masks are of (see `segmend.refiners.base.Refiner.of_folder`).

    Attributes:
        profile: of the borders of its masks.
        are_of_other_images: whether the masks seem to belong to other images; then they are left as they are.
        move: of their borders, where they are evidently too small, too large or shifted; None where not.
        moved: profiles of pairs of classes after the move.
        share_on_border: of the borders after the move, see `segmend.borders.BorderProfile.share_on_border`.
        is_left: whether a network would change so little beside the move that it changes nothing.
    """

    profile: BorderProfile
    are_of_other_images: bool
    move: Move | None
    moved: PairProfiles
    share_on_border: float
    is_left: bool = False

    @classmethod
    def of(cls, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> tuple[FolderOfMasks, list[Mask]]:
        """Of some images and masks; and these masks after the move, without those that hold no label.

        A move is made only where borders then lie on edges far more often.
        """
        given = in_threads(lambda pair: Mask.of(*pair), list(zip(images, masks, strict=True)))
        given = [mask for mask in given if not mask.ignored.all()]
        profile = BorderProfile.of(in_threads(Mask.measured, given))
        move, moved = evident_move(profile), profile
        if move is not None:
            after = [mask.moved(move) for mask in given]
            found = BorderProfile.of(in_threads(Mask.measured, after))
            if found.share_on_border > BETTER * profile.share_on_border:
                given, moved = after, found
            else:
                move = None
        others = profile.precision().are_of_other_images
        pairs = PairProfiles(moved.images, moved.areas)
        return cls(profile, others, move, pairs, moved.share_on_border), given
