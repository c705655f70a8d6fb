"""How results show themselves in a notebook: the main figures as a table, what to know as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from segmend.report import wording
from segmend.report.inspection import sentence_of_maps, sentences_of, sentences_of_look
from segmend.report.results import Evaluation, Inspection, Propagation, Run, Skipped, Tuning
from segmend.report.tuning import best_of_each, sentence_of

MOST_SKIPPED = 5

SCORES = {"mIoU": "mean_iou", "pixel accuracy": "pixel_accuracy", "boundary IoU": "boundary_iou"}


def html_of(results: Evaluation | Inspection | Propagation | Run | Tuning) -> str:
    """The main figures of results as HTML."""
    match results:
        case Evaluation():
            found = _of_evaluation(results)
        case Inspection():
            found = _sentences(sentences_of(results))
        case Propagation():
            found = _of_propagation(results)
        case Run():
            found = _of_run(results)
        case Tuning():
            found = _of_tuning(results)
    return found + _skipped(results.skipped)


def _of_tuning(results: Tuning) -> str:
    rows = [(one.name, wording.signed(one.gain), wording.signed(one.unlucky)) for one in best_of_each(results)]
    return _table(("", "gain in mIoU", "if unlucky"), rows) + _sentences([sentence_of(results), *results.notes])


def _of_evaluation(results: Evaluation) -> str:
    before, after = results.coarse_scores, results.scores
    rows = [
        (title, None if before is None else getattr(before, name), getattr(after, name))
        for title, name in SCORES.items()
    ]
    rows += [
        (f"IoU of {name}", None if before is None else before.iou.get(name), iou)
        for name, iou in after.iou.items()
    ]
    if before is None:
        table = _table(("", "%"), [(title, wording.percent(now)) for title, _, now in rows])
    else:
        shown = [
            (title, wording.percent(then), wording.percent(now), _gain(then, now)) for title, then, now in rows
        ]
        table = _table(("", "coarse, %", "refined, %", "gain"), shown)
    notes = [f"{wording.images(len(results.per_image))} scored", *results.notes]
    if results.improved is not None and results.degraded is not None:
        notes[0] += f": {results.improved:.0%} improved, {results.degraded:.0%} degraded"
    return table + _sentences(notes)


def _gain(before: float | None, after: float | None) -> str:
    return wording.signed(None if before is None or after is None else after - before)


def _of_propagation(results: Propagation) -> str:
    made = f"{wording.images(results.done)} made from {results.labelled} labelled"
    kept = f", {results.kept} kept from an earlier run" if results.kept else ""
    rows = [
        (str(one.distance), str(one.images), wording.percent(one.mean_iou), wording.percent(one.kept))
        for one in results.quality
    ]
    table = _table(("distance", "images", "mIoU, %", "kept pixels, %"), rows) if rows else ""
    return table + _sentences([made + kept, *results.notes])


def _of_run(results: Run) -> str:
    sentences = [f"{results.command}: {wording.images(results.done)} written by {results.model}"]
    if results.kept:
        sentences[0] += f", {results.kept} kept from an earlier run"
    if results.changed is not None:
        sentences.append(f"{100 * results.changed:.2g} % of pixels changed")
    if results.look is not None:
        sentences += sentences_of_look(results.look)
    if results.far_uncertainty is not None:
        sentences.append(sentence_of_maps(results.far_uncertainty))
    return _sentences(sentences)


def _skipped(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    listed = [f"{one.file}: {one.reason}" for one in skipped[:MOST_SKIPPED]]
    if len(skipped) > MOST_SKIPPED:
        listed.append(f"and {len(skipped) - MOST_SKIPPED} more")
    return f"<p>{len(skipped)} skipped:</p>{_sentences(listed)}"


def _sentences(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
