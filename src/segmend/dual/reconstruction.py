"""Reconstruction in closed form: a label map explains an image by one mean colour for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_MASS = 3.0
"""Cells that a class must have for a mean of its own."""


class Guide(NamedTuple):
    """What a label map has to explain, and how much it counts.

    Attributes:
        map_: ``[B, K, h, w]``: features u1, colours in CIELAB, or anything else that differs between objects.
        weight: the lambda of `reconstruct_by_colours`.
    """

    map_: Tensor
    weight: float


def cielab(image: Tensor) -> Tensor:
    """Colours of an image in 0..1, ``[B, 3, h, w]``, in CIELAB: their distances are those that the eye sees."""
    from kornia.color import rgb_to_lab  # loads for a second, which commands without it need not spend

    colours: Tensor = rgb_to_lab(image)
    return colours


def reconstruct_by_colours(
    log_probabilities: Tensor, guides: Sequence[Guide], rounds: int = 3, valid: Tensor | None = None
) -> Tensor:
    """Sharpen probabilities by what they explain: ``log p = log p0 - lambda |x - mu_c|^2 / s^2``.

    A label map reconstructs its image by the mean of each class in this image; mu_c is the mean of the guide x,
    weighted by p(c), and s^2 the mean variance within the classes. Means and probabilities are found in turn. This
    is the image loss of DIS with the best decoder for each image, in closed form. Classes with next to no mass
    have no mean; they get the mean cost, plus one.

    Args:
        log_probabilities: ``[B, C, h, w]``; logits are taken too.
        guides: of the same size; their costs add up.
        rounds: how often means and probabilities are found.
        valid: weight of each cell in the means, ``[B, 1, h, w]``, 0 in padding (None: all alike).

    Returns:
        ``[B, C, h, w]``, normalised log-probabilities.

    >>> log_probabilities = torch.tensor([0.6, 0.6, 0.4, 0.6]).log().view(1, 1, 1, 4)
    >>> log_probabilities = torch.cat((log_probabilities, (1 - log_probabilities.exp()).log()), dim=1)
    >>> colours = torch.tensor([0.0, 0.0, 9.0, 9.0]).view(1, 1, 1, 4)
    >>> reconstruct_by_colours(log_probabilities, [Guide(colours, 1.0)], rounds=9).argmax(dim=1)
    tensor([[[0, 0, 1, 1]]])
    """
    start = log_probabilities.log_softmax(dim=1)
    found = start
    for _ in range(rounds):
        p = found.softmax(dim=1) if valid is None else found.softmax(dim=1) * valid
        found = start - sum(guide.weight * _cost(p, guide.map_) for guide in guides)
    return found.log_softmax(dim=1)


def of_mean_colours(log_probabilities: Tensor, colours: Tensor) -> Tensor:
    """The image that a label map explains by one mean colour for each class: ``sum_c p(c) mu_c``.

    Args:
        log_probabilities: normalised, ``[B, C, h, w]``.
        colours: of the image, ``[B, K, h, w]``.

    Returns:
        ``[B, K, h, w]``.
    """
    p = log_probabilities.exp()
    means = torch.einsum("bchw,bkhw->bck", p, colours) / p.sum(dim=(2, 3)).clamp_min(1e-6)[..., None]
    return torch.einsum("bck,bchw->bkhw", means, p)


def _cost(p: Tensor, guide: Tensor) -> Tensor:
    """Squared distance of each cell from the mean of each class, by the mean variance within: ``[B, C, h, w]``."""
    mass = p.sum(dim=(2, 3))
    means = torch.einsum("bchw,bkhw->bck", p, guide) / mass.clamp_min(1e-6)[..., None]
    squared = guide.square().sum(dim=1, keepdim=True) + means.square().sum(dim=2)[:, :, None, None]
    squared = (squared - 2 * torch.einsum("bck,bkhw->bchw", means, guide)).clamp_min(0)
    variance = (p * squared).sum(dim=(1, 2, 3)) / p.sum(dim=(1, 2, 3)).clamp_min(1e-6)
    cost = squared / variance.clamp_min(1e-6)[:, None, None, None]
    usual = (p * cost).sum(dim=1, keepdim=True) / p.sum(dim=1, keepdim=True).clamp_min(1e-6)
    least = min(LEAST_MASS, 0.1 * p.shape[2] * p.shape[3])
    return torch.where((mass > least)[:, :, None, None], cost, usual + 1)
