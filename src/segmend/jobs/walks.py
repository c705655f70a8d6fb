"""In which order the frames of a video are visited, so that labels reach those near a labelled one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from segmend.data.frames import FrameSequence
from segmend.data.manifest import Mode


@dataclass(frozen=True)
class Visit:
    """One frame on a walk away from a labelled frame.

    Attributes:
        frame: its index in the sequence.
        source: index of the labelled frame.
        direction: 1 for a walk forwards in time, -1 backwards.
        task: ``given``: the labelled frame is written as it is, outside any walk; ``start``: a walk begins at it;
            ``hold``: labels that arrive wait for those of the walk from the other side; ``write``: labels that
            arrive are written, together with those that wait.
    """

    sequence: FrameSequence
    frame: int
    source: int
    direction: Literal[1, -1]
    task: Literal["given", "start", "hold", "write"]

    @property
    def id(self) -> str:
        """ID of the frame."""
        return self.sequence.ids[self.frame]

    @property
    def before(self) -> int:
        """Index of the frame that the walk comes from."""
        return self.frame - self.direction

    @property
    def walk(self) -> tuple[str, int, int]:
        """What the visits of one walk share."""
        return self.sequence.name, self.source, self.direction


@dataclass(frozen=True)
class Group:
    """Visits that belong together: those of the walks between two labelled frames, or of one walk.

    Attributes:
        visits: in order.
        results: for each frame that is written, the labelled frames that its labels may come from.
    """

    sequence: FrameSequence
    visits: tuple[Visit, ...]
    results: dict[int, tuple[int, ...]]


def groups(sequence: FrameSequence, labelled: list[int], reach: int, mode: Mode) -> Iterator[Group]:
    """The walks through a sequence, from its labelled frames over up to `reach` frames to both sides.

    In label propagation a walk ends before the next labelled frame, and a frame that walks from both sides reach
    gets the labels of both: the walk backwards goes first, and its labels are held. Where all frames between two
    labelled ones are near one of them, both walks go all the way. In joint propagation walks are
    independent. No walk crosses a gap in the numbering.

    Args:
        labelled: indices of the labelled frames, sorted.
    """
    for first, end in _runs(sequence):
        inside = [index for index in labelled if first <= index < end]
        if mode == "jp":
            for source in inside:
                yield from _one_sided(sequence, source, max(first, source - reach), min(end, source + reach + 1))
            continue
        for left, right in zip([None, *inside], [*inside, None], strict=True):
            if group := _between(sequence, left, right, first, end, reach):
                yield group


def _runs(sequence: FrameSequence) -> Iterator[tuple[int, int]]:
    """First index and end of the parts of a sequence without gaps."""
    starts = [0, *sorted(sequence.breaks), len(sequence)]
    yield from itertools.pairwise(starts)


def _one_sided(sequence: FrameSequence, source: int, first: int, end: int) -> Iterator[Group]:
    for frames in (range(source + 1, end), range(source - 1, first - 1, -1)):
        if frames:
            visits = _walk(sequence, source, frames)
            yield Group(sequence, tuple(visits), dict.fromkeys(frames, (source,)))


def _between(
    sequence: FrameSequence, left: int | None, right: int | None, first: int, end: int, reach: int
) -> Group | None:
    """The walks between two neighbouring labelled frames, or (None) beyond the first or last of a run."""
    if left is not None and right is not None and right - left <= 2 * reach:
        reach = right - left  # each frame is near one of the two, and gets the labels of both
    inner, outer = first if left is None else left + 1, end if right is None else right
    forward = range(0) if left is None else range(inner, min(outer, left + reach + 1))
    backward = range(0) if right is None else range(outer - 1, max(inner, right - reach) - 1, -1)
    visits: list[Visit] = []
    if right is not None and backward:
        visits += _walk(sequence, right, backward, held=forward)
    if left is not None and forward:
        visits += _walk(sequence, left, forward)
    results = {
        frame: tuple(
            side for side, reached in ((left, forward), (right, backward)) if side is not None and frame in reached
        )
        for frame in sorted({*forward, *backward})
    }
    return Group(sequence, tuple(visits), results) if visits else None


def _walk(sequence: FrameSequence, source: int, frames: range, held: range = range(0)) -> Iterator[Visit]:
    """The visits of one walk from a labelled frame over `frames`; at those in `held` labels wait."""
    direction: Literal[1, -1] = 1 if frames[0] > source else -1
    yield Visit(sequence, source, source, direction, "start")
    for frame in frames:
        yield Visit(sequence, frame, source, direction, "hold" if frame in held else "write")
