"""Refiners: an image and its coarse map go in, a refined map comes out.

`refine_bands` is the one way of a map through a refiner, for the command and for `Refiner.refine`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from segmend.coding import read_array
from segmend.devices import Precision, autocast, device_of
from segmend.labels import (
    InvalidInput,
    as_image,
    as_label_map,
    as_probabilities,
    as_tensor,
    check_same_size,
    void_of,
)
from segmend.ops.tiles import tiled_bands
from segmend.refiners.combine import combine
from segmend.refiners.folder_of_masks import FolderOfMasks
from segmend.refiners.refinement import Refinement as Refinement

EVERY = 4
"""Step in pixels of the coarse map that `Refiner.coarse_weight_for` sees."""

TILE = 1152
"""Default of `tile`: most columns of a tile, and rows of an image that is not cut into tiles."""

OVERLAP = 128
"""Pixels that neighbouring tiles share, but no more than a quarter of a tile's width."""

SMALLEST_TILE = 16

STRIP = 1 << 22
"""Values of a probability map that are combined at a time where an image is cut into tiles."""


class Refiner(ABC):
    """A method that refines coarse maps. Subclasses implement `refine_batch`; users call `refine`."""

    num_classes: int | None = None
    """Number of classes that the refiner was made for; None for any."""

    takes_border_error: bool = False
    """Whether the refiner uses a known border error of the coarse map."""

    min_confidence: float | None = None
    """Default of `refine`'s; of a refiner that was tuned on good masks."""

    reads_folder: bool = False
    """Whether it makes a difference which folder masks are of (`of_folder`)."""

    folder: FolderOfMasks | None = None
    """What is known of the folder that masks are of; None: each mask stands alone."""

    far_uncertainty: float | None = None
    """Mean uncertainty (0..1) of the folder's probability maps far from their borders, after `of_maps`."""

    def of_folder(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Self:
        """The same refiner, which knows the folder that masks are of.

        Args:
            images: some of the folder, ``uint8 [H, W, 3]`` each.
            masks: of these images, ids or void ``[H, W]``.
        """
        return self

    def of_maps(self, maps: Sequence[Tensor]) -> Self:
        """The same refiner, which knows the folder that probability maps are of.

        Args:
            maps: some of the folder, every `EVERY`-th pixel of each, ``[C, h, w]``.
        """
        return self

    def with_all_changes(self) -> Self:
        """The same refiner without its own rules on what to keep: the caller gave a minimum confidence."""
        return self

    def coarse_weight_for(self, coarse: Tensor, border_error_px: float | None = None) -> float:
        """Share of the coarse map in the result (0..1), used where the caller gives no `min_confidence`.

        Args:
            coarse: every `EVERY`-th pixel of an image's coarse map, probabilities ``[C, h, w]``.
            border_error_px: see `refine`.
        """
        return 0.0

    @abstractmethod
    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch: image ``float32 [B, 3, H, W]`` in 0..1, coarse probabilities ``[B, C, H, W]``.

        Both lie on one device: a network's own. The result is the refiner's alone, before it is combined with the
        coarse map. `border_error_px` is given only to refiners that `takes_border_error`.
        """

    def refine(
        self,
        image: Any,
        coarse: Any,
        num_classes: int | None = None,
        *,
        min_confidence: float | None = None,
        border_error_px: float | None = None,
        logits: bool = False,
        keep_void: bool = False,
        tile: int = TILE,
    ) -> Refinement:
        """Refine one image of any size.

        The network may lie on any device. The result is on the CPU for arrays and PIL images, and otherwise on the
        device of the tensors that are given.

        Args:
            image: RGB, ``uint8 [H, W, 3]`` or floats in 0..1 (see `segmend.labels.as_image`).
            coarse: a label map ``[H, W]``, or probabilities or logits ``[C, H, W]``.
            num_classes: the number of classes of a label map, for refiners of any classes (None: as many as ids
                occur in it). A mask of 0 and 255 alone has two: 255 is foreground, and a warning says so.
            min_confidence: changes with a lower `Refinement.change_confidence` are undone; 0.5 or less undoes
                nothing. None: the refiner's own (`min_confidence`), where it has one; else the coarse map has the
                share of the result that the refiner chooses (`coarse_weight_for`).
            border_error_px: how many pixels the borders of the coarse map are off, about, where that is known
                (None: the refiner estimates it).
            logits: floats in `coarse` are logits.
            keep_void: void pixels of a label map stay void; otherwise they are filled. A label map without any
                label stays as it is.
            tile: images with a larger side are cut into overlapping tiles, which bounds the memory.

        Raises:
            InvalidInput: shapes, sizes, values or options that do not fit; the message says which.

        Example:
            >>> import numpy as np, segmend
            >>> image, coarse = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
            >>> segmend.load("guided").refine(image, coarse).labels.shape
            torch.Size([8, 8])
        """
        given = next((value for value in (image, coarse) if isinstance(value, Tensor)), None)
        device = torch.device("cpu") if given is None else given.device
        coding = None
        labels = as_label_map(coarse)
        if labels is not None:
            coarse, coding = read_array(labels, self.num_classes or num_classes)
            num_classes = max(2, len(coding.ids))
            if not coding.void:
                warnings.warn(f"{coding.ids[1]} is read as foreground, class 1", stacklevel=2)
        bands = refine_bands(
            self,
            image,
            coarse,
            num_classes,
            min_confidence=min_confidence,
            border_error_px=border_error_px,
            logits=logits,
            keep_void=keep_void,
            tile=tile,
        )
        refined = Refinement.joined([band.to(device) for _, band in bands])
        return refined if coding is None or coding.is_plain else refined.stored_as(coding)


def check_options(
    refiner: Refiner,
    min_confidence: float | None = None,
    border_error_px: float | None = None,
    tile: int = TILE,
) -> None:
    """Raise `InvalidInput` where the options of `Refiner.refine` are out of range, or not for this refiner."""
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise InvalidInput(f"expected a min_confidence of 0..1, found {min_confidence:g}")
    if border_error_px is not None and not refiner.takes_border_error:
        raise InvalidInput(
            f"{type(refiner).__name__} does not use a border error: leave border_error_px out, or use a refiner "
            "that does (universal)"
        )
    if border_error_px is not None and not border_error_px > 0:
        raise InvalidInput(
            f"expected a border_error_px above 0, found {border_error_px:g}: leave it out where it is not known"
        )
    if tile < SMALLEST_TILE:
        raise InvalidInput(f"expected a tile of at least {SMALLEST_TILE} pixels, found {tile}")


@torch.no_grad()
def refine_bands(
    refiner: Refiner,
    image: Any,
    coarse: Any,
    num_classes: int | None = None,
    *,
    min_confidence: float | None = None,
    border_error_px: float | None = None,
    logits: bool = False,
    keep_void: bool = False,
    tile: int = TILE,
    overlap: int = OVERLAP,
    precision: Precision | None = None,
    device: torch.device | None = None,
) -> Iterator[tuple[slice, Refinement]]:
    """Refine one image of any size in bounded memory.

    Args:
        tile, overlap: images with a larger side are cut into tiles, at most this wide and half as high, whose
            seams are blended. They share `overlap` pixels, but no more than a quarter of their width.
        precision: of the network (None: as the caller has set it).
        device: where refiners without parameters compute (None: where the image lies). Networks compute where
            their parameters are.

    The other arguments are those of `Refiner.refine`.

    Yields:
        Rows, and their refined map on the refiner's device; together they are the whole image, from the top.
    """
    min_confidence = refiner.min_confidence if min_confidence is None else min_confidence
    check_options(refiner, min_confidence, border_error_px, tile)
    if min_confidence is not None:
        refiner = refiner.with_all_changes()
    image, coarse = as_image(image), as_tensor(coarse)
    if coarse.ndim == 3 and coarse.shape[:2] == image.shape[1:] != coarse.shape[1:]:
        painted = coarse.dtype == torch.uint8 and coarse.shape[-1] in (3, 4)
        raise InvalidInput(
            f"expected probabilities [C, H, W], found {tuple(coarse.shape)}: classes must come first"
            f"{', and colours must become ids' if painted else ''}"
        )
    check_same_size(image=image, coarse=coarse)
    own = device_of(refiner) if isinstance(refiner, nn.Module) else None
    device = own or device or image.device
    count = refiner.num_classes or num_classes or count_classes(coarse)
    task = _Task(refiner, device, image.to(device), coarse, count, logits, border_error_px, precision)
    void = void_mask(coarse)
    rows, columns = slice(0, image.shape[1]), slice(0, image.shape[2])

    def weight_for(few: Tensor) -> float:
        return 0.0 if min_confidence is not None else refiner.coarse_weight_for(few, border_error_px)

    def combined(rows: slice, refined: Refinement, before: Tensor, weight: float) -> Refinement:
        part = None if void is None else void[rows].to(device)
        return combine(refined, before, weight, min_confidence, part, keep_void or unlabelled)

    unlabelled = void is not None and bool(void.all())
    if unlabelled:  # nothing to refine from
        for part in _strips(rows, STRIP // (count * columns.stop)):
            before = task.coarse_probabilities(part, columns)
            yield part, combined(part, Refinement.of(before, before), before, 0.0)
    elif max(image.shape[1:]) <= tile:
        before = task.coarse_probabilities(rows, columns)
        refined = task.refine(rows, columns, before)
        yield rows, combined(rows, refined, before, weight_for(before[:, ::EVERY, ::EVERY]))
    else:
        few = slice(None, None, EVERY)
        weight = weight_for(task.coarse_probabilities(few, few))
        for part, refined, before in _in_tiles(task, tile, overlap):
            yield part, combined(part, refined, before, weight)


@dataclass(frozen=True)
class _Task:
    """One image, and how its regions are refined."""

    refiner: Refiner
    device: torch.device
    image: Tensor
    coarse: Tensor
    count: int
    logits: bool
    border_error_px: float | None
    precision: Precision | None

    def coarse_probabilities(self, rows: slice, columns: slice) -> Tensor:
        """Of a region, ``float32 [C, h, w]``, on the device.

        The whole coarse map stays in the type in which it was given, which may take a sixteenth of the memory.
        """
        part = self.coarse[..., rows, columns].to(self.device)
        return as_probabilities(part, self.count, logits=self.logits)

    def refine(self, rows: slice, columns: slice, coarse: Tensor) -> Refinement:
        """A region with its coarse probabilities, refined."""
        image = self.image[None, :, rows, columns]
        with nullcontext() if self.precision is None else autocast(self.device, self.precision):
            return self.refiner.refine_batch(image, coarse[None], self.border_error_px)[0]


def _in_tiles(task: _Task, tile: int, overlap: int) -> Iterator[tuple[slice, Refinement, Tensor]]:
    """Strips of rows of an image that is cut into tiles: their refined maps, and their coarse probabilities.

    All that is refined is blended as channels: probabilities first, then what else the refiner gives.
    """
    extra: dict[str, int] = {}

    def channels_of(rows: slice, columns: slice) -> Tensor:
        refined = task.refine(rows, columns, task.coarse_probabilities(rows, columns))
        planes = [refined.probabilities]
        for name in ("displacement", "fusion_mask"):
            value = getattr(refined, name)
            if value is not None:
                planes.append(value if value.ndim == 3 else value[None])
                extra[name] = len(planes[-1])
        return torch.cat(planes) if extra else planes[0]

    height, width = task.image.shape[1:]
    # Half as high as wide: what is blended is held for all columns of a band.
    bands = tiled_bands(channels_of, (height, width), (tile // 2, tile), min(overlap, tile // 4))
    for rows, channels in bands:
        for part in _strips(rows, STRIP // channels[:, 0].numel()):
            found = channels[:, part.start - rows.start : part.stop - rows.start]
            probabilities, *others = found.split([task.count, *extra.values()])
            more = {n: v if len(v) > 1 else v[0] for n, v in zip(extra, others, strict=True)}
            before = task.coarse_probabilities(part, slice(0, width))
            yield part, Refinement.of(probabilities, before, **more), before


def _strips(rows: slice, height: int) -> Iterator[slice]:
    """Parts of at most `height` rows, or of one."""
    for start in range(rows.start, rows.stop, max(1, height)):
        yield slice(start, min(start + max(1, height), rows.stop))


def count_classes(coarse: Tensor) -> int:
    """Number of classes in a coarse map: that of a probability map, or the largest id and one more."""
    if coarse.ndim == 3:
        return coarse.shape[0]
    valid = coarse[coarse != void_of(coarse)]
    return max(2, int(valid.max()) + 1) if valid.numel() else 2


def void_mask(coarse: Tensor) -> Tensor | None:
    """``bool [H, W]``, where a label map is void; None where it is void nowhere, and for probabilities."""
    if coarse.ndim != 2 or coarse.is_floating_point():
        return None
    void = coarse == void_of(coarse)
    return void if void.any() else None
