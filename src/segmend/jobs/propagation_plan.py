"""Which images a propagated data set has, what each is made of, and the walks that make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from segmend.data.files import InvalidFile
from segmend.data.frames import FrameSequence
from segmend.data.manifest import Mode
from segmend.jobs.labelled_video import LabelledVideo
from segmend.jobs.outputs import hash_of
from segmend.jobs.walks import Group, Visit, groups
from segmend.labels import InvalidInput


@dataclass(frozen=True)
class Target:
    """An image of the data set.

    Attributes:
        id: in the data set.
        frame: index of the frame that it shows.
        sources: indices of the labelled frames that its labels may come from; none if it is labelled itself.
    """

    id: str
    sequence: FrameSequence
    frame: int
    sources: tuple[int, ...] = ()

    @property
    def is_given(self) -> bool:
        """Whether the image is a labelled frame."""
        return not self.sources


@dataclass
class Plan:
    """What is to be made of a video.

    Attributes:
        mode, steps, every: see `segmend.jobs.propagate.PropagateOptions`.
        used: indices of the labelled frames that are used, by sequence, in the order of the video's sequences.
        held_out: IDs of the labelled frames that `every` leaves out.
    """

    video: LabelledVideo
    mode: Mode
    steps: int
    every: int
    used: tuple[tuple[FrameSequence, list[int]], ...] = field(init=False)
    held_out: frozenset[str] = field(init=False)
    _hashes: dict[Path, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        used, held_out = [], set()
        for sequence in self.video.frames.sequences:
            labelled = [at for at, identity in enumerate(sequence.ids) if identity in self.video.labelled]
            used.append((sequence, labelled[:: self.every]))
            held_out |= {sequence.ids[at] for at in labelled} - {sequence.ids[at] for at in used[-1][1]}
        self.used, self.held_out = tuple(used), frozenset(held_out)

    def check(self) -> None:
        """Raise `InvalidInput` if there is no frame to propagate labels to."""
        if any(group.results for group in self.groups()):
            return
        videos = [(sequence, labelled) for sequence, labelled in self.used if labelled]
        if all(len(sequence) == 1 for sequence, _ in videos):
            found = "the labelled frame is the only one of its video"
        elif all(len(sequence) == len(labelled) for sequence, labelled in videos):
            found = "all frames are labelled: --every 5 uses each fifth label, and scores the result on the others"
        else:
            found = "the frames beside labelled ones are missing"
        raise InvalidInput(f"no frame to propagate labels to: {found}")

    def groups(self) -> Iterator[Group]:
        """All walks."""
        for sequence, labelled in self.used:
            yield from groups(sequence, labelled, self.steps, self.mode)

    def given(self) -> Iterator[tuple[Target, Visit]]:
        """The labelled frames, which become images of the data set as they are."""
        for sequence, labelled in self.used:
            for at in labelled:
                yield Target(sequence.ids[at], sequence, at), Visit(sequence, at, at, 1, "given")

    def targets_of(self, group: Group) -> Iterator[Target]:
        """The images that the walks of a group make."""
        for frame, sources in group.results.items():
            yield Target(self.id_of(group.sequence, frame, sources[0]), group.sequence, frame, sources)

    def targets(self) -> Iterator[Target]:
        """All images of the data set."""
        yield from (target for target, _ in self.given())
        for group in self.groups():
            yield from self.targets_of(group)

    def id_of(self, sequence: FrameSequence, frame: int, source: int) -> str:
        """The ID in the data set of a frame that labels of another one are propagated to."""
        if self.mode == "lp":
            return sequence.ids[frame]
        return f"{sequence.ids[frame]}_from_{sequence.ids[source].rpartition('/')[2]}"

    def files(self) -> Iterator[Path]:
        """All files that are read."""
        for sequence in self.video.frames.sequences:
            yield from {sequence.origin(at) for at in range(len(sequence))}
        yield from (record.labels for record in self.video.labelled.values() if record.labels is not None)

    def notes(self) -> Iterator[str]:
        """What there is to be said of the videos before any work."""
        for sequence, labelled in self.used:
            if not labelled:
                yield f"{sequence.name or 'the video'}: no labelled frame, nothing to propagate"
            elif len(sequence) == 1:
                yield f"{sequence.name or 'the video'}: one frame alone, nothing to propagate to"
        near = {target.sequence.ids[target.frame] for target in self.targets()}
        beside = [identity for sequence, labelled in self.used if labelled for identity in sequence.ids]
        if far := len(set(beside) - near):
            left_out = "1 frame is" if far == 1 else f"{far} frames are"
            yield f"{left_out} left out: no labelled frame within {self.steps} (--steps)"

    def hash_of(self, target: Target) -> str:
        """A hash of what an image is made of: frames in order, label files, and how both are read."""
        sequence = target.sequence
        labelled = target.sources or (target.frame,)
        frames = range(min(target.frame, *labelled), max(target.frame, *labelled) + 1)
        records = [self.video.labelled[sequence.ids[at]] for at in labelled]
        read_as = [self.video.frames.images_read.reading, self.video.masks.coding, [r.turn for r in records]]
        steps = [target.frame - at for at in labelled]
        number = target.frame if sequence.file(target.frame) is None else None  # one file holds all frames
        files = dict.fromkeys([*(sequence.origin(at) for at in frames), *(r.labels for r in records)])
        hashes = [self._hash_of(file) for file in files if file is not None]
        return hash_of(text=f"{read_as}, {steps}, {number}: {hashes}")

    def _hash_of(self, file: Path) -> str:
        if file not in self._hashes:
            try:
                self._hashes[file] = hash_of(file) or "unreadable"
            except InvalidFile:
                self._hashes[file] = "unreadable"  # whoever decodes it will say why
        return self._hashes[file]
