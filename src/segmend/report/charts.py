"""The charts of the report: matplotlib figures as inline SVG, in the colours and fonts of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform

from segmend.report.cases import Pair
from segmend.report.collect import ClassScore
from segmend.report.results import Bin
from segmend.report.wording import MINUS, percent, signed, verdict

T = TypeVar("T")

WIDTHS = {"wide": 720, "narrow": 330}
"""Pixels. A chart is drawn twice, so that its text has one size on every screen; style sheets choose."""

MOST_CLASSES = 40
"""A chart of more classes than this shows the first and the last of the list."""

# Stand-ins: matplotlib needs real colours, the page replaces them with variables (light and dark mode).
INK, MUTED, LINE, BEFORE, AFTER, WORSE = (f"#0{i}0{i}0{i}" for i in range(1, 7))
SERIES = tuple(f"#1{i}1{i}1{i}" for i in range(1, 7))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BEFORE: "var(--before)",
    AFTER: "var(--better)",
    WORSE: "var(--worse)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)},
}
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1.2, 1.2), (6, 1.5, 1.2, 1.5), (2.5, 1.2), (7, 2.5))
"""Lengths of lines and gaps of each series, in widths of the line: colours alone do not tell lines apart."""

_MARKERS = {
    "o": "M11 6a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    "s": "M11 3h6v6h-6z",
    "^": "M14 2l4 7h-8z",
    "D": "M14 1.8l4.2 4.2l-4.2 4.2l-4.2 -4.2z",
    "v": "M14 10l4 -7h-8z",
    "P": "M12.8 2.5h2.4v2.3h2.3v2.4h-2.3v2.3h-2.4v-2.3h-2.3v-2.4h2.3z",
}
"""The marker of each series, and its outline in a legend."""

_STROKE = 2.25

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
    return _bar_chart("IoU of each class in percent", scores, compared)


def _bar_chart(title: str, scores: Sequence[ClassScore], compared: bool) -> Markup:
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
    return _chart(draw, title, pitch * len(rows) + 34, margins)


def share_chart(title: str, shares: Sequence[tuple[str, float]]) -> Markup:
    """A share (0..1) for each name as a bar, in the given order."""
    rows = [ClassScore(name, None, Pair(None, share), Pair(None, None)) for name, share in shares]
    return _bar_chart(title, rows, compared=False)


def quality_chart(curves: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> Markup:
    """mIoU over the distance to the nearest labelled frame.

    Args:
        curves: the name of each method, and its points: distance and mIoU (0..1), by rising distance.
    """
    curves = [(name, [point for point in points if np.isfinite(point[1])]) for name, points in curves]
    curves = [(name, points) for name, points in curves if points]
    names = [_short(name) for name, _ in curves] if len(curves) > 1 else []

    def draw(axes: Axes) -> None:
        for i, (_, points) in enumerate(curves):
            x, y = [distance for distance, _ in points], _percent([value for _, value in points])
            look: dict[str, Any] = {"color": series_colour(i), "marker": _of(tuple(_MARKERS), i), "markersize": 6}
            dashes = _of(_DASHES, i)
            axes.plot(x, y, linewidth=_STROKE, linestyle=(0, dashes) if dashes else "-", clip_on=False, **look)
        axes.grid(axis="y", color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        distances = [distance for _, points in curves for distance, _ in points]
        first, last = min(distances, default=0), max(distances, default=1)
        margin = 0.03 * (last - first) or 1
        axes.set_xlim(first - margin, last + margin)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        low, high = axes.get_ylim()
        if high - low < 5:  # small differences must not look large
            axes.set_ylim((low + high) / 2 - 2.5, (low + high) / 2 + 2.5)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("distance, frames", labelpad=8)
        ends = [100 * points[-1][1] for _, points in curves]
        labels = [(name, end, series_colour(i)) for i, (name, end) in enumerate(zip(names, ends, strict=False))]
        _label_ends(axes, labels, gap=0.08, with_value=False)

    longest = max(map(len, names), default=0)
    return _chart(draw, "mIoU by distance, in percent", 320, (34, 20 + 7 * longest, 48, 12))


def series_colour(index: int) -> str:
    """The stand-in for the colour of a line of `quality_chart`."""
    return _of(SERIES, index)


def series_key(index: int) -> Markup:
    """The legend of a line of `quality_chart`: its colour, dashes and marker, as a small SVG."""
    colour = _VARIABLES[series_colour(index)]
    dashes = " ".join(f"{_STROKE * length:g}" for length in _of(_DASHES, index))
    line = f'stroke="{colour}" stroke-width="{_STROKE}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
    marker = _of(tuple(_MARKERS.values()), index)
    return Markup(
        f'<svg class="series" viewBox="0 0 28 12" aria-hidden="true"><path d="M0 6H28" {line}/>'
        f'<path d="{marker}" fill="{colour}"/></svg>'
    )


def _of(looks: Sequence[T], index: int) -> T:
    return looks[index % len(looks)]


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


def border_chart(distances: Sequence[float], curves: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """Edge strength over the signed distance from the borders of masks: the first curve is emphasised."""

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        axes.axhline(0, color=LINE, linewidth=1)
        for i, (_, values) in reversed(list(enumerate(curves))):
            dashes = _of(_DASHES, i)
            look: dict[str, Any] = {"color": series_colour(i), "linestyle": (0, dashes) if dashes else "-"}
            axes.plot(distances, values, linewidth=1.5 * _STROKE if i == 0 else 1.25, clip_on=False, **look)
        axes.grid(axis="y", color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        axes.set_xlim(distances[0], distances[-1])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "border")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("distance in pixels: inside of the masks | outside", labelpad=8)

    return _chart(draw, "Edge strength by distance from the borders", height=300, margins=(34, 14, 48, 12))


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


def _label_ends(
    axes: Axes, ends: list[tuple[str, float, str]], gap: float = 0.12, with_value: bool = True
) -> None:
    """Name the curves at their right ends, at least `gap` of the axis apart."""
    low, high = axes.get_ylim()
    ends = sorted(ends, key=lambda end: end[1])
    heights = _apart([(value - low) / (high - low) for _, value, _ in ends], gap)
    for (name, value, colour), height in zip(ends, heights, strict=True):
        text = f"{name} {value:.1f}".strip() if with_value else name
        _put(axes, text, (1, height), axes.transAxes, 8, MUTED if colour == BEFORE else colour)


def _apart(heights: list[float], gap: float) -> list[float]:
    """Rising heights moved as little as it takes to be `gap` apart: those too close stay around their mean."""
    blocks: list[list[float]] = []
    for i, height in enumerate(heights):
        blocks.append([height - gap * i])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = [float(np.mean(block)) for block in blocks for _ in block]
    return [height + gap * i for i, height in enumerate(moved)]


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
