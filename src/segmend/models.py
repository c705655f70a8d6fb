"""Load any model of the package: a refiner or a segmenter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

from segmend import refiners
from segmend.model_folder import read_config
from segmend.refiners import REFINERS, DenseCRF, GuidedFilter, UniversalPropagation
from segmend.segmenters import Segmenter, load_segmenter


@overload
def load(name: Literal["universal"]) -> UniversalPropagation: ...
@overload
def load(name: Literal["crf"]) -> DenseCRF: ...
@overload
def load(name: Literal["guided"]) -> GuidedFilter: ...
@overload
def load(name: str | Path) -> Any: ...
def load(name: str | Path) -> Any:
    """A refiner or a segmenter, ready to be used.

    Args:
        name: ``universal`` (the class-agnostic refiner that comes with the package), ``crf`` or ``guided``
            (refiners without weights); or a model folder that `segmend train` wrote, or a hub repository, which
            may hold a refiner or a segmenter.

    Returns:
        A `Refiner` or a `Segmenter`. Type checkers know those that are loaded by name; `segmend.refiners.load` and
        `segmend.segmenters.load_segmenter` return a declared type for folders too.

    Raises:
        InvalidInput: no such model, or a folder that holds something else.

    Example::

        refined = segmend.load("universal").refine(image, coarse)
        logits = segmend.load("runs/segmenter")(images)
    """
    if str(name) not in REFINERS and read_config(name)["type"] == Segmenter.__name__:
        return load_segmenter(name)
    return refiners.load(name)
