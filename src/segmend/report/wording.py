"""How the report puts figures into words."""

from __future__ import annotations

import math

from segmend.report.collect import Report

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def percent(value: float | None) -> str:
    """A score in 0..1 as percent: 72.6."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.1f}"


def signed(gain: float | None) -> str:
    """A difference of scores in points, with its sign: +6.8."""
    if gain is None or not math.isfinite(gain):
        return NONE
    text = f"{100 * gain:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def verdict(gain: float | None) -> str:
    """``better``, ``worse`` or ``same``, so that it agrees with what `signed` shows."""
    return {"+": "better", MINUS: "worse"}.get(signed(gain)[0], "same")


def images(count: int) -> str:
    """So many images."""
    return f"{count:,} image{'' if count == 1 else 's'}"


def headline(report: Report) -> tuple[str, str]:
    """What came out: the mIoU and its change, then how many images got worse."""
    before, after = report.evaluation.coarse_scores, report.evaluation.scores
    if before is None:
        return f"mIoU {percent(after.mean_iou)}", f"Over {images(len(report.evaluation.per_image))}"
    gain = signed(after.mean_iou - before.mean_iou)
    first = f"mIoU {percent(before.mean_iou)} \N{RIGHTWARDS ARROW} {percent(after.mean_iou)} ({gain})"
    if not report.gains:
        return first, f"Over {images(len(report.evaluation.per_image))}"
    worse = report.worse or "None"
    return first, f"{worse} of {images(len(report.gains))} got worse by more than half a point"
