"""Score a folder of label maps against the truth, beside the coarse maps they were made from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend import __version__, metrics
from segmend.data.dataset import Dataset, Record, check_fits
from segmend.data.details import find_beside, read_details
from segmend.data.files import InvalidFile
from segmend.data.maps import find_maps, read_map
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.jobs.tally import ConfidenceCounts, ConfidenceMaps, ConfidenceTally, Counts, Groups, Tally
from segmend.labels import InvalidInput, as_tensor, most_likely
from segmend.report.results import (
    Confidence,
    Evaluation,
    ImageScore,
    Run,
    Skipped,
    read_results,
    write_results,
)

CONFIDENCE_ARRAYS = ("confidence", "change_confidence", "changed")
"""Arrays of details."""

Files = dict[str, Path]
"""Files by ID."""


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
        InvalidInput: not one image could be scored, a group names a class that is none, or has a class's name.
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
    found = _count(truth, present, files, find_beside(pred, "details") if coarse else None, quiet)
    tallies, images, skipped = found.tallies, found.images, found.skipped
    if not images:
        reasons = "; ".join(s.reason for s in skipped[:3])
        raise InvalidInput(f"{pred}: not one map could be scored against the truth. {reasons}")
    scores = [tally.scores(truth.classes, truth.scored, groups) for tally in tallies]
    better, worse = None, None
    if coarse is not None:
        befores = np.array([image.coarse for image in images], dtype=float)
        better, worse = metrics.share_changed(befores, np.array([image.pred for image in images]))
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
        improved=better,
        degraded=worse,
        confidence=found.confidence(truth.scored_ids),
        per_image=images,
        run=_run_of(pred),
        skipped=skipped + missing,
    )
    if out is not None:
        write_results(out, evaluation)
    return evaluation


@dataclass
class _Found:
    """What was counted: tallies of the judged maps, and of the coarse ones where there are any."""

    tallies: list[Tally]
    trust: ConfidenceTally = field(default_factory=ConfidenceTally)
    images: list[ImageScore] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def confidence(self, chosen: tuple[int, ...]) -> Confidence | None:
        """Known where it is of every image: of some it would not stand beside the scores of all."""
        complete = self.trust.images == self.tallies[0].images > 0
        return self.trust.confidence(chosen) if complete else None


Maps = tuple[np.ndarray, list[np.ndarray], ConfidenceMaps | None]
"""True labels, the maps to count, and how sure the first is."""


def _count(
    truth: Dataset, records: list[Record], files: list[Files], details: Files | None, quiet: bool
) -> _Found:
    """Count the maps of all records; `details` are those of the first of `files`."""
    count = len(truth.classes)
    found = _Found([Tally(count) for _ in files])

    def read(record: Record) -> Maps:
        true = truth.labels(record)
        maps = [_labels_like(true, truth, paths[record.id]) for paths in files]
        return true, maps, _confidence_like(true, details, record.id)

    def work(record: Record, read: Maps) -> tuple[list[Counts], ConfidenceCounts | None]:
        true, maps, sure = read
        trust = None
        # What does not belong is an earlier run's, or of other coarse maps.
        if sure is not None and sure.belongs_to(maps[0], maps[1]):
            trust = ConfidenceCounts.of(maps[0], maps[1], sure, true, count)
        return [Counts.of(predicted, true, count) for predicted in maps], trust

    def keep(record: Record, made: tuple[list[Counts], ConfidenceCounts | None]) -> None:
        counts, trust = made
        own = [tally.add(c) for tally, c in zip(found.tallies, counts, strict=True)]
        if trust is not None:
            found.trust.add(trust)
        if not math.isnan(own[0]):
            before = own[1] if len(own) > 1 else None
            found.images.append(ImageScore(id=record.id, coarse=before, pred=own[0]))

    pipeline = Pipeline[Record, Maps, tuple[list[Counts], ConfidenceCounts | None]](
        lambda record: record.id, read, work, keep
    )
    with bar("evaluate", len(records), quiet) as progress:
        found.skipped = pipeline.run(records, progress).skipped
    return found


def _confidence_like(true: np.ndarray, details: Files | None, identity: str) -> ConfidenceMaps | None:
    """What a run wrote of how sure it is of an image, of the truth's size; None where it wrote nothing."""
    if details is None or identity not in details:
        return None
    stored = read_details(details[identity], CONFIDENCE_ARRAYS)
    if len(stored) < len(CONFIDENCE_ARRAYS):
        return None
    for name, values in stored.items():
        check_fits(details[identity], **{"truth": true, name: values})
    of_labels, of_changes = (stored[name] / np.float32(255) for name in CONFIDENCE_ARRAYS[:2])
    return ConfidenceMaps(of_labels, of_changes, stored["changed"] > 0)


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
