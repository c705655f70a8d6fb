"""Votes of places alike: what pixels of the same colour anywhere in a picture say of a coarse map.

The dense CRF's appearance kernel between each place and a grid of places of stride 16, a few hundred of them:
they say enough, and the cost stays linear in pixels for pictures of a size. Nothing is learned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.refiners.encoder_decoder import pad_to_stride

CONTRASTS = (0.04, 0.1)
"""Differences of colour (0..1) that count as one, for two kinds of votes."""

REACH = 300.0
"""Distance in pixels that counts as much."""

WEIGHT = 2.0
"""Logits that all votes of one kind together add to a class."""

MOST_VOTES = WEIGHT * len(CONTRASTS)
"""What the votes for all classes sum to."""

ROUNDS = 5
"""Times that votes are heard, each time having heeded those before; the last time by all places."""

ROUGH = 16
"""Stride of the grid of places that vote; twice as much where the grid would have more than `MOST` places."""

MOST = 1024

FINE = 4
"""Stride of the places that hear them."""

LEAST = 1e-4
"""Smallest probability of the coarse map that is told from 0."""


def heed_votes(image: Tensor, coarse: Tensor) -> Tensor:
    """The coarse map as `alike_votes` mend it: ``softmax(log coarse + votes)``, ``[B, C, H, W]``.

    Any H and W. Gradients reach the coarse map, but not through the votes.
    """
    height, width = image.shape[2:]
    padded = [pad_to_stride(map_, 2 * ROUGH) for map_ in (image, coarse)]
    votes = F.interpolate(alike_votes(*padded), scale_factor=FINE, mode="bilinear")[..., :height, :width]
    return (coarse.float().clamp_min(LEAST).log() + votes).softmax(dim=1)


@torch.no_grad()
def alike_votes(image: Tensor, coarse: Tensor) -> Tensor:
    """What to add to the coarse map's log probabilities, by mean field over the grid.

    ``q = softmax(log coarse + votes(q))`` on the grid, `ROUNDS` - 1 times, then votes(q) for all places, where
    votes are means of q weighted by ``exp(-|colours|^2 / 2 contrast^2 - |places|^2 / 2 REACH^2)``, times `WEIGHT`,
    summed over `CONTRASTS`.

    Args:
        image: ``[B, 3, H, W]`` in 0..1; sides are multiples of 2 `ROUGH`.
        coarse: probabilities ``[B, C, H, W]``.

    Returns:
        ``[B, C, H / FINE, W / FINE]``, float32, which sum to `MOST_VOTES` over the classes.
    """
    rough = ROUGH if image.shape[2] * image.shape[3] <= MOST * ROUGH**2 else 2 * ROUGH
    grid = F.avg_pool2d(coarse.float(), rough)
    known = grid.clamp_min(LEAST).log().flatten(2).transpose(1, 2)
    q = grid.flatten(2).transpose(1, 2)
    for _ in range(ROUNDS - 1):
        q = (known + heard(image, q, rough, rough)).softmax(dim=2)
    size = image.shape[2] // FINE, image.shape[3] // FINE
    return heard(image, q, FINE, rough).transpose(1, 2).unflatten(2, size)


def heard(image: Tensor, q: Tensor, stride: int, rough: int) -> Tensor:
    """Votes of the grid of stride `rough`, ``q [B, places, C]``, at the places of a stride: ``[B, places, C]``."""
    votes = torch.zeros((), device=q.device)
    for contrast in CONTRASTS:
        asking, asked = (_colours_and_places(image, s, contrast) for s in (stride, rough))
        centre = asked.mean(dim=1, keepdim=True)  # for precision: likeness is of differences alone
        asking, asked = asking - centre, asked - centre
        likeness = torch.cat((asked, -0.5 * asked.square().sum(-1, keepdim=True)), dim=-1)
        query = torch.cat((asking, torch.ones_like(asking[..., :1])), dim=-1)
        votes = votes + WEIGHT * _attend(query, likeness, q)
    return votes


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(query key^T) value`` of ``[B, places, channels]``, in float32."""
    # Of one width, a multiple of 8, all three take PyTorch's fused kernel: 7 times faster on a CPU.
    width = -(-max(query.shape[2], value.shape[2]) // 8) * 8
    query, key, padded = (F.pad(m, (0, width - m.shape[2])).unsqueeze(1) for m in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):
        found = F.scaled_dot_product_attention(query, key, padded, scale=1.0)
    return found.squeeze(1)[..., : value.shape[2]]


def _colours_and_places(image: Tensor, stride: int, contrast: float) -> Tensor:
    """``[B, places, 5]``, in units of `contrast` and `REACH`."""
    small = F.avg_pool2d(image.float(), stride)
    height, width = small.shape[2:]
    rows, columns = ((torch.arange(n, device=image.device) + 0.5) * (stride / REACH) for n in (height, width))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(image), -1, -1, -1)
    return torch.cat((small / contrast, places), dim=1).flatten(2).transpose(1, 2)
