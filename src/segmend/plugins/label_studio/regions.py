"""Regions as Label Studio sends them: brush strokes and polygons, and the masks that they stand for.

A region is one item of the `result` of an annotation or a prediction; `segmend.data.annotations.label_studio`
reads and writes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segmend.data.annotations import label_studio
from segmend.data.annotations.annotations import Shape
from segmend.data.annotations.polygons import Cropped, outlines_of
from segmend.labels import InvalidInput

Region = dict[str, Any]


def has_mask(item: Any) -> bool:
    """Whether an item of a result is a region with a mask."""
    if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
        return False
    return isinstance(item.get("type"), str) and item["type"] in label_studio.LABELS_OF


def mask_of(region: Region, height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of a region.

    Raises:
        InvalidInput: no mask, or one of an image of another size or that was rotated.
    """
    size = region.get("original_width"), region.get("original_height")
    if size != (width, height):
        found = f"{size[0]} x {size[1]}"
        raise InvalidInput(f"expected a region of {width} x {height} px, as the image, found {found}")
    return label_studio.mask_of(region, height, width)


def with_mask(region: Region, mask: np.ndarray, score: float) -> Region:
    """The region with another mask ``bool [H, W]`` and a score, as what it was: labels, id and all else stay."""
    is_polygon = label_studio.LABELS_OF[region["type"]] == label_studio.POLYGON
    outline = outlines_of([Cropped.of(mask)])[0] if is_polygon else None
    found = label_studio.with_shape(region, Shape(mask, outline)) | {"score": round(score, 4)}
    found.pop("origin", None)  # who drew the region; no longer so
    return found
