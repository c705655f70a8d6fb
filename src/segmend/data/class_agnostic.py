"""Class-agnostic training samples: of several data sets, with their classes in a few numbered slots."""

from __future__ import annotations

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from segmend.data.sampling import Sample, Samples
from segmend.labels import void_of
from segmend.ops.winners import present

MIN_PEAK = 0.2
"""A class that is the most probable one nowhere gets a slot if its probability reaches this somewhere."""


def plausible_classes(coarse: Tensor) -> Tensor:
    """The classes that are most probable or reach `MIN_PEAK` in some pixel of a map ``[C, H, W]``: ``int64 [K]``.

    At least the two with the highest probability in any pixel.
    """
    peaks = coarse.amax(dim=(1, 2))
    plausible = peaks >= MIN_PEAK
    plausible[present(coarse[None])] = True  # ties, as in uniform pixels, go to one class
    plausible[peaks.topk(min(2, len(peaks))).indices] = True
    return plausible.nonzero().squeeze(1)


def to_slots(sample: Sample, slots: int) -> Sample:
    """A sample with `slots` planes for its classes: the plausible ones with the largest mean probability.

    True labels of other classes become void: a class-agnostic refiner adds no classes to a coarse map.
    """
    coarse, labels = sample["coarse"], sample["labels"]
    masses = coarse.mean(dim=(1, 2))
    chosen = masses.topk(min(slots, len(masses))).indices
    slot_of = torch.full((int(void_of(labels)) + 1,), int(void_of(labels)))
    kept = chosen[torch.isin(chosen, plausible_classes(coarse))]
    planes = coarse.new_zeros(slots, *coarse.shape[1:])
    planes[: len(kept)] = coarse[kept]
    slot_of[kept] = torch.arange(len(kept))
    planes = planes / planes.sum(dim=0, keepdim=True).clamp_min(1e-6)
    return {**sample, "coarse": planes, "labels": slot_of[labels.long()].to(labels.dtype)}


def border_error_pixels(coarse: Tensor, labels: Tensor) -> Tensor:
    """Estimate of how far the borders of a coarse map are off, in pixels: wrong pixels over true border pixels.

    Args:
        coarse: its labels, ``[H, W]``.
        labels: the true ones, ``[H, W]``.

    Returns:
        A number in 0..64.
    """
    valid = labels != void_of(labels)
    wrong = (coarse != labels) & valid
    border = (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
    return (wrong.sum() / border.clamp_min(1)).clamp_max(64).float()


class ClassAgnosticSamples(torch.utils.data.Dataset[Sample]):
    """Samples of several data sets, each drawn with its share, with their classes in slots (`to_slots`).

    They also hold ``"border_error_px"`` (`border_error_pixels`), and half of them are marked by ``"error_given"``.

    Args:
        sets: samples of each data set.
        shares: of the sets; they sum to 1.
    """

    def __init__(self, sets: list[Samples], shares: list[float], length: int, seed: int, slots: int) -> None:
        self.sets, self.shares, self.length, self.seed, self.slots = sets, shares, length, seed, slots

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        chosen = self.sets[rng.choice(len(self.sets), p=self.shares)]
        sample = to_slots(chosen[index], self.slots)
        error = border_error_pixels(sample["coarse"].max(dim=0).indices, sample["labels"])
        return {**sample, "border_error_px": error, "error_given": torch.tensor(bool(rng.random() < 0.5))}
