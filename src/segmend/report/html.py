"""What all pages share: their templates, the panels of images, and how pages of ours are recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from segmend.report import images, wording
from segmend.report.results import Skipped

MOST_SKIPPED = 200
"""How many skipped inputs are listed; the others are counted."""

GENERATOR = '<meta name="generator" content="segmend'
"""What every page of ours holds near its beginning."""


@dataclass(frozen=True)
class Panel:
    """A small image of a case, as a ``data:`` address."""

    title: str
    image: str
    alt: str
    caption: str
    kind: str = ""
    """Class in the style sheet: ``labels`` and ``changes`` stay sharp when enlarged."""
    wheel: bool = False
    """Whether the colour wheel belongs beside the caption."""


def displacement_panel(field: np.ndarray, scale: float | None = None) -> Panel:
    """The panel of a displacement field ``[2, H, W]``.

    Args:
        scale: the length in pixels at the rim of the wheel; None for the one of this field.
    """
    scale = images.displacement_scale(field) if scale is None else scale
    alt = f"Displacement field, colours for up to {scale:g} pixels"
    caption = f"rim of the wheel: {scale:g} px"
    return Panel("Displacement", images.displacement(field, scale), alt, caption, wheel=True)


def shares_of_time(seconds: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Part, seconds and percentage of the whole; the parts overlap, so they need not add up to it."""
    total = seconds.get("total") or max(seconds.values(), default=0.0)
    names = {"waited": "network idle"}
    parts = [(names.get(name, name), value) for name, value in seconds.items() if name != "total"]
    return [(name, value, min(100.0, 100 * value / total) if total else 0.0) for name, value in parts]


def skipped_part(skipped: Sequence[Skipped], where: str = ", listed in results.json") -> dict[str, Any]:
    """What the template of skipped inputs shows: the first ones, how many there are, and where all are listed."""
    return {"skipped": skipped[:MOST_SKIPPED], "skipped_count": len(skipped), "skipped_where": where}


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours, which may be written again."""
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(4096)


def environment() -> Environment:
    """Templates of pages."""
    environment = Environment(
        loader=PackageLoader("segmend.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "signed": wording.signed,
        "verdict": wording.verdict,
        "rgb": lambda colour: "rgb({} {} {})".format(*colour[:3]),
    }
    return environment
