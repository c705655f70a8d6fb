"""A page that shows the steps of a pipeline on some images, as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend import __version__
from segmend.data.files import atomic_write
from segmend.labels import Classes
from segmend.report import images
from segmend.report.cases import shrink_photo
from segmend.report.html import Panel, environment, skipped_part
from segmend.report.results import Skipped

SIDE = 320
"""Longest side in pixels of a step on the page."""


@dataclass(frozen=True)
class Row:
    """The steps of one image, which have one size.

    Attributes:
        panels: steps of one image each.
        stages: steps of two images each, one above the other: title, caption and the panels.
        legend: names and colours of the classes in the steps.
    """

    id: str
    width: int
    height: int
    panels: list[Panel] = field(default_factory=list)
    stages: list[tuple[str, str, list[Panel]]] = field(default_factory=list)
    legend: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """An image and a label map at some step.

    Attributes:
        image: ``uint8 [H, W, 3]``: a photo, or, where there is a label map, few colours that stay sharp.
        labels: ``[H, W]``; None where the image stands alone.
    """

    title: str
    caption: str
    image: np.ndarray
    labels: np.ndarray | None = None


def stages(identity: str, given: Sequence[Stage], classes: Classes) -> Row:
    """A row of the page whose steps are a label map and an image each.

    Args:
        given: all of one size, and small, as they are not shrunk.
    """
    height, width = given[0].image.shape[:2]
    made, present = [], set[int]()
    for stage in given:
        name = f"{stage.title} of {identity}"
        if stage.labels is None:
            panels = [Panel(stage.title, images.photo(stage.image), name, "")]
        else:
            present |= set(images.present(stage.labels, classes))
            panels = [
                Panel(stage.title, images.labels(stage.labels, classes), f"Label map, {name}", "", "labels"),
                Panel(stage.title, images.sharp(stage.image), f"Reconstruction, {name}", "", "labels"),
            ]
        made.append((stage.title, stage.caption, panels))
    legend = [(classes.names[i], classes.palette[i]) for i in sorted(present)]
    return Row(identity, width, height, stages=made, legend=legend)


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


def write_steps(
    path: Path, title: str, subtitle: str, rows: Sequence[Row], skipped: Sequence[Skipped], lead: str = ""
) -> None:
    """Write the page, with a list of the inputs that were skipped.

    Args:
        lead: sentences that say how to read the rows.
    """
    page = (
        environment()
        .get_template("steps.html")
        .render(
            version=__version__,
            title=f"{title} \N{EN DASH} segmend",
            heading=title,
            subtitle=subtitle,
            lead=lead,
            rows=rows,
            **skipped_part(skipped, where=""),
        )
    )
    atomic_write(path, page.encode("utf-8", errors="replace"))
