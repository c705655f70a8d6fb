"""What a refiner gives back for an image."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segmend.coding import Coding
from segmend.labels import Classes, most_likely, void_of
from segmend.ops.winners import winners

LARGEST_SHOWN = 480
"""Longest side in pixels of a map in a notebook."""


@dataclass(frozen=True)
class Refinement:
    """A refined map. Shapes are those of one image; batches have B in front.

    Attributes:
        labels: label map ``[H, W]``, in the ids of the coarse label map.
        probabilities: probability map ``float32 [C, H, W]``. Without a given number of classes, C is the number of
            ids that the coarse label map holds, and the planes are in their order.
        coarse_labels: the coarse map's most likely labels ``[H, W]``; void where a coarse label map is void.
        confidence: ``float32 [H, W]`` in 0..1, the probability of the label.
        change_confidence: ``float32 [H, W]`` in 0..1, the probability of the label if only it and the coarse label
            were possible: 0.5 where nothing changed, 1 where the coarse label has no probability left.
        displacement: ``float32 [2, H, W]``, (dx, dy) in pixels, of refiners that move labels: the map at (x, y)
            was taken from (x - dx, y - dy) of the coarse map.
        fusion_mask: ``float32 [H, W]`` in 0..1, of refiners that fuse two maps: 1 keeps the moved label, 0 takes
            the replaced one.
    """

    labels: Tensor
    probabilities: Tensor
    coarse_labels: Tensor
    confidence: Tensor
    change_confidence: Tensor
    displacement: Tensor | None = None
    fusion_mask: Tensor | None = None

    @classmethod
    def of(cls, probabilities: Tensor, coarse: Tensor, **extra: Tensor | None) -> Refinement:
        """The refined map of new `probabilities` over a `coarse` map, both ``[..., C, H, W]``.

        Args:
            extra: `displacement` and `fusion_mask`, where the refiner has them.
        """
        confidence, labels = winners(probabilities)
        before = winners(coarse)[1]
        old = probabilities.gather(-3, before.unsqueeze(-3)).squeeze(-3)
        dtype = most_likely(probabilities[..., :1, :1]).dtype
        change_confidence = confidence / (confidence + old)
        return cls(labels.to(dtype), probabilities, before.to(dtype), confidence, change_confidence, **extra)

    @cached_property
    def changed(self) -> Tensor:
        """``bool [H, W]``, where the label differs from the coarse one. Filled void does not count."""
        return (self.labels != self.coarse_labels) & (self.coarse_labels != void_of(self.coarse_labels))

    def to(self, device: torch.device) -> Refinement:
        """The same on another device."""
        return self._mapped(lambda value: value.to(device))

    def __getitem__(self, index: int) -> Refinement:
        """Image `index` of a batch."""
        return self._mapped(lambda value: value[index])

    def stored_as(self, coding: Coding) -> Refinement:
        """The same with labels in the ids of a coding, on the CPU where they were."""

        def encoded(labels: Tensor) -> Tensor:
            return torch.from_numpy(coding.encode(labels.cpu().numpy())).to(labels.device)

        found = replace(self, labels=encoded(self.labels), coarse_labels=encoded(self.coarse_labels))
        found.__dict__["changed"] = self.changed  # what is void as a class may be a class among the ids
        return found

    @classmethod
    def joined(cls, bands: Sequence[Refinement]) -> Refinement:
        """One refined map of bands of rows, from the top."""
        if len(bands) == 1:
            return bands[0]
        columns = {field.name: [getattr(band, field.name) for band in bands] for field in fields(cls)}
        whole: dict[str, Any] = {n: None if v[0] is None else torch.cat(v, dim=-2) for n, v in columns.items()}
        return cls(**whole)

    def _repr_png_(self) -> bytes | None:
        """In a notebook: coarse map, refined map, and in white what changed, side by side; not of batches."""
        if self.labels.ndim != 2:
            return None
        step = max(1, -(-max(self.labels.shape[-2:]) // LARGEST_SHOWN))
        before, after, changed = (
            map_[..., ::step, ::step].cpu().numpy() for map_ in (self.coarse_labels, self.labels, self.changed)
        )
        ids, numbered = np.unique(np.stack((before, after)), return_inverse=True)
        colours = np.array(Classes.numbered(max(2, len(ids))).palette, np.uint8)
        white = np.repeat(changed[..., None] * np.uint8(255), 3, axis=-1)
        shown = [*colours[numbered.reshape(2, *before.shape)], white]
        file = io.BytesIO()
        Image.fromarray(np.concatenate(shown, axis=1)).save(file, "PNG")
        return file.getvalue()

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Refinement:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        new: dict[str, Any] = {n: None if v is None else function(v) for n, v in values.items()}
        return Refinement(**new)
