"""Refinement inside annotation tools: each speaks a tool's own format, and calls `segmend.refine_region`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from segmend.refiners import ObjectRefiner

LOOKED_AT = 64
"""Regions of an image that a refiner looks at before it refines all, at most."""


def looked_at(count: int) -> list[int]:
    """Which of so many regions a refiner looks at (`ObjectRefiner.of_folder`): evenly spread.

    Example:
        >>> looked_at(3), len(looked_at(1000))
        ([0, 1, 2], 64)
    """
    return [int(index) for index in np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int))]


@lru_cache(maxsize=1)
def object_refiner(name: str) -> ObjectRefiner:
    """The refiner of single objects with a name, on this machine's accelerator; it is loaded once.

    Args:
        name: what `segmend.refiners.load` takes.

    Raises:
        InvalidInput: no such refiner, or one of a number of classes.
    """
    from torch import nn  # here, as tools import this package to see what is in it

    from segmend.devices import pick_device, to_device
    from segmend.refiners import ObjectRefiner, load

    method = load(name)
    objects = ObjectRefiner(method)
    if isinstance(method, nn.Module):
        to_device(method, pick_device())
    return objects
