"""The report as one HTML file that needs nothing else: no network, no fonts, no files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from segmend.data.files import InvalidFile, atomic_write
from segmend.labels import Classes
from segmend.report import charts, images, wording
from segmend.report.cases import Case, Change, Pair
from segmend.report.collect import Report, collect
from segmend.report.results import Evaluation, Run, read_results

NO_BREAK = "\N{NO-BREAK SPACE}"

MOST_SKIPPED = 200
"""More skipped inputs than this are counted, not listed."""

CHANGE_NAMES = {
    Change.REFINED: "refined: was wrong, is right",
    Change.DEGRADED: "degraded: was right, is wrong",
    Change.IN_VAIN: "changed, still wrong",
    Change.MISSED: "wrong, left as it was",
    Change.VOID: "void",
}
ERROR_NAMES = {Change.MISSED: "wrong", Change.VOID: "void"}
"""All that can be told without a coarse map."""


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


@dataclass(frozen=True)
class CaseView:
    """A case as the page shows it. `photo`, `coarse`, `refined` lie on the stage with the slider."""

    id: str
    iou: Pair
    size: tuple[int, int]
    photo: str | None
    coarse: str | None
    refined: str | None
    classes: list[tuple[str, tuple[int, int, int]]]
    panels: list[Panel]
    notes: tuple[str, ...]


def write_report(results: Path | str, out: Path | str | None = None) -> Path:
    """Write the report of an evaluation as one HTML file.

    Args:
        results: ``results.json`` of ``segmend evaluate``.
        out: the file to write; None for ``report.html`` beside `results`.

    Returns:
        The file that was written.

    Raises:
        InvalidFile: `results` cannot be read, or holds no evaluation.
    """
    results = Path(results)
    out = results.parent / "report.html" if out is None else Path(out)
    evaluation = read_results(results)
    if not isinstance(evaluation, Evaluation):
        raise InvalidFile(
            results,
            f"expected an evaluation, found what a run of `segmend {evaluation.command}` did: "
            "judge its label maps with `segmend evaluate` first",
        )
    atomic_write(out, render(collect(evaluation, results.parent)).encode("utf-8", errors="replace"))
    return out


def render(report: Report) -> str:
    """The page of a report."""
    evaluation, run, sure = report.evaluation, report.evaluation.run, report.evaluation.confidence
    cases = [case for group in report.groups for case in group.cases]
    skipped = [*evaluation.skipped, *(run.skipped if run else [])]
    template = environment().get_template("report.html")
    return template.render(
        report=report,
        evaluation=evaluation,
        run=run,
        seconds=_seconds(run) if run else [],
        headline=wording.headline(report),
        balance=_balance(report),
        gains_chart=charts.gains_chart(report.gains) if report.gains else None,
        trimap_chart=charts.trimap_chart(*report.trimap) if report.trimap[1] else None,
        class_chart=charts.class_chart(report.class_scores, report.compared),
        reliability_chart=charts.reliability_chart(sure.reliability) if sure else None,
        most_classes=charts.MOST_CLASSES,
        with_f_measure=any(score.f_measure.after is not None for score in report.class_scores),
        classes=list(zip(report.classes.names, report.classes.palette, strict=True)),
        groups=[(group, [view_case(c, report.classes) for c in group.cases]) for group in report.groups],
        change_legend=_change_legend(cases),
        with_photos=any(case.image is not None for case in cases),
        with_displacements=any(case.displacement is not None for case in cases),
        wheel=images.wheel(),
        skipped=skipped[:MOST_SKIPPED],
        skipped_count=len(skipped),
        skipped_where=": they are in results.json",
    )


def view_case(case: Case, classes: Classes) -> CaseView:
    """The images and words of a case."""
    maps = [m for m in (case.coarse, case.refined, case.truth) if m is not None]
    found = sorted({i for labels in maps for i in images.present(labels, classes)})
    return CaseView(
        id=case.id,
        iou=case.iou,
        size=case.size or (1, 1),
        photo=None if case.image is None else images.photo(case.image),
        coarse=None if case.coarse is None else images.labels(case.coarse, classes),
        refined=None if case.refined is None else images.labels(case.refined, classes),
        classes=[(classes.names[i], classes.palette[i]) for i in found],
        panels=list(_panels(case, classes)),
        notes=case.notes,
    )


def _panels(case: Case, classes: Classes) -> list[Panel]:
    panels = []
    if case.image is not None:
        panels.append(Panel("Photo", images.photo(case.image), f"Photo {case.id}", ""))
    if case.truth is not None:
        names = ", ".join(classes.names[i] for i in images.present(case.truth, classes))
        image = images.labels(case.truth, classes)
        panels.append(Panel("Truth", image, f"True labels: {names}", "", "labels"))
    if case.changes is not None:
        panels.append(_changes_panel(case, case.changes))
    if case.blobs is not None:
        true, found = case.blob_counts
        caption = f"{found} connected areas, the truth has {true}"
        panels.append(Panel("Blobs", images.blobs(case.blobs), f"Blobs: {caption}", caption, "labels"))
    if case.displacement is not None:
        panels.append(_displacement_panel(case.displacement))
    if case.fusion_mask is not None:
        caption = "white: label moved, black: label replaced"
        panels.append(Panel("Fusion mask", images.grey(case.fusion_mask), "Fusion mask", caption))
    if case.confidence is not None:
        caption = "white: sure, black: not"
        panels.append(Panel("Confidence", images.grey(case.confidence), "Map of confidence", caption))
    if case.entropy is not None:
        caption = "white: all classes as likely, black: sure"
        panels.append(Panel("Entropy", images.grey(case.entropy), "Entropy of the probabilities", caption))
    return panels


def _changes_panel(case: Case, changes: np.ndarray) -> Panel:
    wrong = case.shares[Change.IN_VAIN] + case.shares[Change.MISSED]
    if case.coarse is None:
        title, words = "What is wrong", {"wrong": wrong}
    else:
        title = "What changed"
        refined, degraded = case.shares[Change.REFINED], case.shares[Change.DEGRADED]
        words = {"refined": refined, "degraded": degraded, "still wrong": wrong}
    shares = [f"{word} {wording.percent(share)} %".replace(" ", NO_BREAK) for word, share in words.items()]
    caption = ", ".join(shares)
    return Panel(title, images.changes(changes), f"{title}: {caption}", caption, "changes")


def _displacement_panel(field: np.ndarray) -> Panel:
    scale = images.displacement_scale(field)
    alt = f"Displacement field, colours for up to {scale:g} pixels"
    caption = f"rim of the wheel: {scale:g} px"
    return Panel("Displacement", images.displacement(field, scale), alt, caption, wheel=True)


def _change_legend(cases: list[Case]) -> list[tuple[str, tuple[int, int, int, int]]]:
    names = CHANGE_NAMES if any(case.coarse is not None for case in cases) else ERROR_NAMES
    return [(name, images.CHANGE_COLOURS[change]) for change, name in names.items()]


def _balance(report: Report) -> list[tuple[str, int, float]]:
    """Kind, number and percentage of the images that got better, hardly moved, got worse."""
    total = len(report.gains)
    counts = {"better": report.better, "same": total - report.better - report.worse, "worse": report.worse}
    return [(kind, count, 100 * count / total) for kind, count in counts.items()] if total else []


def _seconds(run: Run) -> list[tuple[str, float, float]]:
    """Part, seconds and percentage of the whole; the parts overlap, so they need not add up to it."""
    total = run.seconds.get("total") or max(run.seconds.values(), default=0.0)
    parts = [(name, value) for name, value in run.seconds.items() if name != "total"]
    return [(name, value, min(100.0, 100 * value / total) if total else 0.0) for name, value in parts]


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
