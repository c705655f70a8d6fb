"""Load any model of the package: a refiner, a segmenter or a network of motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

from segmend import refiners
from segmend.model_folder import read_config
from segmend.refiners import REFINERS, DenseCRF, GuidedFilter, UniversalPropagation
from segmend.segmenters import Segmenter, load_segmenter
from segmend.video.motion import MotionNet, load_motion


@overload
def load(name: Literal["universal"]) -> UniversalPropagation: ...
@overload
def load(name: Literal["crf"]) -> DenseCRF: ...
@overload
def load(name: Literal["guided"]) -> GuidedFilter: ...
@overload
def load(name: str | Path) -> Any: ...
def load(name: str | Path) -> Any:
    """A refiner, a segmenter or a network of motion, ready to be used.

    Args:
        name: ``universal`` (the class-agnostic refiner that comes with the package), ``crf`` or ``guided``
            (refiners without weights); or a model folder that `segmend train` wrote, or a hub repository, which
            may hold any of the three.

    Returns:
        A `Refiner`, a `Segmenter` or a `MotionNet`. Type checkers know those that are loaded by name;
        `segmend.refiners.load`, `segmend.segmenters.load_segmenter` and `segmend.video.load_motion` return a
        declared type for folders too.

    Raises:
        InvalidInput: no such model, or a folder that holds something else.

    Example::

        refined = segmend.load("universal").refine(image, coarse)
        logits = segmend.load("runs/segmenter")(images)
    """
    if str(name) not in REFINERS:
        kind = read_config(name)["type"]
        if kind == Segmenter.__name__:
            return load_segmenter(name)
        if kind == MotionNet.__name__:
            return load_motion(name)
    return refiners.load(name)
