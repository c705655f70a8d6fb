"""Load any model of the package: a refiner, a segmenter, a network of DIS or one of motion; refine one mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from PIL import Image
from torch import Tensor

from segmend import refiners
from segmend.data.images import read_image
from segmend.data.masks import read_labels
from segmend.dual import DualPredictor, DualSegmentation, load_dual
from segmend.labels import Classes, InvalidInput, as_label_map
from segmend.model_folder import read_config
from segmend.refiners import REFINERS, DenseCRF, GuidedFilter, Refiner, UniversalRefiner
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


def refine(image: Any, mask: Any, *, refiner: Refiner | str | Path = "universal", **options: Any) -> Any:
    """Refine the mask of one image, and give back what was given: a mask of the same kind.

    Args:
        image: RGB: a file, an image of Pillow, an array ``[H, W, 3]`` or a tensor ``[3, H, W]``.
        mask: a label map: a file, an image of Pillow, an array or a tensor ``[H, W]``; or probabilities, an array
            or a tensor ``[C, H, W]``.
        refiner: one that was loaded, or what `segmend.refiners.load` takes.
        options: those of `Refiner.refine`, such as `min_confidence`.

    Returns:
        The refined label map in the ids and of the type of `mask`: an image of Pillow with its palette, an array
        (for files too) or a tensor. For probabilities, the refined ones.

    Raises:
        InvalidInput: what is given does not fit; the message says what to do.

    Example:
        >>> import numpy as np
        >>> image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
        >>> refine(image, mask, refiner="guided").dtype
        dtype('bool')
    """
    method = refiner if isinstance(refiner, Refiner) else _kept(str(refiner))
    pixels = read_image(image) if isinstance(image, str | Path) else image
    given = read_labels(mask)[0] if isinstance(mask, str | Path) else mask
    refined = method.refine(pixels, given, **options)
    if as_label_map(given) is None:
        return refined.probabilities if isinstance(given, Tensor) else refined.probabilities.numpy()
    if isinstance(given, Tensor):
        return refined.labels.to(given.dtype)
    if not isinstance(given, Image.Image):
        return refined.labels.numpy().astype(np.asarray(given).dtype)
    labels = refined.labels.numpy()
    if given.mode == "1":
        return Image.fromarray(labels > 0)
    found = Image.fromarray(labels.astype(np.uint8 if given.mode in ("L", "P") else np.int32))
    if given.mode == "P":
        found.putpalette(given.getpalette() or [])
    return found


@lru_cache(maxsize=1)
def _kept(name: str) -> Refiner:
    """The refiner that was used last, so that calls in a loop load it once."""
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
