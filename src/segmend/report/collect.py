"""What the report shows: the scores of an evaluation, and the images that changed most."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segmend.labels import Classes
from segmend.report.cases import Case, Pair, find_sources, read_case
from segmend.report.results import Evaluation, ImageScore, Scores

CASES = 6
"""How many cases of each kind a report shows."""

TRIMAP_WIDTH = 3
"""Width in pixels of the trimap band in the table of scores."""


@dataclass(frozen=True)
class Measure:
    """A row of the table: one score over all images."""

    name: str
    meaning: str
    score: Pair


@dataclass(frozen=True)
class ClassScore:
    """One class, or a group of classes (which has an F-measure, but neither IoU nor colour)."""

    name: str
    colour: tuple[int, int, int] | None
    iou: Pair
    f_measure: Pair


@dataclass(frozen=True)
class Group:
    """Cases under one heading, the one that changed most first."""

    title: str
    lead: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        class_scores: sorted by gain (by IoU where nothing is compared), those without one last.
        gains: each image's gain in mIoU, the largest first; empty where nothing is compared.
        improved, degraded: number of such images (see `ImageScore.change`).
        trimap: mIoU before (None where nothing is compared) and after, for bands of 1, 2, ... pixels.
        missing: folders that could not be used, and why.
    """

    evaluation: Evaluation
    classes: Classes
    measures: tuple[Measure, ...]
    class_scores: tuple[ClassScore, ...]
    gains: tuple[float, ...]
    improved: int
    degraded: int
    trimap: tuple[list[float] | None, list[float]]
    groups: tuple[Group, ...]
    missing: tuple[str, ...]

    @property
    def compared(self) -> bool:
        """Whether the evaluation has scores of coarse maps."""
        return self.evaluation.coarse_scores is not None


def collect(evaluation: Evaluation, base: Path | str, cases: int = CASES) -> Report:
    """Gather what the report of `evaluation` shows.

    Args:
        base: folder of ``results.json``; folders in it that are relative start there.
        cases: how many cases of each kind.
    """
    classes = Classes(tuple(evaluation.classes), tuple(evaluation.palette))
    missing: list[str] = []
    sources = find_sources(evaluation, classes, Path(base), missing)
    before, after = evaluation.coarse_scores, evaluation.scores
    return Report(
        evaluation=evaluation,
        classes=classes,
        measures=_measures(before, after, _over(evaluation)),
        class_scores=_class_scores(classes, before, after),
        gains=tuple(sorted((p.gain for p in evaluation.per_image if p.gain is not None), reverse=True)),
        improved=sum(image.change == "improved" for image in evaluation.per_image),
        degraded=sum(image.change == "degraded" for image in evaluation.per_image),
        trimap=(before.trimap if before else None, after.trimap),
        groups=tuple(
            Group(title, lead, tuple(read_case(image, sources) for image in images))
            for title, lead, images in _choose(evaluation.per_image, cases)
        ),
        missing=tuple(missing),
    )


def _over(evaluation: Evaluation) -> str:
    """Which classes the means are taken over."""
    if not evaluation.scored or len(evaluation.scored) == len(evaluation.classes):
        return "the classes"
    return f"{len(evaluation.scored)} of the {len(evaluation.classes)} classes ({', '.join(evaluation.scored)})"


def _measures(before: Scores | None, after: Scores, over: str) -> tuple[Measure, ...]:
    def measure(name: str, meaning: str, read: Callable[[Scores], float]) -> Measure:
        return Measure(name, meaning, Pair(None if before is None else read(before), read(after)))

    rows = [
        measure("mIoU", f"intersection over union, mean over {over}", lambda s: s.mean_iou),
        measure("Pixel accuracy", "share of pixels with the right class", lambda s: s.pixel_accuracy),
        measure(
            "Mean accuracy", "share of each class\u2019s pixels that are found, mean", lambda s: s.mean_accuracy
        ),
        measure("Boundary IoU", "IoU of strips along the class borders", lambda s: s.boundary_iou),
        measure("Boundary F", "F-measure of border pixels, as in DAVIS", lambda s: s.boundary_f),
        measure("Region J", "IoU of each class in each image, mean", lambda s: s.region_j),
    ]
    widths = [len(s.trimap) for s in (before, after) if s is not None]
    if min(widths) >= TRIMAP_WIDTH:
        meaning = f"mIoU within {TRIMAP_WIDTH} px of the true borders"
        rows.append(measure(f"Trimap, {TRIMAP_WIDTH} px", meaning, lambda s: s.trimap[TRIMAP_WIDTH - 1]))
    return tuple(rows)


def _class_scores(classes: Classes, before: Scores | None, after: Scores) -> tuple[ClassScore, ...]:
    colours = dict(zip(classes.names, classes.palette, strict=True))
    groups = [name for name in after.f_measure if name not in colours]

    def pair(kind: str, name: str) -> Pair:
        return Pair(getattr(before, kind).get(name) if before else None, getattr(after, kind).get(name))

    def rank(score: ClassScore) -> float:
        value = score.iou.gain if before else score.iou.after
        return -math.inf if value is None else value

    scores = [
        ClassScore(name, colours.get(name), pair("iou", name), pair("f_measure", name))
        for name in (*classes.names, *groups)
    ]
    return tuple(sorted(scores, key=rank, reverse=True))


def _choose(images: list[ImageScore], count: int) -> list[tuple[str, str, list[ImageScore]]]:
    """Title, lead and images of each group."""
    compared = [(image.gain, image) for image in images if image.gain is not None]
    if not compared:
        lowest = sorted(images, key=lambda image: image.mean_iou)[:count]
        return [("Lowest scores", "The images with the lowest mIoU.", lowest)] if lowest else []
    ranked = [image for _, image in sorted(compared, key=lambda pair: pair[0])]
    improved = [image for image in reversed(ranked) if image.change == "improved"][:count]
    degraded = [image for image in ranked if image.change == "degraded"][:count]
    return [
        ("Most improved", _lead("improved", "rose", len(improved)), improved),
        ("Most degraded", _lead("degraded", "fell", len(degraded)), degraded),
    ]


def _lead(change: str, moved: str, count: int) -> str:
    return f"The images whose mIoU {moved} most." if count else f"No image is {change}."
