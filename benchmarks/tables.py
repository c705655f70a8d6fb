"""Markdown tables of the raw figures beside this file; `render.py` puts them into the pages of docs/results.

A function takes the name of a raw file, without ``.json``, and gives one table. A value is a list with a figure of
each seed, or ``{"mean": m, "spread": s}`` where it was transcribed from an older table.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from raw import UNKNOWN, Raw, RawFile

HERE = Path(__file__).parent
FOLDED = 20
"""Most rows of a table that is not folded."""

Value = list[float] | dict[str, float]
Scores = Mapping[str, Any]
Columns = Mapping[str, Callable[[Scores], float | None]]


@cache
def raw(name: str) -> RawFile:
    """The raw file ``NAME.json`` beside this module."""
    return RawFile.read(HERE / f"{name}.json")


def average(value: Value) -> float:
    """Mean over seeds."""
    if isinstance(value, dict):
        return value["mean"]
    return value[0] if len(value) == 1 else statistics.mean(value)  # one value keeps the sign of a zero


def shown(value: Value | None, form: str = ".1f", unit: str = "") -> str:
    """Mean, and half of the range where there are several values; empty where there is none."""
    if not value:
        return ""
    spread = value["spread"] if isinstance(value, dict) else (max(value) - min(value)) / 2
    several = isinstance(value, dict) or len(value) > 1
    mean = format(average(value), form)
    return mean + (f" ± {spread:{form.removeprefix('+')}}" if several else "") + unit


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], title: str = "All rows") -> str:
    """A Markdown table, folded where it is long."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    text = "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])
    if len(lines) <= FOLDED:
        return text
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def origin(*names: str) -> str:
    """The provenance of a table: commands, machines and versions, with the rows of each where they differ."""
    runs = [(name, run) for name in names for run in raw(name).runs if raw(name).shown(run)]
    if len(runs) == 1:
        return f"    {runs[0][1].provenance.command}\n\n{_about(runs[0][1])}"
    machines = {run.provenance.machine for _, run in runs}
    lines = [
        "The rows come from different machines:" if len(machines) > 1 else "The rows come from several runs:",
        "",
    ]
    for name, run in runs:
        rows = "; ".join(raw(name).shown(run)) if len(raw(name).runs) > 1 else name
        lines.append(f"* {rows}: `{run.provenance.command}`. {_about(run)}")
    return "\n".join(lines)


def _about(run: Raw) -> str:
    """Machine, versions, seeds, commit and note of a run, in a line."""
    made = run.provenance
    parts = [made.machine[:1].upper() + made.machine[1:]]
    if made.seeds:
        parts.append(f"seed{'s' if len(made.seeds) > 1 else ''} {', '.join(map(str, made.seeds))}")
    versions = [f"{name} {version}" for name, version in made.versions.items() if name in ("torch", "python")]
    parts.append(", ".join(versions) if versions else f"versions {UNKNOWN}")
    parts.append(f"commit {made.commit}")
    return "; ".join(parts) + "." + (f" Note: {made.note}." if made.note else "")


# Refiners over the coarse maps of one segmenter ------------------------------------------------------------------

BASELINE = "dense CRF"
WIDTHS = range(3, 21)
"""Widths in pixels of the trimap bands in which a method is compared with the baseline."""

SCORES: Columns = {
    "mIoU": lambda s: s["mean_iou"],
    "accuracy": lambda s: s["pixel_accuracy"],
    "boundary IoU": lambda s: s["boundary_iou"],
    "trimap 3 px": lambda s: s["trimap"][2],
    "trimap 10 px": lambda s: s["trimap"][9],
    "trimap 20 px": lambda s: s["trimap"][19],
}


def _parts(names: Mapping[str, str]) -> Columns:
    """mIoU, trimap, and the F-measure of parts: column titles and classes or groups."""
    parts = {f"F {title}": lambda s, name=name: s["f_measure"][name] for title, name in names.items()}
    return {**{title: SCORES[title] for title in ("mIoU", "trimap 3 px")}, **parts}


FACE_PARTS = _parts(
    {
        "eyes": "eye",
        "brows": "brow",
        "nose": "nose",
        "in mouth": "mouth",
        "upper lip": "upper_lip",
        "lower lip": "lower_lip",
        "mouth all": "whole_mouth",
        "facial skin": "skin",
    }
)
"""Columns of Table 4 of ECN and Table 1 of SPN."""

FASSEG_PARTS = _parts({name: name for name in ("skin", "hair", "eyes", "nose", "mouth")})

COLUMNS = {
    "refine_faces/unet_small": FACE_PARTS,
    "refine_celebamask/unet_eighth": FACE_PARTS,
    "refine_fasseg/eighth": FASSEG_PARTS,
}
"""Columns of the tables that do not have those of `SCORES`."""


def refinement(name: str) -> str:
    """A row a method: scores in points, share of images degraded in percent, milliseconds an image."""
    columns, file = COLUMNS.get(name, SCORES), raw(name)
    rows = [["coarse", *_cells(columns, [_coarse(file.runs[-1])]), "", ""]]
    for method, figures in file.rows().items():
        evaluations = figures["evaluations"]
        degraded = f"{100 * statistics.mean(e['degraded'] for e in evaluations):.1f} %"
        spent = f"{statistics.mean(figures['milliseconds']):.0f}" if figures["milliseconds"] else ""
        rows.append([method, *_cells(columns, [e["scores"] for e in evaluations]), degraded, spent])
    return markdown(["refiner", *columns, "share degraded", "ms an image"], rows)


def _cells(columns: Columns, scores: list[Scores]) -> list[str]:
    return [shown([100 * (column(s) or 0.0) for s in scores]) for column in columns.values()]


def _coarse(run: Raw) -> Scores:
    """Scores of the coarse maps that a run refined."""
    return next(iter(run.figures.values()))["evaluations"][0]["coarse_scores"]


def over_baseline(name: str) -> str:
    """By how much methods beat the dense CRF of the same run: means over seeds, in points."""
    file, rows = raw(name), []
    for method in file.order:
        if method == BASELINE:
            continue
        run = file.run_of(method)
        if BASELINE not in run.figures:
            continue
        width, gain = lowest_trimap_gain(name, method)
        rows.append(
            [
                method,
                f"{gain_over_baseline(name, method):+.2f}",
                f"{gain:+.2f} (at {width} px)",
                f"{100 * _coarse(run)['mean_iou']:.1f}",
                f"{mean_iou(run.figures[BASELINE]):.1f}",
            ]
        )
    head = [f"over the {BASELINE}", "mIoU", f"lowest trimap gain, {WIDTHS[0]} to {WIDTHS[-1]} px"]
    return markdown([*head, "coarse maps of the run, mIoU", f"{BASELINE} of the run, mIoU"], rows)


def mean_iou(figures: Mapping[str, Any]) -> float:
    """mIoU of a method, mean over seeds, in points."""
    return 100 * statistics.mean(e["scores"]["mean_iou"] for e in figures["evaluations"])


def refined_iou(name: str, method: str) -> float:
    return mean_iou(raw(name).rows()[method])


def coarse_iou(name: str, method: str | None = None) -> float:
    """mIoU of the coarse maps that a method refined, or of those of the newest run."""
    file = raw(name)
    return 100 * _coarse(file.run_of(method) if method else file.runs[-1])["mean_iou"]


def share_degraded(name: str, method: str) -> float:
    """Share of images degraded in percent, mean over seeds."""
    return 100 * statistics.mean(e["degraded"] for e in raw(name).rows()[method]["evaluations"])


def gain_over_baseline(name: str, method: str) -> float:
    run = raw(name).run_of(method)
    return mean_iou(run.figures[method]) - mean_iou(run.figures[BASELINE])


def lowest_trimap_gain(name: str, method: str) -> tuple[int, float]:
    """Of `WIDTHS`, the one with the lowest gain over the baseline, and that gain in points."""
    run = raw(name).run_of(method)
    curves = [
        [100 * statistics.mean(values) for values in zip(*(e["scores"]["trimap"] for e in es), strict=True)]
        for es in (run.figures[method]["evaluations"], run.figures[BASELINE]["evaluations"])
    ]
    gains = {width: curves[0][width - 1] - curves[1][width - 1] for width in WIDTHS}
    width = min(gains, key=lambda w: gains[w])
    return width, gains[width]


def error_bands(name: str) -> str:
    """Share of wrong pixels by distance from the borders of the ground truth, and what ECN does there."""
    rows = {row: figures["bands"] for row, figures in raw(name).rows().items() if "bands" in figures}
    cells = [
        [row, *(f"{value:.{2 if 'mask' in row else 1}f}" for value in bands.values())]
        for row, bands in rows.items()
    ]
    return markdown(["wrong pixels, %", *next(iter(rows.values()))], cells)


def degraded_images(name: str) -> str:
    """Images whose own mIoU fell by more than half a point: scores before and after, in points."""
    rows = {row: figures for row, figures in raw(name).rows().items() if "bands" not in figures}
    cells = [
        [row, *(f"{before:.1f} to {after:.1f}" for before, after in figures.values())]
        for row, figures in rows.items()
    ]
    return markdown(["degraded image", "own mIoU", "mIoU of its true classes", "correct pixels, %"], cells)


def other_maps(name: str) -> str:
    """Refiners over the maps of a segmenter that they were not trained on."""
    titles = ("mIoU", "boundary IoU", "trimap 3 px")
    rows = [
        [
            *(figures[key] for key in ("refiner", "trained on", "refines")),
            *(shown(figures[title]) for title in titles),
            shown(figures["share degraded"], unit=" %"),
        ]
        for figures in raw(name).rows().values()
    ]
    return markdown(["refiner", "trained on", "refines", *titles, "share degraded"], rows)


# The class-agnostic refiner --------------------------------------------------------------------------------------

SET_NAMES = {
    "msrc21": "MSRC-21",
    "camvid": "CamVid",
    "fasseg_frontal": "FASSEG",
    "celebamask_hq_mini": "CelebAMask-HQ",
}

MEAN = "mean"
SEGMENTERS = "segmenters"
SEGMENTERS_AS_MASKS = f"{SEGMENTERS}, as masks"
IN_CARD = (SEGMENTERS, SEGMENTERS_AS_MASKS, "1/8 resolution", "1/16 resolution")
"""Kinds of coarse maps in the table of the model card."""


def gains(name: str, chosen: str = "all") -> str:
    """Gains over the coarse maps by set and kind of map.

    Args:
        chosen: ``all``, ``segmenters`` (their maps, and the mean), ``means`` (over the sets), ``card`` (those in
            the model card) or ``corruptions``.
    """
    cases = raw(name).rows().values()
    kinds = {f["coarse maps"] for f in cases if f["set"] == MEAN} - {SEGMENTERS, SEGMENTERS_AS_MASKS}

    def groups(figures: Mapping[str, Any]) -> set[str]:
        by_hand = figures["coarse maps"] in kinds
        mean = figures["set"] == MEAN
        found = {"means"} if mean else {"corruptions"} if by_hand else set()
        found |= {"card"} if mean and figures["coarse maps"] in IN_CARD else set()
        return found | (set() if by_hand else {"segmenters"}) | {"all"}

    picked = [f for f in cases if chosen in groups(f)]
    refiners = list(picked[0]["gains"])
    head = ["set", "coarse maps", "coarse"]
    for refiner in refiners:
        head += [refiner, "boundary IoU", "share degraded"]
    rows = []
    for figures in picked:
        coarse = "" if figures["coarse"] is None else f"{figures['coarse']:.1f}"
        cells = [SET_NAMES.get(figures["set"], figures["set"]), figures["coarse maps"], coarse]
        for refiner in refiners:
            of = figures["gains"][refiner]
            cells += [shown(of["mIoU"], "+.2f"), shown(of.get("boundary IoU"), "+.2f")]
            cells.append(f"{average(of['share degraded']):.1f} %" if of.get("share degraded") else "")
        rows.append(cells)
    if chosen in ("means", "card"):
        head, rows = [head[1], head[3], head[6]], [[row[1], row[3], row[6]] for row in rows]
    return markdown(head, rows, f"All {len(rows)} rows")


def kinds_of_masks(name: str) -> str:
    """Refined masks by kind: means over the sets, by method."""
    rows = raw(name).rows().values()
    kinds = list(dict.fromkeys(row["masks"] for row in rows))
    methods = list(next(iter(rows))["scores"])
    before, first = methods[0], methods[1]
    head = ["masks", "mIoU before", *methods[1:], "error removed", "lowest gain", "share degraded"]
    head += ["corrected for each degraded pixel"]
    cells = []
    for kind in kinds:
        scores = [row["scores"] for row in rows if row["masks"] == kind]
        means = {method: statistics.mean(one[method]["mIoU"] for one in scores) for method in methods}
        gains = [one[first]["mIoU"] - one[before]["mIoU"] for one in scores]
        removed = [
            gain / (100 - one[before]["mIoU"])
            for gain, one in zip(gains, scores, strict=True)
            if one[before]["mIoU"] < 100
        ]
        degraded = sum(one[first]["degraded"] for one in scores)
        ratio = sum(one[first]["corrected"] for one in scores) / degraded if degraded else None
        cells.append(
            [
                kind,
                *(f"{mean:.1f}" for mean in means.values()),
                f"{100 * statistics.mean(removed):.0f} %" if removed else "",
                f"{min(gains):+.1f}",
                f"{statistics.mean(one[first]['share degraded'] for one in scores):.1f} %",
                "" if ratio is None else f"{ratio:.1f}",
            ]
        )
    return markdown(head, cells)


def sets_of_masks(name: str) -> str:
    """Gains in mIoU of the first method by set and kind of masks."""
    rows = raw(name).rows().values()
    kinds = list(dict.fromkeys(row["masks"] for row in rows))
    sets = list(dict.fromkeys(row["set"] for row in rows))
    before, first = list(next(iter(rows))["scores"])[:2]
    gain = {
        (row["set"], row["masks"]): row["scores"][first]["mIoU"] - row["scores"][before]["mIoU"] for row in rows
    }
    return markdown(["masks", *sets], [[kind, *(f"{gain[one, kind]:+.1f}" for one in sets)] for kind in kinds])


def objects(name: str) -> str:
    """Refined masks of single objects by kind: means over the sets."""
    rows = [row for row in raw(name).rows().values() if "masks" in row]
    head = ["masks", "IoU before", "each on its crop", "all in one map", "lowest gain", "objects degraded"]
    head += ["expected IoU", "rank correlation", "ms an object"]
    cells = []
    for kind in dict.fromkeys(row["masks"] for row in rows):
        these = [row for row in rows if row["masks"] == kind]
        ranks = [row["rank correlation"] for row in these if row["rank correlation"] is not None]
        means = (statistics.mean(row[what] for row in these) for what in ("before", "refined", "whole maps"))
        seconds, count = sum(row["seconds"] for row in these), sum(row["objects"] for row in these)
        cells.append(
            [
                kind,
                *(f"{mean:.1f}" for mean in means),
                f"{min(row['refined'] - row['before'] for row in these):+.1f}",
                f"{statistics.mean(row['degraded'] for row in these):.1f} %",
                f"{statistics.mean(row['expected'] for row in these):.1f}",
                f"{statistics.mean(ranks):.2f}" if ranks else "",
                f"{1000 * seconds / count:.0f}",
            ]
        )
    return markdown(head, cells)


def sets_of_objects(name: str) -> str:
    """Gain in IoU of masks of single objects, by set, and the longest side that all got, where they got one."""
    rows = [row for row in raw(name).rows().values() if "masks" in row]
    sets = list(dict.fromkeys(row["set"] for row in rows))

    def cell(row: Mapping[str, Any]) -> str:
        scaled = f" ({row['object side']} px)" if row["object side"] else ""
        return f"{row['refined'] - row['before']:+.1f}{scaled}"

    kinds = dict.fromkeys(row["masks"] for row in rows)
    by_kind = {(row["masks"], row["set"]): row for row in rows}
    return markdown(["masks", *sets], [[kind, *(cell(by_kind[kind, name]) for name in sets)] for kind in kinds])


def large_image(name: str) -> dict[str, str]:
    """Milliseconds of the row ``large image``."""
    return {what: f"{1000 * seconds:.0f}" for what, seconds in raw(name).rows()["large image"].items()}


def model_card() -> str:
    """The model card of the shipped weights."""
    card = (HERE / "universal" / "card.md").read_text(encoding="utf-8")
    return card.format(
        masks=kinds_of_masks("universal/masks").rstrip(), figures=gains("universal/results", "card").rstrip()
    )


def calibration(name: str) -> str:
    """Expected calibration error in points, a column for each kind of map."""
    rows = raw(name).rows()
    return markdown(list(rows), [[shown(value) for value in rows.values()]])


# Trainings of segmenters -----------------------------------------------------------------------------------------


def trainings(name: str, first: str = "training") -> str:
    """A row a training, mean and half of the range over seeds."""
    rows = raw(name).rows()
    titles = list(dict.fromkeys(title for figures in rows.values() for title in figures))
    cells = [[row, *(shown(figures.get(title)) for title in titles)] for row, figures in rows.items()]
    return markdown([first, *titles], cells)


def higher(name: str, title: str, other: str) -> str:
    """In how many rows one column is higher than another one, and by how much on average, in a sentence."""
    rows = raw(name).rows().values()
    gains = [average(figures[title]) - average(figures[other]) for figures in rows]
    mean = statistics.mean(gains)
    return (
        f"{title} is higher in {sum(gain > 0 for gain in gains)} of {len(gains)} rows, by {mean:.0f} on average."
    )


def beside(name: str, title: str, other: str) -> str:
    """A row a data set, a column for what was done to it: one figure, and another one in brackets.

    Rows of the raw file are called ``data set: what was done``.
    """
    rows = raw(name).rows()
    sets, kinds = (list(dict.fromkeys(row.split(": ")[part] for row in rows)) for part in (0, 1))
    cells = [
        [
            one,
            *(
                f"{average(rows[f'{one}: {k}'][title]):.0f} ({average(rows[f'{one}: {k}'][other]):.0f})"
                for k in kinds
            ),
        ]
        for one in sets
    ]
    return markdown(["data set", *kinds], cells)


def gain_of(name: str, row: str, over: str, title: str) -> float:
    """Gain of a training over another one, mean over seeds."""
    rows = raw(name).rows()
    return average(rows[row][title]) - average(rows[over][title])


def mean_gain_of(name: str, row: str, over: str, title: str) -> float:
    """The same as a mean over held-out parts."""
    columns = [column for column in raw(name).rows()[row] if column.endswith(f", {title}")]
    return statistics.mean(gain_of(name, row, over, column) for column in columns)


def reduction(name: str, row: str, over: str, title: str) -> float:
    """How much lower a figure is than another training's, in percent of that."""
    rows = raw(name).rows()
    return 100 * (1 - average(rows[row][title]) / average(rows[over][title]))


def gains_over(name: str, over: str = "cross-entropy") -> str:
    """A row a training: gains over another one by part, and their means."""
    rows = raw(name).rows()
    titles = list(dict.fromkeys(column.split(", ")[-1] for column in rows[over]))
    parts = list(dict.fromkeys(column.split(", ")[0] for column in rows[over]))
    head = [f"over {over}", *(f"{part}, {title}" for title in titles for part in parts)]
    head += [f"mean, {title}" for title in titles]
    cells = []
    for row in rows:
        if row != over:
            by = {c: gain_of(name, row, over, c) for c in rows[row] if c in rows[over]}
            columns = [f"{part}, {title}" for title in titles for part in parts]
            means = [statistics.mean(v for c, v in by.items() if c.endswith(f", {title}")) for title in titles]
            cells.append(
                [row, *(f"{by[c]:+.1f}" if c in by else "" for c in columns), *(f"{mean:+.1f}" for mean in means)]
            )
    return markdown(head, cells)


# Speed -----------------------------------------------------------------------------------------------------------


def face_speed(name: str) -> str:
    """Faces a second by network, precision and batch."""
    rows = raw(name).rows()
    titles = [title for title in next(iter(rows.values())) if title != "parameters"]
    cells = [
        [row, f"{figures['parameters'] / 1e6:.1f} M", *(f"{figures[title]:.0f}" for title in titles)]
        for row, figures in rows.items()
    ]
    return markdown(["network", "parameters", *titles], cells)


def refine_sizes(name: str) -> dict[str, str]:
    """A table for each size of images, by size."""
    found: dict[str, list[list[str]]] = {}
    for figures in raw(name).rows().values():
        done, seconds = figures["done"], figures["seconds"]
        size = f"{done} images of {figures['size']}, {figures['classes']} classes"
        size += f", {figures['masks']} masks" if "masks" in figures else ""
        each = [f"{1000 * seconds[part] / done:.0f}" for part in ("network", "read", "write", "total")]
        parameters = f"{figures['parameters'] / 1e6:.1f} M" if figures["parameters"] else ""
        idle = f"{seconds['waited'] / seconds['total']:.1%}"
        cells = [f"{figures['images_per_second']:.2f}", *each, idle, f"{figures['peak_mb']:.0f}", parameters]
        found.setdefault(size, []).append([figures["refiner"], *cells])
    head = ["refiner", "images a second", "network ms", "reading ms", "writing ms", "total ms"]
    head += ["network idle", "peak MB", "parameters"]
    return {size: markdown(head, rows) for size, rows in found.items()}


def engines(name: str) -> str:
    """Images a second, start-up and memory of each engine, and what a million images would take."""
    rows = []
    for row, figures in raw(name).rows().items():
        rate, done = figures["images_per_second"], figures["images"]
        start = max(0.0, figures["seconds"] - done / rate)
        whole = f"{done / figures['seconds']:.2f}"
        million = f"{(start + 1e6 / rate) / 3600:.0f}"
        rows.append([row, f"{rate:.2f}", f"{start:.0f}", whole, f"{figures['peak_mb']:.0f}", million])
    head = ["engine", "images a second", "start-up s", "images a second with it", "peak MB", "a million images, h"]
    return markdown(head, rows)


def operations(name: str) -> str:
    """Milliseconds of each operation, of PyTorch and of a copy."""
    rows = []
    for row, times in raw(name).rows().items():
        own, usual, copy = times["segmend"], times["PyTorch"], times["copy"]
        rows.append([row, f"{own:.1f}", f"{usual:.0f}", f"{usual / own:.1f}", f"{copy:.1f}", f"{own / copy:.1f}"])
    return markdown(["operation", "segmend ms", "PyTorch ms", "times faster", "copy ms", "times a copy"], rows)


def gpu_scan(name: str) -> str:
    """Milliseconds of the scan on a GPU, and shares of a copy's bandwidth."""
    rows = raw(name).rows()
    titles = list(next(iter(rows.values())))
    head = ["map and gates", *(t if t.startswith("share") else f"{t} ms" for t in titles)]
    cells = [
        [row, *(f"{v:.0f} %" if t.startswith("share") else f"{v:.2f}" for t, v in figures.items())]
        for row, figures in rows.items()
    ]
    return markdown(head, cells)


# Labels through time ---------------------------------------------------------------------------------------------


def by_distance(name: str, title: str = "labels moved by") -> str:
    """mIoU of propagated labels by distance, and its mean over the distances."""
    rows = raw(name).rows()
    distances = list(next(iter(rows.values())))
    cells = [
        [row, *(f"{figures[k]['miou']:.1f}" for k in distances), f"{mean_over_distances(name, row):.2f}"]
        for row, figures in rows.items()
    ]
    return markdown([title, *(f"{k} away" for k in distances), "mean"], cells)


def mean_over_distances(name: str, row: str) -> float:
    """Mean mIoU of a row over its distances."""
    return statistics.mean(figures["miou"] for figures in raw(name).rows()[row].values())


def lead(name: str, row: str, over: str) -> float:
    """The smallest lead in mIoU of a row over another one, over the distances."""
    rows = raw(name).rows()
    return min(rows[row][k]["miou"] - rows[over][k]["miou"] for k in rows[over])


def kept(name: str, title: str) -> str:
    """mIoU and accuracy of the labels that were kept, and their share."""
    cells = [
        [row, f"{figures['miou']:.1f}", f"{figures['right']:.2f}", f"{figures['kept']:.1f}"]
        for row, figures in raw(name).rows().items()
    ]
    return markdown([title, "mIoU", "right, %", "kept, %"], cells)


def davis(name: str, group: str) -> str:
    """J and F of an object by distance."""
    rows = raw(name).rows()
    distances = list(next(iter(rows.values()))[group])
    cells = [
        [row, *(f"{figures[group][k][which]:.1f}" for which in "JF" for k in distances)]
        for row, figures in rows.items()
    ]
    return markdown(["labels moved by", *(f"{which}, {k} away" for which in "JF" for k in distances)], cells)


def davis_lead(name: str, row: str, over: str, which: str, group: str = "all") -> float:
    """The smallest lead in J or F of a row over another one, over the distances."""
    rows = raw(name).rows()
    return min(rows[row][group][k][which] - rows[over][group][k][which] for k in rows[over][group])


def calibrated(name: str) -> str:
    """Share of the labels that are right by their confidence, and how many have it, on both halves of DAVIS."""
    halves = {row: figures for row, figures in raw(name).rows().items() if row != "fitted"}
    bins = list(dict.fromkeys(k for figures in halves.values() for k in figures))
    cells = [
        [k, *(f"{figures[k][0]:.1f} ({figures[k][1]:.1f})" if k in figures else "" for figures in halves.values())]
        for k in bins
    ]
    return markdown(["confidence", *(f"right, % (share of all, %): {row}" for row in halves)], cells)


def curve(name: str) -> str:
    """mIoU of trainings by the distance of their propagated frames; rows are named ``NAME, DISTANCE``."""
    rows = raw(name).rows()
    names = list(dict.fromkeys(row.rpartition(", ")[0] for row in rows))
    distances = list(dict.fromkeys(row.rpartition(", ")[2] for row in rows))
    cells = [[name, *(shown(rows[f"{name}, {k}"]["mIoU"]) for k in distances)] for name in names]
    return markdown(["training", *(f"{k} away" for k in distances)], cells)


def propagation_speed(name: str) -> str:
    """Frames a second from files to files, and the peak memory."""
    cells = [
        [row, f"{figures['frames a second']:.2f}", f"{figures['peak_mb']:.0f}"]
        for row, figures in raw(name).rows().items()
    ]
    return markdown(["method and frames", "frames a second", "peak MB"], cells)
