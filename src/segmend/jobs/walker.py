"""Labels on their way through a video: walks from frame to frame, and labels that wait for another walk."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmend.jobs.walks import Visit
from segmend.video import Frame, Motion, Propagated, Track, Tracker, fuse, is_cut


class Walker:
    """Follows walks, one after another, visit by visit. A walk ends where it cannot be continued.

    Args:
        align: anchor displacements by the flow from the labelled frame (see `segmend.video.Tracker`).
        note: is given a sentence where a walk ends early.

    Attributes:
        labels: those of the labelled frame where the walk began.
    """

    def __init__(self, motion: Motion, align: bool, note: Callable[[str], None]) -> None:
        self.motion, self.note = motion, note
        self._anchor = motion.flow if align else None
        self.labels = torch.empty(0)
        self._tracker: Tracker | None = None
        self._walk: tuple[str, int, int] | None = None
        self._at = -1

    def start(self, visit: Visit, frame: Frame, labels: np.ndarray) -> None:
        """Begin a walk at a labelled frame."""
        self._tracker = Tracker(frame, self.motion, self._anchor)
        self._walk, self._at = visit.walk, visit.frame
        self.labels = torch.from_numpy(labels)

    def follow(self, visit: Visit, frame: Frame) -> Track | None:
        """Continue to the next frame; None where the walk has ended before it, or could not begin."""
        if self._tracker is None or self._walk != visit.walk:
            return None
        if obstacle := self._obstacle(visit, self._tracker.last, frame):
            self.note(obstacle)
            self._tracker = None
            return None
        self._at = visit.frame
        return self._tracker.advance(frame)

    def _obstacle(self, visit: Visit, last: Frame, frame: Frame) -> str:
        """Why the walk cannot go on; empty if it can. The same sentence for walks of both directions."""
        ids = visit.sequence.ids
        if self._at != visit.before:
            return f"{ids[visit.before]} cannot be read: labels are not propagated across it"
        earlier, later = (ids[index] for index in sorted((visit.before, visit.frame)))
        if last.size != frame.size:
            return f"{earlier} and {later} differ in size: labels are not propagated from one to the other"
        if is_cut(last, frame):
            return f"a new scene begins between {earlier} and {later}: labels are not propagated across the cut"
        return ""


class Reached(NamedTuple):
    """Labels that have reached a frame.

    Attributes:
        sources: indices of the labelled frames that they come from.
        displacement: ``float16 [2, H, W]`` in pixels from the nearest of them; None unless it is wanted.
    """

    propagated: Propagated
    sources: tuple[int, ...]
    displacement: np.ndarray | None = None


def join(frame: int, first: Reached | None, second: Reached | None) -> Reached | None:
    """What has reached a frame from one or both sides; None if nothing has.

    Args:
        frame: its index, to which the sources are compared.
    """
    if first is None or second is None:
        return second if first is None else first
    nearest = min((first, second), key=lambda reached: abs(frame - reached.sources[0]))
    return Reached(fuse(first.propagated, second.propagated), first.sources + second.sources, nearest.displacement)


def confidence_bytes(confidence: Tensor) -> Tensor:
    """Confidence in 0..1 as ``uint8``, 255 for 1. Only a confidence of 0 becomes 0: there is no label."""
    return torch.maximum((confidence * 255).round_().byte(), (confidence > 0).byte())


class Waiting:
    """Labels that wait at their frames for those of the walk from the other side, compressed."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int], tuple[_Packed | None, _Packed, _Packed, tuple[int, ...]]] = {}

    def put(self, visit: Visit, reached: Reached) -> None:
        """Leave labels at a frame."""
        labels, confidence = reached.propagated
        self._at[visit.sequence.name, visit.frame] = (
            None if reached.displacement is None else _Packed.of(reached.displacement),
            _Packed.of(labels.numpy()),
            _Packed.of(confidence_bytes(confidence).numpy()),
            reached.sources,
        )

    def take(self, visit: Visit) -> Reached | None:
        """The labels that wait at a frame, their confidence to eight bits; None if there are none."""
        found = self._at.pop((visit.sequence.name, visit.frame), None)
        if found is None:
            return None
        displacement, labels, confidence, sources = found
        shares = torch.from_numpy(confidence.array()).float() / 255
        propagated = Propagated(torch.from_numpy(labels.array()), shares)
        return Reached(propagated, sources, None if displacement is None else displacement.array())


class _Packed(NamedTuple):
    """A compressed array."""

    content: bytes
    dtype: np.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: np.ndarray) -> _Packed:
        return cls(zlib.compress(np.ascontiguousarray(array).tobytes(), 1), array.dtype, array.shape)

    def array(self) -> np.ndarray:
        return np.frombuffer(bytearray(zlib.decompress(self.content)), self.dtype).reshape(self.shape)
