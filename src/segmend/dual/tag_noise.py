"""Noise of tags: how often they leave a class out or name a wrong one, and which of them are right.

A class c is in an image with probability p, which a logistic regression predicts from the image's features. Its
tag is given with probability

    q = p (1 - drop) + (1 - p) wrong_c,

as the tag of a class that is there is left out with probability `drop`, and a class that is not there is named
with probability `wrong_c`, whatever the image shows.

1. The regression maximises the likelihood of the given tags under this model, in folds, so that no image is
   predicted by its own tags.
2. Its log-odds z become probabilities, ``p = sigmoid(scale * z + shift)``. Scale and shift maximise the likelihood
   of the tags of all images, together with the rates of noise. Trusted images count as free of noise. Without this
   calibration, a timid regression would be taken for noise in the tags.
3. Both are repeated with the new rates, until these change no more.
4. Bayes' rule joins what the image shows with the tags that are given.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDS = 5
"""Parts of the images; each is predicted from the others."""

ROUNDS = 5
"""How often regression and rates are estimated at most."""

SETTLED = 0.003
"""Change of the rates (0..1) at which the rounds end."""

WEIGHTS = 12.0
"""Precision of the normal distribution of the regression's weights, for features of variance 1."""

SHIFT = 0.5
"""Precision of the normal distribution of the regression's constants, around the log-odds of a class's tags."""

USUAL = -1.5
"""Log-odds of the rates of noise that are expected without images: about 0.18."""

MOST = 0.95
"""Highest rate of wrong tags."""

TINY = 1e-6


@dataclass(frozen=True)
class NoiseRates:
    """How tags differ from the classes that are in images.

    Attributes:
        drop: probability (0..1) that the tag of a class that is in an image is not given.
        wrong: for each class, the probability that it is given although it is not in an image, ``[C]``.
    """

    drop: float
    wrong: Tensor

    def evidence(self, given: Tensor) -> Tensor:
        """What tags add to the log-odds of their classes, ``[N, C]``; in between for scores between 0 and 1.

        >>> NoiseRates(0.5, torch.tensor([0.5])).evidence(torch.tensor([[1.0, 0.0]]))  # tags that say nothing
        tensor([[0., 0.]])
        """
        drop = torch.as_tensor(self.drop, dtype=self.wrong.dtype).clamp(TINY, 1 - TINY)
        wrong = self.wrong.clamp(TINY, 1 - TINY)
        return given * torch.log((1 - drop) / wrong) + (1 - given) * torch.log(drop / (1 - wrong))


class Cleaned(NamedTuple):
    """Tags that were cleaned.

    Attributes:
        scores: probability that each class is in each image, by the image and its given tags, ``[N, C]``. Those of
            trusted images are their tags.
        predicted: the same by the image alone, out of fold, ``[N, C]``.
        rates: of the tags of images that are not trusted.
    """

    scores: Tensor
    predicted: Tensor
    rates: NoiseRates


def clean(features: Tensor, given: Tensor, trusted: Tensor, folds: int = FOLDS) -> Cleaned:
    """Estimate the noise of tags, and the probability of each class in each image.

    The result is the same for the same input. Trusted images are what tells a timid regression from noisy tags:
    without any, the shape of the regression's predictions alone does, and the rates are less exact.

    Args:
        features: of the images, ``[N, K]``, of about variance 1 altogether (see `principal_components`).
        given: 1 for classes whose tags are given, 0 for others, or scores in between, ``[N, C]``.
        trusted: ``bool [N]``, images whose tags are right and complete.
        folds: parts of the images, each of which is predicted from the others.

    Raises:
        ValueError: shapes that do not belong together, or values of `given` outside of 0..1.
    """
    if features.ndim != 2 or given.ndim != 2 or not len(features) == len(given) == len(trusted):
        raise ValueError(
            f"expected features [N, K], tags [N, C] and trusted [N], "
            f"found {features.shape}, {given.shape} and {trusted.shape}"
        )
    if not bool(((given >= 0) & (given <= 1)).all()):
        raise ValueError("expected tags in 0..1")
    features, given = features.double(), given.double()
    frequency = _frequency(given[~trusted] if bool((~trusted).any()) else given)
    rates = NoiseRates(0.18, 0.18 * frequency)
    fold = _folds(trusted, folds)
    weights = [torch.zeros(features.shape[1] + 1, given.shape[1], dtype=torch.float64)] * folds
    for _ in range(ROUNDS):
        log_odds = torch.zeros_like(given)
        for index in range(folds):
            inside, others = fold == index, fold != index
            weights[index] = _regression(features[others], given[others], trusted[others], rates, weights[index])
            log_odds[inside] = _apply(weights[index], features[inside])
        before = rates
        log_odds, rates = _calibrated(log_odds, given, trusted, frequency)
        if _distance(before, rates) < SETTLED:
            break
    scores = torch.where(trusted[:, None], given, (log_odds + rates.evidence(given)).sigmoid())
    return Cleaned(scores, log_odds.sigmoid(), rates)


def _frequency(given: Tensor) -> Tensor:
    """Share of the images that have each tag, ``[C]``, not quite 0 and 1."""
    return (given.sum(0) + 0.5) / (len(given) + 1)


def _folds(trusted: Tensor, folds: int) -> Tensor:
    """The fold of each image, ``[N]``: at random, trusted images spread evenly, and always the same."""
    order = torch.randperm(len(trusted), generator=torch.Generator().manual_seed(0))
    order = torch.cat([order[trusted[order]], order[~trusted[order]]])
    fold = torch.empty(len(trusted), dtype=torch.long)
    fold[order] = torch.arange(len(trusted)) % folds
    return fold


def _apply(weights: Tensor, features: Tensor) -> Tensor:
    """Log-odds of the classes, ``[N, C]``, by weights ``[K + 1, C]``, of which the last are constants."""
    return features @ weights[:-1] + weights[-1]


def _loss(present: Tensor, given: Tensor, trusted: Tensor, drop: Tensor, wrong: Tensor) -> Tensor:
    """Negative log-likelihood of the given tags, summed, where classes are there with probability `present`."""
    noisy = present * (1 - drop) + (1 - present) * wrong
    expected = torch.where(trusted[:, None], present, noisy).clamp(TINY, 1 - TINY)
    return F.binary_cross_entropy(expected, given, reduction="sum")


def _regression(features: Tensor, given: Tensor, trusted: Tensor, rates: NoiseRates, start: Tensor) -> Tensor:
    """Weights ``[K + 1, C]`` of the most probable logistic regression."""
    base = _frequency(given).logit() if len(given) else torch.zeros_like(rates.wrong)
    weights = torch.cat([start[:-1], (start[-1:] if start.any() else base[None])]).clone().requires_grad_()

    drop = torch.tensor(rates.drop, dtype=torch.float64)

    def loss() -> Tensor:
        fit = _loss(_apply(weights, features).sigmoid(), given, trusted, drop, rates.wrong)
        return fit + WEIGHTS / 2 * weights[:-1].pow(2).sum() + SHIFT / 2 * (weights[-1] - base).pow(2).sum()

    _minimise(loss, weights, 60)
    return weights.detach()


def _calibrated(log_odds: Tensor, given: Tensor, trusted: Tensor, frequency: Tensor) -> tuple[Tensor, NoiseRates]:
    """Log-odds that are calibrated, and the rates of noise, of highest likelihood together.

    A class is named wrongly in proportion to the frequency of its tag, and to a factor of its own. Weak normal
    distributions of all parameters keep them finite where there are few images.
    """
    start = torch.tensor([0.0, 0.0, USUAL, USUAL, *[0.0] * len(frequency)], dtype=torch.float64)
    parameters = start.clone().requires_grad_()

    def read() -> tuple[Tensor, Tensor, Tensor]:
        """Calibrated log-odds, drop rate and wrong rates."""
        scale, shift, drop, wrong = parameters[:4]
        rates = (wrong.sigmoid() * frequency * parameters[4:].exp()).clamp(TINY, MOST)
        return scale.exp() * log_odds + shift, drop.sigmoid(), rates

    deviation = torch.tensor([0.5, 1.0, 2.0, 2.0, *[0.4] * len(frequency)], dtype=torch.float64)

    def loss() -> Tensor:
        logits, drop, wrong = read()
        penalty = ((parameters - start) / deviation).square().sum() / 2
        return _loss(logits.sigmoid(), given, trusted, drop, wrong) + penalty

    _minimise(loss, parameters, 100)
    with torch.no_grad():
        logits, drop, wrong = read()
    return logits, NoiseRates(float(drop), wrong)


def _minimise(loss: Callable[[], Tensor], parameters: Tensor, steps: int) -> None:
    optimiser = torch.optim.LBFGS([parameters], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimiser.step(closure)


def _distance(first: NoiseRates, second: NoiseRates) -> float:
    """Largest difference of two rates; `wrong` counts as tags of an image."""
    return max(abs(first.drop - second.drop), abs(float(first.wrong.sum() - second.wrong.sum())))


class Reliability(NamedTuple):
    """Scores of one range against what is true: how many, their mean, and the share that is right (0..1)."""

    images: int
    score: float
    right: float


def reliability(
    scores: Tensor, present: Tensor, edges: tuple[float, ...] = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)
) -> list[Reliability]:
    """How far scores can be taken for probabilities: for each range between `edges` that holds some."""
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (scores >= low) & ((scores < high) if high < edges[-1] else (scores <= high))
        if count := int(inside.sum()):
            found.append(Reliability(count, float(scores[inside].mean()), float(present[inside].double().mean())))
    return found
