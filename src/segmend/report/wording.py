"""Scores as text in the report."""

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
    """``better``, ``worse`` or ``same``: the colour of a gain, which agrees with the sign that `signed` shows."""
    return {"+": "better", MINUS: "worse"}.get(signed(gain)[0], "same")


def images(count: int) -> str:
    """A number of images: ``1 image``, ``1,200 images``."""
    return f"{count:,} image{'' if count == 1 else 's'}"


def headline(report: Report) -> tuple[str, str]:
    """The mIoU and its change, and how many images are degraded."""
    before, after = report.evaluation.coarse_scores, report.evaluation.scores
    scored = f"{images(len(report.evaluation.per_image))} scored"
    if before is None:
        return f"mIoU {percent(after.mean_iou)}", scored
    gain = signed(after.mean_iou - before.mean_iou)
    first = f"mIoU {percent(before.mean_iou)} \N{RIGHTWARDS ARROW} {percent(after.mean_iou)} ({gain})"
    if not report.gains:
        return first, scored
    return first, f"{report.improved} of {images(len(report.gains))} improved, {report.degraded} degraded"
