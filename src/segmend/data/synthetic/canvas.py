"""The canvas of the synthetic images: classes, light, painting, noise and outlines.

The canvas has `SUPERSAMPLING` times the image's size in each direction. Lengths and positions are pixels of
the canvas, x to the right and y down; an outline is an array [n, 2] of such positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cv2
import numpy as np

SUPERSAMPLING = 2

Array = np.ndarray[Any, np.dtype[Any]]
Colour = Sequence[float] | Array
Point = Sequence[float] | Array


class Id(IntEnum):
    """Class ids of the synthetic data set; the names of the classes are these in lower case."""

    SKY = 0
    MOUNTAIN = 1
    GRASS = 2
    WATER = 3
    PATH = 4
    TREE = 5
    HOUSE = 6
    BOAT = 7
    ANIMAL = 8
    FLOWER = 9
    FRUIT = 10


@dataclass(frozen=True)
class Mood:
    """Light and season of an image. Colours are RGB in 0..1.

    Attributes:
        side: where the light comes from: -1 left .. 1 right.
        tint: colour of the light; all colours are multiplied by it.
        zenith: colour of the sky overhead.
        haze: colour of the sky at the horizon, to which distant objects fade.
        mist: how far they fade, 0..1.
        turf, leaf: colours of grass and leaves.
    """

    side: float
    tint: Array
    zenith: Array
    haze: Array
    mist: float
    turf: Array
    leaf: Array


@dataclass
class Canvas:
    """An image in the making: ``image`` float32 [H, W, 3] in 0..1 and ``labels`` uint8 [H, W].

    Both are always painted through the same mask, so that borders of labels are borders in the image.

    Attributes:
        haze: how far the next objects fade to the haze, 0..1.
    """

    image: Array
    labels: Array
    mood: Mood
    rng: np.random.Generator
    haze: float = 0.0

    @property
    def height(self) -> int:
        return int(self.labels.shape[0])

    @property
    def width(self) -> int:
        return int(self.labels.shape[1])

    def between(self, low: float, high: float) -> float:
        """A random number in [low, high)."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with `probability`."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        """One of `options`."""
        return options[int(self.rng.integers(len(options)))]

    def vary(self, colour: Colour, amount: float = 0.08) -> Array:
        """`colour`, a little lighter or darker and a little shifted in hue."""
        light, hue = self.rng.normal(), self.rng.normal(size=3)
        return np.clip(np.asarray(colour) * (1 + amount * light) + 0.25 * amount * hue, 0.02, 1)

    def noise(self, shape: tuple[int, ...], cell: float, octaves: int = 3, stretch: float = 1.0) -> Array:
        """`noise` from the generator of the canvas."""
        return noise(self.rng, shape, cell, octaves, stretch)

    def lit(self, colour: Colour, haze: Array | float | None = None) -> Array:
        """`colour` as seen: in the light of the image, faded by `haze` (None: by the canvas's)."""
        shown = np.asarray(colour, dtype=np.float32) * self.mood.tint
        return shown + np.float32(self.haze if haze is None else haze) * (self.mood.haze - shown)

    def paint(self, mask: Array, pixels: Array, label: Id, x: int = 0, y: int = 0) -> None:
        """Put `pixels` [h, w, 3] and `label` where `mask` [h, w], whose top left pixel lies at (x, y)."""
        top, left = max(0, -y), max(0, -x)
        bottom, right = min(mask.shape[0], self.height - y), min(mask.shape[1], self.width - x)
        if top >= bottom or left >= right:
            return
        inside = mask[top:bottom, left:right].view(np.uint8)
        here = np.s_[y + top : y + bottom, x + left : x + right]
        cv2.copyTo(pixels[top:bottom, left:right], inside, self.image[here])
        cv2.copyTo(np.full_like(inside, label), inside, self.labels[here])

    def fill(self, outline: Array, colour: Colour, label: Id, form: float = 0.0, grain: float = 0.0) -> None:
        """Fill an outline; `form` shades it like a round body, `grain` roughens it."""
        shown = self.lit(colour)
        corners = np.rint(outline * 8).astype(np.int32)
        if not form and not grain:
            cv2.fillPoly(self.image, [corners], shown.tolist(), shift=3)
            cv2.fillPoly(self.labels, [corners], int(label), shift=3)
            return
        x, y = (int(v) for v in (corners.min(axis=0) >> 3) - 1)
        width, height = (int(v) for v in (corners.max(axis=0) >> 3) + 2 - (x, y))
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [corners - np.array((8 * x, 8 * y), np.int32)], 1, shift=3)
        across = np.linspace(-self.mood.side, self.mood.side, width, dtype=np.float32)
        down = np.linspace(0.7, -1.0, height, dtype=np.float32)[:, None]
        shade = 1 + form * (0.6 * across + down)
        if grain:
            shade += grain * (2 * self.noise(mask.shape, 0.15 * max(mask.shape) + 3, 4) - 1)
        self.paint(mask > 0, mix((shade, shown)), label, x, y)

    def stroke(self, line: Array, width: float, colour: Colour, label: Id, end: float | None = None) -> None:
        """Fill a line, `width` wide and `end` wide where it ends (None: the same), but never below 1.8."""
        end = width if end is None else end
        if max(width, end) > 3:
            self.fill(taper(line, max(width, 1.8), max(end, 1.8)), colour, label)
            return
        points, thickness = np.rint(line * 8).astype(np.int32), max(2, round((width + end) / 2))
        cv2.polylines(self.image, [points], False, self.lit(colour).tolist(), thickness, shift=3)
        cv2.polylines(self.labels, [points], False, int(label), thickness, shift=3)

    def shadow(self, x: float, y: float, size: float, strength: float = 0.45) -> None:
        """Darken the ground beside (x, y), away from the light; labels stay."""
        outline = oval((x - 0.5 * self.mood.side * size, y), 0.75 * size, 0.1 * size + 1)
        left, top = (max(int(v) - 6, 0) for v in outline.min(axis=0))
        right, bottom = (max(int(v) + 7, 0) for v in outline.max(axis=0))
        ground = self.image[top:bottom, left:right]
        if ground.size:
            mask = np.zeros(ground.shape[:2], np.float32)
            cv2.fillPoly(mask, [np.rint(outline - (left, top)).astype(np.int32)], strength * (1 - self.haze))
            ground *= 1 - cv2.blur(mask, (9, 5))[:, :, None]


def noise(
    rng: np.random.Generator, shape: tuple[int, ...], cell: float, octaves: int = 3, stretch: float = 1.0
) -> Array:
    """Smooth random values in 0..1 around 0.5, float32 of `shape` (height, width).

    Args:
        cell: height in pixels of the largest spots; each octave has half the cell and half the amplitude.
        stretch: how much wider than high the spots are.
    """
    height, width = shape
    total = np.full(shape, 0.5, np.float32)
    for octave in range(octaves):
        scale = max(cell / 2**octave, 1.0)
        cells = int(height / scale) + 2, int(width / max(scale * stretch, 1.0)) + 2
        grid = (rng.random(cells, dtype=np.float32) - 0.5) * np.float32(0.8 * 0.5**octave)
        total += cv2.resize(
            grid, (width, height), interpolation=cv2.INTER_CUBIC if scale > 8 else cv2.INTER_LINEAR
        )
    return np.clip(total, 0, 1, out=total)


def mix(*parts: tuple[Array, Colour]) -> Array:
    """Pixels [h, w, 3]: the sum of up to four fields [h, w], each times its colour."""
    fields = cv2.merge([np.ascontiguousarray(field, np.float32) for field, _ in parts])
    return cv2.transform(fields, np.array([colour for _, colour in parts], np.float32).T)


def profile(rng: np.random.Generator, width: int, cell: float, octaves: int = 5) -> Array:
    """`noise` along a line: float32 [width]."""
    total = np.full(width, 0.5, np.float32)
    for octave in range(octaves):
        knots = rng.random((1, int(width / max(cell / 2**octave, 1.0)) + 2), dtype=np.float32) - 0.5
        total += cv2.resize(knots, (width, 1), interpolation=cv2.INTER_CUBIC)[0] * np.float32(0.62 * 0.5**octave)
    return np.clip(total, 0, 1)


def oval(centre: Point, rx: float, ry: float, turn: float = 0.0, rough: Array | None = None) -> Array:
    """Outline of an ellipse turned by `turn` radians; `rough` [n] scales the radius at each point."""
    circle = _ROUND if rough is None else _circle(len(rough)) * rough[:, None]
    cos, sin = np.cos(turn), np.sin(turn)
    return circle @ np.array(((rx * cos, rx * sin), (-ry * sin, ry * cos))) + centre


def _circle(count: int) -> Array:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


_ROUND = _circle(20)


def smooth(outline: Sequence[Point] | Array, rounds: int = 2) -> Array:
    """A closed outline with its corners cut off, `rounds` times (Chaikin)."""
    points = np.asarray(outline, dtype=float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2)
    return points


def arc(ends: Sequence[Point] | Array, bend: float = 0.0) -> Array:
    """A line between two `ends` whose middle lies off the straight by `bend` times its length."""
    first, last = np.asarray(ends, dtype=float)
    chord = last - first
    t = _BENT if bend else _STRAIGHT
    points: Array = first + t * chord + 4 * bend * t * (1 - t) * (chord[::-1] * (-1, 1))
    return points


_STRAIGHT, _BENT = np.linspace(0, 1, 2)[:, None], np.linspace(0, 1, 7)[:, None]


def blade(ends: Sequence[Point] | Array, bend: float = 0.2) -> Array:
    """Outline of a pointed leaf between two `ends`."""
    return np.concatenate([arc(ends, bend), arc(ends[::-1], bend)])


def taper(line: Array, first: float, last: float) -> Array:
    """Outline of a stroke along `line` [n, 2] whose width goes from `first` to `last`."""
    along = np.concatenate([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    normal = along[:, ::-1] * (-1, 1) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9)
    half = np.linspace(first, last, len(line))[:, None] / 2 * normal
    return np.concatenate([line + half, (line - half)[::-1]])


def panel(corner: Array, right: Array, up: Array, u0: float, v0: float, u1: float, v1: float) -> Array:
    """Outline of the part u0..u1, v0..v1 of the parallelogram that `right` and `up` span at `corner`."""
    return np.stack([corner + u * right + v * up for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))])


def framed(x: float, y: float, size: float, facing: int) -> Callable[..., Array]:
    """A function that places points (forward, up), in units of the `size` of an object that stands at (x, y)."""

    def at(*points: Point) -> Array:
        return np.asarray(points) * (facing * size, -size) + (x, y)

    return at
