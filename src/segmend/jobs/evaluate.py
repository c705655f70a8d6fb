"""Score a folder of label maps against the truth, beside the coarse maps they were made from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend import __version__, metrics
from segmend.data.dataset import Dataset, Record, check_fits
from segmend.data.files import InvalidFile
from segmend.data.maps import find_maps, read_map
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput, as_tensor, most_likely
from segmend.report.results import (
    Evaluation,
    PictureScore,
    Run,
    Scores,
    Skipped,
    read_results,
    write_results,
)

TRIMAP_WIDTHS = 40

Groups = dict[str, tuple[str, ...]]
"""Classes by the name that they have together."""


@dataclass(frozen=True)
class Counts:
    """What one picture adds to the scores."""

    confusion: np.ndarray
    trimap: np.ndarray
    boundary: np.ndarray
    boundary_f: np.ndarray
    region_j: np.ndarray

    @classmethod
    def of(cls, prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> Counts:
        """Counts of a label map against the truth, both ``[H, W]``."""
        return cls(
            metrics.confusion_matrix(prediction, truth, num_classes),
            metrics.trimap_confusion(prediction, truth, num_classes, TRIMAP_WIDTHS),
            metrics.boundary_iou_counts(prediction, truth, num_classes),
            metrics.boundary_f(prediction, truth, num_classes),
            metrics.region_j(prediction, truth, num_classes),
        )


@dataclass
class Tally:
    """Counts of many pictures, and the scores they give."""

    num_classes: int
    confusion: np.ndarray = field(init=False)
    trimap: np.ndarray = field(init=False)
    boundary: np.ndarray = field(init=False)
    boundary_f: list[np.ndarray] = field(default_factory=list)
    region_j: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = self.num_classes
        self.confusion = np.zeros((count, count + 1), np.int64)
        self.trimap = np.zeros((TRIMAP_WIDTHS, count, count + 1), np.int64)
        self.boundary = np.zeros((2, count), np.int64)

    def add(self, counts: Counts) -> float:
        """Add a picture; gives its own mIoU."""
        self.confusion += counts.confusion
        self.trimap += counts.trimap
        self.boundary += counts.boundary
        self.boundary_f.append(counts.boundary_f)
        self.region_j.append(counts.region_j)
        return metrics.mean_iou(counts.confusion)

    def scores(self, classes: Classes, over: tuple[str, ...] = (), groups: Groups | None = None) -> Scores:
        """The scores over all pictures; figures that nothing defines are 0 (None for classes).

        Args:
            over: the classes that means are taken over (none: all).
            groups: classes whose pixels are joined for one more F-measure each.
        """
        names, groups = classes.names, groups or {}
        chosen = list(classes.ids(over or names))
        joined = [list(classes.ids(members)) for members in groups.values()]
        return Scores(
            pixel_accuracy=_number(metrics.pixel_accuracy(self.confusion)),
            mean_accuracy=_mean(metrics.class_accuracy(self.confusion)[chosen]),
            mean_iou=_mean(metrics.iou(self.confusion)[chosen]),
            boundary_iou=_mean(metrics.boundary_iou(self.boundary)[chosen]),
            boundary_f=_mean(np.array(self.boundary_f)[:, chosen]),
            region_j=_mean(np.array(self.region_j)[:, chosen]),
            iou=_by_class(names, metrics.iou(self.confusion)),
            f_measure=_by_class(names, metrics.f_measure(self.confusion))
            | _by_class(tuple(groups), metrics.f_measure(self.confusion, joined)),
            trimap=[_mean(values) for values in metrics.iou(self.trimap)[:, chosen]],
        )


def evaluate(
    truth: Dataset,
    pred: Path,
    coarse: Path | None = None,
    out: Path | None = None,
    quiet: bool = False,
    groups: Groups | None = None,
    merge: Groups | None = None,
) -> Evaluation:
    """Score the maps in `pred` (and in `coarse`, before) against the labels of `truth`.

    Maps are label files, or ``.npz`` probabilities; they pair by ID. Truth without a prediction is listed
    as skipped, and so are files that cannot be used.

    Args:
        out: ``results.json`` to write; folders in it are relative to its own.
        groups: classes whose pixels are joined for one more F-measure each (eyes, brows, ...).
        merge: true classes that are one class in the maps (see `Dataset.merged`).

    Raises:
        InvalidInput: not one picture could be scored, a group names a class that is none, or has a class's name.
    """
    truth = truth.merged(merge) if merge else truth
    groups = groups or {}
    for name, members in groups.items():
        truth.classes.ids(members)
        if name in truth.classes.names:
            raise InvalidInput(f"{name}: a class has this name; give the group another")
    folders = [pred] if coarse is None else [pred, coarse]
    files = [find_maps(folder) for folder in folders]
    labelled = [record for record in truth if record.labels is not None]
    present = [record for record in labelled if all(record.id in found for found in files)]
    missing = [
        Skipped(file=str(record.labels), reason="no map of this ID to score")
        for record in labelled
        if not all(record.id in found for found in files)
    ]
    tallies, pictures, skipped = _count(truth, present, files, quiet)
    if not pictures:
        reasons = "; ".join(s.reason for s in skipped[:3])
        raise InvalidInput(f"{pred}: not one map could be scored against the truth. {reasons}")
    scores = [tally.scores(truth.classes, truth.scored, groups) for tally in tallies]
    better, worse = None, None
    if coarse is not None:
        befores = np.array([picture.coarse for picture in pictures], dtype=float)
        better, worse = metrics.share_changed(befores, np.array([picture.pred for picture in pictures]))
    base = (out.parent if out else Path()).resolve()
    evaluation = Evaluation(
        version=__version__,
        classes=list(truth.classes.names),
        palette=list(truth.classes.palette),
        truth=_relative(_common(present, "labels"), base),
        pred=_relative(pred, base),
        coarse=None if coarse is None else _relative(coarse, base),
        images=_relative(_common(present, "image"), base) if present[0].image else None,
        scored=list(truth.scored or truth.classes.names),
        merge=merge or {},
        scores=scores[0],
        coarse_scores=None if coarse is None else scores[1],
        made_better=better,
        made_worse=worse,
        pictures=pictures,
        run=_run_of(pred),
        skipped=skipped + missing,
    )
    if out is not None:
        write_results(out, evaluation)
    return evaluation


def _count(
    truth: Dataset, records: list[Record], files: list[dict[str, Path]], quiet: bool
) -> tuple[list[Tally], list[PictureScore], list[Skipped]]:
    """Tallies of the predicted maps, and of the coarse ones where there are two folders; and each picture's."""
    count = len(truth.classes)
    tallies = [Tally(count) for _ in files]
    pictures: list[PictureScore] = []

    def read(record: Record) -> list[np.ndarray]:
        true = truth.labels(record)
        return [true] + [_labels_like(true, truth, found[record.id]) for found in files]

    def work(record: Record, maps: list[np.ndarray]) -> list[Counts]:
        return [Counts.of(predicted, maps[0], count) for predicted in maps[1:]]

    def keep(record: Record, counts: list[Counts]) -> None:
        own = [tally.add(c) for tally, c in zip(tallies, counts, strict=True)]
        if not math.isnan(own[0]):
            before = own[1] if len(own) > 1 else None
            pictures.append(PictureScore(id=record.id, coarse=before, pred=own[0]))

    with bar("evaluate", len(records), quiet) as progress:
        outcome = Pipeline[Record, list[np.ndarray], list[Counts]](lambda record: record.id, read, work, keep).run(
            records, lambda record: False, progress
        )
    return tallies, pictures, outcome.skipped


def _labels_like(true: np.ndarray, truth: Dataset, path: Path) -> np.ndarray:
    """The label map in a file, of the truth's size."""
    map_ = as_tensor(read_map(path, truth.classes, max_pixels=truth.max_pixels))
    labels = (most_likely(map_) if map_.ndim == 3 else map_).numpy()
    check_fits(path, truth=true, map=labels)
    return labels


def _common(records: list[Record], kind: str) -> Path:
    """The folder below which the files of all records lie, by their IDs."""
    path: Path = getattr(records[0], kind)
    for _ in Path(records[0].id).parts:
        path = path.parent
    return path


def _relative(folder: Path, base: Path) -> str:
    return Path(os.path.relpath(folder.resolve(), base)).as_posix()


def _run_of(pred: Path) -> Run | None:
    """The run that wrote ``OUT/labels``, where its results lie beside it."""
    for path in (pred / "results.json", pred.parent / "results.json"):
        try:
            results = read_results(path)
        except InvalidFile:
            continue
        if isinstance(results, Run):
            return results
    return None


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else float(value)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _by_class(names: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {n: None if math.isnan(v) else float(v) for n, v in zip(names, values, strict=True)}
