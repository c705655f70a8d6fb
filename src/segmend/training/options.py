"""The parts that recipes of several tasks share: data, coarse maps, augmentation, optimisation, validation."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torchvision.transforms import v2

from segmend.data.dataset import Dataset, open_dataset
from segmend.data.manifest import MANIFEST
from segmend.data.transforms import training_view
from segmend.devices import Precision
from segmend.labels import Classes, InvalidInput

logger = logging.getLogger(__name__)
"""What was found in the data and assumed about it, for whoever runs the training."""


class Options(BaseModel):
    """A part of a recipe. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(Options):
    """What one training does. Each task in `segmend.training.tasks` has its own subclass."""

    task: str

    def to_yaml(self) -> str:
        """The recipe as YAML text, all defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


class PropagatedOptions(Options):
    """Which frames of a data set that `segmend propagate` wrote are trained on, beside those labelled by hand.

    Attributes:
        distance: frames to the labelled frame. 0: images labelled by hand alone, whatever `share` says.
        up_to: all distances from 1 to `distance`, not that one alone. Without `share`, images labelled by hand are
            then less frequent; in VPLR (section 4.2) scores fell slightly.
        share: share of the samples that show propagated frames; None: every image is equally frequent.
    """

    distance: int = Field(ge=0)
    up_to: bool = False
    share: float | None = Field(None, ge=0, le=1)

    def chosen(self, dataset: Dataset, root: Path) -> Dataset:
        """The records labelled by hand and those at the distance, without those that the manifest does not list.

        Args:
            root: the data set's folder, for messages.

        Raises:
            InvalidInput: no manifest lists the records, or none is at the distance.
        """
        there = sorted({record.distance for record in dataset if record.distance is not None})
        if not there:
            raise InvalidInput(
                f"{root}: `propagated` is for data sets that `segmend propagate` wrote, and no {MANIFEST} lists "
                "these images: leave `propagated` out of the recipe, or give the folder of such a data set"
            )
        first = min(1, self.distance) if self.up_to else self.distance
        asked = range(first, self.distance + 1)
        if not set(asked).intersection(there):
            raise InvalidInput(
                f"{root}: no image of the training split is at `propagated.distance` {self.distance}; there are "
                f"{', '.join(map(str, there))} (0: labelled by hand)"
            )
        records = tuple(record for record in dataset if record.distance == 0 or record.distance in asked)
        return dataclasses.replace(dataset, records=records)


class DataOptions(Options):
    """The data: a data set's folder, or plain folders of images and masks."""

    root: Path
    train: str | None = Field(None, description="the training split")
    labels: Path | None = Field(None, description="for a plain folder of images, the folder of masks")
    classes: list[str] | int | None = Field(None, description="for plain folders, names or number")
    ids: list[int] | None = Field(None, description="for plain folders, the id in the masks of each class")
    palette: Path | None = Field(None, description="for masks painted in colours, a file of names and colours")
    bands: tuple[int, int, int] | None = Field(None, description="bands that are red, green and blue, from 1")
    merge: dict[str, tuple[str, ...]] = Field({}, description="new class name -> classes it joins")
    leave_out: tuple[int, int] | None = Field(None, description="(i, K): train without part i, from 0, of K")

    def open(self, split: str | None) -> Dataset:
        """The records of a split."""
        classes = Classes(tuple(self.classes)) if isinstance(self.classes, list) else self.classes
        bands = self.bands and (self.bands[0] - 1, self.bands[1] - 1, self.bands[2] - 1)
        dataset = open_dataset(
            self.root,
            split,
            labels=self.labels,
            classes=classes,
            ids=self.ids,
            palette=self.palette,
            bands=bands or None,
        )
        return dataset.merged(self.merge) if self.merge else dataset

    def labelled(self, split: str | None, coarse: Path | None = None) -> Dataset:
        """The records of a split that have a label map, and a coarse map if `coarse` is their folder.

        Raises:
            InvalidInput: there are none.
        """
        dataset = self.open(split)
        if coarse is not None:
            dataset = dataset.with_coarse(coarse)
        records = tuple(r for r in dataset if r.labels is not None)
        if not records:
            raise InvalidInput(f"{self.root}: no image{f' of {split}' if split else ''} has a label map")
        for finding in dataset.findings:
            logger.info(finding)
        return dataclasses.replace(dataset, records=records)

    def training_set(self, coarse: Path | None = None, propagated: PropagatedOptions | None = None) -> Dataset:
        """The labelled records of the training split, without the part that `leave_out` names.

        Args:
            propagated: which propagated frames are among them; None for all.
        """
        dataset = self.labelled(self.train, coarse)
        if origins := _origins(dataset):
            logger.info(f"{self.root}: {len(dataset)} images for training: {origins}")
        if propagated is not None:
            dataset = propagated.chosen(dataset, self.root)
            logger.info(f"{self.root}: {len(dataset)} of them are used: {_origins(dataset)}")
        return dataset if self.leave_out is None else dataset.fold(*self.leave_out)[0]


class CoarseOptions(Options):
    """Coarse maps for training (see `segmend.data.sampling.CoarseSource`).

    Attributes:
        train: folder of coarse maps of the training split; None if all are made from the ground truth.
        truth_share: share of samples whose coarse map is corrupted ground truth.
        truth_steps: number of steps at the start in which all samples are of that kind (pretraining).
        variation: strength of the corruption that is added to the maps in `train`, as augmentation.
    """

    train: Path | None = None
    truth_share: float = Field(0.0, ge=0, le=1)
    truth_steps: int = Field(0, ge=0)
    variation: float = Field(0.0, ge=0)


class Augmentation(Options):
    """How training samples vary.

    Attributes:
        crop: side of the square crops, in pixels.
        scale: range of the random scale factor.
        mirror: mirror half of the samples from left to right.
        colour: strength of the colour jitter; 0 for none.
        mixed: draw only crops with more than one class, if a few tries find one.
        inside: crops never reach beyond the image, so they are never padded.
    """

    crop: int = Field(256, ge=8)
    scale: tuple[float, float] = (0.5, 1.5)
    mirror: bool = True
    colour: float = Field(0.0, ge=0)
    mixed: bool = False
    inside: bool = False

    def view(self, void: int) -> v2.Transform:
        """The random transform of a sample whose void label is `void`."""
        return training_view(**self.model_dump(), void=void)


class Optimisation(Options):
    """Steps, optimiser and schedule of the learning rate.

    Attributes:
        batch: samples in a step, over all processes.
        encoder_lr: learning rate of pretrained layers, if it differs from `lr`.
        schedule: of the learning rate after `warmup` steps. ``plateau`` divides it by ten, at most twice, when the
            score of the validation split has not risen in `patience` validations (SVC).
        power: exponent of the schedule ``poly``.
        average: decay of the exponential moving average of the weights; 0 for none.
        workers: processes that load samples.
    """

    steps: int = Field(20_000, ge=1)
    batch: int = Field(8, ge=1)
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-4, gt=0)
    encoder_lr: float | None = Field(None, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "poly", "cosine", "plateau"] = "constant"
    power: float = Field(1.0, gt=0)
    patience: int = Field(3, ge=1)
    warmup: int = Field(0, ge=0)
    average: float = Field(0.0, ge=0, lt=1)
    precision: Annotated[Precision, BeforeValidator(str)] = "auto"  # YAML reads 32 as a number
    seed: int = Field(0, ge=0)
    workers: int = Field(2, ge=0)

    @property
    def samples(self) -> int:
        """Number of samples in all steps."""
        return self.steps * self.batch


class Validation(Options):
    """Score another split every so many steps. Mean recall over classes and mIoU go to the training log."""

    split: str
    every: int = Field(500, ge=1)


class _Validated(Protocol):
    @property
    def optimisation(self) -> Optimisation: ...

    @property
    def validation(self) -> Any: ...


def check_plateau(recipe: _Validated) -> None:
    """Raise `ValueError` where the schedule depends on scores that nothing computes."""
    if recipe.optimisation.schedule == "plateau" and recipe.validation is None:
        raise ValueError("the schedule `plateau` depends on the scores of `validation`: name its split")


def summary(dataset: Dataset) -> str:
    """What a model card says of a data set."""
    origins = _origins(dataset)
    images = f"{len(dataset)} images ({origins})" if origins else f"{len(dataset)} images"
    return f"{dataset.name}, {images}, {len(dataset.classes)} classes"


def _origins(dataset: Dataset) -> str:
    """How many labels were made by hand, and how many propagated, at each distance; empty without a manifest."""
    counts = Counter(record.distance for record in dataset if record.distance is not None)
    unlisted = len(dataset) - counts.total()
    if not counts:
        return ""
    parts = [f"{counts.pop(0, 0)} labelled by hand"]
    parts += [f"{count} propagated at distance {distance}" for distance, count in sorted(counts.items())]
    if unlisted:
        parts.append(f"{unlisted} not listed in {MANIFEST}")
    return ", ".join(parts)
