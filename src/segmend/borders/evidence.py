"""What speaks for either class at each pixel near the borders of a mask."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from segmend.borders.edges import Edges
from segmend.borders.neighbours import nearest_of_another_class
from segmend.borders.pairs import DESCRIPTION, PairProfiles
from segmend.borders.strength import REACH, strength_of

PLANES = 12
"""Channels of `BorderEvidence.planes`."""

NEARNESS = 3.0
"""Pixels in which the nearness of a border falls to 37 %."""

CORE = 3.0
"""Pixels from a border beyond which a class has the colours that it is known by around there."""

AROUND = 11
"""Side in cells of the surroundings from which these colours are taken: 44 pixels."""

CELL = 4
"""Side of a cell in pixels."""

COLOUR_BINS = (12, 16, 16)
"""Of the histogram over L, a and b."""

RARE = 1e-4
"""Added to shares of colours before their ratio."""


class BorderEvidence(NamedTuple):
    """Of a mask over an image. The *rival* of a pixel is the class of the nearest pixel of another class.

    Attributes:
        planes: ``float32 [PLANES, H, W]``, about -1..1, 0 where no border is near: signed distance to the border,
            its nearness, and its direction (down, right); the edge across it minus along it, and in any direction;
            the share of the strongest edges that lie beyond this pixel, in the folder and in this image; how much
            smaller the own class is than the rival; how much the pixel's colour is the rival's, in the whole image
            and around there; and whether a border is near.
        rival: id of the rival, ``[H, W]``; the own class where no border is near.
        pair: row of `descriptions` of each pixel's pair of classes, ``int64 [H, W]``; 0 where no border is near.
        descriptions: of the pairs, by `PairProfiles.describe`, of the folder and then of the image,
            ``float32 [1 + P, 2 DESCRIPTION]``; the first row is 0.
        place: flat index of the nearest pixel of another class, ``int64 [H, W]``.
    """

    planes: np.ndarray
    rival: np.ndarray
    pair: np.ndarray
    descriptions: np.ndarray
    place: np.ndarray

    @property
    def near(self) -> np.ndarray:
        """Whether a border is nearer than `REACH`, ``bool [H, W]``."""
        return self.pair > 0


def up_to_border(share: np.ndarray, labels: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Shares of the rival ``[H, W]``, at each pixel at least those of the pixels behind it, seen from the border.

    So a class that loses pixels leaves none between them and its rival.

    Args:
        place: see `BorderEvidence`.

    >>> up_to_border(np.array([[0.9, 0.2, 0.0]]), np.array([[1, 1, 0]]), np.array([[2, 2, 1]]))
    array([[0.9, 0.9, 0. ]])
    """
    height, width = share.shape
    pixels = np.flatnonzero(share > 0)
    y, x = np.divmod(pixels, width)
    down, right = (to - at for to, at in zip(np.divmod(place.ravel()[pixels], width), (y, x), strict=True))
    depth = np.zeros(share.size)
    depth[pixels] = length = np.hypot(down, right)
    found = share.ravel()[pixels].copy()
    for step in range(1, REACH):
        rows, columns = (np.rint(at - step * by / length).astype(int) for at, by in ((y, down), (x, right)))
        is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        behind = np.where(is_inside, rows * width + columns, 0)
        is_behind = is_inside & (depth[behind] > length + step - 2)
        is_behind &= labels.ravel()[behind] == labels.ravel()[pixels]
        np.maximum(found, np.where(is_behind, share.ravel()[behind], 0), out=found)
    result = share.copy()
    result.ravel()[pixels] = found
    return result


def border_evidence(
    image: np.ndarray,
    labels: np.ndarray,
    folder: PairProfiles | None = None,
    own: PairProfiles | None = None,
    ignored: np.ndarray | None = None,
) -> BorderEvidence:
    """Collect the evidence.

    Args:
        image: ``uint8 [H, W, 3]``.
        labels: ids, ``[H, W]``, without void.
        folder: profiles of the images that this one belongs to; None: it stands alone.
        own: profiles of this image; None: they are measured here.
        ignored: pixels whose edges do not count where they are measured, ``bool [H, W]``.
    """
    neighbours, edges = nearest_of_another_class(labels), Edges.of(image)
    if own is None:
        measured = strength_of(labels, neighbours, edges, ignored)
        own = PairProfiles([measured], measured.areas if folder is None else folder.areas)
    folder = folder or own
    near = neighbours.distance - 0.5 < REACH
    rival = np.where(near, labels.ravel()[neighbours.place], labels)
    pairs, pair = _numbered(labels, rival, near)
    inner = np.array([True, *(folder.is_inner(low, high) for low, high in pairs)])
    is_inside = inner[pair] == (labels < rival)
    depth = np.where(near, neighbours.distance - 0.5, REACH)
    signed = np.where(is_inside, -depth, depth)
    down, right = neighbours.offsets()
    across = np.zeros_like(depth)
    across[near] = edges.at(np.flatnonzero(near)).across_minus_along(down[near], right[near])
    length = np.hypot(down, right) + 1e-6
    area = np.array([folder.areas.get(int(id_), 0) for id_ in np.unique(labels)])
    own_number, rival_number = (np.searchsorted(np.unique(labels), ids) for ids in (labels, rival))
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    planes = np.zeros((PLANES, *labels.shape), np.float32)
    found = (
        signed / REACH,
        np.exp(-depth / NEARNESS) * np.where(is_inside, -1, 1),
        down / length,
        right / length,
        across.clip(-1, 5) / 2,
        edges.strength().clip(0, 6) / 3,
        _share_beyond(folder, pairs, pair, signed, is_inside),
        _share_beyond(own, pairs, pair, signed, is_inside),
        np.tanh(np.log((area[own_number] + 1) / (area[rival_number] + 1)) / 3),
        _colour_ratio(lab, own_number, rival_number, len(area)).clip(-8, 8) / 4,
        _colour_around(lab, own_number, rival_number, neighbours.distance > CORE, len(area)),
        np.ones_like(depth),
    )
    for plane, values in zip(planes, found, strict=True):
        np.copyto(plane, values, where=near, casting="same_kind")
    descriptions = np.zeros((1 + len(pairs), 2 * DESCRIPTION), np.float32)
    for row, (low, high) in enumerate(pairs, start=1):
        descriptions[row] = np.concatenate((folder.describe(low, high), own.describe(low, high)))
    return BorderEvidence(planes, rival, pair, descriptions, neighbours.place)


def _numbered(labels: np.ndarray, rival: np.ndarray, near: np.ndarray) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Pairs (lower id, higher id), and for each pixel the number of its pair from 1, 0 where no border is near."""
    low, high = np.minimum(labels, rival).astype(np.int64), np.maximum(labels, rival).astype(np.int64)
    base = int(high.max()) + 1
    codes, index = np.unique((low * base + high)[near], return_inverse=True)
    pair = np.zeros(labels.shape, np.int64)
    pair[near] = index.reshape(-1) + 1
    return [divmod(code, base) for code in codes.tolist()], pair


def _share_beyond(
    profiles: PairProfiles,
    pairs: list[tuple[int, int]],
    pair: np.ndarray,
    signed: np.ndarray,
    is_inside: np.ndarray,
) -> np.ndarray:
    """Share of the strongest edges that lie beyond each pixel, seen from its border: then it is the rival's."""
    curves = np.zeros((1 + len(pairs), 2 * REACH + 1))
    for row, (low, high) in enumerate(pairs, start=1):
        curves[row] = profiles.share_inside(low, high)
    place = (signed + REACH).clip(0, 2 * REACH - 1e-3)
    index = place.astype(np.int64)
    share = place - index
    inside = curves[pair, index] * (1 - share) + curves[pair, index + 1] * share
    found: np.ndarray = np.where(is_inside, inside, 1 - inside)
    return found


def _colour_ratio(lab: np.ndarray, own: np.ndarray, rival: np.ndarray, classes: int) -> np.ndarray:
    """Log-ratio of the shares that the pixel's colour has of the rival and of the own class, by histograms."""
    widths = [-(-256 // bins) for bins in COLOUR_BINS]
    bins = [(lab[..., channel] // width).astype(np.int64) for channel, width in enumerate(widths)]
    colour = np.ravel_multi_index(bins, COLOUR_BINS)
    size = int(np.prod(COLOUR_BINS))
    counts = np.bincount((own * size + colour).ravel(), minlength=classes * size).astype(np.float32)
    histograms = counts.reshape(classes, *COLOUR_BINS)
    for axis in (1, 2, 3):
        before, after = (np.roll(histograms, step, axis) for step in (1, -1))
        first, last = ([slice(None)] * axis + [slice(at, at + 1 or None)] for at in (0, -1))
        before[tuple(first)], after[tuple(last)] = 0, 0
        histograms = 0.5 * histograms + 0.25 * (before + after)
    shares = histograms.reshape(classes, -1)
    shares = shares / shares.sum(axis=1, keepdims=True) + RARE
    logs = np.log(shares)
    ratio: np.ndarray = logs[rival, colour] - logs[own, colour]
    return ratio


def _colour_around(
    lab: np.ndarray, own: np.ndarray, rival: np.ndarray, core: np.ndarray, classes: int
) -> np.ndarray:
    """How much nearer a pixel's colour is to the mean of the rival around there than to that of the own class.

    -1..1.
    """
    height, width = own.shape
    cells = -(-width // CELL), -(-height // CELL)
    small = cv2.resize(lab.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
    means = np.zeros((classes, *small.shape), np.float32)
    for number in range(classes):
        weight = cv2.resize(((own == number) & core).astype(np.float32), cells, interpolation=cv2.INTER_AREA)
        total = cv2.blur(weight, (AROUND, AROUND))[..., None]
        means[number] = (cv2.blur(small * weight[..., None], (AROUND, AROUND)) + RARE * small) / (total + RARE)
    y, x = np.minimum(np.arange(height) // CELL, cells[1] - 1), np.minimum(np.arange(width) // CELL, cells[0] - 1)
    from_own, from_rival = (
        np.sqrt(((lab - means[number, y[:, None], x]) ** 2).sum(axis=2)) for number in (own, rival)
    )
    difference: np.ndarray = (from_own - from_rival) / (from_own + from_rival + 8)
    return difference
