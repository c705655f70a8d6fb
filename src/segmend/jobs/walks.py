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
        result: what becomes of the labels here: ``none`` at the labelled frame itself, ``held`` where those of a
            walk from the other side will join them, else ``final``.
    """

    sequence: FrameSequence
    frame: int
    source: int
    result: Literal["none", "held", "final"]

    @property
    def steps(self) -> int:
        """Frames from the labelled one to this one; negative backwards."""
        return self.frame - self.source

    @property
    def before(self) -> int:
        """Index of the frame that the walk comes from."""
        return self.frame - (self.steps > 0) + (self.steps < 0)


@dataclass(frozen=True)
class Group:
    """Visits that belong together: all of the labels between two labelled frames, or those of one walk.

    Attributes:
        visits: in order.
        results: for each frame with a final result, the labelled frames that its labels may come from.
    """

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
            if left is not None or right is not None:
                yield from _between(sequence, left, right, first, end, reach)


def _runs(sequence: FrameSequence) -> Iterator[tuple[int, int]]:
    """First index and end of the parts of a sequence without gaps."""
    starts = [0, *sorted(sequence.breaks), len(sequence)]
    yield from itertools.pairwise(starts)


def _one_sided(sequence: FrameSequence, source: int, first: int, end: int) -> Iterator[Group]:
    for frames in (range(source + 1, end), range(source - 1, first - 1, -1)):
        if frames:
            visits = (
                Visit(sequence, source, source, "none"),
                *(Visit(sequence, i, source, "final") for i in frames),
            )
            yield Group(visits, dict.fromkeys(frames, (source,)))


def _between(
    sequence: FrameSequence, left: int | None, right: int | None, first: int, end: int, reach: int
) -> Iterator[Group]:
    if left is not None and right is not None and right - left <= 2 * reach:
        reach = right - left  # each frame is near one of the two, and gets the labels of both
    forward = range(0) if left is None else range(left + 1, min(end if right is None else right, left + reach + 1))
    backward = range(0)
    if right is not None:
        backward = range(right - 1, max(first if left is None else left + 1, right - reach) - 1, -1)
    visits: list[Visit] = []
    if right is not None and backward:
        visits.append(Visit(sequence, right, right, "none"))
        visits += [Visit(sequence, i, right, "held" if i in forward else "final") for i in backward]
    if left is not None and forward:
        visits.append(Visit(sequence, left, left, "none"))
        visits += [Visit(sequence, i, left, "final") for i in forward]
    results: dict[int, tuple[int, ...]] = {}
    for frame in sorted({*forward, *backward}):
        sides = [(left, frame in forward), (right, frame in backward)]
        results[frame] = tuple(side for side, reached in sides if reached and side is not None)
    if visits:
        yield Group(tuple(visits), results)
