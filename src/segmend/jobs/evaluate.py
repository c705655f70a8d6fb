"""Score a folder of label maps against ground truth, beside the coarse maps that they were made from."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from segmend import __version__
from segmend.coding import Coding, listed
from segmend.data.dataset import Dataset, Record, check_fits, dataset_above, open_masks
from segmend.data.details import find_beside, read_details
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.maps import find_maps, which_are_read
from segmend.data.scored import (
    Files,
    Scored,
    coding_of_maps,
    numbers_in,
    numbers_of,
    pair_maps,
    read_scored,
    stored_as,
)
from segmend.jobs.numbering import numbering_note
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.jobs.tally import (
    ConfidenceCounts,
    ConfidenceMaps,
    ConfidenceTally,
    Counts,
    Groups,
    Tally,
    image_score,
)
from segmend.labels import Classes, InvalidInput, voc_colour
from segmend.pixels import turned
from segmend.report.results import (
    Confidence,
    Evaluation,
    ImageScore,
    Run,
    Skipped,
    check_replaceable,
    holds,
    read_results,
    share_of,
    write_results,
)

MOST_CLASSES = 1000
"""More classes than this are taken for instances: confusion matrices would fill the memory."""

CONFIDENCE_ARRAYS = ("confidence", "change_confidence", "changed")
"""Arrays of details that confidence is scored by."""


def open_truth(
    truth: Path,
    maps: Sequence[Path] = (),
    *,
    images: Path | None = None,
    split: str | None = None,
    classes: Classes | int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Dataset:
    """Ground truth to score `maps` against.

    Classes that nobody names (`classes`, or a ``dataset.yaml``) are those that ground truth and maps hold
    together. Names come from the ``results.json`` that predict or refine wrote beside the maps.

    Args:
        truth: a folder of label maps, ``NAME/labels/SPLIT`` of a data set, or the data set itself.
        maps: the folders of maps that will be scored.
        images: the folder of images, for the report.
        split: which split of a data set; may be left out where there is only one.
        classes, ids, palette, max_pixels: see `open_masks`.

    Raises:
        InvalidInput: a missing folder or split, no label maps, or more than `MOST_CLASSES` classes.
    """
    if (truth / "dataset.yaml").is_file():
        truth = truth / "labels" / _chosen_split(truth, split)
    elif split is not None:
        raise InvalidInput(f"--split {split}: {truth} holds no dataset.yaml; give the folder of label maps alone")
    dataset = open_masks(truth, images=images, classes=classes, ids=ids, palette=palette, max_pixels=max_pixels)
    if classes is None and ids is None and palette is None and dataset_above(truth) is None:
        dataset = _with_classes_of(dataset, maps)
    _check_number(dataset)
    return dataset


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

    Maps are label files, or ``.npz`` probabilities; they pair by ID. Ids that are no class of `truth` count as
    wrong, as void does. Ground truth without a prediction is listed as skipped, and so are files that cannot be
    used.

    Args:
        out: ``results.json`` to write; folders in it are relative to its own. An earlier evaluation is replaced.
        groups: classes whose pixels are joined for one more F-measure each (eyes, brows, ...).
        merge: true classes that are one class in the maps (see `Dataset.merged`).

    Raises:
        InvalidInput: not one image could be scored, a group names a class that is none, or has a class's name,
            more than `MOST_CLASSES` classes, or `out` cannot be written or holds something else.
    """
    if out is not None:
        check_replaceable(out, partial(holds, kind=Evaluation), "an evaluation")
    truth = truth.merged(merge) if merge else truth
    _check_number(truth)
    groups = groups or {}
    for name, members in groups.items():
        truth.classes.ids(members)
        if name in truth.classes.names:
            raise InvalidInput(f"{name}: a class has this name; give the group another")
    maps = [_found("the maps", pred, truth)]
    if coarse is not None:
        maps.append(_found("the coarse maps", coarse, truth))
    present, missing = _paired(truth, maps)
    details = find_beside(pred, "details") if coarse else None
    counted = _count(truth, present, maps, details or {}, quiet)
    if not counted.images:
        reasons = "; ".join(f"{s.file}: {s.reason}" for s in counted.skipped[:3])
        raise InvalidInput(f"{pred}: not one map could be scored. {reasons or 'The ground truth is all void'}")
    scores = [tally.scores(truth.classes, truth.scored, groups) for tally in counted.tallies]
    base = (out.parent if out else Path()).resolve()
    evaluation = Evaluation(
        version=__version__,
        classes=list(truth.classes.names),
        palette=list(truth.classes.palette),
        truth=_relative(_common(present, "labels"), base),
        pred=_relative(pred, base),
        coarse=None if coarse is None else _relative(coarse, base),
        images=_relative(_common(present, "image"), base) if present[0].image else None,
        ids=_ids_that_are_not_places(truth, maps),
        scored=list(truth.scored or truth.classes.names),
        merge=merge or {},
        scores=scores[0],
        per_image=counted.images,
        run=_run_of(pred),
        skipped=counted.skipped + missing,
        notes=_notes(truth, present, maps, counted),
    )
    if coarse is not None:
        evaluation.coarse_scores = scores[1]
        evaluation.improved = share_of("improved", counted.images)
        evaluation.degraded = share_of("degraded", counted.images)
        evaluation.corrected_pixels, evaluation.degraded_pixels = (int(n) for n in counted.changed_pixels)
        evaluation.confidence = counted.confidence_scores(truth.scored_ids)
    if out is not None:
        write_results(out, evaluation)
    return evaluation


@dataclass(frozen=True)
class _Found:
    """A folder of maps.

    Attributes:
        what: how its maps are called in notes.
        files: the maps by their own ID.
        partner: the ID of the map, by the ID of its ground truth.
        coding: how its label files store the classes.
        assumed: how names pair that are not equal, and how ids are read, in sentences.
    """

    what: str
    folder: Path
    files: Files
    partner: dict[str, str]
    coding: Coding
    assumed: tuple[str, ...]

    def file(self, record: Record) -> Path:
        """The map of a record that has one."""
        return self.files[self.partner[record.id]]


def _found(what: str, folder: Path, truth: Dataset) -> _Found:
    files = find_maps(folder)
    labelled = {record.id: record.labels for record in truth if record.labels is not None}
    if not labelled:
        raise InvalidInput(f"{truth.name}: expected label maps to score against, found images alone")
    partner, assumed = pair_maps(labelled, files, str(folder))
    like = _coding_of(truth)
    count = len(like.ids) if like.is_plain else None
    coding, read_as = coding_of_maps(folder, files, like, count, truth.max_pixels, truth.classes.palette)
    return _Found(what, folder, files, partner, stored_as(coding, numbers_of(like)), (*assumed, *read_as))


def _coding_of(truth: Dataset) -> Coding:
    """How maps would store the classes of the ground truth: merged classes have their places as ids."""
    if truth.coding is None or truth.merge is not None:
        return Coding.counted(len(truth.classes))
    return truth.coding


@dataclass
class _Counted:
    """What was counted: tallies of the scored maps, and of the coarse ones where there are any.

    Attributes:
        foreign: for each folder of maps, the ids in it that are no class.
        changed_pixels: how many pixels were corrected, and how many degraded.
    """

    tallies: list[Tally]
    foreign: list[set[int]]
    changed_pixels: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))
    confidence: ConfidenceTally = field(default_factory=ConfidenceTally)
    images: list[ImageScore] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def confidence_scores(self, chosen: tuple[int, ...]) -> Confidence | None:
        """None where some image lacks its confidence: scores of some would stand beside scores of all."""
        complete = self.confidence.images == self.tallies[0].images > 0
        return self.confidence.confidence(chosen) if complete else None


@dataclass(frozen=True)
class _Maps:
    """The maps of one image, ``[H, W]`` each: the scored one first, then the coarse one where there is one."""

    true: np.ndarray
    maps: list[np.ndarray]
    foreign: list[np.ndarray]
    confidence: ConfidenceMaps | None

    def changed_pixels(self, void: int) -> tuple[int, int]:
        """How many pixels the refinement corrected, and how many it degraded."""
        refined, coarse = (map_ == self.true for map_ in (self.maps[0], self.maps[-1]))
        valid = self.true != void
        return int((refined & ~coarse & valid).sum()), int((coarse & ~refined & valid).sum())


@dataclass(frozen=True)
class _ImageCounts:
    counts: list[Counts]
    foreign: list[np.ndarray]
    changed_pixels: tuple[int, int]
    confidence: ConfidenceCounts | None


def _count(truth: Dataset, records: list[Record], found: list[_Found], details: Files, quiet: bool) -> _Counted:
    """Count the maps of all records; `details` are those of the first folder of maps, by the maps' own ID."""
    count, void = len(truth.classes), truth.classes.void
    counted = _Counted([Tally(count) for _ in found], [set() for _ in found])

    def read(record: Record) -> _Maps:
        true = truth.labels(record)
        scored = [_read_like(true, truth, maps, record) for maps in found]
        confidence = _confidence_like(true, details.get(found[0].partner[record.id]))
        return _Maps(true, [one.labels for one in scored], [one.foreign for one in scored], confidence)

    def work(record: Record, read: _Maps) -> _ImageCounts:
        confidence = None
        # Details that do not belong to these maps are an earlier run's, or of other coarse maps.
        if read.confidence is not None and read.confidence.belongs_to(read.maps[0], read.maps[1]):
            confidence = ConfidenceCounts.of(read.maps[0], read.maps[1], read.confidence, read.true, count)
        counts = [Counts.of(labels, read.true, count) for labels in read.maps]
        return _ImageCounts(counts, read.foreign, read.changed_pixels(void), confidence)

    def keep(record: Record, image: _ImageCounts) -> None:
        for tally, counts in zip(counted.tallies, image.counts, strict=True):
            tally.add(counts)
        for all_ids, ids in zip(counted.foreign, image.foreign, strict=True):
            all_ids.update(ids.tolist())
        counted.changed_pixels += image.changed_pixels
        if image.confidence is not None:
            counted.confidence.add(image.confidence)
        confusions = [counts.confusion for counts in image.counts]
        score = image_score(record.id, confusions[0], confusions[1] if len(confusions) > 1 else None)
        if score is not None:
            counted.images.append(score)

    pipeline = Pipeline[Record, _Maps, _ImageCounts](lambda record: record.id, read, work, keep)
    with bar("evaluate", len(records), quiet) as progress:
        counted.skipped = pipeline.run(records, progress).skipped
    return counted


def _read_like(true: np.ndarray, truth: Dataset, maps: _Found, record: Record) -> Scored:
    """What `read_scored` gives, of the size of the ground truth, and turned as it was."""
    path = maps.file(record)
    labels, foreign = read_scored(path, truth.classes, maps.coding, truth.max_pixels)
    if record.turn != 1 and labels.shape != true.shape:
        labels = turned(labels, record.turn)
    check_fits(path, truth=true, map=labels)
    return Scored(labels, foreign)


def _confidence_like(true: np.ndarray, path: Path | None) -> ConfidenceMaps | None:
    """A run's confidence in an image, of the size of the ground truth; None where it wrote none."""
    if path is None:
        return None
    stored = read_details(path, CONFIDENCE_ARRAYS)
    if len(stored) < len(CONFIDENCE_ARRAYS):
        return None
    for name, values in stored.items():
        check_fits(path, **{"truth": true, name: values})
    labels, changes = (stored[name] / np.float32(255) for name in CONFIDENCE_ARRAYS[:2])
    return ConfidenceMaps(labels, changes, stored["changed"] > 0)


def _paired(truth: Dataset, found: list[_Found]) -> tuple[list[Record], list[Skipped]]:
    """The records that have a map in every folder, and the ground truth that has none."""
    present, missing = [], []
    for record in truth:
        if record.labels is None:
            continue
        lacks = [maps.folder for maps in found if record.id not in maps.partner]
        if lacks:
            missing.append(Skipped(file=str(record.labels), reason=f"no map of this ID in {lacks[0]}"))
        else:
            present.append(record)
    return present, missing


def _notes(truth: Dataset, present: list[Record], found: list[_Found], counted: _Counted) -> list[str]:
    """What a reader must know to judge the scores."""
    notes = []
    if any(record.labels and record.labels.samefile(found[0].file(record)) for record in present):
        notes.append("the maps are the files of the ground truth")
    for maps in found:
        source = which_are_read(maps.folder, maps.files)
        notes += [f"{maps.what} {source}"] if source else []
        notes += [f"{maps.what}: {sentence}" for sentence in maps.assumed]
    notes += _notes_on_ids(truth, found, counted)
    without_truth = sorted(found[0].files.keys() - set(found[0].partner.values()))
    if without_truth:
        few = "1 map has" if len(without_truth) == 1 else f"{len(without_truth):,} maps have"
        notes.append(f"{few} no ground truth and no score ({without_truth[0]})")
    return notes


def _notes_on_ids(truth: Dataset, found: list[_Found], counted: _Counted) -> list[str]:
    """Sentences on ids of another numbering, predicted classes that the ground truth lacks, and other ids."""
    notes = []
    lacking: dict[str, list[str]] = {}
    numbers = numbers_of(_coding_of(truth))
    for maps, tally, foreign in zip(found, counted.tallies, counted.foreign, strict=True):
        numbering = numbering_note(tally.confusion, numbers, foreign, maps.what)
        if numbering:
            notes.append(numbering)
            continue
        predicted, true = tally.confusion[:, :-1].sum(axis=0), tally.confusion.sum(axis=1)
        extra = np.flatnonzero((true == 0) & (predicted > 0))
        if len(extra):
            share = 100 * predicted[extra].sum() / true.sum()
            names = ", ".join(truth.classes.names[c] for c in extra)
            lacking.setdefault(names, []).append(f"{share:.2g} % of the pixels of {maps.what}")
        if foreign:
            ids = listed(sorted(foreign))
            notes.append(f"ids that are no class, in {maps.what}: {ids}; their pixels count as wrong")
    for names, shares in lacking.items():
        notes.append(f"the ground truth lacks {names}: {' and '.join(shares)} count as wrong")
    return notes


def _chosen_split(root: Path, split: str | None) -> str:
    splits = sorted(path.name for path in (root / "labels").glob("*") if path.is_dir())
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None or split not in splits:
        asked = "say which split (--split)" if split is None else f"no labels of a split {split!r}"
        raise InvalidFile(root, f"{asked}: there is {', '.join(splits) or 'none'}")
    return split


def _with_classes_of(truth: Dataset, folders: Sequence[Path]) -> Dataset:
    """Plain ground truth, in the classes that it and the maps hold together, named as the maps' run names them."""
    coding = _coding_of(truth)
    own = numbers_of(coding)
    found = [numbers_in(folder, find_maps(folder), coding, truth.max_pixels) for folder in folders]
    together = tuple(sorted({*own, *(number for numbers in found for number in numbers)}))
    named = _named_by_run(folders, max(together) + 1)
    if together == own and named is None:
        return truth
    numbers = tuple(range(len(named))) if named else together
    colours = dict(zip(own, truth.classes.palette, strict=True))
    names = named or tuple(f"class {number}" for number in numbers)
    why = "named as in the results.json of the maps" if named else "those that they hold together"
    classes = Classes(names, tuple(colours.get(number, voc_colour(number)) for number in numbers))
    findings = (*truth.findings, f"ground truth and maps are scored in {len(classes)} classes, {why}")
    return replace(truth, classes=classes, coding=stored_as(coding, numbers), findings=findings)


def _named_by_run(folders: Sequence[Path], least: int) -> tuple[str, ...] | None:
    """The names of at least so many classes that the run behind maps gave them; None for numbers alone."""
    for folder in folders:
        run = _run_of(folder)
        if run and len(run.classes) >= least and not all(re.fullmatch(r"class \d+", n) for n in run.classes):
            return tuple(run.classes)
    return None


def _ids_that_are_not_places(truth: Dataset, found: list[_Found]) -> dict[str, tuple[int, ...]]:
    codings = dict(zip(("pred", "coarse"), (maps.coding for maps in found), strict=False))
    if truth.coding is not None and truth.merge is None:
        codings["truth"] = truth.coding
    return {name: coding.ids for name, coding in codings.items() if not coding.is_plain}


def _check_number(truth: Dataset) -> None:
    if len(truth.classes) > MOST_CLASSES:
        raise InvalidInput(
            f"{truth.name}: {len(truth.classes):,} classes: are these instances? Expected at most "
            f"{MOST_CLASSES:,}: write one id for all objects of a class"
        )


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
