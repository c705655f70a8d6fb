"""The page of ``segmend tags clean``: how noisy tags are, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from segmend.data.files import atomic_write
from segmend.report import images, wording
from segmend.report.cases import shrink_photo
from segmend.report.html import environment, skipped_part
from segmend.report.results import TagCleaning

SIDE = 240
"""Longest side in pixels of an image on the page."""


@dataclass(frozen=True)
class TagChange:
    """A tag of an image on the page: its class and score, and what became of it."""

    name: str
    score: float
    kind: Literal["kept", "removed", "added"]


@dataclass(frozen=True)
class ChangedImage:
    """An image on the page: a ``data:`` address of `width` x `height` pixels, and its tags."""

    id: str
    image: str
    width: int
    height: int
    tags: tuple[TagChange, ...]


def changed_image(
    identity: str, photo: np.ndarray, given: Mapping[str, float], scores: Mapping[str, float]
) -> ChangedImage:
    """An image ``uint8 [H, W, 3]`` with its tags before and after cleaning.

    Args:
        given, scores: by class; above 0.5 there is a tag.
    """
    height, width = photo.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    tags = []
    for name, score in scores.items():
        before, after = given.get(name, 0.0) > 0.5, score > 0.5
        if before or after:
            tags.append(TagChange(name, score, "kept" if before and after else "added" if after else "removed"))
    return ChangedImage(identity, images.photo(shrink_photo(photo, size)), size[1], size[0], tuple(tags))


def write_tags_page(
    path: Path, results: TagCleaning, removed: Sequence[ChangedImage], added: Sequence[ChangedImage]
) -> None:
    """Write the page.

    Args:
        removed, added: images of which tags were removed or added, the most confident change first.
    """
    page = (
        environment()
        .get_template("tags.html")
        .render(
            version=results.version,
            title="Cleaned tags \N{EN DASH} segmend",
            results=results,
            image_count=wording.images(results.images),
            groups=[("removed", removed), ("added", added)],
            **skipped_part(results.skipped),
        )
    )
    atomic_write(path, page.encode("utf-8", errors="replace"))
