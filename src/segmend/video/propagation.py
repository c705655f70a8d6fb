"""Propagate labels from one frame to the following ones (VPLR, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.labels import void_of
from segmend.ops.vote import vote_labels
from segmend.ops.warp import compose, inside, warp, warp_labels
from segmend.video.confidence import confidence
from segmend.video.flow import Flow
from segmend.video.frame import Frame
from segmend.video.motion import Motion


@dataclass(frozen=True)
class Track:
    """Where the pixels of a frame were in an earlier (or later) one.

    Attributes:
        source: the frame that was followed.
        frame: the frame that it has reached.
        steps: how many frames lie between, at least 1.
        displacement: ``float32 [2, H, W]`` in pixels, from `source` to `frame`.
        valid: ``bool [H, W]``, false where a pixel entered the image on the way.
    """

    source: Frame
    frame: Frame
    steps: int
    displacement: Tensor
    valid: Tensor


class Tracker:
    """Follows a frame through a video, one frame at a time.

    The displacements of all steps are composed, so that what moves is sampled once, from the original.

    Args:
        source: the frame to follow.
        anchor: errors of composed displacements add up. An anchor estimates the flow from `source` to each frame
            directly, beginning with the composed displacement, and is taken wherever it fits better. Its time is
            that of another flow. None: no such correction.
    """

    def __init__(self, source: Frame, motion: Motion, anchor: Flow | None = None) -> None:
        self.source, self.last, self.anchor = source, source, anchor
        self._step = motion.start(source)
        self._track: Track | None = None

    def advance(self, frame: Frame) -> Track:
        """Follow to the next frame, of the same size."""
        step = self._step(frame)[None]
        if self._track is None:
            displacement, valid, steps = step, inside(step), 1
        else:
            displacement = compose(self._track.displacement[None], step)
            before = warp_labels(self._track.valid[None].byte(), step) == 1
            if self.anchor is not None:
                displacement = self._anchored(frame, displacement[0], self.anchor)[None]
            valid, steps = before & inside(displacement), self._track.steps + 1
        self.last = frame
        self._track = Track(self.source, frame, steps, displacement[0], valid[0])
        return self._track

    def _anchored(self, frame: Frame, composed: Tensor, anchor: Flow) -> Tensor:
        direct = anchor(self.source, frame, composed)
        before, after = (_mismatch(self.source, frame, displacement) for displacement in (composed, direct))
        return torch.where(after < BETTER * before, direct, composed)


BETTER = 0.98
"""The mismatch of an anchored displacement, as a share of that of the composed one, below which it is taken."""

MOST_MISMATCH, PATCH = 60.0, 5
"""Where colours differ by more, by occlusion say, the mismatch does not grow; it is a mean over a patch."""


def _mismatch(source: Frame, target: Frame, displacement: Tensor) -> Tensor:
    """Sum of the absolute differences in CIELAB of the moved source, mean over patches: ``float32 [H, W]``."""
    difference = (target.lab[None] - warp(source.lab[None], displacement[None])).abs().sum(dim=1, keepdim=True)
    padded = F.pad(difference.clamp_max(MOST_MISMATCH), (PATCH // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, PATCH, stride=1)[0, 0]


def follow(frames: Iterable[Frame], motion: Motion, anchor: Flow | None = None) -> Iterator[Track]:
    """Follow the first frame through the others (see `Tracker`).

    >>> from segmend.video import Frame, NoMotion, follow
    >>> frames = [Frame(np.zeros((8, 8, 3), np.uint8)) for _ in range(3)]
    >>> [track.steps for track in follow(frames, NoMotion())]
    [1, 2]
    """
    remaining = iter(frames)
    source = next(remaining, None)
    if source is not None:
        yield from map(Tracker(source, motion, anchor).advance, remaining)


class Propagated(NamedTuple):
    """Labels of a frame, and the probability that each is right.

    Attributes:
        labels: ``[H, W]``; void where no label arrives.
        confidence: ``float32 [H, W]`` in 0..1; 0 where the label is void.
    """

    labels: Tensor
    confidence: Tensor

    def kept(self, min_confidence: float) -> Tensor:
        """The labels, those of lower confidence void."""
        return torch.where(self.confidence < min_confidence, void_of(self.labels), self.labels).to(
            self.labels.dtype
        )


def propagate_labels(track: Track, labels: Tensor, vote: bool = True) -> Propagated:
    """Label propagation (LP): the labels of the track's source, for the real frame that it has reached.

    Args:
        labels: ``uint8`` or ``int32 [H, W]``, of ``track.source``.
        vote: let the pixels around each source decide by their likeness (`segmend.ops.vote_labels`), which brings
            borders back to the edges of the image.

    >>> from segmend.video import Frame, Track, propagate_labels
    >>> frame = Frame(np.zeros((1, 4, 3), np.uint8))
    >>> moved = torch.zeros(2, 1, 4)
    >>> moved[0] = 1  # a pixel to the right
    >>> track = Track(frame, frame, 1, moved, torch.tensor([[False, True, True, True]]))
    >>> propagate_labels(track, torch.tensor([[1, 2, 3, 3]], dtype=torch.uint8), vote=False).labels
    tensor([[255,   1,   2,   3]], dtype=torch.uint8)
    """
    displacement, void = track.displacement[None], void_of(labels)
    moved = warp_labels(labels[None], displacement)[0]
    valid = track.valid & (moved != void)  # a vote would fill what is void in the labels
    if vote:
        moved = vote_labels(labels[None], displacement, track.frame.lab[None], track.source.lab[None])[0][0]
    moved = torch.where(valid, moved, void).to(labels.dtype)
    found = confidence(moved, track.source, track.frame, track.displacement, track.steps)
    return Propagated(moved, found * (moved != void))


def propagate_jointly(track: Track, labels: Tensor) -> tuple[np.ndarray, Tensor]:
    """Joint propagation (JP): the track's source and its labels, both moved by the same displacement.

    They fit each other wherever the motion is wrong.

    Returns:
        The moved frame ``uint8 [H, W, 3]``, and its labels, void where the image was entered on the way.
    """
    moved = warp(track.source.tensor[None], track.displacement[None])[0]
    image = (moved * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    void = void_of(labels)
    return image, torch.where(track.valid, warp_labels(labels[None], track.displacement[None])[0], void).to(
        labels.dtype
    )


def fuse(first: Propagated, second: Propagated) -> Propagated:
    """The labels of one frame that come from two sides, such as two labelled frames before and after it.

    Where they agree, the higher confidence holds: the same imprecision of a border counts once. Where they differ,
    the more probable label is taken, and its confidence is Bayes' rule for two independent labels of which exactly
    one is right: ``p (1 - q) / (p (1 - q) + q (1 - p))``. There, p and q count as at most `MOST_CONFIDENT`.

    >>> from segmend.video import Propagated, fuse
    >>> first = Propagated(torch.tensor([[1, 1]]), torch.tensor([[0.6, 0.6]]))
    >>> second = Propagated(torch.tensor([[1, 2]]), torch.tensor([[0.9, 0.9]]))
    >>> fuse(first, second)
    Propagated(labels=tensor([[1, 2]]), confidence=tensor([[0.9000, 0.8571]]))
    """
    p, q = first.confidence, second.confidence
    labels = torch.where(p >= q, first.labels, second.labels)
    higher, lower = torch.maximum(p, q), torch.minimum(p, q)
    agreed = (first.labels == second.labels) | (lower == 0)
    high, low = higher.clamp_max(MOST_CONFIDENT), lower.clamp_max(MOST_CONFIDENT)
    right, wrong = high * (1 - low), low * (1 - high)
    bayes = right / (right + wrong).clamp_min(torch.finfo(p.dtype).tiny)
    return Propagated(labels, torch.where(agreed, higher, bayes))


MOST_CONFIDENT = 1 - 1 / 510
"""Eight bits store higher confidences as 1, which no other label could contradict."""


LEAST_ALIKE = 1.4
"""Of `likeness`. Neighbours in the eight shots of DAVIS and the run of CamVid have at least 1.74; two frames of
different videos have less than 1.2 in 999 of 1000 cases."""


def is_cut(before: Frame, after: Frame) -> bool:
    """Whether a new scene begins between two successive frames."""
    return likeness(before, after) < LEAST_ALIKE


def likeness(before: Frame, after: Frame) -> float:
    """How much two frames look like one scene, up to 2: the sum of two figures of their 64 x 64 thumbnails.

    The correlation of grey values at the best shift by up to ten pixels, and the intersection of their colour
    histograms in CIELAB.
    """
    small = [frame.thumbnail for frame in (before, after)]
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in small]
    centre = greys[0][10:-10, 10:-10]
    if centre.std() < 1 or greys[1].std() < 1:  # a correlation of plain images means nothing
        correlation = 1.0
    else:
        correlation = float(cv2.matchTemplate(greys[1], centre, cv2.TM_CCOEFF_NORMED).max())
    histograms = [_histogram(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)) for image in small]
    return correlation + float(np.minimum(*histograms).sum())


def _histogram(lab: np.ndarray) -> np.ndarray:
    counts = cv2.calcHist([lab], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
    shares: np.ndarray = counts / counts.sum()
    return shares
