"""Refine masks of single objects, each on a crop around it, at the image's or the object's scale.

Some errors have a size in pixels, some grow with the object. Where a folder shows that they grow, all its objects
are brought to one size. A mask is ``bool [H, W]``, an image ``uint8 [H, W, 3]``. Masks of one image may overlap:
each is refined alone, against all that is around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from segmend.borders import REACH
from segmend.labels import InvalidInput, check_same_size
from segmend.refiners.base import Refiner

LARGEST = 1152
"""Longest side in pixels of an object on its crop: the crop of a larger one is reduced."""

SIDE = 128
"""Longest side of objects that all get the same size."""

MOST_ENLARGED = 3.0
"""The most by which a small object is enlarged."""

BETTER = 1.2
"""So many times as many borders must lie on strong edges before objects get one size."""

MARGIN = 3 * REACH
"""Pixels around an object on its crop."""


class RefinedObject(NamedTuple):
    """A refined mask, and how good it is expected to be.

    Attributes:
        mask: ``bool [H, W]``.
        expected_iou: the IoU of the mask with the ground truth (0..1), as the refiner's probabilities say.
    """

    mask: np.ndarray
    expected_iou: float


class ObjectCrop(NamedTuple):
    """The part of an image with an object, at the image's scale or the object's.

    Attributes:
        image: ``uint8 [h, w, 3]``.
        mask: ``uint8 [h, w]``: 1 for the object, 0 around it.
        window: rows and columns of the whole image.
    """

    image: np.ndarray
    mask: np.ndarray
    window: tuple[slice, slice]

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray, side: int | None = None) -> ObjectCrop:
        """The crop of an object.

        Args:
            side: its longest side becomes that many pixels (None: it keeps the image's scale, up to `LARGEST`).

        Raises:
            InvalidInput: image and mask differ in size, or the mask is empty.
        """
        check_same_size(image=image.transpose(2, 0, 1), mask=mask)
        top, left, scale = _window(mask, side)
        part, inside = image[top, left], mask[top, left].astype(np.uint8)
        if scale != 1:
            part, inside = _scaled(part, scale), (_scaled(inside * 255, scale) > 127).astype(np.uint8)
        return cls(np.ascontiguousarray(part), inside, (top, left))

    def enlarged(self, values: np.ndarray) -> np.ndarray:
        """Values of the crop ``float32 [h, w]`` at the size of the window."""
        rows, columns = (part.stop - part.start for part in self.window)
        return values if values.shape == (rows, columns) else cv2.resize(values, (columns, rows))


@dataclass(frozen=True)
class ObjectRefiner:
    """Refines masks of single objects, each on a crop around it.

    Attributes:
        refiner: one that takes any number of classes.
        side: see `ObjectCrop.of`.

    Example:
        >>> import numpy as np, segmend
        >>> image, mask = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), bool)
        >>> mask[20:40, 30:50] = True
        >>> ObjectRefiner(segmend.load("universal")).refine(image, mask).mask.shape
        (60, 80)
    """

    refiner: Refiner
    side: int | None = None

    def __post_init__(self) -> None:
        if self.refiner.num_classes not in (None, 2):
            raise InvalidInput(
                f"expected a refiner of any number of classes, found one of {self.refiner.num_classes}: objects "
                "have two, the object and what is around it"
            )

    def of_folder(self, objects: Sequence[tuple[np.ndarray, np.ndarray]]) -> ObjectRefiner:
        """The same, which knows some of the objects that it will refine, and has chosen a scale by them.

        Args:
            objects: image ``uint8 [H, W, 3]`` and mask ``bool [H, W]`` of each, or their `surroundings`.
        """
        if not self.refiner.reads_folder or not objects:
            return self
        as_they_are, alike = (self._of_folder(objects, side) for side in (None, SIDE))
        return alike if _fit(alike) > BETTER * _fit(as_they_are) else as_they_are

    def _of_folder(self, objects: Sequence[tuple[np.ndarray, np.ndarray]], side: int | None) -> ObjectRefiner:
        crops = [ObjectCrop.of(image, mask, side) for image, mask in objects]
        known = self.refiner.of_folder([crop.image for crop in crops], [crop.mask for crop in crops])
        return ObjectRefiner(known, side)

    def refine(
        self, image: np.ndarray, mask: np.ndarray, region: tuple[slice, slice] | None = None
    ) -> RefinedObject:
        """Refine the mask of one object.

        Args:
            image: ``uint8 [H, W, 3]``.
            mask: ``bool [H, W]``.
            region: rows and columns outside which nothing changes, and of which `MARGIN` pixels around are looked
                at. The expected IoU is that of the part that was looked at.

        Raises:
            InvalidInput: image and mask differ in size, or the mask is empty, or is so in the region.
        """
        if region is not None:
            return self._refine_within(image, mask, region)
        crop = ObjectCrop.of(image, mask, self.side)
        labels = self.refiner.refine(crop.image, crop.mask, 2).labels.numpy()
        # Without any rule on what to keep: what stayed as it was would seem certain.
        probability = self.refiner.refine(crop.image, crop.mask, 2, min_confidence=0.5).probabilities[1].numpy()
        if not labels.any():
            return RefinedObject(mask, expected_iou(probability, crop.mask > 0))
        whole = mask.copy()
        # Only what changed comes from the crop, whose scale may be another one.
        before, after = (crop.enlarged(values.astype(np.float32)) >= 0.5 for values in (crop.mask, labels))
        whole[crop.window] ^= before != after
        return RefinedObject(whole, expected_iou(probability, labels > 0))

    def _refine_within(self, image: np.ndarray, mask: np.ndarray, region: tuple[slice, slice]) -> RefinedObject:
        """The same, with `region`: the object ends where the part that is looked at ends."""
        check_same_size(image=image.transpose(2, 0, 1), mask=mask)
        rows, columns = (slice(max(0, part.start - MARGIN), part.stop + MARGIN) for part in region)
        if not mask[region].any():
            raise InvalidInput("the mask of an object is empty in the region to refine: choose one that shows it")
        refined = self.refine(image[rows, columns], mask[rows, columns])
        whole = mask.copy()
        whole[region] = refined.mask[
            tuple(
                slice(part.start - around.start, part.stop - around.start)
                for part, around in zip(region, (rows, columns), strict=True)
            )
        ]
        return refined._replace(mask=whole if whole.any() else mask)


def _fit(objects: ObjectRefiner) -> float:
    """How well borders lie on edges after a move; 0 where none was made."""
    folder = objects.refiner.folder
    return 0.0 if folder is None or folder.move is None else folder.share_on_border


def surroundings(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image, and of the mask of an object, that `ObjectRefiner.of_folder` needs of it: a copy.

    Raises:
        InvalidInput: the mask is empty.
    """
    rows, columns = zip(*(_window(mask, side)[:2] for side in (None, SIDE)), strict=True)
    part = max(rows, key=_length), max(columns, key=_length)
    return image[part].copy(), mask[part].copy()


def _window(mask: np.ndarray, side: int | None) -> tuple[slice, slice, float]:
    """Rows and columns around an object, and the factor by which its crop is resized (see `ObjectCrop.of`)."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise InvalidInput("the mask of an object is empty")
    extents = [(int(found[0]), int(found[-1]) + 1) for found in (rows, columns)]
    longest = max(stop - start for start, stop in extents)
    scale = min(1.0, LARGEST / longest) if side is None else min(MOST_ENLARGED, side / longest)
    margin = round(MARGIN / scale)
    top, left = (
        slice(max(0, start - margin), min(size, stop + margin))
        for (start, stop), size in zip(extents, mask.shape, strict=True)
    )
    return top, left, scale


def _length(part: slice) -> int:
    return int(part.stop) - int(part.start)


def expected_iou(probability: np.ndarray, mask: np.ndarray) -> float:
    r"""The IoU to expect of a mask, :math:`\sum_{M} p / (|M| + \sum_{\bar M} p)`.

    Args:
        probability: of each pixel to be of the object, ``[h, w]``.
        mask: ``bool [h, w]``.
    """
    inside = float(probability[mask].sum())
    return inside / max(float(mask.sum()) + float(probability[~mask].sum()), 1e-9)


def _scaled(values: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(size * scale)) for size in values.shape[:2])
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
