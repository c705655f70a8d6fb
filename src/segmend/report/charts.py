"""The charts of the report: matplotlib figures as inline SVG, in the colours and fonts of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Transform

from segmend.report.collect import ClassScore
from segmend.report.results import Bin
from segmend.report.wording import MINUS, percent, signed, verdict

WIDTHS = {"wide": 720, "narrow": 330}
"""Pixels. A chart is drawn twice, so that its text has one size on every screen; style sheets choose."""

MOST_CLASSES = 40
"""A chart of more classes than this shows the first and the last of the list."""

# Stand-ins: matplotlib needs real colours, the page replaces them with variables (light and dark mode).
INK, MUTED, LINE, BEFORE, AFTER, WORSE = (f"#0{i}0{i}0{i}" for i in range(1, 7))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BEFORE: "var(--before)",
    AFTER: "var(--better)",
    WORSE: "var(--worse)",
}
Margins = tuple[int, int, int, int]
"""Pixels left, right, below and above the axes."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "font.size": 12.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
}


def trimap_chart(before: Sequence[float] | None, after: Sequence[float]) -> Markup:
    """mIoU inside bands around the true borders over the bands' width, before and after."""

    def draw(axes: Axes) -> None:
        curves = [("Coarse", before, BEFORE), ("Refined", after, AFTER)] if before else [("", after, AFTER)]
        for _, values, colour in curves:
            x = np.arange(1, len(values or ()) + 1)
            marker = "o" if len(x) == 1 else ""
            axes.plot(x, _percent(values or ()), color=colour, linewidth=2.25, marker=marker, clip_on=False)
        axes.grid(axis="y", color=LINE, linewidth=1)
        axes.set_xlim(1, max(2, len(after)))
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("distance from the true borders, px", labelpad=8)
        _label_ends(axes, [(name, 100 * values[-1], colour) for name, values, colour in curves if values])

    return _chart(draw, "mIoU near the true borders", height=300, margins=(34, 92, 48, 12))


def class_chart(scores: Sequence[ClassScore], compared: bool) -> Markup:
    """IoU of each class as bars, before above after, in the given order. Classes without IoU are left out."""
    rows = [score for score in scores if score.iou.after is not None or score.iou.before is not None]
    if len(rows) > MOST_CLASSES:
        rows = rows[: MOST_CLASSES // 2] + rows[-MOST_CLASSES // 2 :]
    longest = max((len(_short(row.name)) for row in rows), default=0)
    pitch = 26

    def draw(axes: Axes) -> None:
        beside = axes.get_yaxis_transform()
        for y, row in enumerate(rows):
            _class_bars(axes, y, row, compared)
            _put(axes, _short(row.name), (0, y), beside, -8)
            if compared:
                colour = {"better": AFTER, "worse": WORSE, "same": MUTED}[verdict(row.iou.gain)]
                _put(axes, signed(row.iou.gain), (1, y), beside, 8, colour)
            else:
                _put(axes, percent(row.iou.after), (1, y), beside, 8, MUTED)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_yticks([])
        axes.grid(axis="x", color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)

    margins = (12 + 7 * longest, 52, 24, 4)
    return _chart(draw, "IoU of each class in percent", pitch * len(rows) + 34, margins)


def gains_chart(gains: Sequence[float]) -> Markup:
    """Each image's gain in mIoU, in the given order, as a filled step line."""

    def draw(axes: Axes) -> None:
        points = _percent(gains)
        edges = np.arange(len(points) + 1) + 0.5
        for colour, part in ((AFTER, points.clip(min=0)), (WORSE, points.clip(max=0))):
            axes.stairs(part, edges, fill=True, color=colour, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.grid(axis="y", color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        axes.set_xlim(edges[0], edges[-1])
        low, high = min(points.min(), -1.0), max(points.max(), 1.0)
        axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        axes.set_xticks([])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0")
        for spine in axes.spines.values():
            spine.set_visible(False)

    return _chart(draw, "Gain in mIoU of each image, in points", height=230, margins=(34, 4, 8, 8))


def reliability_chart(bins: Sequence[Bin]) -> Markup:
    """Accuracy of the labels over their confidence."""

    def draw(axes: Axes) -> None:
        confidence, accuracy = (_percent([getattr(b, name) for b in bins]) for name in ("confidence", "accuracy"))
        pixels = np.array([b.pixels for b in bins], dtype=float)
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        axes.plot(confidence, accuracy, color=AFTER, linewidth=2.25, clip_on=False)
        # A dot's area stands for its number of pixels; bins with few pixels stay visible.
        areas = 8 + 160 * pixels / pixels.max()
        axes.scatter(confidence, accuracy, areas, color=AFTER, linewidth=0, clip_on=False, zorder=3)
        axes.grid(color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("confidence, percent", labelpad=8)
        for spine in axes.spines.values():
            spine.set_visible(False)

    return _chart(draw, "Accuracy of the labels by confidence, in percent", height=300, margins=(34, 14, 48, 12))


def _percent(values: Sequence[float]) -> np.ndarray:
    return 100.0 * np.asarray(values, dtype=float)


def _short(name: str, length: int = 18) -> str:
    return name if len(name) <= length else name[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _class_bars(axes: Axes, y: int, row: ClassScore, compared: bool) -> None:
    bars = [(row.iou.before, BEFORE), (row.iou.after, AFTER)] if compared else [(row.iou.after, AFTER)]
    height = 0.62 / len(bars)
    for i, (value, colour) in enumerate(bars):
        if value is not None:
            axes.barh(y + (i - (len(bars) - 1) / 2) * height, 100 * value, height, color=colour)


def _label_ends(axes: Axes, ends: list[tuple[str, float, str]], gap: float = 0.12) -> None:
    """Name the curves at their right ends, at least `gap` of the axis apart."""
    low, high = axes.get_ylim()
    ends = sorted(ends, key=lambda end: end[1])
    heights = [(value - low) / (high - low) for _, value, _ in ends]
    if len(ends) == 2 and heights[1] - heights[0] < gap:
        middle = sum(heights) / 2
        heights = [middle - gap / 2, middle + gap / 2]
    for (name, value, colour), height in zip(ends, heights, strict=True):
        text = f"{name} {value:.1f}".strip()
        _put(axes, text, (1, height), axes.transAxes, 8, MUTED if colour == BEFORE else colour)


def _put(axes: Axes, text: str, at: tuple[float, float], frame: Transform, shift: int, colour: str = INK) -> None:
    """Text that starts `shift` pixels right of a point, or ends left of it where `shift` is negative."""
    style: dict[str, Any] = {"ha": "left" if shift > 0 else "right", "va": "center", "color": colour}
    axes.annotate(text, at, (shift, 0), frame, "offset points", annotation_clip=False, **style)


def _chart(draw: Callable[[Axes], None], title: str, height: int, margins: Margins) -> Markup:
    """An SVG of what `draw` draws for each of `WIDTHS`."""
    left, right, below, above = margins
    drawings = []
    for name, width in WIDTHS.items():
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # a user's matplotlibrc must not change the charts
            matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": title + name})
            figure = Figure(figsize=(width / 72, height / 72), dpi=72)
            inner = (width - left - right) / width, (height - below - above) / height
            draw(figure.add_axes((left / width, below / height, *inner)))
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        head = f'class="chart {name}" role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}"'
        drawings.append(Markup(f"<svg {head}>{_inline(buffer.getvalue())}"))
    return Markup("").join(drawings)


def _inline(svg: str) -> str:
    """An SVG file after its opening tag, without fonts, colours and style sheets, which the page sets."""
    _, svg = re.split(r"<svg[^>]*>", svg, maxsplit=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the names of groups would clash between charts
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg))
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg
