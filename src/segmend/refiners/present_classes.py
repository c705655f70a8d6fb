"""The classes that a coarse map holds, in an order that does not depend on how they are numbered."""

from __future__ import annotations

import torch
from torch import Tensor

from segmend.ops.nearest import nearest_chosen
from segmend.ops.winners import winners

UNIFORM_MARGIN = 1.01
"""Where the largest of C probabilities is at most this divided by C, they count as uniform: the pixel is void."""


def not_uniform(largest: Tensor, num_classes: int) -> Tensor:
    """Whether pixels hold any information, by the largest of their `num_classes` probabilities (void: uniform)."""
    return largest > UNIFORM_MARGIN / num_classes


def class_order(coarse: Tensor, classes: Tensor | None = None) -> Tensor:
    """Classes of a batch ``[B, C, H, W]``, the one with the largest total probability first: ``int64 [K]``.

    Equal totals: the class that has its largest probability earlier in the image is first. The order depends on
    the maps alone. Where a method settles ties by the order of the classes, its result is then the same however
    they are numbered.

    Args:
        classes: those that are put in order, ``int64 [K]`` (None: all).
    """
    if classes is None:
        classes = torch.arange(coarse.shape[1], device=coarse.device)
    total = coarse.sum(dim=(0, 2, 3))[classes]
    if len(total.unique()) < len(total):
        first = torch.stack([coarse[:, c].flatten().argmax() for c in classes.tolist()]).argsort(stable=True)
        classes, total = classes[first], total[first]
    return classes[total.argsort(descending=True, stable=True)]


def present_classes(coarse: Tensor) -> Tensor:
    """The classes that are the most likely one somewhere in a batch ``[B, C, H, W]``, in `class_order`.

    Void pixels do not count. Where several classes are equally likely, all of them do.

    Returns:
        ``int64 [K]``, K from 0 (all void) to C.
    """
    count = coarse.shape[1]
    largest, labels = winners(coarse)
    valid = not_uniform(largest, count)
    if not valid.all():
        largest, labels = largest.masked_fill(~valid, 2.0), labels.masked_fill(~valid, count)
    wins = labels.flatten().bincount(minlength=count + 1)[:count] > 0
    # Classes that are most likely only where another one is as likely: `winners` names one class at each pixel.
    possible = coarse.amax(dim=(0, 2, 3)) >= largest.amin()
    for c in (possible & ~wins).nonzero().flatten().tolist():
        wins[c] = (coarse[:, c] == largest).any()
    return class_order(coarse, wins.nonzero().flatten())


def void_filled(coarse: Tensor, share: float = 1.0) -> Tensor:
    """The coarse map ``[B, C, H, W]`` with void pixels as the nearest pixel that is not void.

    Images of void alone stay as they are.

    Args:
        share: of the nearest pixel in a void one (0..1); the rest stays uniform.
    """
    valid = not_uniform(winners(coarse)[0], coarse.shape[1])
    if valid.all():
        return coarse
    return torch.stack([_void_filled(*pair, share) for pair in zip(coarse, valid, strict=True)])


def _void_filled(coarse: Tensor, valid: Tensor, share: float) -> Tensor:
    if valid.all() or not valid.any():
        return coarse
    _, index = nearest_chosen(valid.cpu().numpy())
    nearest = torch.from_numpy(index).to(coarse.device)
    filled = torch.lerp(coarse, coarse.flatten(1)[:, nearest], share)
    return torch.where(valid, coarse, filled)
