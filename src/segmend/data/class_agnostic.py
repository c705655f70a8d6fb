"""Training samples for what works on any classes: many data sets, many kinds of corruption, few planes."""

from __future__ import annotations

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from segmend.data.sampling import Sample, Samples
from segmend.labels import void_of
from segmend.ops.winners import present

HEARD = 0.2
"""Probability that a class must reach somewhere, or else win somewhere, to be learned from."""


def believed(coarse: Tensor) -> Tensor:
    """The classes that win or reach `HEARD` somewhere in a map ``[C, H, W]``, at least 2: ``int64 [K]``."""
    most = coarse.amax(dim=(1, 2))
    heard = most >= HEARD
    heard[present(coarse[None])] = True  # ties, as where nothing is known, go to one class
    heard[most.topk(min(2, len(most))).indices] = True
    return heard.nonzero().squeeze(1)


def in_slots(sample: Sample, slots: int) -> Sample:
    """A sample in `slots` planes: those classes that its coarse map believes in, most of all.

    True labels of other classes become void: nobody can refine towards a class that the coarse map does not hold.
    """
    coarse, labels = sample["coarse"], sample["labels"]
    masses = coarse.mean(dim=(1, 2))
    chosen = masses.topk(min(slots, len(masses))).indices
    slot_of = torch.full((int(void_of(labels)) + 1,), int(void_of(labels)))
    heard = chosen[torch.isin(chosen, believed(coarse))]
    planes = coarse.new_zeros(slots, *coarse.shape[1:])
    planes[: len(heard)] = coarse[heard]
    slot_of[heard] = torch.arange(len(heard))
    planes = planes / planes.sum(dim=0, keepdim=True).clamp_min(1e-6)
    return sample | {"coarse": planes, "labels": slot_of[labels.long()].to(labels.dtype)}


def border_error_pixels(coarse: Tensor, labels: Tensor) -> Tensor:
    """How many pixels the borders of a coarse map are off, about: wrong pixels over pixels of true borders.

    Args:
        coarse: ``[C, H, W]``.
        labels: ``[H, W]``.

    Returns:
        A number of at least 0, at most 64.
    """
    known = labels != void_of(labels)
    wrong = (coarse.max(dim=0).indices != labels) & known
    border = (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
    return (wrong.sum() / border.clamp_min(1)).clamp_max(64).float()


class ClassAgnosticSamples(torch.utils.data.Dataset[Sample]):
    """Samples of many data sets, each drawn with its share, in planes of any classes (`in_slots`).

    ``"border_error_px"`` is how far borders of the coarse map are off (`border_error_pixels`), and half of them
    are ``"told"``.

    Args:
        sources: samples of data sets, whose coarse maps are their own or the truth, corrupted.
        shares: of the samples; they sum to 1.
    """

    def __init__(self, sources: list[Samples], shares: list[float], length: int, seed: int, slots: int) -> None:
        self.sources, self.shares, self.length, self.seed, self.slots = sources, shares, length, seed, slots

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        source = self.sources[rng.choice(len(self.sources), p=self.shares)]
        sample = in_slots(source[index], self.slots)
        error = border_error_pixels(sample["coarse"], sample["labels"])
        return sample | {"border_error_px": error, "told": torch.tensor(bool(rng.random() < 0.5))}
