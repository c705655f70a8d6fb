"""Load any model of the package: a refiner, a segmenter, a network of DIS or one of motion; refine one mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from segmend import refiners
from segmend.data.images import read_image
from segmend.data.masks import read_labels
from segmend.dual import DualPredictor, DualSegmentation, load_dual
from segmend.labels import Classes, InvalidInput, as_image, as_label_map, as_tensor, check_same_size
from segmend.model_folder import read_config
from segmend.refiners import REFINERS, DenseCRF, GuidedFilter, ObjectRefiner, Refiner, UniversalRefiner
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
        (for files too) or a tensor, also a `torchvision.tv_tensors.Mask`. For probabilities, the refined ones.

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
        found = refined.labels.to(given.dtype).reshape(given.shape)
        return tv_tensors.wrap(found, like=given) if isinstance(given, tv_tensors.TVTensor) else found
    if not isinstance(given, Image.Image):
        return refined.labels.numpy().astype(np.asarray(given).dtype)
    labels = refined.labels.numpy()
    if given.mode == "1":
        return Image.fromarray(labels > 0)
    painted = Image.fromarray(labels.astype(np.uint8 if given.mode in ("L", "P") else np.int32))
    if given.mode == "P":
        painted.putpalette(given.getpalette() or [])
    return painted


class RefinedMasks(NamedTuple):
    """Refined masks of the objects of one image.

    Attributes:
        masks: of the kind of those that were given.
        expected_iou: of each, the IoU with the ground truth (0..1) that the refiner's probabilities say.
    """

    masks: Any
    expected_iou: list[float]


def refine_objects(image: Any, masks: Any, *, refiner: Refiner | str | Path = "universal") -> RefinedMasks:
    """Refine masks of single objects in one image, each alone on a crop around it; they may overlap.

    Args:
        image: RGB: a file, an image of Pillow, an array ``[H, W, 3]`` or a tensor ``[3, H, W]``.
        masks: arrays or tensors ``[H, W]`` in a list, or one of them ``[N, H, W]``: booleans or numbers, 0 outside
            of the object and one other value in it.
        refiner: one of any number of classes that was loaded, or what `segmend.refiners.load` takes.

    Returns:
        Masks in a list, or an array or a tensor ``[N, H, W]``, as they were given, with the same values. A mask
        without a pixel stays empty, with an expected IoU of 0.

    Raises:
        InvalidInput: what is given does not fit; the message says what to do.

    Example:
        >>> import numpy as np
        >>> image, masks = np.zeros((60, 80, 3), np.uint8), np.zeros((2, 60, 80), bool)
        >>> masks[0, 20:40, 30:50] = masks[1, 10:30, 40:60] = True
        >>> refine_objects(image, masks, refiner="guided").masks.shape
        (2, 60, 80)
    """
    method = ObjectRefiner(refiner if isinstance(refiner, Refiner) else _kept(str(refiner)))
    unit = as_image(read_image(image) if isinstance(image, str | Path) else image)
    pixels = (unit * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    given = masks if isinstance(masks, Tensor | np.ndarray) else list(masks)
    found: list[Any] = []
    quality: list[float] = []
    for mask in given:
        values = as_tensor(mask).detach().cpu().numpy()
        inside, value = _object_in(values)
        check_same_size(image=unit, mask=inside)
        refined = method.refine(pixels, inside) if inside.any() else None
        new = np.where(inside if refined is None else refined.mask, value, 0).astype(values.dtype)
        found.append(torch.from_numpy(new).to(mask.device, mask.dtype) if isinstance(mask, Tensor) else new)
        quality.append(0.0 if refined is None else refined.expected_iou)
    if isinstance(given, list) or not found:
        return RefinedMasks(found or given, quality)
    return RefinedMasks(torch.stack(found) if isinstance(given, Tensor) else np.stack(found), quality)


def _object_in(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Where a mask is not 0, ``bool [H, W]``, and its value there (1 where it is nowhere).

    Raises:
        InvalidInput: no mask, or several values.
    """
    if values.ndim != 2 or values.size == 0:
        raise InvalidInput(f"expected masks of objects [H, W], found shape {values.shape}")
    kinds = np.unique(values[values != 0])
    if len(kinds) > 1:
        low, high = float(kinds[0]), float(kinds[-1])
        raise InvalidInput(
            f"expected the mask of one object, 0 and one other value, found several of {low:g}..{high:g}: "
            "threshold scores (mask > 0.5) and logits (mask > 0), and give one mask for each object"
        )
    return values != 0, kinds[0] if len(kinds) else 1


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
