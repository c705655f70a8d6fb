"""The page of a propagation: its quality by distance, beside that of other methods, and the labelled frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmend.data.files import InvalidFile
from segmend.data.manifest import Entry
from segmend.labels import Classes
from segmend.report import charts, images, wording
from segmend.report.cases import Change
from segmend.report.frames import ShownFrame, choose_frames, read_entries, read_frames
from segmend.report.html import Panel, displacement_panel, environment, shares_of_time, skipped_part
from segmend.report.results import Propagation, Quality

MOST_BYTES = 9_000_000
"""Characters of images that a page holds; the frames after these are left out."""

MOST_OPEN = 8
"""A table of more distances is folded up below its chart."""

MODES = {
    "lp": "labels propagated to real frames (lp)",
    "jp": "frames and labels propagated together (jp)",
}


@dataclass(frozen=True)
class Curve:
    """The quality of one method by distance."""

    name: str
    by_distance: dict[int, Quality]


@dataclass(frozen=True)
class PropagationReport:
    """All that the page shows.

    Attributes:
        curves: methods whose quality was measured, that of `results` first.
        entries: all images of the split.
        frames: those that are shown, in order.
        missing: what could not be shown, and why.
    """

    results: Propagation
    classes: Classes
    curves: tuple[Curve, ...]
    entries: tuple[Entry, ...]
    frames: tuple[ShownFrame, ...]
    missing: tuple[str, ...]

    @property
    def kept_share(self) -> float | None:
        """Share of the propagated labels that were kept; None where the manifest is missing."""
        counts = [entry.kept.values() for entry in self.entries if entry.method != "given"]
        kept, found = (sum(pair[i] for pairs in counts for pair in pairs) for i in (0, 1))
        return kept / found if found else None


@dataclass(frozen=True)
class FrameView:
    """A frame as the page shows it: image and labels on the stage, maps beside it."""

    id: str
    name: str
    origin: str
    size: tuple[int, int]
    photo: str | None
    labels: str | None
    panels: list[Panel]
    facts: list[tuple[str, str]]
    kept: float
    is_labelled: bool
    starts_sequence: bool

    @property
    def characters(self) -> int:
        """How long its images are in the page."""
        return sum(map(len, [self.photo or "", self.labels or "", *(panel.image for panel in self.panels)]))


def collect(results: Sequence[Propagation], files: Sequence[Path]) -> PropagationReport:
    """Gather what the page of the first propagation shows, with the quality of the others beside its own.

    Args:
        files: the ``results.json`` of each; folders that are relative start beside it.

    Raises:
        InvalidFile: a propagation of other classes than the first one.
    """
    first, base = results[0], files[0].parent
    for one, file in zip(results, files, strict=True):
        if one.classes != first.classes:
            raise InvalidFile(
                file,
                f"expected the classes of {files[0]} ({', '.join(first.classes)}), found "
                f"{', '.join(one.classes)}: compare propagations of the same labels",
            )
    missing: list[str] = []
    names = _distinct_names(results, files)
    if len(results) > 1:
        unmeasured = [name for name, one in zip(names, results, strict=True) if not one.quality]
        missing += [f"{name}: not compared, its quality was not measured." for name in unmeasured]
    entries = read_entries(first, base, missing)
    chosen = choose_frames(entries, first.mode)
    return PropagationReport(
        results=first,
        classes=Classes(tuple(first.classes), tuple(first.palette)),
        curves=tuple(
            Curve(name, {quality.distance: quality for quality in one.quality})
            for name, one in zip(names, results, strict=True)
            if one.quality
        ),
        entries=tuple(entries),
        frames=tuple(read_frames(first, base, chosen, entries, missing)) if chosen else (),
        missing=tuple(missing),
    )


def _distinct_names(results: Sequence[Propagation], files: Sequence[Path]) -> list[str]:
    """The names of the methods; the folder is added to those that stand twice."""
    counts = Counter(one.name for one in results)
    return [
        one.name if counts[one.name] == 1 else f"{one.name} ({file.absolute().parent.name})"
        for one, file in zip(results, files, strict=True)
    ]


def render(report: PropagationReport) -> str:
    """The page of a propagation."""
    results, classes = report.results, report.classes
    views = _within(MOST_BYTES, view_frames(report.frames, classes))
    shown = report.frames[: len(views)]
    distances = sorted({distance for curve in report.curves for distance in curve.by_distance})
    template = environment().get_template("propagation.html")
    return template.render(
        results=results,
        missing=report.missing,
        headline=headline(report),
        mode=MODES[results.mode],
        kept_chart=_kept_chart(results) if results.kept_share else None,
        folded_classes=len(results.kept_share) > charts.MOST_CLASSES,
        quality_chart=_quality_chart(report.curves) if report.curves else None,
        curves=[(curve.name, charts.series_key(i)) for i, curve in enumerate(report.curves)],
        rows=[(distance, [curve.by_distance.get(distance) for curve in report.curves]) for distance in distances],
        folded_rows=len(distances) > MOST_OPEN,
        frames=views,
        frame_count=len(report.entries),
        sequences=len({frame.sequence for frame in shown}),
        classes=_class_legend(shown, classes),
        error_legend=[
            ("wrong", images.CHANGE_COLOURS[Change.MISSED]),
            ("void", images.CHANGE_COLOURS[Change.VOID]),
        ],
        with_errors=any(frame.errors is not None for frame in shown),
        with_displacements=any(frame.displacement is not None for frame in shown),
        wheel=images.wheel(),
        seconds=shares_of_time(results.seconds),
        total_seconds=results.seconds.get("total"),
        **skipped_part(results.skipped),
    )


def headline(report: PropagationReport) -> tuple[str, str]:
    """How many frames were labelled from how many, and what share of their pixels was kept."""
    results = report.results
    count, given = results.done + results.kept, results.labelled
    if results.mode == "lp":
        first = f"{count:,} frame{'' if count == 1 else 's'} labelled from {given:,}"
    else:
        first = f"{wording.images(count)} made from {given:,} labelled frame{'' if given == 1 else 's'}"
    share = report.kept_share
    if share is None:
        return first, results.name
    return first, f"{results.name}: {wording.percent(share)} % of the propagated labels kept, the others void"


def view_frames(frames: Sequence[ShownFrame], classes: Classes) -> list[FrameView]:
    """Frames as images and text, with one scale of displacements for all."""
    scales = [images.displacement_scale(f.displacement) for f in frames if f.displacement is not None]
    scale = max(scales, default=1.0)
    sequences = [frame.sequence for frame in frames]
    return [
        _view_frame(frame, classes, scale, i > 0 and sequences[i] != sequences[i - 1])
        for i, frame in enumerate(frames)
    ]


def _view_frame(frame: ShownFrame, classes: Classes, scale: float, starts_sequence: bool) -> FrameView:
    entry = frame.entry
    return FrameView(
        id=entry.id,
        name=entry.frame,
        origin=_origin(frame),
        size=frame.size,
        photo=None if frame.image is None else images.photo(frame.image),
        labels=None if frame.labels is None else images.labels(frame.labels, classes),
        panels=list(_panels(frame, scale)),
        facts=_facts(frame),
        kept=entry.kept_share,
        is_labelled=frame.is_labelled,
        starts_sequence=starts_sequence,
    )


def _origin(frame: ShownFrame) -> str:
    """Where the labels of a frame come from: ``4 frames after 00008 and 2 before 00014``."""
    if frame.is_labelled:
        return "labelled frame"
    parts: list[str] = []
    for source in frame.entry.sources:
        name = source.frame.removeprefix(f"{frame.sequence}/")
        count = abs(source.steps)
        unit = "" if parts else f" frame{'' if count == 1 else 's'}"
        parts.append(f"{count}{unit} {'after' if source.steps >= 0 else 'before'} {name}")
    return " and ".join(parts)


def _facts(frame: ShownFrame) -> list[tuple[str, str]]:
    if frame.is_labelled:
        return [("Method", "given labels")]
    entry = frame.entry
    facts = [
        ("Method", entry.method),
        ("Mean confidence", f"{entry.confidence:.2f}"),
        ("Kept", f"{wording.percent(entry.kept_share)} %"),
    ]
    if frame.wrong is not None:
        facts.append(("Right", f"{wording.percent(1 - frame.wrong)} %"))
    return facts


def _panels(frame: ShownFrame, scale: float) -> list[Panel]:
    panels = []
    if frame.errors is not None:
        caption = "no pixel to compare" if frame.wrong is None else f"wrong {wording.percent(frame.wrong)} %"
        panels.append(Panel("Errors", images.changes(frame.errors), f"Errors: {caption}", caption, "changes"))
    if frame.confidence is not None:
        panels.append(Panel("Confidence", images.grey(frame.confidence), "Confidence map", "white: 1, black: 0"))
    if frame.displacement is not None:
        panels.append(displacement_panel(frame.displacement, scale))
    return panels


def _within(characters: int, views: Sequence[FrameView]) -> list[FrameView]:
    """The first views whose images fit into so many characters, and at least one."""
    ends = np.cumsum([view.characters for view in views])
    return list(views[: max(1, int((ends <= characters).sum()))])


def _class_legend(frames: Sequence[ShownFrame], classes: Classes) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of all classes, or of those that occur where there are many."""
    found = set(range(len(classes)))
    if len(classes) > charts.MOST_CLASSES:
        found = {i for f in frames if f.labels is not None for i in images.present(f.labels, classes)}
    return [(classes.names[i], classes.palette[i]) for i in sorted(found)]


def _kept_chart(results: Propagation) -> str:
    shares = sorted(results.kept_share.items(), key=lambda share: -share[1])
    return charts.share_chart("Labels kept of each class in percent", shares)


def _quality_chart(curves: Sequence[Curve]) -> str:
    def points(curve: Curve) -> list[tuple[int, float]]:
        found = sorted(curve.by_distance.items())
        return [(distance, quality.mean_iou) for distance, quality in found if quality.mean_iou is not None]

    return charts.quality_chart([(curve.name, points(curve)) for curve in curves])
