"""Regions as Label Studio writes them: brush strokes and polygons, and the masks that they stand for.

A region is one item of the `result` of an annotation or a prediction. Corners are in percent of the image's sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segmend.labels import InvalidInput
from segmend.plugins.label_studio.brush import decoded, encoded
from segmend.plugins.polygons import as_corners, filled, outlines

Region = dict[str, Any]

BRUSH, POLYGON = ("brush", "brushlabels"), ("polygon", "polygonlabels")
"""Values of `type`; with labels, or where another item of the same id holds them."""


def has_mask(item: Any) -> bool:
    """Whether an item of a result is a region with a mask."""
    return isinstance(item, dict) and item.get("type") in BRUSH + POLYGON and isinstance(item.get("value"), dict)


def mask_of(region: Region, height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of a region.

    Raises:
        InvalidInput: no mask, or one of an image of another size or that was rotated.
    """
    size = region.get("original_width"), region.get("original_height")
    if size != (width, height):
        found = f"{size[0]} x {size[1]}"
        raise InvalidInput(f"expected a region of {width} x {height} px, as the image, found {found}")
    if region.get("image_rotation"):
        raise InvalidInput("the image is rotated in Label Studio: rotate it back, its regions keep their places")
    value = region["value"]
    if region["type"] in BRUSH:
        if value.get("format") != "rle" or not isinstance(value.get("rle"), list):
            raise InvalidInput("expected the run lengths (rle) of a brush region")
        return decoded(value["rle"], height, width)
    return filled(as_corners(value.get("points")) * (width / 100, height / 100), height, width)


def with_mask(region: Region, mask: np.ndarray, score: float) -> list[Region]:
    """The region with another mask ``bool [H, W]`` and a score, as what it was: labels, id and all else stay.

    A polygon is one connected part without holes: where the mask has several parts, the largest keeps the id, and
    copies of the region follow.
    """
    if region["type"] in BRUSH:
        return [_changed(region, score, {"format": "rle", "rle": encoded(mask)})]
    height, width = mask.shape
    found = []
    for number, corners in enumerate(outlines(mask), 1):
        points = np.round(corners * (100 / width, 100 / height), 4).tolist()
        part = _changed(region, score, {"points": points, "closed": True})
        if number > 1:
            part["id"] = f"{region.get('id', '')}-{number}"
        found.append(part)
    return found


def _changed(region: Region, score: float, shape: dict[str, Any]) -> Region:
    found = {**region, "value": {**region["value"], **shape}, "score": round(score, 4)}
    found.pop("origin", None)  # who drew the region; no longer so
    return found
