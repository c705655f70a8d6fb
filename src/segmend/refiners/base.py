"""What every refiner is: an image and its coarse map go in, a refined map comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from segmend.labels import as_image, as_probabilities, as_tensor, check_same_size, most_likely, void_of
from segmend.ops import native
from segmend.ops.tiles import tiled_bands
from segmend.ops.winners import winners

EVERY = 4
"""Pixels between those of a coarse map by which a refiner chooses its coarse_weight."""


@dataclass(frozen=True)
class Refinement:
    """What a refiner gives back. Shapes are those of one image; batches have B in front.

    Attributes:
        labels: label map ``[H, W]``.
        probabilities: probability map ``float32 [C, H, W]``.
        changed: ``bool [H, W]``, where the label differs from the coarse map's most likely one.
        confidence: ``float32 [H, W]`` in 0..1, the probability of the label.
        change_confidence: ``float32 [H, W]``, the same if only this label and the coarse one were possible: 0.5
            where they are as likely, and where nothing changed; 1 where the coarse one is out of the question.
        displacement: ``float32 [2, H, W]``, (dx, dy) in pixels, of refiners that move labels: the map at
            (x, y) was taken from (x - dx, y - dy) of the coarse map.
        fusion_mask: ``float32 [H, W]`` in 0..1 of refiners that fuse: 1 keeps the moved label, 0 the new one.
    """

    labels: Tensor
    probabilities: Tensor
    changed: Tensor
    confidence: Tensor
    change_confidence: Tensor
    displacement: Tensor | None = None
    fusion_mask: Tensor | None = None

    @classmethod
    def of(cls, probabilities: Tensor, coarse: Tensor, **shown: Tensor | None) -> Refinement:
        """The refined map of new `probabilities` over a `coarse` map, both ``[..., C, H, W]``."""
        confidence, labels = winners(probabilities)
        before = winners(coarse)[1]
        old = probabilities.gather(-3, before.unsqueeze(-3)).squeeze(-3)
        sure = confidence / (confidence + old)
        dtype = most_likely(probabilities[..., :1, :1]).dtype
        return cls(labels.to(dtype), probabilities, labels != before, confidence, sure, **shown)

    def __getitem__(self, index: int) -> Refinement:
        """Image `index` of a batch."""
        whole = {field.name: getattr(self, field.name) for field in fields(self)}
        picked: dict[str, Any] = {n: None if v is None else v[index] for n, v in whole.items()}
        return Refinement(**picked)


class Refiner(ABC):
    """A method that refines coarse maps. Subclasses give `refine_batch`; people call `refine`."""

    num_classes: int | None = None
    """Number of classes that the refiner was made for; None where any will do."""

    takes_border_error: bool = False
    """Whether the refiner uses a known border error of the coarse map."""

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
        min_confidence: float | None = None,
        logits: bool = False,
        border_error_px: float | None = None,
    ) -> Refinement:
        """Refine one image.

        Args:
            image: RGB, ``uint8 [H, W, 3]`` or floats in 0..1 (see `segmend.labels.as_image`).
            coarse: a label map ``[H, W]``, or probabilities or logits ``[C, H, W]``.
            num_classes: needed only for a label map where the refiner takes any classes
                (None: its largest id, and one more).
            min_confidence: where the refiner is less sure of a change than this (see
                `Refinement.change_confidence`), the coarse map stays; 0.5 or less keeps nothing (None: the
                refiner's own coarse_weight).
            logits: floats in `coarse` are logits.

        Raises:
            InvalidInput: shapes, sizes or values that do not fit; the message says which.
        """
        image = as_image(image)
        probabilities = as_probabilities(coarse, self._count(coarse, num_classes), logits=logits)
        check_same_size(image=image, coarse=probabilities)
        with torch.inference_mode():
            refined = self.refine_batch(image.unsqueeze(0), probabilities.unsqueeze(0), border_error_px)[0]
            if min_confidence is not None:
                return undo_below(refined, probabilities, min_confidence)
            few = probabilities[:, ::EVERY, ::EVERY]
            return mixed(refined, probabilities, self.coarse_weight_for(few, border_error_px))

    def _count(self, coarse: Any, given: int | None) -> int:
        return self.num_classes or given or count_classes(as_tensor(coarse))


def count_classes(coarse: Tensor) -> int:
    """Number of classes in a coarse map: that of a probability map, or the largest id and one more."""
    if coarse.ndim == 3:
        return coarse.shape[0]
    known = coarse[coarse != void_of(coarse)]
    return max(2, int(known.max()) + 1) if known.numel() else 2


def undo_below(refined: Refinement, coarse: Tensor, min_confidence: float) -> Refinement:
    """The refined map with the coarse map's probabilities wherever it was less sure of a change.

    Args:
        coarse: probabilities ``[..., C, H, W]``.
        min_confidence: least `Refinement.change_confidence`; 0.5 or less keeps nothing, 1 all that the refiner is
            not certain of.
    """
    if min_confidence <= 0.5:
        return refined
    unsure = refined.changed & (refined.change_confidence < min_confidence)
    places = unsure.nonzero(as_tuple=True)
    before = coarse.movedim(-3, -1)[places].to(refined.probabilities.dtype)
    confidence, labels = before.max(dim=-1)
    probabilities = native.empty_like(refined.probabilities).copy_(refined.probabilities)
    probabilities.movedim(-3, -1)[places] = before
    return replace(
        refined,
        labels=refined.labels.index_put(places, labels.to(refined.labels.dtype)),
        probabilities=probabilities,
        changed=refined.changed & ~unsure,
        confidence=refined.confidence.index_put(places, confidence),
        change_confidence=refined.change_confidence.index_put(places, confidence.new_tensor(0.5)),
    )


def mixed(refined: Refinement, coarse: Tensor, coarse_weight: float) -> Refinement:
    """A mixture of the refined map and the coarse one, of which a share `coarse_weight` (0..1) is the coarse one.

    A label changes where the refined map's margin between new and old outweighs the coarse map's between old and
    new: a coarse map that is sure is harder to change than one that is not. How sure a change was stays as it was.

    Args:
        coarse: probabilities ``[..., C, H, W]``.
    """
    if coarse_weight <= 0:
        return refined
    found = Refinement.of(
        torch.lerp(refined.probabilities, coarse.to(refined.probabilities.dtype), coarse_weight), coarse
    )
    return replace(
        refined,
        labels=found.labels,
        probabilities=found.probabilities,
        changed=found.changed,
        confidence=found.confidence,
        change_confidence=torch.where(found.changed, refined.change_confidence, found.change_confidence),
    )


TILE = 1152
"""Most columns of a tile, and rows of an image that is not cut. Tiles are half as high as they may be wide: what
is blended is held for all columns of a band."""

STRIP = 1 << 22
"""Values of a refined map that are finished together."""


def refine_bands(
    refiner: Refiner,
    image: Tensor,
    coarse: Tensor,
    num_classes: int,
    tile: int = TILE,
    overlap: int = 128,
    min_confidence: float | None = None,
    logits: bool = False,
    border_error_px: float | None = None,
) -> Iterator[tuple[slice, Refinement]]:
    """Refine one image of any size in bounded memory, in bands of rows from the top.

    Args:
        image: ``float32 [3, H, W]`` in 0..1.
        coarse: a label map ``[H, W]``, or probabilities or logits ``[C, H, W]``.
        tile, overlap: images with a larger side are cut into tiles, at most this wide and half as high, whose
            seams are blended. They share `overlap` pixels, but no more than a quarter of their width.
        min_confidence, logits: see `Refiner.refine`.
    """
    check_same_size(image=image, coarse=coarse)
    shown: list[tuple[str, int]] = []

    def given(rows: slice, columns: slice) -> Tensor:
        return as_probabilities(coarse[..., rows, columns].to(image.device), num_classes, logits=logits)

    def refine(rows: slice, columns: slice) -> tuple[Refinement, Tensor]:
        """A refined region, and its coarse probabilities."""
        part = given(rows, columns)
        return refiner.refine_batch(image[None, :, rows, columns], part[None], border_error_px)[0], part

    def channels_of(rows: slice, columns: slice) -> Tensor:
        """All that is refined of a region, as channels, so that tiles are blended alike."""
        refined, part = refine(rows, columns)
        shown[:] = [
            (name, value.shape[0] if value.ndim == 3 else 1)
            for name in ("displacement", "fusion_mask")
            if (value := getattr(refined, name)) is not None
        ]
        extra = [getattr(refined, name).reshape(channels, *part.shape[1:]) for name, channels in shown]
        return torch.cat((refined.probabilities, *extra)) if extra else refined.probabilities

    height, width = image.shape[1:]
    with torch.inference_mode():
        if min_confidence is None:
            few = slice(None, None, EVERY)
            careful = partial(mixed, coarse_weight=refiner.coarse_weight_for(given(few, few), border_error_px))
        else:
            careful = partial(undo_below, min_confidence=min_confidence)
        if max(height, width) <= tile:  # the common case, without what blending costs
            rows = slice(0, height)
            refined, before = refine(rows, slice(0, width))
            yield rows, careful(refined, before)
            return
        for rows, channels in tiled_bands(
            channels_of, (height, width), (tile // 2, tile), min(overlap, tile // 4)
        ):
            for part in _strips(rows, max(1, STRIP // channels[:, 0].numel())):
                found = channels[:, part.start - rows.start : part.stop - rows.start]
                pieces = found.split([num_classes, *(count for _, count in shown)])
                named = zip(shown, pieces[1:], strict=True)
                extra = {name: piece if count > 1 else piece[0] for (name, count), piece in named}
                before = given(part, slice(0, width))
                yield part, careful(Refinement.of(pieces[0], before, **extra), before)


def _strips(rows: slice, height: int) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, height):
        yield slice(start, min(start + height, rows.stop))
