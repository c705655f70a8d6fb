"""Move label maps by a displacement, and let the pixels around the source vote by their likeness."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from segmend.labels import void_of
from segmend.ops import native
from segmend.ops.operation import operation
from segmend.ops.warp import inside

LEAST = 1e-12
"""Weight of a pixel whose colours are as unlike as can be: where all are, the nearest ones decide."""

MOST_RADIUS = 7


def vote_labels(
    labels: Tensor,
    displacement: Tensor,
    target: Tensor,
    source: Tensor,
    *,
    radius: int = 3,
    patch: int = 1,
    colour_scale: float = 6.0,
    distance_scale: float = 2.0,
) -> tuple[Tensor, Tensor]:
    """Warp label maps, each pixel deciding by a vote of the pixels around its source.

    A displacement that is wrong by a pixel or two leaves labels beside the edges. Here every pixel within `radius`
    of the source ``s = p - d(p)`` votes for its own label with the weight
    ``exp(-|q - s|^2 / (2 distance_scale^2)) exp(-D(p, q) / (2 colour_scale^2))``, where D is the mean squared
    difference, summed over the three colours, of the patches around the pixel p in `target` and q in `source`.

    Args:
        labels: ``uint8`` or ``int32 [B, H, W]``, of `source`. Void does not vote.
        displacement: ``[B, 2, H, W]``, (dx, dy) in pixels, from source to target.
        target, source: the two images, ``float32 [B, 3, H, W]``; distances between colours should mean what the
            eye sees, as they do in CIELAB.
        radius: of the window of voters, in pixels, up to 7.
        patch: radius of the patches that are compared, in pixels.
        colour_scale: in units of the images.
        distance_scale: in pixels.

    Returns:
        Label maps of the dtype of `labels`, void where the source is outside the image or nothing but void is
        around it; and the share of the votes that the label has, ``float32 [B, H, W]`` in 0..1.

    Raises:
        ValueError: shapes, dtypes or a radius that do not fit.

    >>> image = torch.tensor([0.0, 0.0, 90.0, 90.0]).expand(1, 3, 1, 4)
    >>> labels = torch.tensor([[[1, 1, 2, 2]]], dtype=torch.uint8)
    >>> moved = torch.ones(1, 2, 1, 4) * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)  # wrong by a pixel
    >>> vote_labels(labels, moved, image, image)[0]
    tensor([[[255,   1,   2,   2]]], dtype=torch.uint8)
    """
    size = labels.shape
    if labels.ndim != 3 or displacement.shape != (size[0], 2, *size[1:]):
        raise ValueError(
            f"expected [B, H, W] and [B, 2, H, W], found {list(labels.shape)} and {list(displacement.shape)}"
        )
    if not target.shape == source.shape == (size[0], 3, *size[1:]):
        raise ValueError(
            f"expected two images [B, 3, H, W] like the labels {list(size)}, found {list(target.shape)} and "
            f"{list(source.shape)}"
        )
    if labels.dtype not in (torch.uint8, torch.int32):
        raise ValueError(f"expected labels in uint8 or int32, found {labels.dtype}")
    if not 0 <= radius <= MOST_RADIUS or patch < 0:
        raise ValueError(f"expected a radius of 0..{MOST_RADIUS} and a patch of at least 0")
    voted: tuple[Tensor, Tensor] = torch.ops.segmend.vote_labels(
        labels, displacement, target, source, radius, patch, colour_scale, distance_scale
    )
    return voted


@operation("vote_labels")
def _vote_labels(
    labels: Tensor,
    displacement: Tensor,
    target: Tensor,
    source: Tensor,
    radius: int,
    patch: int,
    colour_scale: float,
    distance_scale: float,
) -> tuple[Tensor, Tensor]:
    vote = vote_labels_reference
    if labels.device.type == "cpu" and native.library() is not None:
        vote = _by_library
    images = target.float(), source.float()
    return vote(labels, displacement.float(), *images, radius, patch, colour_scale, distance_scale)


@_vote_labels.register_fake
def _(
    labels: Tensor,
    displacement: Tensor,
    target: Tensor,
    source: Tensor,
    radius: int,
    patch: int,
    colour_scale: float,
    distance_scale: float,
) -> tuple[Tensor, Tensor]:
    return labels.new_empty(labels.shape), displacement.new_empty(labels.shape, dtype=torch.float32)


def vote_labels_reference(
    labels: Tensor,
    displacement: Tensor,
    target: Tensor,
    source: Tensor,
    radius: int,
    patch: int,
    colour_scale: float,
    distance_scale: float,
) -> tuple[Tensor, Tensor]:
    """`vote_labels` in plain PyTorch: the votes of one offset of the window after another."""
    images, height, width = labels.shape
    void = void_of(labels)
    there = torch.unique(labels)
    ids = there[there != void]
    y, x = torch.meshgrid(*(torch.arange(n, device=labels.device) for n in (height, width)), indexing="ij")
    from_x, from_y = x - displacement[:, 0], y - displacement[:, 1]
    near_x = (from_x + 0.5).floor().clamp(0, width - 1).long()
    near_y = (from_y + 0.5).floor().clamp(0, height - 1).long()
    votes = torch.zeros(images, len(ids), height, width, device=labels.device)
    batch = torch.arange(images, device=labels.device).view(-1, 1, 1)
    steps = range(-patch, patch + 1)
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            at_x, at_y = near_x + j, near_y + i
            within = (at_x >= 0) & (at_y >= 0) & (at_x < width) & (at_y < height)
            at_x, at_y = at_x.clamp(0, width - 1), at_y.clamp(0, height - 1)
            unlike = torch.zeros(images, height, width, device=labels.device)
            for v in steps:
                for u in steps:
                    seen = target[:, :, (y + v).clamp(0, height - 1), (x + u).clamp(0, width - 1)]
                    row, column = (at_y + v).clamp(0, height - 1), (at_x + u).clamp(0, width - 1)
                    unlike += (seen - source[batch, :, row, column].movedim(-1, 1)).square().sum(1)
            unlike /= len(steps) ** 2
            away = (at_x - from_x).square() + (at_y - from_y).square()
            weight = (-away / (2 * distance_scale**2)).exp()
            weight = weight * ((-unlike / (2 * colour_scale**2)).exp() + LEAST) * within
            label = labels[batch, at_y, at_x]
            votes += (label[:, None] == ids.view(1, -1, 1, 1)) * weight[:, None]
    if len(ids) == 0:
        return torch.full_like(labels, void), torch.zeros(labels.shape, device=labels.device)
    most, winner = votes.max(dim=1)  # of equal ones the first, which is the smallest id
    decided = inside(displacement) & (most > 0)
    share = torch.where(decided, most / votes.sum(dim=1).clamp_min(torch.finfo(torch.float32).tiny), 0)
    return torch.where(decided, ids[winner], void).to(labels.dtype), share


def _by_library(
    labels: Tensor,
    displacement: Tensor,
    target: Tensor,
    source: Tensor,
    radius: int,
    patch: int,
    colour_scale: float,
    distance_scale: float,
) -> tuple[Tensor, Tensor]:
    kernel = native.function("segmend_vote_labels", "u8" if labels.dtype == torch.uint8 else "i32")
    images, height, width = labels.shape
    out, share = torch.empty_like(labels), torch.empty(labels.shape)
    labels, displacement = labels.contiguous(), displacement.contiguous()
    target, source = (image.movedim(1, -1).contiguous() for image in (target, source))
    scales = torch.tensor([colour_scale, distance_scale, LEAST])

    def call(image: int, first: int, last: int) -> int:
        maps = labels[image], displacement[image, 0], displacement[image, 1], target[image], source[image]
        sizes = first, last, height, width, radius, patch, void_of(labels)
        return kernel(*maps, scales, out[image], share[image], *sizes)

    # Borders take most of the time, and lie where they lie: more bands than threads keep all threads busy.
    bands = [(first, min(first + 32, height)) for first in range(0, height, 32)]
    native.run_all(partial(call, image, *band) for image in range(images) for band in bands)
    return out, share
