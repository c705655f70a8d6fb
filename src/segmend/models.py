"""Load any model of the package: a refiner, a segmenter, a network of DIS or one of motion; refine one mask."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

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
    return _like(given, refined.labels)


class RefinedRegion(NamedTuple):
    """A refined mask of one region, and how good it is expected to be.

    Attributes:
        mask: of the kind that was given.
        expected_iou: the IoU of the mask with the ground truth (0..1), as the refiner's probabilities say.
    """

    mask: Any
    expected_iou: float


def refine_region(
    image: Any,
    mask: Any,
    region: Sequence[float] | None = None,
    *,
    refiner: ObjectRefiner | Refiner | str | Path = "universal",
) -> RefinedRegion:
    """Snap the mask of one object or region to the image, on a crop around it.

    Args:
        image: RGB: a file, an image of Pillow, an array ``[H, W, 3]`` or a tensor ``[3, H, W]``.
        mask: of one object, with a single value other than 0, such as 1, 255 or True: a file, an image of Pillow,
            an array or a tensor ``[H, W]``.
        region: box ``left, top, right, bottom`` in pixels, right and bottom not included: nothing outside changes.
            Of a large object only what is around the box is looked at.
        refiner: one that was loaded, or what `segmend.refiners.load` takes; or a `segmend.refiners.ObjectRefiner`
            that knows other objects of the same origin (`ObjectRefiner.of_folder`).

    Returns:
        The mask in the value and of the type of `mask`, and the IoU to expect of it.

    Raises:
        InvalidInput: image and mask differ in size, the mask is empty or holds several values, or the region has
            no pixel of image or mask.

    Example:
        >>> import numpy as np
        >>> image, mask = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), bool)
        >>> mask[20:40, 30:50] = True
        >>> refine_region(image, mask, (0, 0, 60, 60), refiner="guided").mask.dtype
        dtype('bool')
    """
    if not isinstance(refiner, ObjectRefiner):
        refiner = ObjectRefiner(refiner if isinstance(refiner, Refiner) else _kept(str(refiner)))
    given = read_labels(mask)[0] if isinstance(mask, str | Path) else mask
    labels, value = _labels_of_one(given)
    box = None if region is None else _slices(region, *labels.shape)
    refined = refiner.refine(_pixels(image), labels == value, box)
    return RefinedRegion(_like(given, torch.from_numpy(refined.mask * np.int64(value))), refined.expected_iou)


def _labels_of_one(mask: Any) -> tuple[np.ndarray, int]:
    """A mask of one object as integers ``[H, W]``, and the one value other than 0 in it."""
    labels = as_label_map(mask)
    if labels is None:
        raise InvalidInput("expected the mask of one object, 0 and one other value: threshold probabilities first")
    values = np.unique(labels[labels != 0])
    if len(values) != 1:
        found = f"0 and {', '.join(str(value) for value in values[:4])}" if len(values) else "0 alone"
        advice = "give mask == id" if len(values) else "draw the object first"
        raise InvalidInput(f"expected the mask of one object, 0 and one other value, found {found}: {advice}")
    return labels, int(values[0])


def _slices(region: Sequence[float], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a box, as far as it lies in the image."""
    try:
        left, top, right, bottom = (round(float(side)) for side in region)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"expected a region as left, top, right, bottom in pixels, found {region!r}") from None
    rows, columns = slice(max(0, top), min(bottom, height)), slice(max(0, left), min(right, width))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        raise InvalidInput(
            f"expected a region (left, top, right, bottom) with pixels of the image of {width} x {height}, "
            f"found {left}, {top}, {right}, {bottom}"
        )
    return rows, columns


def _pixels(image: Any) -> np.ndarray:
    """An image as ``uint8 [H, W, 3]``; an array that is one already as it is."""
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3:
        return image
    return (as_image(image) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _like(given: Any, refined: Tensor) -> Any:
    """Refined labels ``[H, W]`` of the kind of the label map that was given."""
    if isinstance(given, Tensor):
        found = refined.to(device=given.device, dtype=given.dtype).reshape(given.shape)
        tv_tensors = sys.modules.get("torchvision.tv_tensors")  # loaded by whoever made such a tensor
        if tv_tensors is not None and isinstance(given, tv_tensors.TVTensor):
            return tv_tensors.wrap(found, like=given)
        return found
    labels = refined.numpy()
    if not isinstance(given, Image.Image):
        return labels.astype(np.asarray(given).dtype)
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
    pixels = _pixels(image)
    given = masks if isinstance(masks, Tensor | np.ndarray) else list(masks)
    found: list[Any] = []
    quality: list[float] = []
    for mask in given:
        values = as_tensor(mask).detach().cpu().numpy()
        inside, value = _object_in(values)
        check_same_size(image=pixels[..., 0], mask=inside)
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
