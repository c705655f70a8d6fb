"""Videos with ground truth on every frame, their motion computed once, and propagation scored by distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segmend.data.dataset import open_masks
from segmend.data.frames import open_frames
from segmend.labels import void_of
from segmend.metrics import confusion_matrix
from segmend.video import Flow, Frame, Motion, Track, follow
from segmend.video.motion import Step

DAVIS_CHOSEN = ("blackswan", "breakdance", "car-roundabout", "horsejump-high")
"""Half of DAVIS, on which everything was chosen and fitted."""


@dataclass(frozen=True)
class Video:
    """Frames with ground truth."""

    name: str
    frames: list[Frame]
    truth: list[Tensor]
    num_classes: int


def camvid(data: Path) -> list[Video]:
    """The validation run of CamVid: 101 frames at 15 Hz."""
    return _read(data / "camvid", "val")


def davis(data: Path) -> list[Video]:
    """Eight sequences of DAVIS 2016."""
    return _read(data / "davis", "val")


def _read(root: Path, split: str) -> list[Video]:
    masks = open_masks(root / "labels" / split)
    labels = {record.id: record for record in masks}
    return [
        Video(
            sequence.name,
            [Frame(sequence.read(i)) for i in range(len(sequence))],
            [torch.from_numpy(masks.labels(labels[identity])) for identity in sequence.ids],
            len(masks.classes),
        )
        for sequence in open_frames(root / "images" / split).sequences
    ]


class Recorded:
    """A motion whose displacements through some frames are computed once, and then replayed from any frame.

    They are kept as float16.
    """

    def __init__(self, frames: list[Frame], motion: Motion) -> None:
        step = motion.start(frames[0])
        self.number = {id(frame): t for t, frame in enumerate(frames)}
        self.displacements = [step(frame).half() for frame in frames[1:]]

    def start(self, frame: Frame) -> Step:
        """See `Motion`."""
        return lambda following: self.displacements[self.number[id(following)] - 1].float()


def tracks(
    frames: list[Frame], motion: Recorded, longest: int, every: int = 1, anchor: Flow | None = None
) -> Iterator[tuple[int, Track]]:
    """From every `every`-th frame, its tracks over up to `longest` steps: its number, and the track."""
    for start in range(0, len(frames) - 1, every):
        for track in follow(frames[start : start + longest + 1], motion, anchor):
            yield start, track


class ByDistance:
    """Confusion matrices by distance, of which the last column holds what is void in the labels."""

    def __init__(self, num_classes: int) -> None:
        self.count = num_classes
        self.matrices: dict[int, np.ndarray] = {}

    def add(self, distance: int, labels: Tensor, truth: Tensor) -> None:
        """Count a frame."""
        found = confusion_matrix(torch.where(labels == void_of(labels), 255, labels), truth, self.count)
        self.matrices[distance] = self.matrices.get(distance, 0) + found

    def scores(self) -> dict[str, dict[str, float]]:
        """By distance: mIoU and accuracy of the pixels with a label, in percent, and their share."""
        return {str(k): _scores(m) for k, m in sorted(self.matrices.items())}


def _scores(matrix: np.ndarray) -> dict[str, float]:
    kept = matrix[:, :-1].astype(float)
    hits = np.diag(kept)
    union = kept.sum(0) + kept.sum(1) - hits
    return {
        "miou": round(100 * float(np.mean(hits[union > 0] / union[union > 0])), 2),
        "right": round(100 * float(hits.sum() / kept.sum()), 2),
        "kept": round(100 * float(kept.sum() / matrix.sum()), 2),
    }
