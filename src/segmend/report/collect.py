"""What the report shows: the figures of an evaluation, and its most telling cases."""

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

MARGIN = 0.005
"""An image got better or worse where its own mIoU moved by more than this."""

TRIMAP_WIDTH = 3
"""Width in pixels of the trimap band that stands in the table."""


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
    """Cases that belong together, the most telling one first."""

    title: str
    lead: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        class_scores: sorted by gain (by IoU where nothing is compared), those without one last.
        gains: change of each image's own mIoU, the largest first; empty where nothing is compared.
        better, worse: number of images whose own mIoU moved by more than `MARGIN`.
        trimap: mIoU before (None where nothing is compared) and after, for bands of 1, 2, ... pixels.
        notes: folders that could not be used, and why.
    """

    evaluation: Evaluation
    classes: Classes
    measures: tuple[Measure, ...]
    class_scores: tuple[ClassScore, ...]
    gains: tuple[float, ...]
    better: int
    worse: int
    trimap: tuple[list[float] | None, list[float]]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def compared(self) -> bool:
        """Whether there is a before."""
        return self.evaluation.coarse_scores is not None


def collect(evaluation: Evaluation, base: Path | str, cases: int = CASES) -> Report:
    """Gather what the report of `evaluation` shows.

    Args:
        base: folder of ``results.json``; folders in it that are relative start there.
        cases: how many cases of each kind.
    """
    classes = Classes(tuple(evaluation.classes), tuple(evaluation.palette))
    notes: list[str] = []
    sources = find_sources(evaluation, classes, Path(base), notes)
    before, after = evaluation.coarse_scores, evaluation.scores
    gains = sorted(
        (g for p in evaluation.per_image if (g := Pair(p.coarse, p.pred).gain) is not None), reverse=True
    )
    return Report(
        evaluation=evaluation,
        classes=classes,
        measures=_measures(before, after, _over(evaluation)),
        class_scores=_class_scores(classes, before, after),
        gains=tuple(gains),
        better=sum(gain > MARGIN for gain in gains),
        worse=sum(gain < -MARGIN for gain in gains),
        trimap=(before.trimap if before else None, after.trimap),
        groups=tuple(
            Group(title, lead, tuple(read_case(p, sources) for p in images))
            for title, lead, images in _choose(evaluation.per_image, cases)
        ),
        notes=tuple(notes),
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
        measure("Pixel accuracy", "share of pixels that are right", lambda s: s.pixel_accuracy),
        measure("Mean accuracy", "the same by class, then averaged", lambda s: s.mean_accuracy),
        measure("Boundary IoU", "IoU of a strip along the borders", lambda s: s.boundary_iou),
        measure("Boundary F", "borders found at nearly the right place", lambda s: s.boundary_f),
        measure("Region J", "IoU of each image and class, averaged", lambda s: s.region_j),
    ]
    widths = [len(s.trimap) for s in (before, after) if s is not None]
    if min(widths) >= TRIMAP_WIDTH:
        meaning = f"mIoU within {TRIMAP_WIDTH} pixels of true borders"
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
    """Title, lead and images of each group. Improved and degraded ones cannot meet: a gain has one sign."""
    moved = [(gain, p) for p in images if (gain := Pair(p.coarse, p.pred).gain) is not None]
    if not moved:
        weakest = sorted(images, key=lambda p: p.pred)[:count]
        return [("Weakest", "The images with the lowest mIoU of their own.", weakest)] if weakest else []
    moved.sort(key=lambda pair: pair[0])
    improved = [p for gain, p in reversed(moved) if gain > MARGIN][:count]
    degraded = [p for gain, p in moved if gain < -MARGIN][:count]
    return [
        ("Most improved", _lead("better", "rose", len(improved)), improved),
        ("Most degraded", _lead("worse", "fell", len(degraded)), degraded),
    ]


def _lead(word: str, moved: str, count: int) -> str:
    if not count:
        return f"No image got {word} by more than half a point."
    return f"The images whose own mIoU {moved} most."
