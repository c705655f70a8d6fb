"""What ``segmend check`` found, in sentences and on a page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from segmend.data.files import atomic_write
from segmend.labels import Classes
from segmend.report import images, wording
from segmend.report.cases import SIDE, shrink, shrink_photo
from segmend.report.html import Panel, environment, skipped_part
from segmend.report.results import CheckRun, SuspectRegion

MEANINGS = {
    "class": "an area in another class",
    "missing": "an object that was left out",
    "islands": "a small area in another class",
    "holes": "a hole in an object",
    "border": "borders are off",
    "other image": "the label map of another image",
}
"""What the kinds of regions mean."""

BOX = (255, 220, 40)
"""Colour of boxes."""

Shown = tuple[str, np.ndarray, np.ndarray, np.ndarray]
"""ID, image, given labels and suggested labels."""


@dataclass(frozen=True)
class Case:
    """An image on the page.

    Attributes:
        regions: in the order of their numbers on the image.
    """

    id: str
    score: float
    width: int
    height: int
    panels: list[Panel]
    regions: list[SuspectRegion]
    legend: list[tuple[str, tuple[int, int, int]]]


def sentences_of(run: CheckRun) -> list[str]:
    """What a user should know of the labels, the most important first."""
    kinds = Counter(one.kinds[0] for one in run.checked if one.score >= run.threshold and one.kinds)
    counted = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    found = [
        f"{run.wrong} of {wording.images(len(run.checked))} look wrong: their score is {run.threshold:g} or higher"
        + (f" (first kind: {counted})" if counted else "")
    ]
    return [*found, *run.notes]


def lines_of(run: CheckRun, most: int = 10) -> list[str]:
    """The worst images, one a line."""
    return [
        f"{one.score:4.2f}  {one.id}  {', '.join(one.kinds) or 'no single region'}" for one in run.checked[:most]
    ]


def write_check_page(path: Path, run: CheckRun, shown: Iterable[Shown]) -> None:
    """Write the page: what was found, and the worst images with what they should be."""
    regions = defaultdict(list)
    for region in run.regions:
        regions[region.id].append(region)
    scores = {one.id: one.score for one in run.checked}
    classes = Classes(tuple(run.classes), tuple(run.palette))
    cases = [_case(one, scores[one[0]], regions[one[0]], classes) for one in shown]
    page = (
        environment()
        .get_template("check.html")
        .render(
            version=run.version,
            title="Check \N{EN DASH} segmend",
            run=run,
            image_count=wording.images(len(run.checked)),
            sentences=sentences_of(run),
            meanings=MEANINGS,
            kinds=Counter(region.kind for region in run.regions if scores[region.id] >= run.threshold),
            cases=cases,
            **skipped_part(run.skipped),
        )
    )
    atomic_write(path, page.encode("utf-8", errors="replace"))


def _case(shown: Shown, score: float, regions: list[SuspectRegion], classes: Classes) -> Case:
    identity, image, given, suggested = shown
    height, width = given.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    before, after = (shrink(map_, size) for map_ in (given, suggested))
    present = sorted({*images.present(before, classes), *images.present(after, classes)})
    photo = with_boxes(shrink_photo(image, size), [[scale * edge for edge in one.box] for one in regions])
    panels = [
        Panel("Image", images.photo(photo), f"Image {identity} with the boxes of its regions", ""),
        Panel("Given labels", images.labels(before, classes), f"Given labels of {identity}", "", "labels"),
        Panel("Suggestion", images.labels(after, classes), f"Suggested labels of {identity}", "", "labels"),
    ]
    legend = [(classes.names[i], classes.palette[i]) for i in present]
    return Case(identity, score, size[1], size[0], panels, regions, legend)


def with_boxes(image: np.ndarray, boxes: Iterable[Sequence[float]]) -> np.ndarray:
    """A copy of an image ``uint8 [H, W, 3]`` with frames around boxes (x0, y0, x1, y1), each with its number."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for number, (x0, y0, x1, y1) in enumerate(boxes, start=1):
        frame = round(x0), round(y0), max(round(x0), round(x1) - 1), max(round(y0), round(y1) - 1)
        draw.rectangle(frame, outline=BOX, width=2)
        place = frame[0] + 3, frame[1] + 2
        draw.rectangle(draw.textbbox(place, str(number)), fill=BOX)
        draw.text(place, str(number), fill=(0, 0, 0))
    return np.asarray(canvas)
