"""Refinement inside annotation tools: each speaks a tool's own format, and calls `segmend.refine_region`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmend.refiners import ObjectRefiner


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
