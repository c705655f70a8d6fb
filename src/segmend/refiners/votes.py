"""Votes of places alike: what pixels of the same colour anywhere in a picture say of a coarse map.

The dense CRF's appearance kernel between each place and some hundreds of witnesses, small cells spread evenly over
the picture: they say enough, and the cost stays linear in pixels for pictures of a size. Nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.ops.gaussian_means import gaussian_means
from segmend.refiners.encoder_decoder import pad_to_stride

CONTRASTS = (0.02, 0.05)
"""Differences of colour (0..1) that count as one, for two kinds of votes."""

REACH = 300.0
"""Distance in pixels that counts as much."""

WEIGHT = 2.0
"""Logits that all votes of one kind together add to a class."""

MOST_VOTES = WEIGHT * len(CONTRASTS)
"""What the votes for all classes sum to."""

ROUNDS = 5
"""Times that votes are heard, each time having heeded those before; the last time by all places."""

CELL = 4
"""Side in pixels of a place. Witnesses must be as small: the mean colour of larger cells is nobody's."""

APART = 16
"""Pixels between witnesses; twice as much where there would be more than `MOST`."""

MOST = 1024

LEAST = 1e-4
"""Smallest probability of the coarse map that is told from 0."""


def heed_votes(image: Tensor, coarse: Tensor, heed: float = 1.0) -> Tensor:
    """The coarse map as votes mend it: ``softmax(log coarse + heed * votes_at(image, coarse))``, ``[B, C, H, W]``.

    Any H and W. Gradients reach the coarse map, but not through the votes.

    Args:
        heed: how much the votes count. Sharp maps, and objects of their surroundings' colours, want little of it:
            `segmend.jobs.search.fit_votes` finds how much.
    """
    return heeded(coarse, votes_at(image, coarse), heed)


def heeded(coarse: Tensor, votes: Tensor, heed: float) -> Tensor:
    """``softmax(log coarse + heed * votes)``, all ``[B, C, H, W]``."""
    return (coarse.float().clamp_min(LEAST).log() + heed * votes).softmax(dim=1)


def votes_at(image: Tensor, coarse: Tensor) -> Tensor:
    """`alike_votes` at every pixel, ``[B, C, H, W]``, for any H and W."""
    height, width = image.shape[2:]
    image, coarse = (pad_to_stride(map_, 2 * APART) for map_ in (image, coarse))
    return F.interpolate(alike_votes(image, coarse), scale_factor=CELL, mode="bilinear")[..., :height, :width]


@torch.no_grad()
def alike_votes(image: Tensor, coarse: Tensor, rounds: int = ROUNDS) -> Tensor:
    """What to add to the coarse map's log probabilities, by mean field over the witnesses.

    ``q = softmax(log coarse + votes(q))`` at the witnesses, `rounds` - 1 times, then votes(q) for all places,
    where votes are means of q weighted by ``exp(-|colours|^2 / 2 contrast^2 - |places|^2 / 2 REACH^2)``, times
    `WEIGHT`, summed over `CONTRASTS`.

    Args:
        image: ``[B, 3, H, W]`` in 0..1; sides are multiples of 2 `APART`.
        coarse: probabilities ``[B, C, H, W]``.

    Returns:
        ``[B, C, H / CELL, W / CELL]``, float32, which sum to `MOST_VOTES` over the classes.
    """
    height, width = image.shape[2:]
    apart = APART if height * width <= MOST * APART**2 else 2 * APART
    places = [_colours_and_places(image, contrast) for contrast in CONTRASTS]
    asking, asked = [p.flatten(2) for p in places], [_witnesses(p, apart) for p in places]
    q = _witnesses(F.avg_pool2d(coarse.float(), CELL), apart)
    known = q.clamp_min(LEAST).log()
    for _ in range(rounds - 1):
        q = (known + _votes(asked, asked, q)).softmax(dim=1)
    return _votes(asking, asked, q).unflatten(2, (height // CELL, width // CELL))


def _colours_and_places(image: Tensor, contrast: float) -> Tensor:
    """``[B, 5, H / CELL, W / CELL]``, in units of `contrast` and `REACH`."""
    small = F.avg_pool2d(image.float(), CELL)
    height, width = small.shape[2:]
    rows, columns = (torch.arange(n, device=image.device) * (CELL / REACH) for n in (height, width))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(image), -1, -1, -1)
    return torch.cat((small / contrast, places), dim=1)


def _witnesses(map_: Tensor, apart: int) -> Tensor:
    """Cells `apart` pixels from each other, every second row moved by half of that: ``[B, channels, n]``."""
    step = apart // CELL
    rows = map_[:, :, step // 2 :: step]
    return torch.cat((rows[:, :, ::2, ::step].flatten(2), rows[:, :, 1::2, step // 2 :: step].flatten(2)), dim=2)


def _votes(asking: Sequence[Tensor], asked: Sequence[Tensor], q: Tensor) -> Tensor:
    """Votes of the witnesses, ``q [B, C, witnesses]``, as those who ask hear them: ``[B, C, places]``."""
    kinds = zip(asking, asked, strict=True)
    return WEIGHT * torch.stack([gaussian_means(those, witnesses, q) for those, witnesses in kinds]).sum(dim=0)
