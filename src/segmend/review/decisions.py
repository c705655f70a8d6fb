"""What a person decided on the regions of an image, and the label map that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from segmend.labels import InvalidInput

State = Literal["undecided", "accepted", "kept", "mixed", "partly"]


@dataclass(frozen=True)
class Decision:
    """The regions of an image that were accepted, and those in which the coarse map is kept. Others are undecided.

    Attributes:
        regions: how many regions the image has.
        accepted, kept: numbers of regions, from 1, ascending.

    Raises:
        InvalidInput: a number that no region has, or one that stands twice.
    """

    regions: int
    accepted: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        numbers = [*self.accepted, *self.kept]
        if (
            self.regions < 0
            or len(set(numbers)) < len(numbers)
            or not set(numbers) <= {*range(1, self.regions + 1)}
        ):
            raise InvalidInput(
                f"expected each of the regions 1..{self.regions} at most once, found {numbers} "
                f"({len(self.accepted)} accepted)"
            )
        object.__setattr__(self, "accepted", tuple(sorted(self.accepted)))
        object.__setattr__(self, "kept", tuple(sorted(self.kept)))

    @property
    def state(self) -> State:
        """``partly``: some regions are undecided; ``mixed``: some are accepted, the others kept."""
        decided = len(self.accepted) + len(self.kept)
        if not decided:
            return "undecided"
        if decided < self.regions:
            return "partly"
        if self.accepted and self.kept:
            return "mixed"
        return "accepted" if self.accepted else "kept"


def combine(coarse: np.ndarray, refined: np.ndarray, numbers: np.ndarray, decision: Decision) -> np.ndarray:
    """The coarse label map ``[H, W]`` with the accepted regions of the refined one.

    Args:
        coarse, refined: ids ``[H, W]``.
        numbers: the number of each pixel's region (see `regions_of`).

    >>> numbers = np.array([[1, 0, 2]], np.uint8)
    >>> combine(np.array([[0, 0, 0]]), np.array([[5, 0, 6]]), numbers, Decision(2, accepted=(2,)))
    array([[0, 0, 6]])
    """
    accepted = _of_numbers(numbers, decision.accepted)
    return np.where(accepted, refined, coarse).astype(np.result_type(coarse, refined))


def confirmed(numbers: np.ndarray, decision: Decision) -> np.ndarray:
    """Where a person decided, either way: ``bool [H, W]``.

    >>> confirmed(np.array([[1, 0, 2]], np.uint8), Decision(2, kept=(2,)))
    array([[False, False,  True]])
    """
    return _of_numbers(numbers, (*decision.accepted, *decision.kept))


def _of_numbers(numbers: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    table = np.zeros(256, bool)
    table[list(chosen)] = True
    return np.asarray(table[numbers])
