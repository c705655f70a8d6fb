"""Scores of whole held-out images while a model is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from segmend.data.dataset import Dataset, Record, pair_labels
from segmend.data.files import InvalidFile
from segmend.labels import InvalidInput, as_image
from segmend.metrics import confusion_matrix, mean_accuracy, mean_iou
from segmend.training.loop import Scores, Scoring
from segmend.training.processes import gathered, summed

MakeLabels = Callable[[nn.Module, Tensor, Dataset, Record], Tensor]
"""A model's label map ``[H, W]`` of an image ``float32 [3, H, W]`` in 0..1 of a record of a data set.

It raises `InvalidFile` if another file of the record cannot be read.
"""


def scoring(dataset: Dataset, every: int, make_labels: MakeLabels) -> Scoring:
    """Validation by mean recall over classes, which the schedule ``plateau`` follows, and mIoU."""

    def score(model: nn.Module, fabric: Fabric) -> Scores:
        confusion, broken = validate(model, dataset, make_labels, fabric)
        return Scores({"mean_accuracy": mean_accuracy(confusion), "mean_iou": mean_iou(confusion)}, broken)

    return Scoring(every, score)


def validate(
    model: nn.Module, dataset: Dataset, make_labels: MakeLabels, fabric: Fabric
) -> tuple[np.ndarray, list[str]]:
    """The confusion matrix ``int64 [C, C + 1]`` of a model's label maps; each process makes a part of them.

    Args:
        model: in evaluation mode, on the device of `fabric`.
        dataset: records with labels.

    Returns:
        The matrix, and messages about files that could not be read, which are left out.

    Raises:
        InvalidInput: no image could be read, or all labels are void.
    """
    count = len(dataset.classes)
    confusion = np.zeros((count, count + 1), np.int64)
    broken: list[str] = []
    part = dataclasses.replace(dataset, records=dataset.records[fabric.global_rank :: fabric.world_size])
    for record in part:
        try:
            image, labels = pair_labels(part, record)
            with torch.no_grad(), fabric.autocast():
                found = make_labels(model, as_image(image).to(fabric.device), part, record)
        except InvalidFile as error:
            broken.append(str(error))
            continue
        confusion += confusion_matrix(found.cpu(), labels, count)
    confusion, broken = summed(torch.from_numpy(confusion).to(fabric.device)).cpu().numpy(), gathered(broken)
    if not confusion.any():
        first = f"; the first: {broken[0]}" if broken else ""
        raise InvalidInput(f"no labelled pixel of the validation split can be read{first}")
    return confusion, broken
