"""The random walker of scikit-image as a refiner: labels of the seeds reached first."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from skimage.segmentation import random_walker
from torch import Tensor

from segmend.refiners import Refinement, Refiner

SEED = 0.9
"""A pixel is a seed of a class from this share of the class's highest probability in the image."""


class RandomWalker(Refiner):
    """Grady, Random Walks for Image Segmentation (2006), from seeds where the coarse map is confident."""

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """Refine a batch (see `Refiner.refine_batch`), image by image."""
        walked = [_walk(*pair) for pair in zip(image, coarse, strict=True)]
        return Refinement.of(torch.stack(walked), coarse)


def _walk(image: Tensor, coarse: Tensor) -> Tensor:
    """Probabilities ``[C, H, W]`` that a walker from a pixel meets each class's seeds first."""
    confidence, labels = coarse.max(dim=0)
    highest = confidence.new_zeros(len(coarse)).scatter_reduce(0, labels.flatten(), confidence.flatten(), "amax")
    seeds = labels.where(confidence >= SEED * highest[labels], -1)
    names = seeds[seeds >= 0].unique()
    unseeded = seeds < 0
    if len(names) < 2 or not unseeded.any():
        return coarse
    numbers = torch.full((len(coarse),), 0)
    numbers[names] = torch.arange(1, len(names) + 1)
    marked = numbers[seeds.clamp_min(0)].masked_fill(unseeded, 0).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that are not installed
        shares = random_walker(
            image.movedim(0, 2).double().numpy(), marked, mode="cg_j", channel_axis=-1, return_full_prob=True
        )
    found = torch.zeros_like(coarse)
    found[names] = torch.from_numpy(np.asarray(shares)).to(coarse.dtype)
    return found
