"""The classes that a coarse map holds, in an order that does not depend on how they are numbered."""

from __future__ import annotations

import torch
from torch import Tensor

from segmend.ops.winners import winners

UNIFORM_MARGIN = 1.01
"""Where the largest of C probabilities is at most this divided by C, they count as uniform: the pixel is void."""


def not_uniform(largest: Tensor, num_classes: int) -> Tensor:
    """Whether pixels hold any information, by the largest of their `num_classes` probabilities (void: uniform)."""
    return largest > UNIFORM_MARGIN / num_classes


def class_order(coarse: Tensor) -> Tensor:
    """All classes of a batch ``[B, C, H, W]``, the one with the largest total probability first: ``int64 [C]``.

    Equal totals: the class that has its largest probability earlier in the image is first. The order depends on
    the maps alone. Where a method settles ties by the order of the classes, its result is then the same however
    they are numbered.
    """
    total = coarse.sum(dim=(0, 2, 3))
    in_order = total.sort().values
    if not (in_order[1:] == in_order[:-1]).any():
        return total.argsort(descending=True)
    first = coarse.transpose(0, 1).flatten(1).argmax(dim=1).argsort(stable=True)
    return first[total[first].argsort(descending=True, stable=True)]


def present_classes(coarse: Tensor) -> Tensor:
    """The classes that are the most likely one somewhere in a batch ``[B, C, H, W]``, in `class_order`.

    Void pixels do not count. Where several classes are equally likely, all of them do.

    Returns:
        ``int64 [K]``, K from 0 (all void) to C.
    """
    largest = winners(coarse)[0]
    largest = largest.masked_fill(~not_uniform(largest, coarse.shape[1]), 2.0)  # no probability equals it
    present = (coarse == largest.unsqueeze(1)).flatten(2).any(dim=2).any(dim=0).nonzero().squeeze(1)
    return present[class_order(coarse[:, present])] if len(present) > 1 else present


def void_filled(coarse: Tensor) -> Tensor:
    """The coarse map ``[B, C, H, W]`` with void pixels as the mean of the others in their image.

    Void without any label to be filled with stays.
    """
    valid = not_uniform(winners(coarse)[0], coarse.shape[1]).unsqueeze(1)
    if valid.all():
        return coarse
    count = valid.sum(dim=(2, 3), keepdim=True)
    mean = (coarse * valid).sum(dim=(2, 3), keepdim=True) / count.clamp_min(1)
    return torch.where(valid | (count == 0), coarse, mean)
