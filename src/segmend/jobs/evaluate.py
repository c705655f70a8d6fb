"""Score a folder of label maps against ground truth, beside the coarse maps that they were made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from segmend import __version__
from segmend.coding import Coding
from segmend.data.dataset import Dataset, Record, check_fits, open_masks
from segmend.data.details import find_beside, read_details
from segmend.data.files import InvalidFile
from segmend.data.maps import count_planes, find_maps, label_files, read_scored, which_are_read
from segmend.data.pairing import match_names
from segmend.data.survey import survey_masks
from segmend.jobs.numbering import listed, numbering_note
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
from segmend.report.results import (
    Confidence,
    Evaluation,
    ImageScore,
    Run,
    Skipped,
    StoredIds,
    check_replaceable,
    read_results,
    share_of,
    write_results,
)

MOST_CLASSES = 1000
"""More classes than this are taken for instances: confusion matrices would fill the memory."""

CONFIDENCE_ARRAYS = ("confidence", "change_confidence", "changed")
"""Arrays of details that confidence is scored by."""

Files = dict[str, Path]
"""Files by ID."""


@dataclass(frozen=True)
class _Folder:
    """Maps that are scored: files by the ID of their ground truth, and how their ids are read."""

    path: Path
    files: Files
    coding: Coding
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """IDs of maps without ground truth."""


def open_truth(
    truth: Path,
    maps: Sequence[Path] = (),
    *,
    images: Path | None = None,
    split: str | None = None,
    classes: Classes | int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | None = None,
) -> Dataset:
    """Ground truth to score `maps` against.

    Classes that nobody names (`classes`, or a ``dataset.yaml``) are those that ground truth and maps hold
    together. Names come from the ``results.json`` that predict or refine wrote beside the maps.

    Args:
        truth: a folder of label maps, ``NAME/labels/SPLIT`` of a data set, or the data set itself.
        maps: the folders of maps that will be scored.
        images: the folder of images, for the report.
        split: which split of a data set; may be left out where there is only one.
        ids, palette: see `open_masks`.

    Raises:
        InvalidInput: a missing folder or split, no label maps, or more than `MOST_CLASSES` classes.
    """
    if (truth / "dataset.yaml").is_file():
        truth = truth / "labels" / _chosen_split(truth, split)
    elif split is not None:
        raise InvalidInput(f"--split {split}: {truth} holds no dataset.yaml; give the folder of label maps alone")
    dataset = open_masks(truth, images=images, classes=classes, ids=ids, palette=palette)
    if classes is None and ids is None and palette is None and not _is_described(truth):
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
        check_replaceable(out, _is_evaluation, "an evaluation")
    truth = truth.merged(merge) if merge else truth
    _check_number(truth)
    groups = groups or {}
    for name, members in groups.items():
        truth.classes.ids(members)
        if name in truth.classes.names:
            raise InvalidInput(f"{name}: a class has this name; give the group another")
    folders = [_open_maps(truth, folder) for folder in ([pred] if coarse is None else [pred, coarse])]
    present, missing = _paired(truth, folders)
    counted = _count(truth, present, folders, find_beside(pred, "details") if coarse else None, quiet)
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
        scored=list(truth.scored or truth.classes.names),
        merge=merge or {},
        scores=scores[0],
        per_image=counted.images,
        run=_run_of(pred),
        skipped=counted.skipped + missing,
        notes=_notes(truth, present, folders, counted),
        ids=StoredIds(
            truth=None if truth.coding is None else list(truth.coding.ids), pred=list(folders[0].coding.ids)
        ),
    )
    if coarse is not None:
        evaluation.ids.coarse = list(folders[1].coding.ids)
        evaluation.coarse_scores = scores[1]
        evaluation.improved = share_of("improved", counted.images)
        evaluation.degraded = share_of("degraded", counted.images)
        evaluation.corrected_pixels, evaluation.degraded_pixels = (int(n) for n in counted.changed_pixels)
        evaluation.confidence = counted.confidence_scores(truth.scored_ids)
    if out is not None:
        write_results(out, evaluation)
    return evaluation


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


def _count(
    truth: Dataset, records: list[Record], folders: list[_Folder], details: Files | None, quiet: bool
) -> _Counted:
    """Count the maps of all records; `details` are those of the first of `folders`."""
    count, void = len(truth.classes), truth.classes.void
    counted = _Counted([Tally(count) for _ in folders], [set() for _ in folders])

    def read(record: Record) -> _Maps:
        true = truth.labels(record)
        scored = [_read_like(true, truth, folder, record.id) for folder in folders]
        maps, foreign = ([pair[k] for pair in scored] for k in (0, 1))
        return _Maps(true, maps, foreign, _confidence_like(true, details, record.id))

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


def _read_like(true: np.ndarray, truth: Dataset, folder: _Folder, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What `read_scored` gives, of the size of the ground truth."""
    path = folder.files[name]
    labels, foreign = read_scored(path, truth.classes, folder.coding, truth.max_pixels)
    check_fits(path, truth=true, map=labels)
    return labels, foreign


def _confidence_like(true: np.ndarray, details: Files | None, identity: str) -> ConfidenceMaps | None:
    """A run's confidence in an image, of the size of the ground truth; None where it wrote none."""
    if details is None or identity not in details:
        return None
    stored = read_details(details[identity], CONFIDENCE_ARRAYS)
    if len(stored) < len(CONFIDENCE_ARRAYS):
        return None
    for name, values in stored.items():
        check_fits(details[identity], **{"truth": true, name: values})
    labels, changes = (stored[name] / np.float32(255) for name in CONFIDENCE_ARRAYS[:2])
    return ConfidenceMaps(labels, changes, stored["changed"] > 0)


def _open_maps(truth: Dataset, folder: Path) -> _Folder:
    """The maps in a folder, by the IDs of their ground truth, and how their ids are read.

    Raises:
        InvalidInput: no maps, or ids that cannot be meant.
    """
    maps = find_maps(folder)
    partner, assumed = match_names({r.id: r.labels for r in truth if r.labels}, maps)
    files = {name: maps[other] for name, other in partner.items()} or maps
    coding, notes = Coding.counted(len(truth.classes)), [assumed] if assumed else []
    if labels := label_files(maps):
        try:
            like = truth.coding if truth.merge is None else None
            decision = survey_masks(labels, max_pixels=truth.max_pixels).decide_like(like or coding)
        except InvalidInput as error:
            raise InvalidFile(folder, str(error)) from None
        coding = decision.coding
        notes += decision.assumed
    others = tuple(sorted(maps.keys() - set(partner.values())))
    return _Folder(folder, files, coding, tuple(notes), others)


def _paired(truth: Dataset, folders: list[_Folder]) -> tuple[list[Record], list[Skipped]]:
    """The records that have a map in every folder, and the ground truth that has none.

    Raises:
        InvalidInput: there is no such record.
    """
    labelled = [record for record in truth if record.labels is not None]
    present, missing = [], []
    for record in labelled:
        lacks = [folder.path for folder in folders if record.id not in folder.files]
        if lacks:
            missing.append(Skipped(file=str(record.labels), reason=f"no map of this ID in {lacks[0]}"))
        else:
            present.append(record)
    if not labelled:
        raise InvalidInput(f"{truth.name}: expected label maps to score against, found images alone")
    if not present:
        raise InvalidInput(
            f"{folders[0].path}: no map has the ID of a ground truth: its IDs are such as "
            f"{next(iter(folders[0].files))!r}, "
            f"those of the ground truth such as {labelled[0].id!r}. Files pair by their path without the suffix"
        )
    return present, missing


def _notes(truth: Dataset, present: list[Record], folders: list[_Folder], counted: _Counted) -> list[str]:
    """What a reader must know to judge the scores."""
    plain = truth.coding is None or truth.merge is not None
    ids = range(len(truth.classes)) if plain or truth.coding is None else truth.coding.ids
    notes = []
    files = folders[0].files
    if any(record.labels and record.labels.samefile(files[record.id]) for record in present):
        notes.append("the maps are the files of the ground truth")
    for what, folder, tally, foreign in zip(
        ("the maps", "the coarse maps"), folders, counted.tallies, counted.foreign, strict=False
    ):
        source = which_are_read(folder.path, folder.files)
        notes += [f"{what}: {source}"] if source else []
        notes += [f"{what}: {note}" for note in folder.notes]
        numbering = numbering_note(tally.confusion, ids, foreign, what)
        notes += (
            [numbering] if numbering else _classes_without_truth(truth.classes, tally.confusion, foreign, what)
        )
    without_truth = folders[0].others
    if without_truth:
        few = "1 map has" if len(without_truth) == 1 else f"{len(without_truth):,} maps have"
        notes.append(f"{few} no ground truth and no score ({without_truth[0]})")
    return notes


def _classes_without_truth(classes: Classes, confusion: np.ndarray, foreign: set[int], what: str) -> list[str]:
    """Sentences on predicted classes that the ground truth lacks."""
    notes = []
    predicted, true = confusion[:, :-1].sum(axis=0), confusion.sum(axis=1)
    lacking = np.flatnonzero((true == 0) & (predicted > 0))
    if len(lacking):
        share = predicted[lacking].sum() / max(1, true.sum())
        names = ", ".join(classes.names[c] for c in lacking)
        notes.append(f"the ground truth lacks {names}: {100 * share:.2g} % of the pixels of {what} count as wrong")
    if foreign:
        notes.append(f"ids that are no class, in {what}: {listed(sorted(foreign))}; their pixels count as wrong")
    return notes


def _chosen_split(root: Path, split: str | None) -> str:
    splits = sorted(path.name for path in (root / "labels").glob("*") if path.is_dir())
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None or split not in splits:
        asked = "say which split (--split)" if split is None else f"no labels of a split {split!r}"
        raise InvalidFile(root, f"{asked}: there is {', '.join(splits) or 'none'}")
    return split


def _is_described(labels: Path) -> bool:
    """Whether a ``dataset.yaml`` says what the label maps in this folder hold."""
    labels = labels.resolve()
    return labels.parent.name == "labels" and (labels.parent.parent / "dataset.yaml").is_file()


def _with_classes_of(truth: Dataset, folders: Sequence[Path]) -> Dataset:
    """Plain ground truth, in the classes that it and the maps hold together, named as the maps' run names them."""
    assert truth.coding is not None
    ids = set(truth.coding.ids)
    for folder in folders:
        ids |= _ids_of(find_maps(folder), truth.coding, truth.max_pixels)
    coding, classes = truth.coding, truth.classes
    if ids != set(coding.ids):
        coding = replace(coding, ids=tuple(sorted(ids)), void=tuple(i for i in coding.void if i not in ids))
        colours = dict(zip(truth.coding.ids, truth.classes.palette, strict=True))
        classes = coding.coloured(tuple(colours.get(i, voc_colour(i)) for i in range(max(ids) + 1)))
    runs = [tuple(run.classes) for folder in folders if (run := _run_of(folder)) is not None]
    for names in (names for names in runs if names != Classes.numbered(len(names)).names):
        if len(names) == len(classes):
            classes = Classes(names, classes.palette)
        elif max(coding.ids) < len(names):
            coding = replace(Coding.counted(len(names)), colours=coding.colours)
            classes = Classes(names, classes.palette if truth.coding.is_plain else ())
    return replace(truth, classes=classes, coding=coding)


def _ids_of(maps: Files, coding: Coding, max_pixels: int) -> set[int]:
    """The ids of classes that maps hold and that ground truth with this coding may not hold."""
    labels = label_files(maps)
    found: set[int] = set()
    if len(labels) < len(maps):
        planes = count_planes(maps, max_pixels)
        found = set() if planes == len(coding.ids) else set(range(planes))
    if labels and coding.void:  # where 255 is foreground in the ground truth, there are two classes
        decision = survey_masks(labels, max_pixels=max_pixels).decide()
        found |= set(decision.coding.ids) if decision.coding.void else set()
    return found


def _check_number(truth: Dataset) -> None:
    if len(truth.classes) > MOST_CLASSES:
        raise InvalidInput(
            f"{truth.name}: ids up to {len(truth.classes) - 1}: are these instances? Expected at most "
            f"{MOST_CLASSES} classes: write one id for all objects of a class"
        )


def _is_evaluation(path: Path) -> bool:
    try:
        return isinstance(read_results(path), Evaluation)
    except InvalidFile:
        return False


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
