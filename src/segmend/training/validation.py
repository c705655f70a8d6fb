"""Scores of whole images that are not learned from, while a model is trained."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from segmend.data.dataset import Dataset, check_fits, pair_labels
from segmend.data.files import InvalidFile
from segmend.devices import Precision, autocast
from segmend.labels import InvalidInput, as_image, as_tensor, most_likely
from segmend.metrics import confusion_matrix
from segmend.refiners.base import Refiner, refine_bands
from segmend.segmenters.prediction import TestTime, predict_bands
from segmend.training.processes import gathered, rank, summed, world


def validate(model: nn.Module, dataset: Dataset, precision: Precision) -> tuple[np.ndarray, list[str]]:
    """The confusion matrix ``int64 [C, C + 1]`` of a model's maps; under ``torchrun`` each process makes a part.

    Segmenters see every image once, at its own size; correctors see its coarse map too.

    Args:
        model: a `Segmenter` or a `Refiner`, in evaluation mode.
        dataset: records with labels, and with coarse maps for a corrector.

    Returns:
        The matrix, and messages about files that could not be read, which are left out.

    Raises:
        InvalidInput: none could be read, or all is void.
    """
    device = next(model.parameters()).device
    count = len(dataset.classes)
    confusion = np.zeros((count, count + 1), np.int64)
    broken: list[str] = []
    part = dataclasses.replace(dataset, records=dataset.records[rank() :: world()])
    for record in part:
        try:
            image, labels = pair_labels(part, record)
            coarse = part.coarse(record) if isinstance(model, Refiner) else labels
            check_fits(record.coarse or record.id, labels=labels, coarse=coarse)
        except InvalidFile as error:
            broken.append(str(error))
            continue
        with torch.no_grad(), autocast(device, precision):
            found = _label_map(model, as_image(image).to(device), coarse, count)
        confusion += confusion_matrix(found.cpu(), labels, count)
    confusion, broken = summed(torch.from_numpy(confusion).to(device)).cpu().numpy(), gathered(broken)
    if not confusion.any():
        first = f"; the first: {broken[0]}" if broken else ""
        raise InvalidInput(f"no labelled pixel of the validation split can be read{first}")
    return confusion, broken


def _label_map(model: nn.Module, image: Tensor, coarse: np.ndarray, count: int) -> Tensor:
    if isinstance(model, Refiner):
        return torch.cat([refined.labels for _, refined in refine_bands(model, image, as_tensor(coarse), count)])
    return torch.cat([most_likely(band) for _, band in predict_bands(model, image, TestTime())])
