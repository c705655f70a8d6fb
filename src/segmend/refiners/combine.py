"""How the result of a refiner is combined with the coarse map. Nothing else decides what is kept of that map."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from segmend.labels import void_of
from segmend.ops import native
from segmend.ops.winners import winners
from segmend.refiners.refinement import Refinement


def combine(
    refined: Refinement,
    coarse: Tensor,
    coarse_weight: float | Tensor = 0.0,
    min_confidence: float | None = None,
    void: Tensor | None = None,
    keep_void: bool = False,
) -> Refinement:
    """The result of a refiner and the coarse map.

    Args:
        refined: the refiner's own result.
        coarse: probabilities ``[..., C, H, W]``.
        coarse_weight: share of the coarse map in the result (see `mixed`), where `min_confidence` is None.
        min_confidence: less confident changes are undone (see `undo_unsure`).
        void: ``bool [..., H, W]``, where a coarse label map is void (None: nowhere).
        keep_void: void stays void. Otherwise it is filled by the refiner; these pixels do not count as changed.
    """
    if void is not None:
        labels = refined.coarse_labels
        refined = replace(refined, coarse_labels=labels.masked_fill(void, void_of(labels)))
    if min_confidence is None:
        refined = mixed(refined, coarse, coarse_weight)
    else:
        refined = undo_unsure(refined, coarse, min_confidence)
    if void is not None and keep_void:
        refined = with_void(refined, coarse, void)
    return refined


def mixed(refined: Refinement, coarse: Tensor, coarse_weight: float | Tensor) -> Refinement:
    """``(1 - coarse_weight) refined + coarse_weight coarse``, of probabilities.

    A label changes where the refined map's margin between the new and the old label outweighs the coarse map's
    between the old and the new: the more confident the coarse map, the harder it is to change. The
    `change_confidence` of the changes that are left is the refiner's own.

    Args:
        coarse: probabilities ``[..., C, H, W]``.
        coarse_weight: 0 (the refined map as it is) to 1; of all maps, or of each, ``[B, 1, 1, 1]``.
    """
    if not isinstance(coarse_weight, Tensor) and coarse_weight <= 0:
        return refined
    probabilities = torch.lerp(refined.probabilities, coarse.to(refined.probabilities.dtype), coarse_weight)
    confidence, labels = winners(probabilities)
    found = replace(
        refined,
        labels=labels.to(refined.labels.dtype),
        probabilities=probabilities,
        confidence=confidence,
    )
    unchanged = found.change_confidence.new_tensor(0.5)
    return replace(found, change_confidence=torch.where(found.changed, found.change_confidence, unchanged))


def undo_unsure(refined: Refinement, coarse: Tensor, min_confidence: float) -> Refinement:
    """The refined map with the coarse map's label and probabilities wherever a change is not confident enough.

    Args:
        coarse: probabilities ``[..., C, H, W]``.
        min_confidence: least `Refinement.change_confidence` of a change; 0.5 or less undoes nothing, 1 all changes
            to which the coarse label is a possible alternative.
    """
    if min_confidence <= 0.5:
        return refined
    places = (refined.changed & (refined.change_confidence < min_confidence)).nonzero(as_tuple=True)
    before = coarse.movedim(-3, -1)[places].to(refined.probabilities.dtype)
    confidence, labels = before.max(dim=-1)
    probabilities = native.empty_like(refined.probabilities).copy_(refined.probabilities)
    probabilities.movedim(-3, -1)[places] = before
    return replace(
        refined,
        labels=refined.labels.index_put(places, labels.to(refined.labels.dtype)),
        probabilities=probabilities,
        confidence=refined.confidence.index_put(places, confidence),
        change_confidence=refined.change_confidence.index_put(places, confidence.new_tensor(0.5)),
    )


def with_void(refined: Refinement, coarse: Tensor, void: Tensor) -> Refinement:
    """The refined map with the void of its coarse label map: void labels, and the coarse map's probabilities."""
    classes = coarse.shape[-3]
    return replace(
        refined,
        labels=refined.labels.masked_fill(void, void_of(refined.labels)),
        probabilities=torch.where(
            void.unsqueeze(-3), coarse.to(refined.probabilities.dtype), refined.probabilities
        ),
        confidence=refined.confidence.masked_fill(void, 1 / classes),
        change_confidence=refined.change_confidence.masked_fill(void, 0.5),
    )
