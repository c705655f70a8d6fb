"""Propagate labels of a few frames of videos to the frames around them: a data set (VPLR)."""

from __future__ import annotations

import dataclasses
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from segmend import __version__
from segmend.data.dataset import Dataset, Record, open_masks
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.frames import Frames, FrameSequence, open_frames, pair_labels
from segmend.data.manifest import Entry, Mode, Source, read_manifest
from segmend.data.maps import read_label_map
from segmend.jobs.outputs import fingerprint, hash_of
from segmend.jobs.pipeline import Outcome, Pipeline
from segmend.jobs.progress import bar
from segmend.jobs.propagated_folder import Made, PropagatedFolder
from segmend.jobs.walks import Group, Visit, groups
from segmend.labels import Classes, InvalidInput
from segmend.metrics import confusion_matrix, mean_iou
from segmend.pixels import ImageReading
from segmend.refiners import Refiner
from segmend.report.results import Propagation, Quality, Skipped, write_results
from segmend.video import (
    DISFlow,
    FlowMotion,
    Frame,
    LearnedMotion,
    Motion,
    NoMotion,
    Propagated,
    RAFTFlow,
    Track,
    Tracker,
    fuse,
    is_cut,
    load_motion,
    propagate_jointly,
    propagate_labels,
)
from segmend.video.motion import WEIGHTS

Method = Literal["copy", "flow", "learned"]


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


@dataclass(frozen=True)
class LabelledVideo:
    """Frames of videos, and the labels of some of them.

    Attributes:
        masks: how label files are read.
        labelled: records of the label files, by the ID of their frame.
        unpaired: label files without a frame.
        findings: what was found and assumed, in sentences.
    """

    frames: Frames
    masks: Dataset
    labelled: dict[str, Record]
    unpaired: tuple[Skipped, ...] = ()
    findings: tuple[str, ...] = ()

    def labels(self, frame: str) -> np.ndarray:
        """The label map of a labelled frame."""
        return self.masks.labels(self.labelled[frame])


def open_video(
    frames: Path,
    labels: Path,
    *,
    classes: Classes | int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | None = None,
    bands: tuple[int, int, int] | None = None,
    max_pixels: int | None = None,
) -> LabelledVideo:
    """Open videos (a folder of frames or a video file) and the folder of labels of some of their frames.

    The arguments are those of `open_frames` and `segmend.data.dataset.open_masks`.

    Raises:
        InvalidFile: unreadable, or no label belongs to a frame.
    """
    limit = max_pixels or MAX_PIXELS
    opened = open_frames(frames, bands=bands, max_pixels=limit)
    masks = open_masks(labels, classes=classes, ids=ids, palette=palette, max_pixels=limit)
    records = {r.id: r for r in masks if r.labels is not None}
    files = {identity: r.labels for identity, r in records.items() if r.labels is not None}
    paired = pair_labels(opened, files, str(frames), str(labels))
    labelled = {
        frame: dataclasses.replace(records[mask], turn=paired.turns.get(frame, 1))
        for frame, mask in paired.partner.items()
    }
    unpaired = tuple(
        Skipped(file=str(files[mask]), reason="a label without its frame") for mask in paired.unpaired
    )
    findings = (*opened.findings, *masks.findings, *paired.findings)
    return LabelledVideo(opened, masks, labelled, unpaired, findings)


def make_motion(method: Method, model: str | None = None, raft: Path | None = None) -> Motion:
    """The motion that a method stands for.

    Args:
        model: for `learned`, a model folder or a repository on the hub (None: the weights of the package).
        raft: torchvision's weights of RAFT (None: DIS of OpenCV).

    Raises:
        InvalidInput: unreadable, or an argument that the method does not use.
    """
    if model is not None and method != "learned":
        raise InvalidInput(f"--model is for --method learned: leave it out for {method}")
    if method == "copy":
        if raft is not None:
            raise InvalidInput("--flow is for methods with motion: leave it out for copy")
        return NoMotion()
    flow = DISFlow() if raft is None else RAFTFlow(raft)
    return FlowMotion(flow) if method == "flow" else LearnedMotion(load_motion(model or WEIGHTS), flow)


def propagate(
    video: LabelledVideo,
    motion: Motion,
    out: Path,
    options: PropagateOptions = PropagateOptions(),
    truth: str = "",
) -> Propagation:
    """Write a data set of labelled frames and the frames around them, with propagated labels.

    What an earlier run made of the same frames and labels in the same way is kept. The result is also written to
    ``out/results.json``.

    Args:
        truth: where the labels come from, for the results; they are ground truth for the frames that `every`
            leaves out.

    Raises:
        InvalidInput: before any work, where `out` cannot be written or holds files that are not ours, or options
            that do not fit each other.
    """
    if options.mode == "jp" and isinstance(motion, NoMotion):
        raise InvalidInput("joint propagation of copies is the labelled frame itself: use a method with motion")
    if options.mode == "jp" and options.refiner is not None:
        raise InvalidInput("a refiner is for label propagation: jointly propagated labels fit their image already")
    job = _Job(video, motion, out, options)
    job.folder.start(job.identities(), job.inputs())
    visits = sum(len(group.visits) for group in job.groups()) + len(job.given)
    pipeline = Pipeline[Visit | str, _Given, Made | None](job.name, job.read, job.work, job.write)
    with bar("propagate", visits, options.quiet) as progress, video.frames:
        outcome = pipeline.run(job.visits(progress.found), progress)
    result = job.result(outcome, truth)
    write_results(out / "results.json", result)
    return result


@dataclass(frozen=True)
class _Given:
    """What is read for a visit. `labels` are those of a labelled frame."""

    frame: Frame | None
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class _Held:
    """Propagated labels that wait for those from the other side, compressed."""

    source: int
    displacement: bytes
    labels: bytes
    confidence: bytes

    @classmethod
    def of(cls, found: Propagated, source: int, displacement: np.ndarray | None) -> _Held:
        parts = (np.empty(0) if displacement is None else displacement, found.labels.numpy(), _bytes_of(found))
        return cls(source, *(zlib.compress(np.ascontiguousarray(part).tobytes(), 1) for part in parts))

    def restored(self, like: np.ndarray, size: tuple[int, int]) -> Propagated:
        labels = np.frombuffer(zlib.decompress(self.labels), like.dtype).reshape(size)
        shares = np.frombuffer(zlib.decompress(self.confidence), np.uint8).reshape(size)
        return Propagated(torch.from_numpy(labels.copy()), torch.from_numpy(shares.copy()).float() / 255)

    def moved(self, size: tuple[int, int]) -> np.ndarray | None:
        values = np.frombuffer(zlib.decompress(self.displacement), np.float16)
        return values.reshape(2, *size) if len(values) else None


def _bytes_of(found: Propagated) -> np.ndarray:
    """Confidence as 0..255; labels that are known never have 0."""
    shares = (found.confidence * 255).round().clamp(0, 255)
    return torch.where(found.confidence > 0, shares.clamp_min(1), shares).byte().numpy()


@dataclass
class _Job:
    """A run: the walks through all sequences, and where they are."""

    video: LabelledVideo
    motion: Motion
    out: Path
    options: PropagateOptions
    given: dict[str, tuple[FrameSequence, int]] = field(init=False)
    held_out: dict[str, Record] = field(init=False)
    folder: PropagatedFolder = field(init=False)
    notes: dict[str, None] = field(default_factory=dict, init=False)
    done: int = field(default=0, init=False)
    kept: int = field(default=0, init=False)
    _tracker: Tracker | None = field(default=None, init=False)
    _walk: tuple[str, int, bool] | None = field(default=None, init=False)
    _at: int = field(default=-1, init=False)
    _labels: Tensor = field(default_factory=lambda: torch.empty(0), init=False)
    _held: dict[int, _Held] = field(default_factory=dict, init=False)
    _inputs: dict[str, str] = field(default_factory=dict, init=False)
    _hashes: dict[Path, str] = field(default_factory=dict, init=False)
    _reading: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        options, masks = self.options, self.video.masks
        self.given, self.held_out = {}, {}
        for sequence in self.video.frames.sequences:
            labelled = [(i, at) for at, i in enumerate(sequence.ids) if i in self.video.labelled]
            if not labelled:
                self.note(f"{sequence.name or 'the video'}: no labelled frame, nothing to propagate")
            elif len(sequence) == 1:
                self.note(f"{sequence.name or 'the video'}: one frame alone, nothing to propagate to")
            for number, (identity, at) in enumerate(labelled):
                if number % options.every == 0:
                    self.given[identity] = (sequence, at)
                else:
                    self.held_out[identity] = self.video.labelled[identity]
        self.aligned = options.align and not isinstance(self.motion, NoMotion)
        self.model = describe_motion(self.motion)
        parts = [f"{options.mode} by {self.model}", *(["aligned"] * self.aligned)]
        if options.mode == "lp":
            parts.append(f"min_confidence={options.min_confidence:g}")
        if options.refiner is not None:
            parts.append(f"refined by {fingerprint(options.refiner)}")
        parts += ["details"] * options.details
        self.folder = PropagatedFolder(
            self.out, options.split, masks.name, masks.classes, ", ".join(parts), options.overwrite
        )

    # ---- what is to be done ----

    def note(self, sentence: str) -> None:
        """Something that the reader of the results must know."""
        self.notes[sentence] = None

    def groups(self) -> Iterator[Group]:
        """All walks."""
        for sequence in self.video.frames.sequences:
            labelled = sorted(at for of, at in self.given.values() if of is sequence)
            yield from groups(sequence, labelled, self.options.steps, self.options.mode)

    def identity(self, sequence: FrameSequence, frame: int, source: int) -> str:
        """The ID in the data set of a propagated frame."""
        if self.options.mode == "lp":
            return sequence.ids[frame]
        return f"{sequence.ids[frame]}_from_{sequence.ids[source].rpartition('/')[2]}"

    def identities(self) -> Iterator[tuple[str, bool]]:
        """IDs of all images of the data set, and whether their labels are given."""
        yield from ((identity, True) for identity in self.given)
        for group in self.groups():
            sequence = group.visits[0].sequence
            for frame, sources in group.results.items():
                yield self.identity(sequence, frame, sources[0]), False

    def inputs(self) -> Iterator[Path | None]:
        """All files that are read."""
        for sequence in self.video.frames.sequences:
            yield from ({sequence.origin(at) for at in range(len(sequence))})
        yield from (record.labels for record in self.video.labelled.values())

    def visits(self, found: Callable[[int], None]) -> Iterator[Visit | str]:
        """All visits that are needed, where an earlier run left off."""
        for identity, (sequence, at) in self.given.items():
            inputs = self._hash(sequence, [at], [at])
            if self.folder.is_finished(identity, inputs, given=True):
                found(1)
                continue
            self._inputs[identity] = inputs
            yield identity
        for group in self.groups():
            sequence = group.visits[0].sequence
            wanted = 0
            for frame, sources in group.results.items():
                identity = self.identity(sequence, frame, sources[0])
                between = range(min(frame, *sources), max(frame, *sources) + 1)
                inputs = self._hash(sequence, list(between), list(sources))
                if self.folder.is_finished(identity, inputs):
                    self.kept += 1
                else:
                    self._inputs[identity] = inputs
                    wanted += 1
            if wanted:
                yield from group.visits
            else:
                found(len(group.visits))

    def _hash(self, sequence: FrameSequence, frames: list[int], sources: list[int]) -> str:
        """A hash of what a propagated frame is made of: frames in order, and label files."""
        labels = [self.video.labelled[sequence.ids[source]].labels for source in sources]
        files = [sequence.origin(frame) for frame in frames]
        reading = f"{self.video.frames.images_read.reading}, {self.video.masks.coding}, {frames}, {sources}"
        hashes = [self._hash_of(file) for file in dict.fromkeys([*files, *labels]) if file is not None]
        return hash_of(text=f"{reading}: {hashes}") if all(hashes) else ""

    def _hash_of(self, file: Path) -> str:
        if file not in self._hashes:
            self._hashes[file] = hash_of(file)
        return self._hashes[file]

    # ---- one visit ----

    def name(self, visit: Visit | str) -> str:
        """What a visit is called in messages."""
        return visit if isinstance(visit, str) else visit.sequence.ids[visit.frame]

    def read(self, visit: Visit | str) -> _Given:
        """Read what a visit needs."""
        if isinstance(visit, str):
            sequence, at = self.given[visit]
            labels = self.video.labels(visit)
            copied = self._copied(sequence, at)
            frame = None if copied else self._frame(sequence, at)
            if frame is not None and frame.size != labels.shape:
                raise InvalidFile(
                    sequence.origin(at), f"its labels have another size: {labels.shape} (height, width)"
                )
            return _Given(frame, labels)
        frame = self._frame(visit.sequence, visit.frame)
        if visit.result != "none":
            return _Given(frame)
        labels = self.video.labels(visit.sequence.ids[visit.frame])
        if labels.shape != frame.size:
            file = self.video.labelled[visit.sequence.ids[visit.frame]].labels
            assert file is not None
            raise InvalidFile(
                file,
                f"expected labels of the size of their frame, {frame.size[1]} x {frame.size[0]}, found "
                f"{labels.shape[1]} x {labels.shape[0]}: resize them with nearest neighbour",
            )
        return _Given(frame, labels)

    def _frame(self, sequence: FrameSequence, at: int) -> Frame:
        if sequence.file(at) is None:
            with self._reading:  # a video file is read by one thread at a time
                frame = Frame(sequence.read(at))
        else:
            frame = Frame(sequence.read(at))
        _ = frame.grey, frame.lab  # made here, beside the motion
        return frame

    def _copied(self, sequence: FrameSequence, at: int) -> Path | None:
        """The file to copy as an image; None where it must be written, as reading it changes it."""
        plain = self.video.frames.images_read.reading in (None, ImageReading())
        return sequence.file(at) if plain else None

    def work(self, visit: Visit | str, given: _Given) -> Made | None:
        """Take the next step of a walk."""
        if isinstance(visit, str):
            assert given.labels is not None
            sequence, at = self.given[visit]
            image = None if given.frame is None else given.frame.rgb
            entry = Entry(visit, self.options.split, visit)
            return Made(
                entry,
                self._inputs[visit],
                given.labels,
                image,
                self._copied(sequence, at) if image is None else None,
            )
        assert given.frame is not None
        if visit.result == "none":
            assert given.labels is not None
            self._tracker = Tracker(given.frame, self.motion, self.motion.flow if self.aligned else None)
            self._labels = torch.from_numpy(given.labels)
            self._at, self._walk = visit.frame, None
            return None
        track = self._advance(visit, given.frame)
        if self.options.mode == "jp":
            return None if track is None else self._jointly(visit, track)
        return self._singly(visit, track, given.frame)

    def _advance(self, visit: Visit, frame: Frame) -> Track | None:
        """Follow to the frame of a visit; None where the walk has ended before."""
        tracker, shown = self._tracker, visit.sequence.ids[visit.frame]
        walk = (visit.sequence.name, visit.source, visit.steps > 0)
        if self._walk not in (None, walk):
            tracker = None  # the start of this walk could not be read
        if tracker is None:
            return None
        reason = ""
        if self._at != visit.before:
            reason = f"the frame before {shown} cannot be read"
        elif tracker.last.size != frame.size:
            reason = f"the size of the frames changes at {shown}"
        elif is_cut(tracker.last, frame):
            reason = f"a new scene begins between {visit.sequence.ids[visit.before]} and {shown}"
        if reason:
            self.note(
                f"{reason}: labels are not propagated across it, but from the labelled frames on either side"
            )
            self._tracker = None
            return None
        self._at, self._walk = visit.frame, walk
        return tracker.advance(frame)

    def _jointly(self, visit: Visit, track: Track) -> Made | None:
        identity = self.identity(visit.sequence, visit.frame, visit.source)
        if identity not in self._inputs:
            return None
        image, labels = propagate_jointly(track, self._labels)
        sure = torch.where(track.valid, 255, 0).byte().numpy()
        entry = self._entry(visit, identity, [visit.source], sure, labels, labels)
        return Made(entry, self._inputs[identity], labels.numpy(), image, None, sure, self._shown(track))

    def _singly(self, visit: Visit, track: Track | None, frame: Frame) -> Made | None:
        identity = self.identity(visit.sequence, visit.frame, visit.source)
        wanted = identity in self._inputs
        found = propagate_labels(track, self._labels, self.aligned) if track is not None and wanted else None
        shown = self._shown(track) if track is not None and wanted else None
        if visit.result == "held":
            if found is not None:
                self._held[visit.frame] = _Held.of(found, visit.source, shown)
            return None
        sources = [visit.source] if found is not None else []
        if (held := self._held.pop(visit.frame, None)) is not None:
            other = held.restored(self._labels.numpy(), frame.size)
            if found is None or abs(held.source - visit.frame) < abs(visit.steps):
                shown = held.moved(frame.size)
            found = other if found is None else fuse(found, other)
            sources.append(held.source)
        if found is None:
            return None
        if self.options.refiner is not None:
            found = self._refined(found, frame)
        kept = found.kept(self.options.min_confidence)
        entry = self._entry(visit, identity, sources, _bytes_of(found), found.labels, kept)
        file = self._copied(visit.sequence, visit.frame)
        image = frame.rgb if file is None else None
        return Made(entry, self._inputs[identity], kept.numpy(), image, file, _bytes_of(found), shown)

    def _refined(self, found: Propagated, frame: Frame) -> Propagated:
        assert self.options.refiner is not None
        count = len(self.video.masks.classes)
        if bool((found.labels == self.video.masks.classes.void).all()):
            return found
        refined = self.options.refiner.refine(frame.rgb, found.labels.numpy(), count, keep_void=True)
        return Propagated(torch.as_tensor(refined.labels).to(found.labels.dtype), found.confidence)

    def _shown(self, track: Track) -> np.ndarray | None:
        return track.displacement.half().numpy() if self.options.details else None

    def _entry(
        self, visit: Visit, identity: str, sources: list[int], sure: np.ndarray, before: Tensor, after: Tensor
    ) -> Entry:
        ids = visit.sequence.ids
        classes = self.video.masks.classes
        totals, left = (
            torch.bincount(labels[labels != classes.void].long(), minlength=len(classes))
            for labels in (before, after)
        )
        kept = {
            name: (int(k), int(n)) for name, k, n in zip(classes.names, left, totals, strict=True) if int(n) > 0
        }
        named = tuple(Source(ids[source], visit.frame - source) for source in sources)
        return Entry(
            identity,
            self.options.split,
            ids[visit.frame],
            named,
            _method(self.motion),
            self.options.mode,
            self.model,
            round(float(sure.mean()) / 255, 4),
            kept,
        )

    def write(self, visit: Visit | str, made: Made | None) -> None:
        """Write what a visit made."""
        if made is not None:
            self.folder.write(made)
            self.done += made.entry.method != "given"

    # ---- the result ----

    def result(self, outcome: Outcome, truth: str) -> Propagation:
        """What the run did, scored where there is ground truth."""
        options, classes = self.options, self.video.masks.classes
        entries = read_manifest(self.out)
        wanted = [
            entries[key] for i, given in self.identities() if (key := (options.split, i)) in entries and not given
        ]
        skipped = {(s.file, s.reason): s for s in (*self.video.unpaired, *outcome.skipped)}
        missing = sum(1 for _, given in self.identities() if not given) - len(wanted)
        if missing:
            self.note(f"{missing} frames near labelled ones got no labels")
        far = len(self.video.frames) - len({e.frame for e in wanted} | self.given.keys()) - missing
        if far > 0:
            self.note(f"{far} frames lie more than {options.steps} from a labelled one and are left out (--steps)")
        labelled: dict[str, list[int]] = {}
        for entry in wanted:
            for name, (kept, total) in entry.kept.items():
                counts = labelled.setdefault(name, [0, 0])
                counts[0] += kept
                counts[1] += total
        aligned = ", aligned" if self.aligned else ""
        return Propagation(
            version=__version__,
            method=_method(self.motion),
            mode=options.mode,
            model=self.model,
            name=f"{_method(self.motion)}{aligned}{' (jp)' if options.mode == 'jp' else ''}",
            classes=list(classes.names),
            palette=list(classes.palette),
            steps=options.steps,
            split=options.split,
            truth=truth if self.held_out else None,
            ids=self._stored_ids(),
            labelled=len(self.given),
            done=self.done,
            kept=self.kept,
            remade=self.folder.remade,
            kept_share={n: round(labelled[n][0] / labelled[n][1], 4) for n in classes.names if n in labelled},
            quality=self._quality(wanted),
            seconds={part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
            frames_per_second=round(self.done / outcome.seconds["total"], 3) if outcome.seconds["total"] else 0.0,
            skipped=list(skipped.values()),
            notes=list(self.notes),
        )

    def _stored_ids(self) -> tuple[int, ...] | None:
        coding = self.video.masks.coding
        return None if coding is None or coding.is_plain else coding.ids

    def _quality(self, entries: list[Entry]) -> list[Quality]:
        """Scores of the images whose frame has held-out labels, by distance."""
        classes = self.video.masks.classes
        matrices: dict[int, np.ndarray] = {}
        images: dict[int, int] = {}
        for entry in entries:
            if entry.frame not in self.held_out:
                continue
            try:
                labels = read_label_map(self.folder.path("labels", entry.id), classes)
                truth = self.video.labels(entry.frame)
            except InvalidFile:
                continue  # listed when it was written or read
            found = confusion_matrix(labels, truth, len(classes))
            matrices[entry.distance] = matrices.get(entry.distance, 0) + found
            images[entry.distance] = images.get(entry.distance, 0) + 1
        return [_quality(distance, images[distance], matrices[distance]) for distance in sorted(matrices)]


def _quality(distance: int, images: int, matrix: np.ndarray) -> Quality:
    kept = matrix[:, :-1]
    return Quality(
        distance=distance,
        images=images,
        mean_iou=mean_iou(np.pad(kept, ((0, 0), (0, 1)))),
        pixel_accuracy=float(np.trace(kept) / max(1, kept.sum())),
        kept=float(kept.sum() / max(1, matrix.sum())),
    )


def describe_motion(motion: Motion) -> str:
    """Name and hash of a motion: equal for those that give the same displacements."""
    if isinstance(motion, LearnedMotion):
        return f"{fingerprint(motion.network)} on {motion.flow}"
    if isinstance(motion, FlowMotion):
        return f"{motion.flow}"
    return "copies"


def _method(motion: Motion) -> Method:
    return "copy" if isinstance(motion, NoMotion) else "flow" if isinstance(motion, FlowMotion) else "learned"
