"""Figures about propagated labels: how many pixels keep them, and how many of them are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segmend.data.files import InvalidFile
from segmend.data.manifest import Entry
from segmend.data.maps import read_label_map
from segmend.jobs.labelled_video import LabelledVideo
from segmend.jobs.propagated_folder import PropagatedFolder
from segmend.jobs.propagation_plan import Plan
from segmend.labels import Classes
from segmend.report.results import Quality, Skipped


def class_shares(classes: Classes, before: Tensor, after: Tensor) -> dict[str, tuple[int, int]]:
    """For each class in `before`, by name, how many pixels it has in `after` and in `before`.

    Args:
        before, after: label maps ``[H, W]``.
    """
    count = len(classes)  # void has a higher id
    had, has = (torch.bincount(labels.flatten(), minlength=count)[:count].tolist() for labels in (before, after))
    return {name: (k, n) for name, k, n in zip(classes.names, has, had, strict=True) if n > 0}


def kept_shares(classes: Classes, entries: Iterable[Entry]) -> dict[str, float]:
    """For each class that occurs, the share of its pixels that kept their label, over all images."""
    counts = np.zeros((len(classes), 2), np.int64)
    numbers = {name: number for number, name in enumerate(classes.names)}
    for entry in entries:
        for name, kept_and_all in entry.kept.items():
            counts[numbers[name]] += kept_and_all
    return {name: round(float(k / n), 4) for name, (k, n) in zip(classes.names, counts, strict=True) if n > 0}


def score(
    video: LabelledVideo, held_out: frozenset[str], folder: PropagatedFolder, entries: Sequence[Entry]
) -> tuple[list[Quality], list[Skipped]]:
    """Scores of the images whose frame has held-out labels, by distance; and label files that cannot be used."""
    if not held_out:
        return [], []
    from segmend.metrics import confusion_matrix  # loads torchmetrics, which takes seconds

    classes = video.masks.classes
    matrices: dict[int, list[np.ndarray]] = {}
    skipped = []
    for entry in entries:
        if entry.frame not in held_out:
            continue
        try:
            labels = read_label_map(folder.path("labels", entry.id), classes)
            truth = video.labels(entry.frame, labels.shape)
        except InvalidFile as error:
            skipped.append(Skipped(file=str(error.path), reason=error.reason))
            continue
        matrices.setdefault(entry.distance, []).append(confusion_matrix(labels, truth, len(classes)))
    scores = [
        _quality(distance, len(found), np.sum(found, axis=0)) for distance, found in sorted(matrices.items())
    ]
    return scores, skipped


def _quality(distance: int, images: int, matrix: np.ndarray) -> Quality:
    from segmend.metrics import mean_iou, pixel_accuracy

    kept = matrix.copy()
    kept[:, -1] = 0  # this column counts pixels without a label
    count = int(kept.sum())
    return Quality(
        distance=distance,
        images=images,
        mean_iou=mean_iou(kept) if count else None,
        pixel_accuracy=pixel_accuracy(kept) if count else None,
        kept=count / max(1, int(matrix.sum())),
    )


def left_over(out: Path, entries: Mapping[str, Entry], plan: Plan) -> str:
    """A sentence about images of earlier runs that this one would not have made; empty if there are none."""
    count = len(entries.keys() - {target.id for target in plan.targets()})
    if not count:
        return ""
    images = "1 image of an earlier run lies" if count == 1 else f"{count} images of earlier runs lie"
    return f"{images} in {out} that this one does not make: delete the folder and run again to be rid of them"
