"""The report as one self-contained HTML file: it loads no network resource, font or other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmend.data.files import InvalidFile, atomic_write
from segmend.labels import Classes, InvalidInput
from segmend.report import charts, images, propagation, wording
from segmend.report.cases import Case, Change, Pair
from segmend.report.collect import Report, collect
from segmend.report.html import Panel, displacement_panel, environment, is_page, shares_of_time, skipped_part
from segmend.report.inspection import sentence_of_maps, sentences_of_look
from segmend.report.results import (
    CheckRun,
    Evaluation,
    Inspection,
    ObjectRun,
    Propagation,
    Review,
    Run,
    TagCleaning,
    Tuning,
    check_replaceable,
    read_results,
)

PAGES: dict[type, tuple[str, str]] = {
    TagCleaning: ("tags clean", "tags"),
    Inspection: ("inspect", "inspection"),
    CheckRun: ("check", "check"),
}
"""Commands that write a page of their own, and its name, by what they find."""

NO_BREAK = "\N{NO-BREAK SPACE}"

CHANGE_NAMES = {
    Change.CORRECTED: "corrected (was wrong, is right)",
    Change.DEGRADED: "degraded (was right, is wrong)",
    Change.STILL_WRONG: "changed, still wrong",
    Change.MISSED: "wrong, not changed",
    Change.VOID: "void",
}
ERROR_NAMES = {Change.MISSED: "wrong", Change.VOID: "void"}
"""What is shown without a coarse map."""


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


def write_report(results: Path | str | Sequence[Path | str], out: Path | str | None = None) -> Path:
    """Write a report as one HTML file.

    Args:
        results: ``results.json`` of ``segmend evaluate`` or ``segmend propagate``. Several of ``propagate`` are
            compared; the frames of the first are shown.
        out: the file to write; None for ``report.html`` beside the first of `results`.

    Returns:
        The file that was written.

    Raises:
        InvalidFile: `results` cannot be read, hold nothing that has a report, or cannot be compared; `out` cannot
            be written, or is a file that segmend did not write.
    """
    files = [Path(results)] if isinstance(results, (str, Path)) else [Path(file) for file in results]
    if not files:
        raise InvalidInput("expected a results file, found none")
    out = files[0].parent / "report.html" if out is None else Path(out)
    page = _page_of(files)
    check_replaceable(out, is_page, "a page of segmend")
    atomic_write(out, page.encode("utf-8", errors="replace"))
    return out


def _page_of(files: Sequence[Path]) -> str:
    found = [read_results(file) for file in files]
    first = found[0]
    for file, one in zip(files, found, strict=True):
        if isinstance(one, Run):
            raise InvalidFile(
                file,
                f"expected an evaluation, found the results of `segmend {one.command}`: "
                "score its label maps with `segmend evaluate` first",
            )
        if isinstance(one, ObjectRun | Tuning | Review):
            command = {ObjectRun: "refine` over objects", Tuning: "tune`", Review: "review`"}[type(one)]
            raise InvalidFile(file, f"expected an evaluation, found the results of `segmend {command}")
        if isinstance(one, TagCleaning | Inspection | CheckRun):
            command, page = PAGES[type(one)]
            raise InvalidFile(
                file, f"the results of `segmend {command}`, which wrote its page beside them: {page}.html"
            )
        if len(files) > 1 and not isinstance(one, Propagation):
            raise InvalidFile(
                file, "expected the results of `segmend propagate`, found an evaluation: give it alone"
            )
    if isinstance(first, Propagation):
        propagations = [one for one in found if isinstance(one, Propagation)]
        return propagation.render(propagation.collect(propagations, files))
    assert isinstance(first, Evaluation)
    return render(collect(first, files[0].parent))


def render(report: Report) -> str:
    """The page of a report."""
    evaluation, run, confidence = report.evaluation, report.evaluation.run, report.evaluation.confidence
    cases = [case for group in report.groups for case in group.cases]
    skipped = [*evaluation.skipped, *(run.skipped if run else [])]
    template = environment().get_template("report.html")
    return template.render(
        report=report,
        image_count=wording.images(len(evaluation.per_image)),
        evaluation=evaluation,
        run=run,
        seen=_seen(run) if run else [],
        seconds=shares_of_time(run.seconds) if run else [],
        headline=wording.headline(report),
        balance=_balance(report),
        gains_chart=charts.gains_chart(report.gains) if report.gains else None,
        trimap_chart=charts.trimap_chart(*report.trimap) if report.trimap[1] else None,
        class_chart=charts.class_chart(report.class_scores, report.compared),
        reliability_chart=charts.reliability_chart(confidence.reliability) if confidence else None,
        most_classes=charts.MOST_CLASSES,
        with_f_measure=any(score.f_measure.after is not None for score in report.class_scores),
        classes=list(zip(report.classes.names, report.classes.palette, strict=True)),
        groups=[(group, [view_case(c, report.classes) for c in group.cases]) for group in report.groups],
        change_legend=_change_legend(cases),
        with_photos=any(case.image is not None for case in cases),
        with_displacements=any(case.displacement is not None for case in cases),
        wheel=images.wheel(),
        **skipped_part(skipped),
    )


def _seen(run: Run) -> list[str]:
    """What a refiner saw of the folder before it refined it."""
    seen = sentences_of_look(run.look) if run.look else []
    return seen if run.far_uncertainty is None else [*seen, sentence_of_maps(run.far_uncertainty)]


def view_case(case: Case, classes: Classes) -> CaseView:
    """A case as images and text."""
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
        panels.append(Panel("Image", images.photo(case.image), f"Image {case.id}", ""))
    if case.truth is not None:
        names = ", ".join(classes.names[i] for i in images.present(case.truth, classes))
        image = images.labels(case.truth, classes)
        panels.append(Panel("Ground truth", image, f"Ground truth: {names}", "", "labels"))
    if case.changes is not None:
        panels.append(_changes_panel(case, case.changes))
    if case.blobs is not None:
        true, found = case.blob_counts
        caption = f"{found}, ground truth: {true}"
        alt = f"Connected components of the labels: {caption}"
        panels.append(Panel("Components", images.blobs(case.blobs), alt, caption, "labels"))
    if case.displacement is not None:
        panels.append(displacement_panel(case.displacement))
    if case.fusion_mask is not None:
        caption = "white: label moved by the displacement, black: label replaced"
        panels.append(Panel("Fusion mask", images.grey(case.fusion_mask), "Fusion mask", caption))
    if case.confidence is not None:
        caption = "white: 1, black: 0"
        panels.append(Panel("Confidence", images.grey(case.confidence), "Confidence map", caption))
    if case.entropy is not None:
        caption = "white: all classes equally likely, black: one class certain"
        panels.append(Panel("Entropy", images.grey(case.entropy), "Entropy of the probabilities", caption))
    return panels


def _changes_panel(case: Case, changes: np.ndarray) -> Panel:
    wrong = case.shares[Change.STILL_WRONG] + case.shares[Change.MISSED]
    if case.coarse is None:
        title, words = "Errors", {"wrong": wrong}
    else:
        title = "Changes"
        corrected, degraded = case.shares[Change.CORRECTED], case.shares[Change.DEGRADED]
        words = {"corrected": corrected, "degraded": degraded, "still wrong": wrong}
    shares = [f"{word} {wording.percent(share)} %".replace(" ", NO_BREAK) for word, share in words.items()]
    caption = ", ".join(shares)
    return Panel(title, images.changes(changes), f"{title}: {caption}", caption, "changes")


def _change_legend(cases: list[Case]) -> list[tuple[str, tuple[int, int, int, int]]]:
    names = CHANGE_NAMES if any(case.coarse is not None for case in cases) else ERROR_NAMES
    return [(name, images.CHANGE_COLOURS[change]) for change, name in names.items()]


def _balance(report: Report) -> list[tuple[str, str, int, float]]:
    """Name, colour, number and percentage of the images that are improved, similar and degraded."""
    total = len(report.gains)
    kinds = [
        ("improved", "better", report.improved),
        ("similar", "same", total - report.improved - report.degraded),
        ("degraded", "worse", report.degraded),
    ]
    return [(name, colour, count, 100 * count / total) for name, colour, count in kinds] if total else []
