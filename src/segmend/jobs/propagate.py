"""Propagate labels of a few frames of videos to the frames around them: a data set (VPLR)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmend import __version__
from segmend.data.files import InvalidFile
from segmend.data.frames import FrameSequence
from segmend.data.manifest import Entry, Mode, Source
from segmend.jobs.labelled_video import LabelledVideo
from segmend.jobs.motions import describe_motion, method_of
from segmend.jobs.outputs import fingerprint
from segmend.jobs.pipeline import Outcome, Pipeline
from segmend.jobs.progress import bar
from segmend.jobs.propagated_folder import Made, PropagatedFolder
from segmend.jobs.propagation_plan import Plan, Target
from segmend.jobs.propagation_results import class_shares, kept_shares, left_over, score
from segmend.jobs.walker import Reached, Waiting, Walker, confidence_bytes, join
from segmend.jobs.walks import Visit
from segmend.labels import InvalidInput
from segmend.pixels import ImageReading
from segmend.refiners import Refiner
from segmend.report.results import Propagation, write_results
from segmend.video import Frame, Motion, NoMotion, Propagated, Track, propagate_jointly, propagate_labels


@dataclass(frozen=True)
class PropagateOptions:
    """How labels are propagated, and what is written.

    Attributes:
        mode: ``lp``: the real frames with propagated labels; ``jp``: frames and labels both propagated.
        steps: most frames between a labelled frame and one that its labels are propagated to.
        every: use the labels of every so many labelled frames; the others are ground truth, and score the result.
        align: compare each frame with the labelled one directly, not only with the frame before: displacements
            are anchored (see `segmend.video.Tracker`), and pixels vote (see `segmend.video.propagate_labels`).
        min_confidence: labels of a lower confidence become void; label propagation alone.
        refiner: refines propagated labels by the frame; label propagation alone.
        split: of the data set that is written.
        details: also write the displacements.
        overwrite: make again what an earlier run finished, also with other options.
        quiet: no progress bar.
    """

    mode: Mode = "lp"
    steps: int = 5
    every: int = 1
    align: bool = True
    min_confidence: float = 0.75
    refiner: Refiner | None = None
    split: str = "train"
    details: bool = False
    overwrite: bool = False
    quiet: bool = False


def propagate(
    video: LabelledVideo, motion: Motion, out: Path, options: PropagateOptions = PropagateOptions()
) -> Propagation:
    """Write a data set of labelled frames and the frames around them, with propagated labels.

    What an earlier run made of the same frames and labels in the same way is kept. The result is also written to
    ``out/results.json``.

    Raises:
        InvalidInput: before any work, where `out` cannot be written or holds files that are not ours, options do
            not fit each other, or there is no frame to propagate labels to.
    """
    if options.mode == "jp" and isinstance(motion, NoMotion):
        raise InvalidInput("joint propagation of copies is the labelled frame itself: use a method with motion")
    if options.mode == "jp" and options.refiner is not None:
        raise InvalidInput("a refiner is for label propagation: jointly propagated labels fit their image already")
    if not options.split or options.split != Path(options.split).name or options.split.startswith("."):
        raise InvalidInput(f"split {options.split!r}: expected the name of a folder, such as train")
    plan = Plan(video, options.mode, options.steps, options.every)
    plan.check()
    made_with = describe(motion, options)
    masks = video.masks
    folder = PropagatedFolder(
        out, options.split, masks.name, masks.classes, made_with, options.details, options.overwrite
    )
    folder.start(plan)
    result = _Job(plan, motion, options, folder).run()
    write_results(out / "results.json", result)
    return result


def describe(motion: Motion, options: PropagateOptions) -> str:
    """How labels are propagated: equal for runs that make the same of the same frames."""
    parts = [f"{options.mode} by {describe_motion(motion)}"]
    parts += ["aligned"] * is_aligned(motion, options)
    if options.mode == "lp":
        parts.append(f"min_confidence={options.min_confidence:g}")
    if options.refiner is not None:
        parts.append(f"refined by {fingerprint(options.refiner)}")
    return ", ".join(parts)


def is_aligned(motion: Motion, options: PropagateOptions) -> bool:
    """Whether each frame is compared with the labelled one: copies are not."""
    return options.align and motion.flow is not None


class _Read(NamedTuple):
    """What is read for a visit. `labels` are those of a labelled frame."""

    frame: Frame
    labels: np.ndarray | None = None


@dataclass
class _Job:
    """A run: reads, propagates and writes, visit by visit."""

    plan: Plan
    motion: Motion
    options: PropagateOptions
    folder: PropagatedFolder
    notes: dict[str, None] = field(default_factory=dict, init=False)
    done: int = field(default=0, init=False)
    kept: int = field(default=0, init=False)
    _wanted: dict[str, str] = field(default_factory=dict, init=False)
    """Hash of what it is made of, by ID, for each image that is still to be made."""
    _waiting: Waiting = field(default_factory=Waiting, init=False)
    _unreadable: set[str] = field(default_factory=set, init=False)
    _one_reads: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.video = self.plan.video
        self.aligned = is_aligned(self.motion, self.options)
        self.walker = Walker(self.motion, self.aligned, self.note)
        self.method, self.model = method_of(self.motion), describe_motion(self.motion)

    def run(self) -> Propagation:
        """All visits, and what came of them."""
        for sentence in self.plan.notes():
            self.note(sentence)
        visits = sum(len(group.visits) for group in self.plan.groups()) + sum(1 for _ in self.plan.given())
        pipeline = Pipeline[Visit, _Read, Made | None](lambda visit: visit.id, self.read, self.work, self.write)
        with bar("propagate", visits, self.options.quiet) as progress, self.video.frames:
            outcome = pipeline.run(self.visits(progress.found), progress)
        return self.result(outcome)

    def note(self, sentence: str) -> None:
        """Something that the reader of the results must know."""
        self.notes[sentence] = None

    def visits(self, found: Callable[[int], None]) -> Iterator[Visit]:
        """All visits that are needed, where an earlier run left off."""
        for target, visit in self.plan.given():
            inputs = self.plan.hash_of(target)
            if self.folder.is_finished(target, inputs):
                found(1)
            else:
                self._wanted[target.id] = inputs
                yield visit
        for group in self.plan.groups():
            hashes = {target: self.plan.hash_of(target) for target in self.plan.targets_of(group)}
            missing = {t.id: inputs for t, inputs in hashes.items() if not self.folder.is_finished(t, inputs)}
            self.kept += len(hashes) - len(missing)
            self._wanted.update(missing)
            if missing:
                yield from group.visits
            else:
                found(len(group.visits))

    # ---- one visit ----

    def read(self, visit: Visit) -> _Read:
        """Read what a visit needs.

        Raises:
            InvalidFile: unreadable, or labels of another size than their frame.
        """
        frame = self._frame(visit.sequence, visit.frame)
        if visit.task not in ("given", "start"):
            return _Read(frame)
        return _Read(frame, self.video.labels(visit.id, frame.size))

    def _frame(self, sequence: FrameSequence, at: int) -> Frame:
        one_thread = self._one_reads if sequence.file(at) is None else nullcontext()  # of a video file
        try:
            with one_thread:
                frame = Frame(sequence.read(at))
        except InvalidFile:
            self._unreadable.add(sequence.ids[at])
            raise
        _ = frame.grey, frame.lab, frame.thumbnail  # made here, beside the motion
        return frame

    def work(self, visit: Visit, read: _Read) -> Made | None:
        """Take the next step of a walk, and make the image that is written there, if any."""
        if visit.task == "given":
            assert read.labels is not None
            entry = Entry(visit.id, self.options.split, visit.id)
            return self._made(entry, visit, read.frame, read.labels)
        if visit.task == "start":
            assert read.labels is not None
            self.walker.start(visit, read.frame, read.labels)
            return None
        track = self.walker.follow(visit, read.frame)
        identity = self.plan.id_of(visit.sequence, visit.frame, visit.source)
        if identity not in self._wanted:
            return None
        if self.options.mode == "jp":
            return None if track is None else self._jointly(identity, visit, track)
        return self._singly(identity, visit, track, read.frame)

    def _jointly(self, identity: str, visit: Visit, track: Track) -> Made:
        image, labels = propagate_jointly(track, self.walker.labels)
        confidence = torch.where(track.valid, 255, 0).byte().numpy()
        entry = self._entry(identity, visit, (visit.source,), confidence, labels, labels)
        return self._made(entry, visit, Frame(image), labels.numpy(), confidence, self._displacement(track))

    def _singly(self, identity: str, visit: Visit, track: Track | None, frame: Frame) -> Made | None:
        reached = None
        if track is not None:
            propagated = propagate_labels(track, self.walker.labels, self.aligned)
            reached = Reached(propagated, (visit.source,), self._displacement(track))
        if visit.task == "hold":
            if reached is not None:
                self._waiting.put(visit, reached)
            return None
        reached = join(visit.frame, reached, self._waiting.take(visit))
        if reached is None:
            return None
        found = self._refined(reached.propagated, frame)
        labels = found.kept(self.options.min_confidence)
        confidence = confidence_bytes(found.confidence).numpy()
        entry = self._entry(identity, visit, reached.sources, confidence, found.labels, labels)
        return self._made(entry, visit, frame, labels.numpy(), confidence, reached.displacement)

    def _refined(self, found: Propagated, frame: Frame) -> Propagated:
        classes, refiner = self.video.masks.classes, self.options.refiner
        if refiner is None or bool((found.labels == classes.void).all()):
            return found
        refined = refiner.refine(frame.rgb, found.labels.numpy(), len(classes), keep_void=True)
        return Propagated(torch.as_tensor(refined.labels).to(found.labels.dtype), found.confidence)

    def _displacement(self, track: Track) -> np.ndarray | None:
        return track.displacement.half().numpy() if self.options.details else None

    def _entry(
        self,
        identity: str,
        visit: Visit,
        sources: tuple[int, ...],
        confidence: np.ndarray,
        before: Tensor,
        after: Tensor,
    ) -> Entry:
        """The line of the manifest for an image, whose labels were `before`, and are `after` some became void."""
        return Entry(
            identity,
            self.options.split,
            visit.id,
            tuple(Source(visit.sequence.ids[source], visit.frame - source) for source in sources),
            self.method,
            self.options.mode,
            self.model,
            round(float(confidence.mean()) / 255, 4),
            class_shares(self.video.masks.classes, before, after),
        )

    def _made(
        self,
        entry: Entry,
        visit: Visit,
        image: Frame,
        labels: np.ndarray,
        confidence: np.ndarray | None = None,
        displacement: np.ndarray | None = None,
    ) -> Made:
        is_frame = entry.id == entry.frame
        copied = self._copied(visit) if is_frame else None
        return Made(entry, self._wanted[entry.id], labels, copied or image.rgb, confidence, displacement)

    def _copied(self, visit: Visit) -> Path | None:
        """The file to copy as an image; None where it must be written, as reading it changes or turns it."""
        read, file = self.video.frames.images_read, visit.sequence.file(visit.frame)
        is_plain = read.reading in (None, ImageReading()) and file not in read.turned
        return file if is_plain else None

    def write(self, visit: Visit, made: Made | None) -> None:
        """Write what a visit made."""
        if made is not None:
            self.folder.write(made)
            del self._wanted[made.entry.id]
            self.done += made.entry.method != "given"

    # ---- the result ----

    def result(self, outcome: Outcome) -> Propagation:
        """What the run did, scored where there is ground truth."""
        options, classes, coding = self.options, self.video.masks.classes, self.video.masks.coding
        if removed := self.folder.discard(self._wanted):
            images = "1 image of an earlier run was" if removed == 1 else f"{removed} images of earlier runs were"
            self.note(f"{images} removed, as frames or labels have changed and no labels reach their frames now")
        entries = self.folder.entries()
        targets = list(self.plan.targets())
        present = [entries[t.id] for t in targets if t.id in entries and not t.is_given]
        if unreached := self._unreached(targets, entries):
            self.note(unreached)
        quality, unusable = score(self.video, self.plan.held_out, self.folder, present)
        skipped = [*self.video.unpaired, *outcome.skipped, *unusable]
        seconds = outcome.seconds
        if sentence := left_over(self.folder.out, entries, self.plan):
            self.note(sentence)
        aligned = ", aligned" if self.aligned else ""
        return Propagation(
            version=__version__,
            method=self.method,
            mode=options.mode,
            model=self.model,
            name=f"{self.method}{aligned}{' (jp)' if options.mode == 'jp' else ''}",
            classes=list(classes.names),
            palette=list(classes.palette),
            steps=options.steps,
            split=options.split,
            truth=self._truth() if self.plan.held_out else None,
            ids=None if coding is None or coding.is_plain else coding.ids,
            labelled=sum(1 for target in targets if target.is_given and target.id in entries),
            done=self.done,
            kept=self.kept,
            remade=self.folder.remade,
            kept_share=kept_shares(classes, present),
            quality=quality,
            seconds={part: round(spent, 3) for part, spent in seconds.items()},
            frames_per_second=round(self.done / seconds["total"], 3) if seconds["total"] else 0.0,
            skipped=list({(one.file, one.reason): one for one in skipped}.values()),
            notes=list(self.notes),
        )

    def _unreached(self, targets: list[Target], entries: Mapping[str, Entry]) -> str:
        """A sentence about frames that no labels reach; those that cannot be read are listed as such."""
        missing = (t for t in targets if not t.is_given and t.id not in entries)
        count = sum(1 for t in missing if t.sequence.ids[t.frame] not in self._unreadable)
        if not count:
            return ""
        return f"no labels reach {count} frame{'s' * (count > 1)} near a labelled one: left out"

    def _truth(self) -> str:
        """Where the labels come from, as seen from the results."""
        return Path(os.path.relpath(self.video.labels_from.resolve(), self.folder.out.resolve())).as_posix()
