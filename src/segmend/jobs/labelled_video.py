"""Videos with labels of some of their frames: what `propagate` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmend.data.dataset import Dataset, Record, open_masks
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.frames import Frames, open_frames, pair_labels
from segmend.labels import Classes
from segmend.report.results import Skipped


@dataclass(frozen=True)
class LabelledVideo:
    """Frames of videos, and the labels of some of them.

    Attributes:
        masks: how label files are read.
        labelled: records of the label files, by the ID of their frame.
        frames_from, labels_from: what was opened: the folder of frames or the video file, and the folder of
            labels. Nothing is written into them.
        unpaired: label files without a frame.
        findings: what was found and assumed, in sentences.
    """

    frames: Frames
    masks: Dataset
    labelled: dict[str, Record]
    frames_from: Path
    labels_from: Path
    unpaired: tuple[Skipped, ...] = ()
    findings: tuple[str, ...] = ()

    def labels(self, frame: str, size: tuple[int, int]) -> np.ndarray:
        """The label map of a labelled frame.

        Args:
            size: height and width of the frame.

        Raises:
            InvalidFile: unreadable, ids that are neither a class nor void, or another size.
        """
        record = self.labelled[frame]
        labels = self.masks.labels(record)
        if labels.shape != size:
            raise InvalidFile(
                record.labels or frame,
                f"expected labels of the size of their frame, {size[1]} x {size[0]}, found {labels.shape[1]} x "
                f"{labels.shape[0]}: resize them with nearest neighbour",
            )
        return labels


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
    return LabelledVideo(opened, masks, labelled, Path(frames), Path(labels), unpaired, findings)
