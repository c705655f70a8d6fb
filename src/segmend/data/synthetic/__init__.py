"""A data set drawn by code: small landscapes and still lifes with exact labels, for demos and tests.

Nothing is read from files. Image i of a split depends only on the seed, the split's name and i, so a data
set can be drawn again, or extended, at will.

The classes are those of `Id`, by what is seen: a pot belongs to its flower, fruit on a tree is fruit, a
reflection is water, and a window sill is part of the house.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.synthetic.backgrounds import (
    draw_grass,
    draw_mountains,
    draw_path,
    draw_sky,
    draw_water,
    draw_wood,
    winding,
)
from segmend.data.synthetic.canvas import SUPERSAMPLING, Array, Canvas, Colour, Id, Mood, arc, framed, profile
from segmend.data.synthetic.shapes import (
    draw_animal,
    draw_bird,
    draw_boat,
    draw_flower,
    draw_fruit,
    draw_house,
    draw_swan,
    draw_tree,
)
from segmend.labels import Classes, InvalidInput

CLASSES = Classes(
    tuple(id_.name.lower() for id_ in Id),
    (
        (120, 180, 240),  # sky
        (130, 120, 150),  # mountain
        (120, 190, 60),  # grass
        (30, 90, 200),  # water
        (200, 180, 150),  # path
        (20, 100, 40),  # tree
        (190, 70, 50),  # house
        (250, 240, 240),  # boat
        (110, 60, 20),  # animal
        (240, 110, 200),  # flower
        (255, 190, 0),  # fruit
    ),
)


def generate_dataset(
    root: Path, *, train: int, val: int, seed: int = 0, height: int = 192, width: int = 256
) -> None:
    """Draw a data set with the splits ``train`` and ``val`` into `root`, as `open_dataset` reads it."""
    root = Path(root)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            entropy = (seed, zlib.crc32(split.encode()), index)
            image, labels = generate_image(np.random.default_rng(np.random.SeedSequence(entropy)), height, width)
            write_labels(root / "labels" / split / f"{index:05d}.png", labels, CLASSES.palette)
            write_image(root / "images" / split / f"{index:05d}.jpg", image)
    source = f"drawn by segmend.data.synthetic, seed {seed}"
    write_description(root, "synthetic", CLASSES, source=source, terms="none: drawn by code, free to use")


def generate_image(rng: np.random.Generator, height: int = 192, width: int = 256) -> tuple[Array, Array]:
    """An image ``uint8 [height, width, 3]`` and its labels ``uint8 [height, width]``.

    Raises:
        InvalidInput: less than 8 pixels high or wide.
    """
    if min(height, width) < 8:
        raise InvalidInput(f"expected at least 8 x 8 pixels to draw on, found {width} x {height}")
    size = SUPERSAMPLING * height, SUPERSAMPLING * width
    canvas = Canvas(np.zeros((*size, 3), np.float32), np.zeros(size, np.uint8), draw_mood(rng), rng)
    SCENES[int(rng.choice(len(SCENES), p=[share for share, _ in SCENES]))][1](canvas)
    return develop(canvas), majority(canvas.labels)


# --- From canvas to image ---------------------------------------------------------------------------------


def draw_mood(rng: np.random.Generator) -> Mood:
    """Time of day, weather, season, and where the light comes from."""
    tint, zenith, haze = _HOURS[int(rng.integers(len(_HOURS)))]
    turf, leaf = _SEASONS[int(rng.integers(len(_SEASONS)))]

    def near(colour: Colour, spread: float) -> Array:
        return np.asarray(colour, np.float32) * rng.normal(1, spread, 3).clip(0.8, 1.2).astype(np.float32)

    side, mist = float(rng.choice((-1, 1)) * rng.uniform(0.4, 1)), float(rng.uniform(0.15, 0.6))
    return Mood(
        side, near(tint, 0.03), near(zenith, 0.06), near(haze, 0.03), mist, near(turf, 0.08), near(leaf, 0.08)
    )


_HOURS = (  # tint, zenith, haze
    ((1.06, 1.03, 0.97), (0.25, 0.47, 0.80), (0.75, 0.85, 0.93)),
    ((1.06, 1.03, 0.97), (0.33, 0.56, 0.84), (0.82, 0.88, 0.92)),
    ((1.08, 0.98, 0.86), (0.45, 0.60, 0.82), (0.97, 0.86, 0.75)),
    ((1.10, 0.88, 0.68), (0.38, 0.42, 0.62), (0.98, 0.68, 0.45)),
    ((0.88, 0.91, 0.94), (0.60, 0.65, 0.70), (0.82, 0.84, 0.85)),
    ((0.80, 0.80, 1.00), (0.24, 0.26, 0.48), (0.75, 0.57, 0.60)),
)
_SEASONS = (  # turf, leaf
    ((0.42, 0.60, 0.20), (0.40, 0.58, 0.18)),
    ((0.36, 0.50, 0.18), (0.20, 0.38, 0.13)),
    ((0.36, 0.50, 0.18), (0.30, 0.46, 0.16)),
    ((0.50, 0.50, 0.22), (0.70, 0.40, 0.12)),
    ((0.66, 0.58, 0.30), (0.36, 0.42, 0.20)),
)


def develop(canvas: Canvas) -> Array:
    """The canvas as a camera would give it: shrunk, exposed, slightly blurred, noisy, at times compressed."""
    rng, size = canvas.rng, (canvas.width // SUPERSAMPLING, canvas.height // SUPERSAMPLING)
    image = cv2.resize(canvas.image, size, interpolation=cv2.INTER_AREA)
    if (sigma := rng.uniform(0, 0.7)) > 0.3:
        image = cv2.GaussianBlur(image, (3, 3), sigma)
    image = (image - 0.5) * np.float32(rng.uniform(0.9, 1.15)) + np.float32(0.5 + rng.normal(0, 0.03))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.004, 0.03))
    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(60, 95))
        packed = cv2.imencode(".jpg", pixels[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[:, :, ::-1].copy()
    return pixels


def majority(labels: Array) -> Array:
    """Labels [2 H, 2 W] at half the size: the most frequent of each four, the first where two tie."""
    a, b, c, d = labels[::2, ::2], labels[::2, 1::2], labels[1::2, ::2], labels[1::2, 1::2]
    lone = (a != b) & (a != c) & (a != d)
    return np.where(lone & ((b == c) | (b == d)), b, np.where(lone & (c == d), c, a))


# --- Scenes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Things to put into a scene.

    Attributes:
        draw: takes canvas, x, y, size.
        count: at least and at most how many.
        size: of the nearest one, as a share of the image's height.
        depth: from where to where they stand: 0 horizon .. 1 foot of the image.
        on: on what they stand.
    """

    draw: Callable[[Canvas, float, float, float], None]
    count: tuple[int, int]
    size: float
    depth: tuple[float, float] = (0.05, 0.9)
    on: tuple[Id, ...] = (Id.GRASS,)


def populate(canvas: Canvas, horizon: int, *groups: Group) -> None:
    """Put things on the ground, the far ones first, each as large and as hazy as it is far."""
    places = []
    for group in groups:
        for _ in range(int(canvas.rng.integers(group.count[0], group.count[1] + 1))):
            for _ in range(6):
                depth, x = canvas.between(*group.depth), int(canvas.rng.integers(canvas.width))
                y = min(horizon + depth * (canvas.height - horizon), canvas.height - 1)
                if canvas.labels[int(y), x] in group.on:
                    places.append((y, x, depth, group))
                    break
    for y, x, depth, group in sorted(places, key=lambda place: place[0]):
        canvas.haze = canvas.mood.mist * (1 - depth) ** 3
        size = group.size * canvas.height * (0.1 + 0.9 * depth) * canvas.between(0.8, 1.25)
        group.draw(canvas, x, y, size)
    canvas.haze = 0.0


def draw_distance(canvas: Canvas, horizon: int) -> None:
    """Sky, and up to three ranges of mountains, one before the other; birds now and then."""
    draw_sky(canvas, horizon + canvas.height // 8)
    base, ranges = horizon + 0.08 * canvas.height, int(canvas.rng.integers(1, 4))
    for i in range(ranges):
        tall = canvas.height * canvas.between(0.3, 0.55) * (1 - 0.28 * i)
        draw_mountains(canvas, base, tall, (0.25 + canvas.mood.mist) * (1 - (i + 1) / (ranges + 1)))
    if canvas.chance(0.25):
        for _ in range(int(canvas.rng.integers(1, 6))):
            x, y = canvas.rng.uniform((0, 0.1), (1, 0.8)) * (canvas.width, horizon)
            draw_bird(canvas, x, y, canvas.height * canvas.between(0.05, 0.14))


def rolling(canvas: Canvas, level: float, swell: float) -> Array:
    """A soft line [W] around the row `level`."""
    return level + swell * canvas.height * (profile(canvas.rng, canvas.width, 0.8 * canvas.height, 3) - 0.5)


def meadow(canvas: Canvas) -> None:
    """Meadow with trees, grazing animals and flowers, and a path or a stream."""
    horizon = int(canvas.height * canvas.between(0.3, 0.55))
    draw_distance(canvas, horizon)
    if canvas.chance(0.4):
        draw_wood(canvas, horizon + 4, canvas.height * canvas.between(0.05, 0.12))
    draw_grass(canvas, rolling(canvas, horizon, 0.05))
    start = horizon + canvas.height // 48
    if canvas.chance(0.5):
        draw_path(canvas, winding(canvas, start, canvas.width * canvas.between(0.1, 0.35)))
    elif canvas.chance(0.5):
        draw_water(canvas, winding(canvas, start, canvas.width * canvas.between(0.2, 0.5)), horizon)
    trees = Group(draw_tree, (2, 7), canvas.between(0.6, 1.0), (0.05, 0.8))
    animals = Group(draw_animal, (0, 4), canvas.between(0.35, 0.65), (0.15, 0.85))
    flowers = Group(draw_flower, (0, 10), canvas.between(0.25, 0.45), (0.4, 1.0))
    populate(canvas, horizon, trees, animals, flowers)


def lake(canvas: Canvas) -> None:
    """Lake with boats and swans, a far shore with trees and houses, and at times a near one."""
    horizon = int(canvas.height * canvas.between(0.3, 0.5))
    shore = horizon + int(canvas.height * canvas.between(0.02, 0.06))
    draw_distance(canvas, horizon)
    if canvas.chance(0.8):
        draw_grass(canvas, rolling(canvas, horizon, 0.03))
        far_trees = Group(draw_tree, (2, 8), 1.0, (0.03, 0.07))
        far_houses = Group(draw_house, (0, 2), 0.85, (0.03, 0.07))
        populate(canvas, horizon, far_trees, far_houses)
    rows = np.arange(canvas.height)[:, None]
    draw_water(canvas, rows >= rolling(canvas, shore, 0.02), shore)
    boats = Group(draw_boat, (1, 3), canvas.between(0.4, 0.65), (0.15, 0.75), (Id.WATER,))
    swans = Group(draw_swan, (0, 3), 0.22, (0.3, 0.8), (Id.WATER,))
    populate(canvas, horizon, boats, swans)
    if canvas.chance(0.6):
        slope = np.linspace(-1, 1, canvas.width) * canvas.height * canvas.between(-0.25, 0.25)
        draw_grass(canvas, rolling(canvas, 0.88 * canvas.height, 0.1) + slope)
        trees = Group(draw_tree, (0, 2), 0.9, (0.8, 0.98))
        flowers = Group(draw_flower, (0, 8), 0.3, (0.75, 1.0))
        populate(canvas, horizon, trees, flowers, Group(draw_animal, (0, 1), 0.4, (0.8, 0.95)))


def village(canvas: Canvas) -> None:
    """Houses along a street, with trees, flowers, and animals about."""
    horizon = int(canvas.height * canvas.between(0.35, 0.5))
    draw_distance(canvas, horizon)
    draw_grass(canvas, rolling(canvas, horizon, 0.04))
    start = horizon + canvas.height // 64
    draw_path(canvas, winding(canvas, start, canvas.width * canvas.between(0.3, 0.7)))
    houses = Group(draw_house, (2, 5), canvas.between(0.6, 0.85), (0.08, 0.6))
    trees = Group(draw_tree, (1, 5), 0.8, (0.05, 0.75))
    animals = Group(draw_animal, (0, 2), 0.4, (0.4, 0.9), (Id.GRASS, Id.PATH))
    flowers = Group(draw_flower, (0, 8), 0.25, (0.5, 1.0))
    populate(canvas, horizon, houses, trees, animals, flowers)


def orchard(canvas: Canvas) -> None:
    """Fruit trees at close quarters, fallen fruit below them, animals between them."""
    horizon = int(canvas.height * canvas.between(0.4, 0.6))
    draw_distance(canvas, horizon)
    if canvas.chance(0.5):
        draw_wood(canvas, horizon + 4, canvas.height * canvas.between(0.05, 0.15))
    draw_grass(canvas, rolling(canvas, horizon, 0.05))
    trees = Group(partial(draw_tree, kind="orchard"), (2, 5), 1.0, (0.2, 0.8))
    fallen = Group(draw_fruit, (2, 8), 0.09, (0.6, 1.0))
    animals, flowers = Group(draw_animal, (0, 2), 0.5, (0.3, 0.9)), Group(draw_flower, (0, 3), 0.25, (0.6, 1.0))
    populate(canvas, horizon, trees, fallen, animals, flowers)


def sill(canvas: Canvas) -> None:
    """A still life of fruit and flowers on a window sill, before one of the other scenes."""
    canvas.pick((meadow, lake, village))(canvas)
    height, width = canvas.height, canvas.width
    level = canvas.between(0.66, 0.78)
    draw_window(canvas, level * height)
    for _ in range(int(canvas.rng.integers(0, 3))):
        x, y = canvas.between(0.1, 0.9) * width, (level + canvas.between(0.03, 0.08)) * height
        draw_potted_flowers(canvas, x, y, canvas.between(0.4, 0.6) * height)
    for foot in np.sort(canvas.rng.uniform(level + 0.06, 0.97, int(canvas.rng.integers(3, 9)))):
        size = canvas.between(0.13, 0.22) * height
        draw_fruit(canvas, canvas.between(0.05, 0.95) * width, float(foot) * height, size)


def draw_window(canvas: Canvas, level: float) -> None:
    """The frame of a window above the row `level`, and its sill below."""
    height, width = canvas.height, canvas.width
    paints = (0.85, 0.83, 0.78), (0.55, 0.38, 0.24), (0.45, 0.55, 0.5), (0.35, 0.22, 0.15)
    paint, bar = canvas.vary(canvas.pick(paints)), height * canvas.between(0.025, 0.05)
    for x in (0.0, canvas.between(0.4, 0.6) * width, width):
        canvas.stroke(arc(((x, 0), (x, level))), bar, paint * canvas.between(0.8, 1), Id.HOUSE)
    if canvas.chance(0.5):
        canvas.stroke(arc(((0, 0.35 * level), (width, 0.35 * level))), 0.6 * bar, 0.9 * paint, Id.HOUSE)
    wood = canvas.vary(0.9 * paint, 0.1)
    board = np.array(((-9, level), (width + 9, level), (width + 9, height + 9), (-9, height + 9)))
    canvas.fill(board, wood, Id.HOUSE, form=-0.12, grain=0.25)
    canvas.stroke(board[:2], 0.02 * height, 1.15 * wood, Id.HOUSE)


def draw_potted_flowers(canvas: Canvas, x: float, y: float, size: float) -> None:
    """Flowers in a pot, `size` high together."""
    canvas.shadow(x, y, 0.5 * size)
    for aside in canvas.rng.uniform(-0.1, 0.1, int(canvas.rng.integers(2, 6))):
        draw_flower(canvas, x + aside * size, y - 0.25 * size, size * canvas.between(0.5, 0.8))
    at = framed(x, y, size, 1)
    clay = canvas.vary(canvas.pick(((0.68, 0.36, 0.22), (0.8, 0.78, 0.74), (0.25, 0.38, 0.55))))
    pot = at((-0.12, 0), (0.12, 0), (0.16, 0.27), (-0.16, 0.27))
    canvas.fill(pot, clay, Id.FLOWER, form=0.15, grain=0.1)
    canvas.stroke(at((-0.18, 0.25), (0.18, 0.25)), 0.06 * size, 0.9 * clay, Id.FLOWER)


SCENES: tuple[tuple[float, Callable[[Canvas], None]], ...] = (
    (0.24, meadow),
    (0.28, lake),
    (0.18, village),
    (0.12, orchard),
    (0.18, sill),
)
