"""The appearance term: how pixels of similar colour, anywhere in an image, are labelled in its coarse map.

It is the appearance kernel of the dense CRF between each cell and some hundreds of sampled cells, small and spread
evenly over the image. The samples are enough, and the cost stays linear in the number of pixels. Nothing is
learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.gaussian_means import gaussian_means
from segmend.ops.padding import cropped, pad_to_stride

COLOUR_SCALES = (0.02, 0.05)
"""Standard deviations of the kernel over colours (0..1), for its two parts."""

POSITION_SCALE = 300.0
"""Standard deviation of both over positions, in pixels."""

KERNEL_WEIGHT = 2.0
"""Logits that one kernel adds, summed over the classes."""

APPEARANCE_SUM = KERNEL_WEIGHT * len(COLOUR_SCALES)
"""What the appearance term sums to over the classes."""

ROUNDS = 5
"""Rounds of mean field; the last one is computed for all cells."""

CELL = 4
"""Side of a cell in pixels. Samples must be as small: the mean colour of larger cells belongs to no pixel."""

SAMPLE_DISTANCE = 16
"""Pixels between samples; twice as much where there would be more than `MAX_SAMPLES`."""

MAX_SAMPLES = 1024

MIN_COARSE = 1e-4
"""Smaller probabilities of a coarse map count as this in log-probabilities."""

SHARES_STEP, FITTINGS, SMALLEST_SHARE, LARGEST_CONSTANT = 4, 8, 1e-6, 6.0
"""Of `combined_keeping_shares`: step in pixels, rounds, and limits of the shares and of the constants."""


def with_appearance(image: Tensor, coarse: Tensor, weight: float = 1.0) -> Tensor:
    """The coarse map refined by its appearance term, ``[B, C, H, W]``; any H and W.

    ``softmax(log coarse + weight * appearance_at_pixels(image, coarse))``. Gradients reach the coarse map, but do
    not pass through the appearance term.

    Args:
        weight: of the appearance term. Sharp maps, and objects that have the colours of their surroundings, want a
            small one: `segmend.training.tasks.corrector.fit_appearance` finds it.
    """
    return combined(coarse, appearance_at_pixels(image, coarse), weight)


def combined(coarse: Tensor, appearance: Tensor, weight: float) -> Tensor:
    """``softmax(log coarse + weight * appearance)``, all ``[B, C, H, W]``."""
    return (coarse.float().clamp_min(MIN_COARSE).log() + weight * appearance).softmax(dim=1)


def combined_keeping_shares(coarse: Tensor, appearance: Tensor, weight: float, keep: float) -> Tensor:
    """`combined`, with the share of each class in the image kept: ``softmax(log coarse + weight A + keep b)``.

    The appearance term counts pixels, so that common classes spread, and small parts vanish. ``b`` is a constant
    for each class, such that with `keep` 1 the mean of its probability over the image is that of the coarse map;
    it is found by iterative proportional fitting at every `SHARES_STEP`-th pixel.

    Args:
        coarse, appearance: ``[B, C, H, W]``.
        keep: 0 (`combined`) to 1 (all shares are kept).
    """
    logits = coarse.float().clamp_min(MIN_COARSE).log_() + weight * appearance
    if keep <= 0:
        return logits.softmax(dim=1)
    few = logits[..., ::SHARES_STEP, ::SHARES_STEP]
    shares = coarse.mean(dim=(2, 3)).clamp_min(SMALLEST_SHARE).log()
    constants = torch.zeros_like(shares)
    for _ in range(FITTINGS):
        found = (few + constants[..., None, None]).softmax(dim=1).mean(dim=(2, 3))
        constants += shares - found.clamp_min(SMALLEST_SHARE).log()
    return (logits + keep * constants.clamp(-LARGEST_CONSTANT, LARGEST_CONSTANT)[..., None, None]).softmax(dim=1)


def appearance_at_pixels(image: Tensor, coarse: Tensor) -> Tensor:
    """`appearance_term` at every pixel, ``[B, C, H, W]``, for any H and W."""
    height, width = image.shape[2:]
    image, coarse = (pad_to_stride(map_, 2 * SAMPLE_DISTANCE) for map_ in (image, coarse))
    padded = F.interpolate(appearance_term(image, coarse), scale_factor=CELL, mode="bilinear")
    return cropped(padded, height, width)


@torch.no_grad()
def appearance_term(image: Tensor, coarse: Tensor, rounds: int = ROUNDS) -> Tensor:
    """What to add to the log-probabilities of a coarse map, by mean field over the samples.

    ``q = softmax(log coarse + term(q))`` at the samples, `rounds` - 1 times, then ``term(q)`` for all cells. The
    term is the mean of q over the samples with weights ``exp(-|colours|^2 / 2 s^2 - |positions|^2 / 2
    POSITION_SCALE^2)``, times `KERNEL_WEIGHT`, summed over s in `COLOUR_SCALES`.

    Args:
        image: ``[B, 3, H, W]`` in 0..1; sides are multiples of 2 `SAMPLE_DISTANCE`.
        coarse: probabilities ``[B, C, H, W]``.

    Returns:
        ``[B, C, H / CELL, W / CELL]``, float32; the sum over the classes is `APPEARANCE_SUM`.
    """
    height, width = image.shape[2:]
    chosen = sampled_cells(height // CELL, width // CELL, image.device)
    cells = [_colours_and_positions(image, scale).flatten(2) for scale in COLOUR_SCALES]
    samples = [features[:, :, chosen] for features in cells]
    q = F.avg_pool2d(coarse.float(), CELL).flatten(2)[:, :, chosen]
    log_coarse = q.clamp_min(MIN_COARSE).log()
    for _ in range(rounds - 1):
        q = (log_coarse + _kernel_means(samples, samples, q)).softmax(dim=1)
    found: Tensor = _kernel_means(cells, samples, q).unflatten(2, (height // CELL, width // CELL))
    return found


def _colours_and_positions(image: Tensor, colour_scale: float) -> Tensor:
    """``[B, 5, H / CELL, W / CELL]``, in units of `colour_scale` and `POSITION_SCALE`."""
    small = F.avg_pool2d(image.float(), CELL)
    height, width = small.shape[2:]
    rows, columns = (torch.arange(n, device=image.device) * (CELL / POSITION_SCALE) for n in (height, width))
    positions = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(
        image.shape[0], -1, -1, -1
    )  # len() would be fixed by an export
    return torch.cat((small / colour_scale, positions), dim=1)


def sampled_cells(height: int, width: int, device: torch.device) -> Tensor:
    """Which of ``height x width`` cells are samples: their flat indices, ``int64 [n]``.

    Every second row of them is shifted by half of their distance. No size is compared in Python, so that what is
    exported serves all sizes.
    """
    dense = torch.full((), height * width, device=device) <= MAX_SAMPLES * SAMPLE_DISTANCE**2 // CELL**2
    step = torch.where(dense, SAMPLE_DISTANCE // CELL, 2 * SAMPLE_DISTANCE // CELL)
    rows, columns = (torch.arange(side, device=device) for side in (height, width))
    shift = (rows // step % 2 * (step // 2))[:, None]
    chosen = ((rows % step == step // 2)[:, None] & (columns % step == shift)).flatten().nonzero().squeeze(1)
    torch._check(chosen.shape[0] > 0)
    return chosen


def _kernel_means(cells: Sequence[Tensor], samples: Sequence[Tensor], q: Tensor) -> Tensor:
    """The term of the samples, ``q [B, C, samples]``, at cells: ``[B, C, cells]``."""
    kernels = zip(cells, samples, strict=True)
    return KERNEL_WEIGHT * torch.stack([gaussian_means(c, s, q) for c, s in kernels]).sum(dim=0)
