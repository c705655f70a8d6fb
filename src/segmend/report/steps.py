"""A page that shows the steps of a pipeline on some images, as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmend import __version__
from segmend.data.files import atomic_write
from segmend.report import images
from segmend.report.cases import shrink_photo
from segmend.report.html import MOST_SKIPPED, Panel, environment
from segmend.report.results import Skipped

SIDE = 320
"""Longest side in pixels of a step on the page."""


@dataclass(frozen=True)
class Row:
    """The steps of one image, which have one size."""

    id: str
    width: int
    height: int
    panels: list[Panel]


def row(identity: str, steps: dict[str, tuple[str, np.ndarray]]) -> Row:
    """A row of the page.

    Args:
        steps: caption and image ``uint8 [H, W, 3]`` by title, all of one size.
    """
    height, width = next(iter(steps.values()))[1].shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    panels = [
        Panel(title, images.photo(shrink_photo(image, size)), f"{title} of {identity}", caption)
        for title, (caption, image) in steps.items()
    ]
    return Row(identity, size[1], size[0], panels)


def write_steps(path: Path, title: str, subtitle: str, rows: Sequence[Row], skipped: Sequence[Skipped]) -> None:
    """Write the page, with a list of the inputs that were skipped."""
    page = (
        environment()
        .get_template("steps.html")
        .render(
            version=__version__,
            title=f"{title} \N{EN DASH} segmend",
            heading=title,
            subtitle=subtitle,
            rows=rows,
            skipped=skipped[:MOST_SKIPPED],
            skipped_count=len(skipped),
            skipped_where="",
        )
    )
    atomic_write(path, page.encode("utf-8", errors="replace"))
