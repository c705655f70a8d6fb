"""Load any model of the package: a refiner, a segmenter, a network of DIS or one of motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from segmend import refiners
from segmend.dual import DualPredictor, DualSegmentation, load_dual
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import read_config
from segmend.refiners import REFINERS, DenseCRF, GuidedFilter, UniversalRefiner
from segmend.segmenters import Segmenter, load_segmenter
from segmend.video.motion import MotionNet, load_motion


@overload
def load(name: Literal["universal"]) -> UniversalRefiner: ...
@overload
def load(name: Literal["crf"]) -> DenseCRF: ...
@overload
def load(name: Literal["guided"]) -> GuidedFilter: ...
@overload
def load(name: str | Path) -> Any: ...
def load(name: str | Path) -> Any:
    """A refiner, a segmenter, a network of dual image segmentation or one of motion, ready to be used.

    Args:
        name: ``universal`` (the class-agnostic refiner that comes with the package), ``crf`` or ``guided``
            (refiners without weights); or a model folder that `segmend train` wrote, or a hub repository, which
            may hold any of the four.

    Returns:
        A `Refiner`, a `Segmenter`, a `DualPredictor` (from image to logits as well) or a `MotionNet`. Type
        checkers know those that are loaded by name; `segmend.refiners.load`, `segmend.models.load_predictor` and
        `segmend.video.load_motion` return a declared type for folders too.

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
        if kind == DualSegmentation.__name__:
            return load_dual(name)
        if kind == MotionNet.__name__:
            return load_motion(name)
    return refiners.load(name)


class DualClasses(NamedTuple):
    """The classes of a network of dual image segmentation, and those that most images hold."""

    classes: Classes
    common: tuple[str, ...]


def load_predictor(
    name: str | Path, closed_form: bool | None = None, inference_steps: int | Sequence[int] | None = None
) -> Segmenter | DualPredictor:
    """What predicts label maps: a segmenter, or a network of dual image segmentation.

    Args:
        name: a model folder, or a repository on the hub.
        closed_form, inference_steps: of the latter alone, see `DualPredictor`; None for its defaults.

    Raises:
        InvalidInput: no such model, one of another kind, or one that does not have these options.
    """
    if inference_steps is not None:
        check_dual(name, "--inference-steps")
    elif closed_form is not None:
        check_dual(name, "--closed-form")
    if read_config(name)["type"] == DualSegmentation.__name__:
        return load_dual(name, closed_form is not False, inference_steps or 0)
    return load_segmenter(name)


def check_dual(name: str | Path, option: str) -> DualClasses:
    """The classes of a model of dual image segmentation; its weights are not read.

    Args:
        option: what only such models have, for the message.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    config = read_config(name)
    found = config["type"]
    if found == Segmenter.__name__:
        raise InvalidInput(
            f"{option} is for models of dual image segmentation (`task: dual`), and {name} holds a {found}: "
            "leave it out"
        )
    if found != DualSegmentation.__name__:
        load_segmenter(name)  # says what to use for a model of this kind
    return DualClasses(Classes(**config["classes"]), tuple(config.get("common", ())))
