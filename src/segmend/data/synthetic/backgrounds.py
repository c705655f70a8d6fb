"""Backgrounds of the synthetic images: sky, mountains, woods, grass, water and paths."""

from __future__ import annotations

import cv2
import numpy as np

from segmend.data.synthetic.canvas import Array, Canvas, Colour, Id, mix, profile


def draw_sky(canvas: Canvas, bottom: int) -> None:
    """The sky down to the row `bottom`: paler to the horizon and to the sun, with clouds of some kind."""
    mood, height, width = canvas.mood, -(-bottom // 2), -(-canvas.width // 2)  # smooth: half size will do
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    glow = np.exp(-3 * np.abs(np.linspace(-1, 1, width, dtype=np.float32) - mood.side))
    fade = (down**1.3 + 0.35 * glow * down).clip(0, 1)
    density = canvas.noise(
        (height + 8, width), canvas.height * canvas.between(0.08, 0.3), 6, canvas.between(1.3, 3)
    )
    cover = 0.9 * ((density[8:] - canvas.between(0.4, 0.6)) * canvas.between(3, 8)).clip(0, 1)
    bright = cover * (0.95 + 1.5 * (density[8:] - density[:-8])).clip(0.5, 1.1)
    clear = (1 - cover) * (1 - fade)
    sky = mix((clear, mood.zenith), (1 - cover - clear, mood.haze), (bright, 0.4 + 0.6 * mood.tint))
    canvas.image[:bottom] = cv2.resize(sky, (canvas.width, bottom), interpolation=cv2.INTER_LINEAR)
    canvas.labels[:bottom] = Id.SKY


def draw_mountains(canvas: Canvas, base: float, tall: float, haze: float) -> None:
    """A range that rises `tall` above the row `base`: rock, snowy peaks, wooded slopes or green hills."""
    kind = canvas.pick(("rock", "snow", "wood", "hill"))
    rough = 3 if kind == "hill" else 7
    ridge = base - tall * profile(canvas.rng, canvas.width, canvas.between(0.5, 1.3) * canvas.height, rough)
    top, bottom = max(int(ridge.min()), 0), min(int(base) + 2, canvas.height)
    if top >= bottom:
        return
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    relief = canvas.noise((bottom - top, canvas.width), 0.5 * tall + 4, 5, stretch=0.8)
    slope = np.roll(relief, -round(4 * canvas.mood.side), axis=1) - relief
    shade = 0.8 - (0.6 if kind == "hill" else 2.2) * slope + 0.35 * (relief - 0.5)
    colour = canvas.vary(_SLOPES.get(kind, 0.75 * canvas.mood.turf + (0.0, 0.03, 0.02)))
    snow = np.zeros_like(shade)
    if kind in ("wood", "hill"):
        shade += (0.9 if kind == "wood" else 0.25) * (canvas.noise(shade.shape, 9, 2, 0.7) - 0.5)
    if kind == "snow":
        snow[(rows - ridge) / tall + 0.9 * (relief - 0.5) < 0.35 * (base - ridge) / tall - 0.02] = 1
    fog = np.clip(haze + 0.3 * ((rows - top) / (bottom - top)), 0, 0.9)
    shade = shade.clip(0.2, 1.25) * (1 - fog)
    slopes, peaks = canvas.lit(colour, 0), canvas.lit((0.93, 0.95, 1.0), 0)
    fog = np.broadcast_to(fog, shade.shape)
    pixels = mix((shade * (1 - snow), slopes), (shade * snow, peaks), (fog, canvas.mood.haze))
    canvas.paint(rows >= ridge, pixels, Id.MOUNTAIN, 0, top)


_SLOPES: dict[str, Colour] = {"rock": (0.5, 0.44, 0.4), "snow": (0.4, 0.4, 0.45), "wood": (0.17, 0.28, 0.17)}


def draw_wood(canvas: Canvas, base: float, tall: float) -> None:
    """The edge of a wood along the row `base`."""
    tips = profile(canvas.rng, canvas.width, 0.5 * canvas.height, 3)
    crowns = profile(canvas.rng, canvas.width, 0.5 * tall, 4)
    crest = base - tall * (0.2 + 0.5 * tips + 0.6 * crowns)
    top, bottom = max(int(crest.min()), 0), min(int(base) + 1, canvas.height)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    leaves = canvas.noise((bottom - top, canvas.width), max(0.5 * tall, 4), 4, 0.7)
    shade = 0.25 + 1.1 * leaves - 0.3 * ((rows - crest) / tall).clip(0, 1)
    pixels = mix((shade, canvas.lit(canvas.vary(canvas.mood.leaf) * 0.9, 0.7 * canvas.mood.mist)))
    canvas.paint(rows + 0.3 * tall * (leaves - 0.5) >= crest, pixels, Id.TREE, 0, top)


def draw_grass(canvas: Canvas, edge: Array) -> None:
    """Grass below the line `edge` [W], with patches, blades that grow with nearness, and a ragged border."""
    top = int(np.clip(edge.min() - 0.02 * canvas.height, 0, canvas.height - 2))
    height, width = canvas.height - top, canvas.width
    rows = np.arange(top, canvas.height, dtype=np.float32)[:, None]
    near = (rows - top) / height
    blades = canvas.noise((height, width), 11, 3, stretch=0.25) - 0.5
    patches = canvas.noise((height, width), 0.25 * canvas.height, 5, stretch=3)
    lush, dry = canvas.vary(canvas.mood.turf), canvas.vary(0.8 * canvas.mood.turf + (0.14, 0.07, 0.02))
    fog = np.broadcast_to(0.7 * canvas.mood.mist * (1 - near) ** 3, patches.shape)
    shade = (0.65 + 0.5 * patches + (0.12 + 0.8 * near) * blades) * (1 - fog)
    grasses = (shade * (1 - patches), canvas.lit(lush, 0)), (shade * patches, canvas.lit(dry, 0))
    pixels = mix(*grasses, (fog, canvas.mood.haze))
    canvas.paint(rows + 0.05 * canvas.height * (0.1 + near) * blades >= edge, pixels, Id.GRASS, 0, top)


def draw_water(canvas: Canvas, mask: Array, shore: int) -> None:
    """Water where `mask` [H, W] is true: mirrors what is above the row `shore`, broken up by ripples."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    height, width = bottom - top, canvas.width
    near = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ripples = canvas.noise((height, width), 0.03 * canvas.height, 3, stretch=7) - 0.5
    waves = ripples * (0.2 + near) * canvas.between(0.3, 1.6)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] - shore
    source_y = np.clip(shore - 1 - 0.9 * np.abs(down) + 30 * waves, 0, max(shore - 1, 0))
    source_x = np.arange(width, dtype=np.float32)[None] + 12 * waves
    seen = cv2.remap(canvas.image, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    deep = canvas.lit(canvas.vary(canvas.pick(((0.1, 0.26, 0.36), (0.1, 0.3, 0.3), (0.14, 0.22, 0.3)))), 0.15)
    veil = (0.25 + 0.4 * near + 0.4 * waves).clip(0, 0.9)
    glint = 0.35 * (waves - 0.15).clip(0)
    pixels = seen * cv2.merge([1 - veil] * 3) + mix((veil, deep), (glint, (1, 1, 1)))
    canvas.paint(mask[top:bottom], pixels, Id.WATER, 0, top)


def winding(canvas: Canvas, horizon: int, broad: float) -> Array:
    """Mask [H, W] of a band that winds from the foot of the image to the horizon, `broad` at its foot."""
    rows = canvas.height - horizon
    near = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    bends = np.sin(canvas.between(2, 6) * np.sqrt(near) + canvas.between(0, 6)) * canvas.between(0.05, 0.25)
    foot, far = canvas.between(0.2, 0.8), canvas.between(0.3, 0.7)
    centre = canvas.width * (far + (foot - far) * near + bends * (0.1 + near))
    reach = broad * (0.03 + near**1.3) / 2
    banks = reach * (0.85 + 0.3 * np.stack([profile(canvas.rng, rows, 12, 3) for _ in range(2)], axis=1))
    columns = np.arange(canvas.width, dtype=np.float32)
    mask = np.zeros((canvas.height, canvas.width), bool)
    mask[horizon:] = (columns > centre - banks[:, :1]) & (columns < centre + banks[:, 1:])
    return mask


def draw_path(canvas: Canvas, mask: Array) -> None:
    """A way of earth, gravel or paving where `mask` [H, W] is true."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return
    top, height = int(rows[0]), int(rows[-1] + 1 - rows[0])
    colour = canvas.vary(
        canvas.pick(((0.62, 0.5, 0.36), (0.66, 0.62, 0.55), (0.45, 0.44, 0.44), (0.55, 0.4, 0.28)))
    )
    near = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ruts, gravel = canvas.noise((height, canvas.width), 30, 3, 3), canvas.noise((height, canvas.width), 5, 2, 1.5)
    shade = 0.75 + 0.4 * ruts + (0.1 + 0.5 * near) * (gravel - 0.5)
    fog = np.broadcast_to(0.6 * canvas.mood.mist * (1 - near) ** 3, shade.shape)
    pixels = mix(((1 - fog) * shade, canvas.lit(colour, 0)), (fog, canvas.mood.haze))
    canvas.paint(mask[top : top + height], pixels, Id.PATH, 0, top)
