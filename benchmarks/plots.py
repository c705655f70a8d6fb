"""Plots of the raw figures, as SVG that is the same on every machine; `render.py` puts them beside the pages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure
from tables import average, raw

COLOURS = ("#1f6fb8", "#c4501b", "#2b8a5a", "#7a5bb0", "#8a8a8a", "#b8860b")
MARKERS = "os^Dvx"

Lines = Mapping[str, Sequence[tuple[float, float]]]


def lines(title: str, across: str, up: str, drawn: Lines) -> str:
    """An SVG of lines with a legend, the first in the strongest colour."""
    with matplotlib.rc_context({"svg.hashsalt": title, "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(7, 3.6))
        axes = figure.subplots()
        for number, (name, points) in enumerate(drawn.items()):
            x, y = zip(*points, strict=True)
            style = "-" if number < 2 else "--"
            axes.plot(x, y, style, color=COLOURS[number], marker=MARKERS[number], markersize=4, label=name)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd")
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.tight_layout()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


DISTANCE = "frames from the labelled one"


def camvid() -> str:
    """mIoU of propagated labels by distance."""
    rows = raw("propagation/camvid").rows()
    chosen = ("learned, these videos, aligned", "flow, aligned", "learned, these videos", "flow")
    drawn = {
        name: [(int(k), figures["miou"]) for k, figures in rows[name].items()]
        for name in (*chosen, "prediction, these videos", "copy")
    }
    return lines("Propagated labels on CamVid", DISTANCE, "mIoU", drawn)


def davis() -> str:
    """J of an object by distance."""
    rows = raw("propagation/davis").rows()
    chosen = ("learned, these videos, aligned", "flow, aligned", "learned, these videos", "flow")
    drawn = {
        name: [(int(k), figures["J"]) for k, figures in rows[name]["all"].items()]
        for name in (*chosen, "prediction, these videos", "copy")
    }
    return lines("Propagated labels on DAVIS", DISTANCE, "J", drawn)


def curve() -> str:
    """mIoU of trainings by the distance of their propagated frames."""
    rows = raw("propagation/curve").rows()
    names = dict.fromkeys(row.rpartition(", ")[0] for row in reversed(rows))
    drawn = {
        name: [(int(row.rpartition(", ")[2]), average(figures["mIoU"])) for row, figures in rows.items()
               if row.rpartition(", ")[0] == name]
        for name in names
    }  # fmt: skip
    distances = [x for x, _ in next(iter(drawn.values()))]
    alone = raw("propagation/training").rows()["labels alone"]["mIoU"][0]
    drawn["labels alone"] = [(x, alone) for x in (distances[0], distances[-1])]
    return lines(
        "Training with propagated frames", "frames from the labelled one, of half of the samples", "mIoU", drawn
    )


def labelled() -> str:
    """mIoU by the number of labelled images."""
    drawn = {
        row: [(int(title.partition(" ")[0]), average(value)) for title, value in figures.items()]
        for row, figures in reversed(raw("dual/labelled").rows().items())
    }
    return lines("Few label maps and many tags", "labelled images", "mIoU", drawn)


PLOTS = {
    "dual_labelled.svg": labelled,
    "propagation_camvid.svg": camvid,
    "propagation_davis.svg": davis,
    "propagation_training.svg": curve,
}
"""By file name in docs/results."""
