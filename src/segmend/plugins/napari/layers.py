"""From the planes of napari's layers to labels that fit the image: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segmend.labels import InvalidInput, as_image
from segmend.models import refine_region
from segmend.pixels import scaled
from segmend.plugins import looked_at
from segmend.refiners import ObjectRefiner
from segmend.refiners.objects import surroundings

Region = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; right and bottom not included."""


class SnappedLabels(NamedTuple):
    """Labels after some of them were refined.

    Attributes:
        labels: ``[H, W]``, of the type that was given.
        expected_iou: for each refined label the IoU with the ground truth (0..1) that the refiner expects.
    """

    labels: np.ndarray
    expected_iou: dict[int, float]


def snapped(
    image: np.ndarray,
    labels: np.ndarray,
    chosen: Sequence[int] | None,
    region: Region | None,
    refiner: ObjectRefiner,
) -> SnappedLabels:
    """Refine labels, each alone against all that is around it.

    A label takes pixels that have none, or that another refined label gives up, and no others. What two labels
    want goes to the one with the higher expected IoU.

    Args:
        image: ``uint8 [H, W, 3]``.
        labels: integers ``[H, W]``, 0 for none.
        chosen: the labels to refine; None: all that have a pixel in the region. With several, the refiner looks at
            them first, as at the objects of a folder.
        region: nothing changes outside.

    Raises:
        InvalidInput: image and labels differ in size, or a label has no pixel in the region; or there is none.
    """
    if image.shape[:2] != labels.shape:
        height, width = image.shape[:2]
        raise InvalidInput(
            f"expected labels of {width} x {height} px, as the image, found {labels.shape[1]} x {labels.shape[0]}"
        )
    if chosen is None:
        chosen = [int(label) for label in np.unique(_within(labels, region)) if label != 0]
    if not chosen or 0 in chosen:
        raise InvalidInput("no label to refine: paint one, or select one other than 0 that is shown")
    if len(chosen) > 1:
        several = (labels == chosen[index] for index in looked_at(len(chosen)))
        refiner = refiner.of_folder([surroundings(image, mask) for mask in several if mask.any()])
    found = np.array(labels, order="C")
    wanted: list[tuple[float, int, np.ndarray]] = []  # with the places of pixels: masks of many would fill memory
    for label in chosen:
        mask = labels == label
        if not mask.any():
            raise InvalidInput(f"label {label} is not painted here: select another, or go to where it is")
        refined = refine_region(image, mask, region, refiner=refiner)
        found[mask & ~refined.mask] = 0
        wanted.append((refined.expected_iou, label, np.flatnonzero(refined.mask)))
    pixels = found.reshape(-1)
    for _, label, places in sorted(wanted, key=lambda one: -one[0]):
        pixels[places[pixels[places] == 0]] = label
    return SnappedLabels(found, {label: expected for expected, label, _ in wanted})


def _within(labels: np.ndarray, region: Region | None) -> np.ndarray:
    if region is None:
        return labels
    left, top, right, bottom = (max(0, round(side)) for side in region)
    return labels[top:bottom, left:right]


def as_rgb(values: np.ndarray, limits: Sequence[float] | None = None) -> np.ndarray:
    """The plane of an image layer as ``uint8 [H, W, 3]``.

    Args:
        values: grey ``[H, W]``, or RGB or RGBA ``[H, W, 3 or 4]`` of bytes or of floats in 0..1.
        limits: the grey values that are shown as black and white.

    Raises:
        InvalidInput: another shape or other values.

    Example:
        >>> as_rgb(np.array([[0.0, 500.0, 1000.0]]), (0, 1000))[..., 0].tolist()
        [[0, 128, 255]]
    """
    if values.ndim == 2:
        if limits is None or not limits[1] > limits[0]:
            raise InvalidInput(f"expected contrast limits that differ, found {limits}")
        return np.repeat(scaled(values, (float(limits[0]), float(limits[1])))[..., None], 3, axis=-1)
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        rgb = np.ascontiguousarray(values[..., :3])
        if rgb.dtype == np.uint8:
            return rgb
        return (as_image(rgb) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    raise InvalidInput(f"expected a grey, RGB or RGBA image, found an array of shape {values.shape}")


def plane_index(point: Sequence[float], axes: Sequence[int], shape: Sequence[int]) -> tuple[int | slice, ...]:
    """What is shown of a layer: all along two axes, at one place along the others.

    Args:
        point: the place, in the layer's own pixels.
        axes: the two axes that are shown.
        shape: of the layer's data, without colours.

    Raises:
        InvalidInput: not two axes, or a place outside the layer.

    Example:
        >>> plane_index((3.2, 0, 0), (1, 2), (5, 80, 60))
        (3, slice(None, None, None), slice(None, None, None))
    """
    if len(axes) != 2 or min(axes) < 0:
        raise InvalidInput("labels are refined in the plane that is shown: switch the viewer to two dimensions")
    index: list[int | slice] = [slice(None)] * len(shape)
    for axis, size in enumerate(shape):
        if axis not in axes:
            at = round(float(point[axis]))
            if not 0 <= at < size:
                raise InvalidInput(
                    f"the layer shows nothing at {at} of its axis {axis}, of {size}: move the slider"
                )
            index[axis] = at
    return tuple(index)
