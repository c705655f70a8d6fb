"""Corruption of good label maps, so that they look like coarse ones, and of good tags.

Those of maps take a probability map ``float32 [C, H, W]`` or a label map ``[H, W]``, and give one of their kind.
Their randomness is torch's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.data.tags import Tags
from segmend.labels import one_hot, void_of
from segmend.ops.blobs import label_components
from segmend.ops.nearest import nearest_chosen
from segmend.ops.warp import warp

Key = TypeVar("Key", bound=Hashable)


def fill_void(labels: Tensor) -> Tensor:
    """Label map ``[H, W]`` whose void pixels have the label of the nearest valid pixel."""
    void = (labels == void_of(labels)).numpy()
    if not void.any() or void.all():
        return labels
    return torch.from_numpy(_nearest(labels.numpy(), ~void)[1])


def _nearest(labels: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest chosen pixel, and its label, for each pixel ``[H, W]``. At least one is chosen."""
    distance, index = nearest_chosen(chosen)
    return distance, labels.ravel()[index]


def grow(labels: Tensor, pixels: float, over: int | None = None) -> Tensor:
    """Label map ``[H, W]`` whose classes have grown over one of them, or shrunk from it if `pixels` < 0.

    A pixel between two growing classes gets the nearer one. Shrinking is growth of the largest class over the
    others. So borders between two smaller classes stay, and void stays.

    Args:
        over: the class that they grow over; None: the largest one.
    """
    array = labels.numpy()
    valid = array != void_of(labels)
    if not valid.any():
        return labels
    names, counts = np.unique(array[valid], return_counts=True)
    largest = array == (names[counts.argmax()] if over is None else over)
    growing = valid & ~largest if pixels > 0 else largest
    if not growing.any():
        return labels
    distance, label = _nearest(array, growing)
    reached = valid & (distance <= abs(pixels))
    return torch.from_numpy(np.where(reached, label, array))


def grow_each(labels: Tensor, pixels: float) -> Tensor:
    """Label map ``[H, W]`` whose classes have grown over all larger ones, or shrunk from them if `pixels` < 0.

    Where several grow, the smallest class wins. Void stays.
    """
    array = labels.numpy()
    valid = array != void_of(labels)
    names, counts = np.unique(array[valid], return_counts=True)
    by_size = names[np.argsort(-counts, kind="stable")]
    result = array.copy()
    for rank, name in enumerate(by_size[1:], start=1):
        if pixels > 0:
            distance, _ = nearest_chosen(array == name)
            result[valid & (distance <= pixels)] = name
        else:
            distance, label = _nearest(array, np.isin(array, by_size[:rank]))
            lost = (array == name) & (distance <= -pixels)
            result[lost] = label[lost]
    return torch.from_numpy(result)


def grow_parts(labels: Tensor, pixels: float, spread: float) -> Tensor:
    """Label map ``[H, W]`` with each connected part grown over the largest class, or shrunk, by its own amount.

    Args:
        pixels, spread: mean and standard deviation of the amounts.
    """
    array = labels.numpy()
    names, counts = np.unique(array[array != void_of(labels)], return_counts=True)
    if not len(names):
        return labels
    largest = names[counts.argmax()]
    result = array.copy()
    for name in names[names != largest]:
        count, parts = cv2.connectedComponents((array == name).astype(np.uint8))
        for part in (parts == number for number in range(1, count)):
            amount = pixels + spread * float(torch.randn(()))
            distance, _ = nearest_chosen(part if amount > 0 else ~part)
            reached = distance <= abs(amount)
            result[reached & (array == largest if amount > 0 else part)] = name if amount > 0 else largest
    return torch.from_numpy(result)


def polygons(labels: Tensor, corners: int) -> Tensor:
    """Label map ``[H, W]`` with each region drawn as a polygon of at most `corners` corners, large ones first.

    It imitates masks drawn by hand. Pixels between polygons become the largest class. Void stays.
    """
    array = labels.numpy()
    void = array == void_of(labels)
    if void.all():
        return labels
    names, counts = np.unique(array[~void], return_counts=True)
    drawn = np.full_like(array, names[counts.argmax()])
    outlines = []
    for name in names[np.argsort(-counts)][1:]:
        found, _ = cv2.findContours((array == name).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outlines += [(cv2.contourArea(outline), int(name), outline) for outline in found]
    for _, name, outline in sorted(outlines, key=lambda one: -one[0]):
        cv2.fillPoly(drawn, [_simplified(outline, corners)], name)
    drawn[void] = array[void]
    return torch.from_numpy(drawn)


def _simplified(outline: np.ndarray, corners: int) -> np.ndarray:
    tolerance = 0.5
    while len(outline) > corners:
        outline = cv2.approxPolyDP(outline, tolerance, closed=True)
        tolerance *= 1.3
    return outline


def sharpen(map_: Tensor, power: float) -> Tensor:
    """Probabilities to a power, normalised: above 1 the map becomes more certain, below 1 less."""
    powered = map_.clamp_min(1e-6) ** power
    return powered / powered.sum(dim=0, keepdim=True)


def coarsen(map_: Tensor, factor: float) -> Tensor:
    """The map at ``1 / factor`` of its resolution, resized back bilinearly: borders blur and round off."""
    size = map_.shape[1:]
    small = [max(1, round(side / factor)) for side in size]
    shrunk = F.interpolate(map_[None], size=small, mode="bilinear", antialias=True)
    return F.interpolate(shrunk, size=size, mode="bilinear", align_corners=False)[0]


def wobble(map_: Tensor, pixels: float, grain: float) -> Tensor:
    """The map displaced by a smooth random field, by about `pixels`; it varies over about `grain` pixels."""
    height, width = map_.shape[1:]
    grid = [max(2, round(side / grain) + 1) for side in (height, width)]
    field = F.interpolate(torch.randn(1, 2, *grid) * pixels, size=(height, width), mode="bicubic")
    return warp(map_[None], field)[0]


def confuse(map_: Tensor, amount: float, grain: float) -> Tensor:
    """The map with a random class blended in where a smooth noise is high, with a weight of up to `amount`.

    Half of the time the class is drawn by its share of the map (a region swallows its neighbour), else from all.

    Args:
        grain: extent of the noise in pixels.
    """
    height, width = map_.shape[1:]
    grid = [max(2, round(side / grain) + 1) for side in (height, width)]
    noise = F.interpolate(torch.randn(1, 1, *grid), size=(height, width), mode="bicubic")[0]
    weight = torch.sigmoid((noise - 1.0) * 6) * amount
    if torch.rand(()) < 0.5:
        masses = map_.mean(dim=(1, 2))
        other = int(torch.multinomial(masses, 1))
    else:
        other = int(torch.randint(map_.shape[0], ()))
    mixed = map_ * (1 - weight)
    mixed[other] += weight[0]
    return mixed


@dataclass(frozen=True)
class Corruption:
    """Random corruption like the errors of a segmenter: several kinds, each with its own probability.

    Attributes:
        strength: 1 makes ground truth look like the map of a poor segmenter; lower values vary a coarse map.
    """

    strength: float = 1.0

    def __call__(self, map_: Tensor) -> Tensor:
        """Corrupt a probability map ``[C, H, W]``."""
        s = self.strength
        if _chance(0.7 * s):
            map_ = wobble(map_, pixels=_between(0.5, 6.0) * s, grain=_log_between(12, 64))
        if _chance(0.6 * s):
            map_ = confuse(map_, amount=_between(0.3, 1.0), grain=_log_between(16, 96))
        if _chance(0.9 * s):
            map_ = coarsen(map_, factor=1 + _log_between(1, 20) * s)
        if _chance(min(1.0, s + 0.2)):
            map_ = sharpen(map_, power=math.exp(_between(-0.8, 0.8)))
        return map_

    def of_truth(self, labels: Tensor, num_classes: int) -> Tensor:
        """A corrupted probability map ``[C, H, W]`` of true labels ``[H, W]``; `fill_void` comes first."""
        return self(one_hot(fill_void(labels), num_classes, smoothing=0.02))


@dataclass(frozen=True)
class AnyCorruption:
    """Random corruption of one kind of many, for refiners of any coarse maps.

    The kinds, with their probabilities: soft maps like a segmenter's (`Corruption`), 2/7; low resolution with soft
    or hard borders, 2/7; masks grown or shrunk, 1/7; polygons drawn by hand, 1/7; and good masks, which are the
    ground truth or off by a pixel, 1/7.
    """

    def of_truth(self, labels: Tensor, num_classes: int) -> Tensor:
        """A coarse probability map ``[C, H, W]`` of true labels ``[H, W]``."""
        filled = fill_void(labels)
        kind = int(torch.randint(7, ()))
        if kind < 2:
            return Corruption().of_truth(labels, num_classes)
        if kind == 2:
            sign = 1 if torch.rand(()) < 0.5 else -1
            return one_hot(grow(filled, sign * _between(2, 10)), num_classes)
        if kind == 3:
            return one_hot(polygons(filled, int(_between(5, 21))), num_classes)
        if kind < 6:
            return low_resolution(filled, num_classes, 2 ** _between(2, 4.2), soft=bool(torch.rand(()) < 0.7))
        return one_hot(shifted(filled, int(torch.randint(2, ()))), num_classes)


def low_resolution(labels: Tensor, num_classes: int, factor: float, soft: bool = True) -> Tensor:
    """The shares of the classes in blocks of `factor` pixels, resized back bilinearly.

    Args:
        soft: give these shares, and not a one-hot map of the largest ones.
    """
    map_ = one_hot(labels, num_classes)
    size = [max(1, round(side / factor)) for side in labels.shape]
    small = F.interpolate(map_[None], size=size, mode="area")
    found = F.interpolate(small, size=labels.shape, mode="bilinear", align_corners=False)[0]
    return found if soft else one_hot(found.max(dim=0).indices.to(labels.dtype), num_classes)


def shifted(labels: Tensor, pixels: int) -> Tensor:
    """The label map moved by 0 or `pixels` along each axis, at random; lines at the image border are repeated."""
    down, right = ((torch.randint(3, (2,)) - 1) * pixels).tolist()
    return moved_by(labels, down, right)


def moved_by(labels: Tensor, down: int, right: int) -> Tensor:
    """The label map moved; lines at the image border are repeated.

    >>> moved_by(torch.tensor([[1, 2, 3]]), 0, 1).tolist()
    [[1, 1, 2]]
    """
    height, width = labels.shape
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return labels[rows][:, columns]


def blocky(labels: Tensor, factor: float) -> Tensor:
    """The label map at ``1 / factor`` of its resolution, resized back by nearest neighbour."""
    height, width = labels.shape
    small = cv2.resize(
        labels.numpy(),
        (max(1, round(width / factor)), max(1, round(height / factor))),
        interpolation=cv2.INTER_NEAREST,
    )
    return torch.from_numpy(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def ragged(labels: Tensor, pixels: float, grain: float) -> Tensor:
    """The label map displaced by a smooth random field, by about `pixels`; it varies over about `grain` pixels."""
    height, width = labels.shape
    grid = [max(2, round(side / grain) + 1) for side in (height, width)]
    field = (
        F.interpolate(torch.randn(1, 2, *grid) * pixels, size=(height, width), mode="bicubic")[0].round().long()
    )
    rows = (torch.arange(height)[:, None] + field[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + field[1]).clamp(0, width - 1)
    return labels[rows, columns]


def cut(labels: Tensor, grain: float, new: Mapping[int, int]) -> Tensor:
    """The label map with regions cut along smooth random curves: one side of them gets another class.

    So it has borders that lie on no edge of the image, like those of a nose in a face.

    Args:
        grain: extent of the pieces in pixels.
        new: the other class, by class.
    """
    height, width = labels.shape
    grid = [max(2, round(side / grain) + 1) for side in (height, width)]
    chosen = F.interpolate(torch.randn(1, 1, *grid), size=(height, width), mode="bicubic")[0, 0] > 0
    result = labels.clone()
    for old, other in new.items():
        result[chosen & (labels == old)] = other
    return result


def swap_class(labels: Tensor, classes: Sequence[int], smallest: float = 0.01) -> Tensor:
    """Label map ``[H, W]`` with one connected area, drawn at random, in another class.

    Args:
        classes: what the other class is drawn from.
        smallest: share of the pixels that the area has at least. Without any such area, nothing changes.

    >>> swap_class(torch.tensor([[3, 3, 3]]), classes=[1, 3]).tolist()
    [[1, 1, 1]]
    """
    chosen = _random_area(labels, smallest, 1.0)
    others = [] if chosen is None else [c for c in classes if c != int(labels[chosen][0])]
    if chosen is None or not others:
        return labels
    return labels.masked_fill(chosen, others[int(torch.randint(len(others), ()))])


def remove_object(labels: Tensor, smallest: float = 0.01, largest: float = 0.4) -> Tensor:
    """Label map ``[H, W]`` without one connected area, drawn at random: its pixels get the nearest other label.

    Args:
        smallest, largest: share of the pixels that the area has. Without any such area, nothing changes.
    """
    chosen = _random_area(labels, smallest, largest)
    rest = None if chosen is None else (~chosen & (labels != void_of(labels))).numpy()
    if chosen is None or rest is None or not rest.any():
        return labels
    nearest = torch.from_numpy(_nearest(labels.numpy(), rest)[1])
    return torch.where(chosen, nearest, labels)


def add_islands(labels: Tensor, count: int, radius: float, classes: Sequence[int]) -> Tensor:
    """Label map ``[H, W]`` with `count` discs at random places, each in a class that its centre does not have.

    Void stays.

    Args:
        radius: in pixels.
        classes: what the class of a disc is drawn from.
    """
    return _with_discs(labels, labels != void_of(labels), count, radius, classes)


def add_holes(labels: Tensor, count: int, radius: float) -> Tensor:
    """Label map ``[H, W]`` with `count` discs of its largest class inside the other classes.

    The discs lie whole inside of these where there is room. Void stays.

    Args:
        radius: in pixels.
    """
    array = labels.numpy()
    valid = array != void_of(labels)
    names, counts = np.unique(array[valid], return_counts=True)
    if len(names) < 2:
        return labels
    largest = int(names[counts.argmax()])
    inside = valid & (array != largest)
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    deep = inside & (depth > min(radius + 2, 0.7 * float(depth.max())))
    return _with_discs(labels, torch.from_numpy(deep), count, radius, [largest])


def _with_discs(labels: Tensor, centres: Tensor, count: int, radius: float, classes: Sequence[int]) -> Tensor:
    places = centres.nonzero()
    result = labels.clone()
    rows, columns = (torch.arange(length) for length in labels.shape)
    for place in places[torch.randperm(len(places))[:count]]:
        others = [c for c in classes if c != int(labels[tuple(place)])]
        if others:
            disc = (rows[:, None] - place[0]) ** 2 + (columns - place[1]) ** 2 <= radius**2
            chosen = others[int(torch.randint(len(others), ()))]
            result[disc & (labels != void_of(labels))] = chosen
    return result


def _random_area(labels: Tensor, smallest: float, largest: float) -> Tensor | None:
    """One of the connected areas of a class with a share of the pixels in a range, ``bool [H, W]``."""
    numbers = label_components(labels.numpy(), void_of(labels))
    shares = np.bincount(numbers.ravel())[1:] / numbers.size
    found = np.flatnonzero((shares >= smallest) & (shares <= largest)) + 1
    if not len(found):
        return None
    return torch.from_numpy(numbers == found[int(torch.randint(len(found), ()))])


Change = Callable[[Tensor, int], Tensor]
"""Of a label map ``[H, W]`` without void, in a folder whose largest class is the second argument."""

KINDS = {
    "exact": 0.15,
    "off by one": 0.05,
    "grown": 0.18,
    "each grown": 0.1,
    "shifted": 0.06,
    "each image shifted": 0.04,
    "polygons": 0.15,
    "blocky": 0.07,
    "ragged": 0.09,
    "parts grown": 0.03,
    "polygons, grown": 0.04,
    "ragged, grown": 0.04,
}
"""How the masks of a folder are off, in `folder_change`, with their probabilities."""

MIXED = 0.12
"""Share of the folders in which each mask has a kind of its own."""


def folder_change() -> Change:
    """How the masks of one simulated folder are off: one random kind and strength, or one for each mask."""
    one = _change()
    return (lambda labels, largest: _change()(labels, largest)) if _chance(MIXED) else one


def _change() -> Change:
    kind = list(KINDS)[int(torch.multinomial(torch.tensor(list(KINDS.values())), 1))]
    pixels = _log_between(1.5, 11) * (1 if _chance(0.5) else -1)
    corners = round(_log_between(5, 24))
    factor = _log_between(3, 16)
    grain = _log_between(6, 50)
    displaced = min(_log_between(1, 7), grain / 2)
    radius, angle = _log_between(1, 7), _between(0, 2 * math.pi)
    down, right = round(radius * math.sin(angle)), round(radius * math.cos(angle))
    spread = _between(0.5, 4)

    def anywhere(labels: Tensor) -> Tensor:
        reach = round(radius)
        return moved_by(labels, *(torch.randint(-reach, reach + 1, (2,))).tolist())

    changes: dict[str, Change] = {
        "exact": lambda labels, largest: labels,
        "off by one": lambda labels, largest: moved_by(labels, *torch.randint(-1, 2, (2,)).tolist()),
        "grown": lambda labels, largest: grow(labels, pixels, largest),
        "each grown": lambda labels, largest: grow_each(labels, pixels),
        "shifted": lambda labels, largest: moved_by(labels, down, right),
        "each image shifted": lambda labels, largest: anywhere(labels),
        "polygons": lambda labels, largest: polygons(labels, corners),
        "blocky": lambda labels, largest: blocky(labels, factor),
        "ragged": lambda labels, largest: ragged(labels, displaced, grain),
        "parts grown": lambda labels, largest: grow_parts(labels, pixels / 2, spread),
        "polygons, grown": lambda labels, largest: grow(polygons(labels, corners), pixels, largest),
        "ragged, grown": lambda labels, largest: grow(ragged(labels, displaced, grain), pixels, largest),
    }
    return changes[kind]


def _chance(probability: float) -> bool:
    return bool(torch.rand(()) < probability)


def _between(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()


def _log_between(low: float, high: float) -> float:
    return math.exp(_between(math.log(low), math.log(high)))


def corrupt_tags(tags: Mapping[Key, Tags], drop: float, wrong: float, seed: int) -> dict[Key, Tags]:
    """True tags as they might be given: some left out, some added.

    Each tag is left out with probability `drop`. With probability `wrong`, for each tag, a class that is not in
    the image is added, drawn in proportion to how many images have it.

    Args:
        tags: true tags of each image, without the background.
        seed: the same one gives the same tags.

    >>> corrupt_tags({"a": {"cat": 1.0}, "b": {"dog": 1.0}}, drop=1, wrong=1, seed=0)
    {'a': {'dog': 1.0}, 'b': {'cat': 1.0}}
    """
    rng = np.random.default_rng(seed)
    counts = Counter(name for given in tags.values() for name in given)
    corrupted: dict[Key, Tags] = {}
    for key, given in tags.items():
        others = [name for name in counts if name not in given]
        shares = np.array([counts[name] for name in others], dtype=np.float64)
        kept = [name for name in given if rng.random() >= drop]
        added = [
            others[rng.choice(len(others), p=shares / shares.sum())]
            for _ in given
            if rng.random() < wrong and others
        ]
        corrupted[key] = dict.fromkeys([*kept, *added], 1.0)
    return corrupted
