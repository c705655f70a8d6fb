"""Maps as images: colours for labels, changes and displacements, embedded as ``data:`` URLs."""

from __future__ import annotations

import base64
import colorsys
import io
import math

import numpy as np
import torch
from PIL import Image
from torchvision.utils import flow_to_image

from segmend.labels import Classes
from segmend.report.cases import Change

Colour = tuple[int, int, int, int]

TRANSPARENT: Colour = (0, 0, 0, 0)

CHANGE_COLOURS: dict[Change, Colour] = {
    Change.RIGHT: TRANSPARENT,
    Change.CORRECTED: (31, 119, 200, 255),
    Change.DEGRADED: (214, 82, 20, 255),
    Change.STILL_WRONG: (240, 190, 70, 255),
    Change.MISSED: (178, 164, 212, 255),
    Change.VOID: (140, 138, 132, 150),
}
"""Blue and vermilion differ for every kind of colour vision; pixels that were and are right stay transparent."""

WHEEL_SIDE = 72
"""Width and height of the legend of displacements in pixels."""

GOLDEN = (5**0.5 - 1) / 2
"""Turns between the hues of consecutive numbers: any few of them differ clearly."""


def photo(image: np.ndarray) -> str:
    """A photo ``uint8 [H, W, 3]`` as JPEG."""
    return _jpeg(Image.fromarray(image))


def grey(values: np.ndarray) -> str:
    """A map ``uint8 [H, W]``, 0 black and 255 white, as JPEG."""
    return _jpeg(Image.fromarray(values))


def sharp(image: np.ndarray) -> str:
    """An image ``uint8 [H, W, 3]`` of few colours as PNG, exactly."""
    return _png(Image.fromarray(image))


def labels(label_map: np.ndarray, classes: Classes) -> str:
    """A label map ``[H, W]`` in the colours of its classes as palette PNG; void is transparent.

    Any grey for void could be the colour of a class.
    """
    return _palette_png(label_map, {i: (*classes.palette[i], 255) for i in present(label_map, classes)})


def changes(change_map: np.ndarray) -> str:
    """A map ``uint8 [H, W]`` of `Change` as palette PNG."""
    return _palette_png(change_map, {int(change): colour for change, colour in CHANGE_COLOURS.items()})


def blobs(numbers: np.ndarray) -> str:
    """Areas ``[H, W]`` numbered from 1 in colours that differ, as palette PNG; 0 is transparent."""
    found = [int(number) for number in np.unique(numbers) if number > 0]
    return _palette_png(numbers, {number: (*_distinct_colour(number), 255) for number in found})


def displacement(field: np.ndarray, scale: float) -> str:
    """A displacement field ``[2, H, W]`` in the colours of `wheel`, whose rim stands for `scale` pixels."""
    return _jpeg(Image.fromarray(_flow_colours(field / scale)))


def displacement_scale(field: np.ndarray) -> float:
    """Length in pixels at the rim: 1, 2 or 5 times a power of ten that 99 % of `field` do not exceed."""
    reach = float(np.percentile(np.hypot(*np.nan_to_num(field)), 99))
    power = 10.0 ** math.floor(math.log10(max(reach, 1.0)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= min(reach, 10 * power))


def wheel() -> str:
    """The legend of displacements, a PNG: hue shows the direction, saturation the length."""
    y, x = np.mgrid[-1 : 1 : WHEEL_SIDE * 1j, -1 : 1 : WHEEL_SIDE * 1j]
    edge = 2.0 / WHEEL_SIDE
    alpha = np.clip((1.0 - np.hypot(x, y)) / edge, 0.0, 1.0) * 255
    colours = _flow_colours(np.stack([x, y]))
    return _png(Image.fromarray(np.dstack([colours, alpha.astype(np.uint8)])))


def present(label_map: np.ndarray, classes: Classes) -> list[int]:
    """Ids of the classes in a label map."""
    return [int(i) for i in np.unique(label_map) if i < len(classes)]


def _flow_colours(field: np.ndarray) -> np.ndarray:
    """``uint8 [H, W, 3]`` of a field ``[2, H, W]`` in torchvision's colours; vectors of length 1 are saturated."""
    flow = torch.from_numpy(np.nan_to_num(field.astype(np.float32)))
    flow = flow / flow.norm(dim=0).clamp_min(1)
    # torchvision divides by the longest vector: one of length 1, in a column that is cut off, keeps the scale.
    unit = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, flow.shape[1], 1)
    colours: np.ndarray = flow_to_image(torch.cat((flow, unit), dim=2))[..., :-1].permute(1, 2, 0).numpy()
    return colours


def _distinct_colour(number: int) -> tuple[int, int, int]:
    """A colour whose hue differs from that of the previous number by the golden angle."""
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1.0, 0.45 + 0.25 * (number % 2), 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _palette_png(values: np.ndarray, colours: dict[int, Colour]) -> str:
    """Each value in its colour, others transparent; the palette holds the values that occur."""
    found, index = np.unique(values, return_inverse=True)
    table = (
        np.array([colours.get(int(v), TRANSPARENT) for v in found], dtype=np.int64).clip(0, 255).astype(np.uint8)
    )
    index = index.reshape(values.shape)
    if len(found) > 256:
        return _png(Image.fromarray(table[index]))
    image = Image.fromarray(index.astype(np.uint8))
    image.putpalette(table[:, :3].tobytes())
    return _png(image, transparency=table[:, 3].tobytes())


def _png(image: Image.Image, **options: bytes) -> str:
    return _embed(image, "png", optimize=True, **options)


def _jpeg(image: Image.Image) -> str:
    return _embed(image, "jpeg", quality=85, optimize=True)


def _embed(image: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
