"""Find labels that are wrong: score images and regions by how much predictions and edges contradict them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from segmend import __version__
from segmend.check import (
    Detector,
    Sample,
    Seen,
    Suspect,
    Usual,
    samples_of,
    suspects_of,
)
from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile, check_writable_folder, find_files
from segmend.data.maps import count_planes
from segmend.data.masks import write_labels
from segmend.data.pairs import Pairs, open_pairs
from segmend.data.probabilities import PROBABILITY_SUFFIXES
from segmend.jobs.border_profiles import sampled
from segmend.jobs.check_measure import Evidence, Given, MeasureWorker, Predictions, Refined, read_measured, size_of
from segmend.jobs.outputs import check_outputs, note_of
from segmend.jobs.pipeline import LOCAL, Engine, Outcome, Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput
from segmend.report import wording
from segmend.report.check import write_check_page
from segmend.report.html import is_page
from segmend.report.results import (
    CheckedImage,
    CheckRun,
    Skipped,
    SuspectRegion,
    check_replaceable,
    holds,
    write_results,
)

RESULTS, PAGE = "results.json", "check.html"

THRESHOLD = 0.5
"""Score from which on an image looks wrong."""

SIMULATED = 64
"""Images on which errors are simulated, at most."""

ON_PAGE = 24
"""Images that the page shows, at most."""

FEW_IMAGES, FEW_AREAS = 20, 5
"""What is usual is uncertain in folders of fewer images, and for classes with fewer areas."""

SUGGESTED = "suggested by check"
"""How the note of every label map begins that this command writes."""


def open_checked(
    images: Path,
    coarse: Path,
    probs: Path | None = None,
    classes: Classes | int | None = None,
    *,
    ids: Sequence[int] | None = None,
    palette: Path | None = None,
    bands: tuple[int, int, int] | None = None,
    max_pixels: int,
) -> tuple[Dataset, Predictions | None, list[Skipped]]:
    """Images, their label maps and, where a folder of them is given, the probability maps of the same IDs.

    Returns:
        The pairs, what gives their probability maps, and what has no partner.

    Raises:
        InvalidFile: nothing pairs, or the probability maps have another number of classes.
    """
    files = _probability_maps(probs) if probs is not None else {}
    planes = count_planes(files, max_pixels) if files else None

    def opened(count: Classes | int | None) -> Pairs:
        return open_pairs(
            images, coarse, classes=count, ids=ids, palette=palette, bands=bands, max_pixels=max_pixels
        )

    pairs, unpaired = opened(classes)
    if planes is not None and classes is None and ids is None and palette is None and len(pairs.classes) < planes:
        pairs, unpaired = opened(planes)  # masks may lack the last classes
    skipped = [Skipped(file=str(error.path), reason=error.reason) for error in unpaired]
    if probs is None:
        return pairs, None, skipped
    if planes != len(pairs.classes):
        raise InvalidFile(
            probs, f"probabilities of {planes} classes, but the label maps have {len(pairs.classes)} classes"
        )
    predicted = pairs.paired(probs, files)
    with_map = {record.id for record in predicted}
    for record in pairs:
        if record.id not in with_map:
            skipped.append(Skipped(file=str(record.coarse), reason=f"no probability map of this ID in {probs}"))
    pairs = replace(pairs.subset(with_map), findings=predicted.findings)
    return pairs, Predictions(predicted, probs), skipped


def _probability_maps(folder: Path) -> dict[str, Path]:
    """The probability maps below a folder, or in the ``probs`` of a run."""
    inner = folder / "probs"
    files = find_files(inner if inner.is_dir() else folder, PROBABILITY_SUFFIXES)
    if not files:
        raise InvalidFile(
            folder,
            "holds no probability maps (.npz): `segmend train --folds K` and `segmend predict --probs` write them",
        )
    return files


def check(
    images: Dataset,
    out: Path,
    evidence: Evidence | None = None,
    unpaired: Sequence[Skipped] = (),
    *,
    folders: tuple[Path, Path] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    engine: Engine = LOCAL,
) -> CheckRun:
    """Check every label map of `images` (records with an image and a coarse map).

    Writes ``results.json``, the page ``check.html``, ``labels/ID.png`` with what labels should be where they look
    wrong, and ``measured/ID.npz``, by which a later call with the same files resumes.

    Args:
        evidence: what gives probability maps (None: what the universal refiner makes of the labels).
        unpaired: what the caller had to skip already, to be listed with the rest.
        folders: of the images and of the label maps, as results name them (None: as the first record has them).
        overwrite: measure everything again.
        engine: where label maps are measured; every engine writes the same files.

    Raises:
        InvalidInput: no label map can be checked, or `out` cannot be written, or holds files of somebody else.
    """
    start = time.perf_counter()
    job = _Check(images, out, evidence or Refined(images.classes, images, quiet), overwrite, quiet)
    evidence = job.evidence
    job.check_outputs()
    outcome = job.measure(engine)
    outcome.skipped[:0] = unpaired
    records = [record for record in images if job.worker.file(record).is_file()]
    if not records:
        first = outcome.skipped[0]
        raise InvalidInput(f"no label map can be checked, the first: {first.file}: {first.reason}")
    usual = Usual.of((read_measured(job.worker.file(record)) for record in records), len(images.classes))
    simulating = time.perf_counter()
    detector = Detector.fit(usual, job.samples(records))
    outcome.seconds["simulate"] = time.perf_counter() - simulating
    scores: dict[str, float] = {}
    suspects: dict[str, list[Suspect]] = {}
    for record in records:
        file = job.worker.file(record)
        measured, size = read_measured(file), size_of(file)
        judged = detector.judge(measured)
        scores[record.id] = judged.score
        suspects[record.id] = suspects_of(measured, judged, usual, size)
    records.sort(key=lambda record: -scores[record.id])
    written = job.suggest([record for record in records if suspects[record.id]], suspects)
    outcome.skipped += written.skipped
    outcome.seconds |= {"suggest": written.seconds["total"], "total": time.perf_counter() - start}
    names, one = images.classes.names, records[0]
    of_images, of_labels = folders or (one.image and one.image.parent, one.coarse and one.coarse.parent)
    run = CheckRun(
        version=__version__,
        images=str(of_images),
        coarse=str(of_labels),
        evidence=evidence.name,
        probs=None if evidence.folder is None else str(evidence.folder),
        classes=list(names),
        palette=list(images.classes.palette),
        threshold=THRESHOLD,
        wrong=sum(score >= THRESHOLD for score in scores.values()),
        checked=[
            CheckedImage(
                id=record.id,
                file=str(record.coarse),
                score=round(scores[record.id], 4),
                kinds=list(dict.fromkeys(one.kind for one in suspects[record.id])),
            )
            for record in records
        ],
        regions=[_region(record.id, one, names) for record in records for one in suspects[record.id]],
        done=outcome.done,
        kept=outcome.kept,
        seconds={part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
        notes=_notes(usual, names, len(records), evidence),
        skipped=outcome.skipped,
    )
    shown = [record for record in records if job.suggested(record).is_file()][:ON_PAGE]
    write_check_page(out / PAGE, run, job.shown(shown))
    write_results(out / RESULTS, run)
    return run


def _region(identity: str, one: Suspect, names: Sequence[str]) -> SuspectRegion:
    return SuspectRegion(
        id=identity,
        kind=one.kind,
        box=one.box,
        pixels=one.pixels,
        given=None if one.given is None else names[one.given],
        suggested=None if one.suggested is None else names[one.suggested],
        score=round(one.score, 4),
    )


def _notes(usual: Usual, names: Sequence[str], count: int, evidence: Evidence) -> list[str]:
    """What could not be judged, or not well."""
    notes = []
    if evidence.sees_labels:
        notes.append(
            "without predictions (--probs) only borders, islands, holes and masks of other images can be seen; "
            "objects that are missing, or in another class, hardly"
        )
    if count < FEW_IMAGES:
        notes.append(f"only {wording.images(count)} to learn from what is usual: scores are uncertain")
    rare = [names[i] for i, areas in enumerate(usual.areas) if 0 < areas < FEW_AREAS]
    if rare:
        notes.append(f"judged like other classes, as the folder has few areas of them: {', '.join(rare)}")
    if not usual.has_borders:
        notes.append("no label map holds two classes: borders cannot be judged")
    return notes


def seed_of(identity: str) -> int:
    """The seed of an image's simulated errors."""
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=4).digest(), "big")


class _Check:
    """The files of one call: what is read, what is measured, and what is written."""

    def __init__(self, images: Dataset, out: Path, evidence: Evidence, overwrite: bool, quiet: bool) -> None:
        self.images, self.out, self.evidence = images, out, evidence
        self.overwrite, self.quiet = overwrite, quiet
        self.void = images.classes.void
        self.worker = MeasureWorker(images.without_records(), evidence, out, overwrite)

    @cached_property
    def borders(self) -> Refined:
        """What suggests other borders: it must not take the folder, whose borders are right, for an example."""
        return Refined(self.images.classes)

    def suggested(self, record: Record) -> Path:
        return self.out / "labels" / f"{record.id}.png"

    def check_outputs(self) -> None:
        """Raise `InvalidFile` unless all files can be written and none of them is anybody else's."""
        for folder in (self.out, self.out / "measured", self.out / "labels"):
            check_writable_folder(folder)
        check_replaceable(self.out / RESULTS, partial(holds, kind=CheckRun), "results of check")
        check_replaceable(self.out / PAGE, is_page, "a page of segmend")
        outputs = [(self.worker.file(record), self.worker.made_with) for record in self.images]
        # Suggestions are written again by every call.
        inputs = [f for r in self.images for f in (r.image, r.coarse, self.evidence.file(r))]
        check_outputs(outputs, inputs, self.overwrite)
        check_outputs([(self.suggested(r), SUGGESTED) for r in self.images], inputs, overwrite=True)

    def measure(self, engine: Engine) -> Outcome:
        """Measure each image that an earlier call did not."""
        with bar("check", len(self.images), self.quiet) as progress:
            return engine.run(self.worker, self.images.records, progress)

    def samples(self, records: Sequence[Record]) -> list[list[Sample]]:
        """Some label maps as they are, and with simulated errors."""
        some = sampled(records, SIMULATED)
        found = []
        present = {int(i) for record in some for i in read_measured(self.worker.file(record)).areas.label}
        other: np.ndarray | None = None
        with bar("simulate errors", len(some), self.quiet) as progress:
            for record in [some[-1], *some] if len(some) > 1 else some:
                given = self.worker.given(record)
                if other is not None or len(some) == 1:
                    found.append(self._samples_of(record, given, other, sorted(present)))
                    progress.advance()
                other = given.labels
        return found

    def _samples_of(
        self, record: Record, given: Given, other: np.ndarray | None, present: list[int]
    ) -> list[Sample]:
        seen = Seen.of(given.image, given.probabilities)

        def seen_with(labels: np.ndarray) -> Seen:
            if labels is given.labels or not self.evidence.sees_labels:
                return seen
            return Seen.of(given.image, self.evidence.of(record, given.image, labels))

        return samples_of(seen_with, given.labels, other, present, self.void, seed_of(record.id))

    def suggest(self, records: Sequence[Record], suspects: dict[str, list[Suspect]]) -> Outcome:
        """Write label maps with the suggestions; suspects of borders get their box and pixels."""
        for path in sorted((self.out / "labels").rglob("*.png")):
            if note_of(path).startswith(SUGGESTED):
                path.unlink()

        def work(record: Record, given: Given) -> np.ndarray:
            seen = Seen.of(given.image, given.probabilities)
            labels = given.labels.copy()
            found = suspects[record.id]
            for index, one in reversed(list(enumerate(found))):  # the likeliest last, so that it stays
                if one.is_whole and one.score < THRESHOLD:  # too much would change
                    continue
                if one.kind == "border":
                    measured = read_measured(self.worker.file(record))
                    error = max(1.0, measured.whole.edge_distance * measured.step)
                    refined = self.borders.refined(given.image, given.labels, error).argmax(axis=0)
                    chosen = (refined != given.labels) & (given.labels != self.void)
                    labels[chosen] = refined[chosen]
                    found[index] = one.with_pixels(chosen)
                else:
                    chosen = one.mask(seen, given.labels, self.void)
                    labels[chosen] = one.suggestion(seen, given.labels)[chosen]
            return labels

        def write(record: Record, labels: np.ndarray) -> None:
            coding, palette = self.images.coarse_coding, self.images.classes.palette
            plain = coding is None or coding.is_plain
            stored = labels if plain or coding is None else coding.encode(labels)
            write_labels(self.suggested(record), stored, palette if plain else None, SUGGESTED)

        pipeline = Pipeline[Record, Given, np.ndarray](
            lambda record: str(record.coarse), self.worker.given, work, write
        )
        with bar("suggest labels", len(records), self.quiet) as progress:
            return pipeline.run(records, progress)

    def shown(self, records: Sequence[Record]) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """ID, image, given labels and suggested labels of some records, for the page."""
        given = replace(self.images, records=tuple(records))
        suggested = replace(
            given, records=tuple(replace(record, coarse=self.suggested(record), turn=1) for record in records)
        )
        for before, after in zip(given, suggested, strict=True):
            labels = given.coarse(before)
            labels = labels.argmax(axis=0).astype(given.classes.dtype) if labels.ndim == 3 else labels
            yield before.id, given.image(before), labels, suggested.coarse(after)
