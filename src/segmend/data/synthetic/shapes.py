"""The objects in the synthetic images.

Each function draws one object that stands, lies or swims at (x, y); `size` is its height or length in pixels of
the canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from segmend.data.synthetic.canvas import Array, Canvas, Colour, Id, arc, blade, framed, mix, oval, panel, smooth

TREES = ("broad", "broad", "conifer", "conifer", "poplar", "bare", "bush")


def draw_tree(canvas: Canvas, x: float, y: float, size: float, kind: str = "") -> None:
    """A tree: one of `TREES`, or an apple tree where `kind` is orchard."""
    kind = kind or canvas.pick(TREES)
    leaf, bark = canvas.vary(canvas.mood.leaf, 0.14), canvas.vary((0.33, 0.25, 0.18), 0.15)
    canvas.shadow(x, y, size * (0.3 if kind in ("poplar", "conifer") else 0.5))
    if kind == "conifer":
        canvas.stroke(arc(((x, y), (x, y - 0.2 * size))), 0.05 * size, bark, Id.TREE)
        _needles(canvas, x, y - 0.07 * size, size, canvas.vary(0.25 * leaf + (0.07, 0.17, 0.1)))
    elif kind == "bare":
        _branch(canvas, np.array((x, y)), -np.pi / 2, 0.3 * size, 0.06 * size, 5, bark * 0.9)
    elif kind == "bush":
        _leaves(canvas, _clumps(canvas, x, y - 0.2 * size, 0.34 * size, 0.14 * size, 6), leaf, gaps=0.1)
    elif kind == "poplar":
        canvas.stroke(arc(((x, y), (x, y - 0.5 * size))), 0.05 * size, bark, Id.TREE)
        _leaves(canvas, _clumps(canvas, x, y - 0.56 * size, 0.08 * size, 0.34 * size, 24), leaf, gaps=0.2)
    else:
        _branch(canvas, np.array((x, y)), -np.pi / 2, 0.3 * size, 0.08 * size, 3, bark)
        clumps = _clumps(canvas, x, y - 0.66 * size, 0.28 * size, 0.2 * size, 9)
        _leaves(canvas, clumps, leaf, gaps=canvas.between(0.1, 0.7))
        if kind == "orchard":
            _hang_fruit(canvas, clumps, 0.03 * size)


def _branch(
    canvas: Canvas, foot: Array, angle: float, length: float, width: float, forks: int, bark: Array
) -> None:
    """A branch from `foot` at `angle` and those that grow from it, `forks` levels deep."""
    tip = foot + length * np.array((np.cos(angle), np.sin(angle)))
    line = arc((foot, tip), canvas.between(-0.08, 0.08))
    canvas.stroke(line, width, bark * canvas.between(0.8, 1.2), Id.TREE, end=0.65 * width)
    if forks == 0 or length < 4:
        return
    spread = canvas.between(0.3, 0.5)
    for turn in (-spread, spread) if canvas.chance(0.7) else (-1.3 * spread, 0.1, 1.3 * spread):
        shorter = length * canvas.between(0.6, 0.85)
        _branch(canvas, tip, angle + turn + 0.1 * canvas.rng.normal(), shorter, 0.62 * width, forks - 1, bark)


def _clumps(canvas: Canvas, x: float, y: float, rx: float, ry: float, count: int) -> Array:
    """Discs (x, y, radius) [count, 3] that fill an ellipse, as leaves grow in clumps."""
    angle, reach = canvas.rng.uniform(0, 2 * np.pi, count), np.sqrt(canvas.rng.uniform(0, 1, count))
    radius = max(min(rx, ry), 0.35 * max(rx, ry)) * canvas.rng.uniform(0.45, 0.75, count)
    return np.stack([x + rx * reach * np.cos(angle), y + ry * reach * np.sin(angle), radius], axis=1)


def _leaves(canvas: Canvas, clumps: Array, leaf: Array, gaps: float) -> None:
    """Leaves around `clumps`, with ragged borders and, by `gaps` (0..1), holes to look through."""
    mean = float(clumps[:, 2].mean())
    low = np.floor((clumps[:, :2] - clumps[:, 2:]).min(axis=0) - 0.3 * mean).astype(int)
    width, height = (int(v) for v in (clumps[:, :2] + clumps[:, 2:]).max(axis=0) + 0.3 * mean + 1 - low)
    body, shade = np.zeros((height, width), np.float32), np.full((height, width), 0.3, np.float32)
    light = np.array((0.35 * canvas.mood.side, -0.35))
    for clump in clumps[np.argsort(clumps[:, 1])]:
        centre, radius, tone = clump[:2] - low, clump[2], canvas.between(0.28, 0.5)
        cv2.circle(body, np.rint(centre).astype(int).tolist(), int(radius) + 1, 1.0, -1)
        for step in (0.0, 0.5, 1.0):
            spot = np.rint(centre + step * radius * light).astype(int).tolist()
            cv2.circle(shade, spot, int(radius * (1.05 - 0.5 * step)) + 1, tone + 0.32 * step, -1)
    soft = 2 * (int(0.35 * mean) | 1,)
    ragged = canvas.noise((height, width), max(0.35 * mean, 4), 4) - 0.5
    holes = canvas.noise((height, width), max(0.5 * mean, 5), 3)
    mask = (cv2.blur(body, soft) + 1.2 * ragged > 0.5) & (holes + 0.3 * ragged > 0.15 + 0.25 * gaps)
    canvas.paint(mask, _foliage(canvas, 1.6 * leaf, cv2.blur(shade, soft) + 1.1 * ragged), Id.TREE, *low.tolist())


def _foliage(canvas: Canvas, leaf: Array, shade: Array) -> Array:
    """Pixels of leaves, each in its own light, all in the same haze."""
    clear = (1 - canvas.haze) * shade.clip(0.1)
    return mix((clear, canvas.lit(leaf, 0)), (np.full_like(clear, canvas.haze), canvas.mood.haze))


def _needles(canvas: Canvas, x: float, y: float, size: float, leaf: Array) -> None:
    """The cone of a conifer: layers of branches with ragged ends, dark below."""
    height, width = int(0.93 * size) + 2, int(0.5 * size) + 3
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1.15, 1.15, width, dtype=np.float32)[None]
    layer = (t**0.8 * canvas.between(5, 9) + 0.25 * across**2) % 1.0
    ragged = canvas.noise((height, width), max(0.07 * size, 3), 4, stretch=0.6) - 0.5
    reach = t**0.9 * (0.55 + 0.45 * layer) + 0.7 * ragged * (0.1 + t)
    shade = 0.8 + 0.35 * canvas.mood.side * across - 0.4 * layer + 1.1 * ragged
    pixels = _foliage(canvas, 1.2 * leaf, shade)
    canvas.paint(np.abs(across) < reach, pixels, Id.TREE, int(x - width / 2), int(y - height))


def _hang_fruit(canvas: Canvas, clumps: Array, radius: float) -> None:
    colour = canvas.pick(((0.85, 0.12, 0.08), (0.95, 0.5, 0.06), (0.9, 0.8, 0.15), (0.5, 0.15, 0.4)))
    for x, y, reach in clumps[canvas.rng.integers(len(clumps), size=int(canvas.rng.integers(10, 24)))]:
        dx, dy = reach * canvas.rng.uniform(-0.8, 0.8, 2)
        _ball(canvas, x + dx, y + dy, max(radius, 3.0) * canvas.between(0.8, 1.2), canvas.vary(colour))


def draw_flower(canvas: Canvas, x: float, y: float, size: float, kind: str = "") -> None:
    """A flower with its stem and leaves: one of `BLOSSOMS`."""
    blossom = BLOSSOMS[kind or canvas.pick(tuple(BLOSSOMS))]
    green = canvas.vary(0.5 * canvas.mood.leaf + (0.1, 0.25, 0.07))
    lean = canvas.between(-0.25, 0.25)
    head = x + lean * size, y - 0.8 * size
    canvas.stroke(arc(((x, y), head), 0.4 * lean), 0.045 * size, green, Id.FLOWER)
    for side in (-1, 1):
        root = np.array((x + 0.2 * lean * size, y - canvas.between(0.05, 0.35) * size))
        tip = root + size * np.array((side * canvas.between(0.15, 0.3), -canvas.between(0.1, 0.3)))
        canvas.fill(blade((root, tip)), green * canvas.between(0.8, 1.25), Id.FLOWER)
    blossom(canvas, *head, 0.2 * size)


def _daisy(canvas: Canvas, x: float, y: float, radius: float) -> None:
    petal = canvas.pick(((0.95, 0.95, 0.93), (0.9, 0.6, 0.8), (0.55, 0.55, 0.95), (0.98, 0.85, 0.3)))
    _petals(canvas, x, y, radius, 11, petal, 0.33, (0.93, 0.7, 0.1))


def _sunflower(canvas: Canvas, x: float, y: float, radius: float) -> None:
    _petals(canvas, x, y, 1.25 * radius, 16, (0.96, 0.75, 0.1), 0.52, (0.3, 0.17, 0.08))


def _petals(
    canvas: Canvas, x: float, y: float, radius: float, count: int, petal: Colour, core: float, heart: Colour
) -> None:
    """A ring of `count` petals around a heart whose radius is the share `core`."""
    petal, squash = canvas.vary(petal, 0.04), canvas.between(0.65, 1.0)
    for angle in canvas.between(0, 1) + np.arange(count) * 2 * np.pi / count:
        dx, dy = np.cos(angle), squash * np.sin(angle)
        place = x + 0.62 * radius * dx, y + 0.62 * radius * dy
        outline = oval(place, 0.42 * radius, 1.7 * radius / count, float(np.arctan2(dy, dx)))
        canvas.fill(outline, petal * canvas.between(0.8, 1.05), Id.FLOWER)
    canvas.fill(oval((x, y), core * radius, core * radius * squash), heart, Id.FLOWER, form=0.25, grain=0.3)


def _tulip(canvas: Canvas, x: float, y: float, radius: float) -> None:
    colours = ((0.85, 0.12, 0.15), (0.95, 0.75, 0.15), (0.8, 0.3, 0.6), (0.95, 0.9, 0.85))
    colour = canvas.vary(canvas.pick(colours))
    cup = np.array(((-0.45, 0.4), (0.45, 0.4), (0.55, -0.5), (0.0, -1.35), (-0.55, -0.5)))
    for aside, shade in ((-0.4, 0.8), (0.4, 0.9), (0.0, 1.05)):
        canvas.fill(smooth((x + radius * aside, y) + radius * cup), colour * shade, Id.FLOWER, form=0.15)


def _poppy(canvas: Canvas, x: float, y: float, radius: float) -> None:
    colour = canvas.vary(canvas.pick(((0.88, 0.15, 0.08), (0.92, 0.4, 0.1), (0.75, 0.25, 0.65))))
    for angle in canvas.between(0, 1) + np.arange(4) * np.pi / 2:
        place = x + 0.45 * radius * np.cos(angle), y + 0.35 * radius * np.sin(angle)
        outline = oval(place, 0.7 * radius, 0.55 * radius, rough=canvas.rng.uniform(0.85, 1.1, 14))
        canvas.fill(outline, colour * canvas.between(0.75, 1.1), Id.FLOWER, form=0.15)
    canvas.fill(oval((x, y), 0.22 * radius, 0.18 * radius), (0.12, 0.1, 0.1), Id.FLOWER)


BLOSSOMS: dict[str, Callable[[Canvas, float, float, float], None]] = {
    "daisy": _daisy,
    "tulip": _tulip,
    "poppy": _poppy,
    "sunflower": _sunflower,
}

FRUITS: tuple[tuple[str, Colour], ...] = (
    ("apple", (0.78, 0.1, 0.1)),
    ("apple", (0.5, 0.68, 0.15)),
    ("apple", (0.9, 0.7, 0.2)),
    ("orange", (0.93, 0.5, 0.06)),
    ("lemon", (0.95, 0.85, 0.2)),
    ("plum", (0.38, 0.16, 0.42)),
    ("pear", (0.68, 0.7, 0.25)),
)


def draw_fruit(canvas: Canvas, x: float, y: float, size: float) -> None:
    """One of `FRUITS`, `size` high, with its stalk and leaf."""
    kind, base = canvas.pick(FRUITS)
    colour, radius, top = canvas.vary(base), 0.46 * size, y - 0.82 * size
    canvas.shadow(x, y, 0.8 * size, 0.6)
    if kind == "pear":
        top = y - 0.98 * size
        _ball(canvas, x, y - 0.68 * size, 0.25 * size, colour, squash=1.3)
        _ball(canvas, x, y - 0.37 * size, 0.4 * size, colour)
    elif kind == "lemon":
        canvas.fill(oval((x, y - 0.78 * radius), 1.3 * radius, 0.22 * radius), colour * 0.8, Id.FRUIT, form=0.2)
        _ball(canvas, x, y - 0.8 * radius, 1.06 * radius, colour, squash=0.76)
    else:
        _ball(canvas, x, y - 0.94 * radius, radius, colour, squash=0.95)
    if kind in ("apple", "pear"):
        tip = x + canvas.between(-0.1, 0.15) * size, top - 0.2 * size
        canvas.stroke(arc(((x, top), tip), 0.1), 0.05 * size, (0.3, 0.2, 0.1), Id.FRUIT)
        if canvas.chance(0.5):
            leaf = blade(((x, top), (x + 0.32 * size, top - canvas.between(0.05, 0.25) * size)))
            canvas.fill(leaf, canvas.mood.leaf, Id.FRUIT, form=0.2)


def _ball(canvas: Canvas, x: float, y: float, radius: float, colour: Array, squash: float = 1.0) -> None:
    """A round fruit, shaded as a sphere with a highlight and a slightly uneven skin."""
    half = int(radius * max(1.0, squash)) + 2
    left, top = round(x) - half, round(y) - half
    steps = np.arange(2 * half + 1, dtype=np.float32)
    u = (steps[None] + np.float32(left - x)) / np.float32(radius)
    v = (steps[:, None] + np.float32(top - y)) / np.float32(radius * squash)
    inside = 1 - u * u - v * v
    facing = (0.5 * canvas.mood.side * u - 0.55 * v + 0.67 * np.sqrt(inside.clip(0))).clip(0, 1)
    shade = 0.32 + 0.78 * facing
    if radius > 8:
        shade += 0.3 * (canvas.noise(shade.shape, 0.5 * radius, 4) - 0.5)
    pixels = mix((shade, canvas.lit(colour)), (facing**26, (0.5, 0.5, 0.5)))
    canvas.paint(inside > 0, pixels, Id.FRUIT, left, top)


@dataclass(frozen=True)
class Breed:
    """Build of a four-legged animal, in lengths of its body; `size` is that length in cows."""

    size: float
    coats: tuple[Colour, ...]
    legs: float
    girth: float
    neck: tuple[float, float]
    head: float
    tail: float
    wool: float = 0.0
    patches: float = 0.0
    horns: float = 0.0


_BLACK, _WHITE, _BROWN, _FAWN = (0.2, 0.17, 0.15), (0.88, 0.85, 0.8), (0.46, 0.26, 0.13), (0.62, 0.42, 0.23)
_HORN = (0.7, 0.62, 0.5)

BREEDS = {
    "sheep": Breed(0.65, (_WHITE, (0.75, 0.7, 0.6)), 0.32, 0.5, (0.1, 0.02), 0.14, 0.1, wool=0.1),
    "cow": Breed(1.0, (_BROWN, _WHITE, _BLACK), 0.38, 0.44, (0.16, 0.08), 0.16, 0.4, patches=0.7, horns=0.1),
    "horse": Breed(0.95, (_BROWN, _BLACK, _WHITE), 0.55, 0.38, (0.2, 0.36), 0.15, 0.5),
    "deer": Breed(0.75, (_FAWN, _BROWN), 0.58, 0.33, (0.14, 0.36), 0.11, 0.08, horns=0.36),
    "dog": Breed(0.45, (_FAWN, _BLACK, _WHITE), 0.42, 0.32, (0.12, 0.16), 0.14, -0.35),
}


def draw_animal(canvas: Canvas, x: float, y: float, size: float, kind: str = "") -> None:
    """A four-legged animal, one of `BREEDS`; `size` is the length of a cow here."""
    breed = BREEDS[kind or canvas.pick(tuple(BREEDS))]
    size *= breed.size
    facing = canvas.pick((-1, 1))
    coat = canvas.vary(canvas.pick(breed.coats), 0.06)
    dark = np.array((0.2, 0.18, 0.17)) if breed.wool else 0.55 * coat
    under, back = breed.legs, breed.legs + breed.girth
    at = framed(x, y, size, facing)
    canvas.shadow(x, y, 0.75 * size)
    tail = at((-0.46, back - 0.08), (-0.5 - 0.25 * abs(breed.tail), back - 0.1 - 0.7 * breed.tail))
    canvas.stroke(arc(tail, 0.12 * facing), 0.055 * size, dark, Id.ANIMAL)
    for px, shade in ((-0.3, 0.6), (0.36, 0.6), (-0.4, 0.9), (0.28, 0.9)):
        leg = at((px, under + 0.12), (px + canvas.between(-0.08, 0.08), 0.0))
        tone = shade * (dark if breed.wool else coat)
        canvas.stroke(leg, 0.12 * size, tone, Id.ANIMAL, end=0.06 * size)
    if breed.wool:
        _head(canvas, at, size, breed, dark, dark)
        rough = canvas.rng.uniform(1 - breed.wool, 1 + breed.wool, 44)
        centre = at((0, under + 0.5 * breed.girth))[0]
        outline = oval(centre, 0.54 * size, 0.55 * breed.girth * size, rough=rough)
        canvas.fill(outline, coat, Id.ANIMAL, form=0.28, grain=0.35)
        return
    hull = ((-0.5, back), (-0.54, under + 0.1), (-0.2, under), (0.1, under - 0.04), (0.44, under + 0.05))
    outline = smooth(at(*hull, (0.52, back - 0.1), (0.36, back + 0.03), (0.0, back - 0.03)))
    canvas.fill(outline, coat, Id.ANIMAL, form=0.25, grain=0.12)
    _head(canvas, at, size, breed, coat, dark)
    if canvas.chance(breed.patches):
        other = np.array(_WHITE if coat.mean() < 0.5 else _BLACK)
        for px in canvas.rng.uniform(-0.36, 0.32, 3):
            place = at((float(px), canvas.between(under + 0.14, back - 0.12)))[0]
            rough = canvas.rng.uniform(0.7, 1.2, 11)
            canvas.fill(oval(place, 0.13 * size, 0.09 * size, rough=rough), other, Id.ANIMAL, form=0.2)


def _head(canvas: Canvas, at: Callable[..., Array], size: float, breed: Breed, coat: Array, dark: Array) -> None:
    """Neck, head, ear and horns; sometimes lowered to the grass."""
    (dx, dy), back, long = breed.neck, breed.legs + breed.girth, breed.head
    grazing = canvas.chance(0.3) and not breed.wool
    nape = np.array((0.42 + dx, back - 0.08 + dy) if not grazing else (0.48 + 1.3 * dx, 0.24))
    nose = nape + long * np.array((0.9, -1.3) if grazing else (1.5, -0.7))
    canvas.stroke(at((0.36, back - 0.14), nape), 0.26 * size, 0.95 * coat, Id.ANIMAL, end=0.15 * size)
    canvas.stroke(at(nape - (0.03, 0), nose), 1.2 * long * size, coat, Id.ANIMAL, end=0.7 * long * size)
    canvas.fill(blade(at(nape, nape + np.array((-0.12, 0.1)))), dark, Id.ANIMAL)
    for side in (-0.3, 0.3) if breed.horns else ():
        horn = arc(at(nape, nape + breed.horns * np.array((side, 1))), 0.6 * side)
        canvas.stroke(horn, 0.035 * size, _HORN, Id.ANIMAL)
        for t in (3, 4) if breed.horns > 0.2 else ():
            prong = np.array((0.15 - 0.9 * side, -0.5)) * (0.45 * breed.horns * size)
            canvas.stroke(np.stack([horn[t], horn[t] + prong]), 0.03 * size, _HORN, Id.ANIMAL)


def draw_bird(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A flying bird; `size` is its span."""
    colour = canvas.vary(canvas.pick(((0.15, 0.14, 0.15), (0.9, 0.9, 0.9), (0.35, 0.3, 0.28))))
    lift, droop = canvas.between(0.1, 0.22), canvas.between(-0.05, 0.2)
    wing = ((0, 0.03), (0.22, lift), (0.52, lift - droop), (0.22, lift - 0.09), (0, -0.06))
    for facing in (-1, 1):
        outline = framed(x, y, size, facing)(*wing)
        canvas.fill(outline, colour * (1.0 if facing > 0 else 0.8), Id.ANIMAL)
    canvas.fill(oval((x, y), 0.14 * size, 0.06 * size, 0.2), colour * 0.9, Id.ANIMAL)


def draw_swan(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A swan, goose or duck that swims."""
    facing = canvas.pick((-1, 1))
    colour = canvas.vary(canvas.pick(((0.93, 0.93, 0.92), (0.5, 0.42, 0.34), (0.2, 0.2, 0.22))))
    at = framed(x, y, size, facing)
    neck = arc(at((0.33, 0.15), (0.36, 0.6)), -0.25 * facing)
    canvas.stroke(neck, 0.14 * size, colour, Id.ANIMAL, end=0.09 * size)
    canvas.fill(blade(at((0.42, 0.58), (0.6, 0.5))), (0.85, 0.5, 0.1), Id.ANIMAL)
    canvas.fill(oval(at((0.38, 0.6))[0], 0.1 * size, 0.075 * size), colour, Id.ANIMAL)
    body = at((-0.6, 0.32), (-0.4, 0.0), (0.3, -0.02), (0.5, 0.14), (0.3, 0.3), (-0.1, 0.34))
    canvas.fill(smooth(body), colour, Id.ANIMAL, form=0.22, grain=0.1)
    mirror(canvas, x, y, 0.8 * size, Id.ANIMAL)


WALLS = ((0.88, 0.84, 0.74), (0.8, 0.68, 0.5), (0.72, 0.45, 0.36), (0.55, 0.5, 0.46), (0.62, 0.7, 0.75))
ROOFS = ((0.62, 0.26, 0.18), (0.45, 0.22, 0.18), (0.35, 0.35, 0.38), (0.5, 0.42, 0.3), (0.3, 0.36, 0.3))


def draw_house(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A house seen from a corner: a front with a gable, a side with a tiled roof, windows, door, chimney."""
    facing = canvas.pick((-1, 1))
    wide, deep, gable = canvas.between(0.5, 0.75), canvas.between(0.4, 0.9), canvas.between(0.3, 0.5)
    wall, tiles = canvas.vary(canvas.pick(WALLS), 0.05), canvas.vary(canvas.pick(ROOFS))
    lit_front = 1.0 - 0.18 * facing * canvas.mood.side
    lit_side = 1.75 - lit_front
    corner, up = np.array((x, y)), np.array((0.0, -0.6 * size))
    front, side = size * np.array((-facing * wide, -0.02)), size * np.array((facing * deep, -0.06))
    ridge = corner + 0.5 * front + (1 + gable) * up
    canvas.shadow(x, y, 0.8 * size)
    canvas.fill(panel(corner, side, up, 0, 0, 1, 1.05), 0.9 * lit_side * wall, Id.HOUSE, grain=0.08)
    gabled = np.array((corner, corner + up, ridge, corner + front + up, corner + front))
    canvas.fill(gabled, lit_front * wall, Id.HOUSE, grain=0.08)
    eave, far_eave = (1.12 * foot - 0.12 * ridge for foot in (corner + up, corner + front + up))
    _roof(canvas, eave, 1.08 * side, ridge - eave, lit_side * tiles)
    for end in (eave, far_eave):
        canvas.stroke(np.array((ridge, end)), 0.045 * size, 0.7 * tiles, Id.HOUSE)
    foot = ridge + side * canvas.between(0.2, 0.8)
    canvas.stroke(arc((foot - 0.06 * up, foot + 0.24 * up)), 0.09 * size, (0.5, 0.3, 0.25), Id.HOUSE)
    for u in (0.12, 0.62):
        _window(canvas, panel(corner, front, up, u, 0.5, u + 0.24, 0.88))
        _window(canvas, panel(corner, side, up, u, 0.42, u + 0.22, 0.8))
    door = panel(corner, front, up, 0.4, 0, 0.6, 0.45)
    canvas.fill(door, canvas.vary((0.35, 0.2, 0.12), 0.3), Id.HOUSE, form=0.1)


def _roof(canvas: Canvas, eave: Array, side: Array, up: Array, tiles: Array) -> None:
    """A slope of tiles in rows, each a little different in tone."""
    canvas.fill(panel(eave, side, up, 0, 0, 1, 1), tiles, Id.HOUSE)
    rows = int(np.clip(np.hypot(*up) / 8, 2, 9))
    columns = int(np.clip(np.hypot(*side) / 14, 2, 10))
    for row in range(rows):
        for column in range(columns):
            u, v, tone = (column + 0.5 * (row % 2)) / columns, row / rows, canvas.between(0.78, 1.16)
            tile = panel(eave, side, up, u, v + 0.2 / rows, min(u + 0.9 / columns, 1), v + 1 / rows)
            canvas.fill(tile, tiles * tone, Id.HOUSE)


def _window(canvas: Canvas, frame: Array) -> None:
    """A window: a light frame, dark glass, and a cross."""
    centre = frame.mean(axis=0)
    canvas.fill(frame, (0.9, 0.88, 0.85), Id.HOUSE)
    glass = canvas.vary(canvas.pick(((0.16, 0.2, 0.27), (0.35, 0.45, 0.55), (0.85, 0.7, 0.35))), 0.1)
    canvas.fill(centre + 0.78 * (frame - centre), glass, Id.HOUSE, form=0.15)
    if np.abs(frame - centre).max() > 7:
        for i in (0, 1):
            middle = (frame[[i, i + 2]] + frame[[i + 1, (i + 3) % 4]]) / 2
            canvas.stroke(middle, 1.5, (0.9, 0.88, 0.85), Id.HOUSE)


HULLS = ((0.75, 0.15, 0.12), (0.15, 0.28, 0.5), (0.92, 0.9, 0.85), (0.45, 0.28, 0.15))
SAILS = ((0.94, 0.93, 0.9), (0.9, 0.85, 0.72), (0.8, 0.3, 0.2), (0.3, 0.45, 0.65))


def draw_boat(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A sailing or rowing boat of length `size`, with its reflection."""
    at = framed(x, y, size, canvas.pick((-1, 1)))
    colour, sailing = canvas.vary(canvas.pick(HULLS)), canvas.chance(0.65)
    if sailing:
        _sails(canvas, at, size)
    stern, middle, bow = (-0.46, 0.16), (0.1, 0.14), (0.54, 0.2)
    canvas.fill(at(stern, (-0.4, 0.0), (0.32, 0.0), bow, middle), colour, Id.BOAT, form=0.2, grain=0.1)
    canvas.stroke(at(stern, middle, bow), 0.03 * size, 0.4 + 0.5 * colour, Id.BOAT)
    if not sailing:
        inside = at((-0.4, 0.16), (-0.1, 0.12), (0.2, 0.13), (0.42, 0.18), (0.1, 0.17))
        canvas.fill(smooth(inside), (0.25, 0.17, 0.1), Id.BOAT)
        for px in (-0.1, 0.12):
            oar = at((px, 0.17), (px - 0.3, -0.05))
            canvas.stroke(oar, 0.02 * size, (0.6, 0.45, 0.28), Id.BOAT, end=0.05 * size)
    mirror(canvas, x, y, 1.6 * size if sailing else 0.6 * size, Id.BOAT)


def _sails(canvas: Canvas, at: Callable[..., Array], size: float) -> None:
    """Mast, boom, two sails and a stay."""
    cloth, wood, high = canvas.vary(canvas.pick(SAILS)), (0.35, 0.25, 0.17), canvas.between(0.95, 1.35)
    leech = arc(at((0.06, high), (-0.44, 0.26)), 0.06 * canvas.pick((-1, 1)))
    canvas.fill(np.concatenate([at((0.06, 0.24)), leech]), cloth, Id.BOAT, form=0.14, grain=0.06)
    canvas.fill(at((0.13, 0.9 * high), (0.13, 0.24), (0.48, 0.22)), 0.9 * cloth, Id.BOAT, form=0.14)
    canvas.stroke(at((0.09, 0.1), (0.09, high + 0.08)), 0.035 * size, wood, Id.BOAT, end=0.02 * size)
    canvas.stroke(at((0.09, 0.24), (-0.46, 0.24)), 0.022 * size, wood, Id.BOAT)
    canvas.stroke(at((0.09, high + 0.05), (0.52, 0.2)), 1.6, (0.3, 0.28, 0.26), Id.BOAT)


def mirror(canvas: Canvas, x: float, y: float, size: float, label: Id) -> None:
    """Reflect what carries `label` above (x, y) in the water below, broken up by ripples; labels stay."""
    left, right = max(int(x - size), 0), min(int(x + size), canvas.width)
    line = int(np.clip(y, 0, canvas.height))
    rows = min(int(0.9 * size), canvas.height - line, line)
    if rows <= 0 or left >= right:
        return
    source = line - 1 - np.arange(rows)
    columns = np.arange(left, right)[None] + np.rint(canvas.rng.normal(0, 0.02 * size, (rows, 1))).astype(int)
    columns = np.clip(columns, 0, canvas.width - 1)
    seen = canvas.image[source[:, None], columns]
    below = np.s_[line : line + rows, left:right]
    there = (canvas.labels[source[:, None], columns] == label) & (canvas.labels[below] == Id.WATER)
    strength = np.where(there, np.linspace(0.65, 0.25, rows)[:, None], 0).astype(np.float32)[:, :, None]
    canvas.image[below] += strength * (0.85 * seen - canvas.image[below])
