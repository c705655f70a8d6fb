"""Train a corrector of coarse maps: an error correction network, or a spatial propagation network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segmend.data.dataset import Dataset, Record, check_fits, pair_coarse
from segmend.data.sampling import CoarseSource, Sample, Samples
from segmend.labels import InvalidInput, as_image, as_probabilities, as_tensor, most_likely
from segmend.metrics import confusion_matrix, mean_iou
from segmend.refiners.appearance import appearance_at_pixels, combined
from segmend.refiners.base import Refiner, refine_bands
from segmend.refiners.ecn import ECN, correction_loss
from segmend.refiners.spatial_propagation import SpatialPropagation, propagation_loss
from segmend.segmenters.features import load_imagenet_features
from segmend.training.loop import Loss, Scoring, Stage
from segmend.training.options import (
    Augmentation,
    CoarseOptions,
    DataOptions,
    Optimisation,
    Options,
    PropagatedOptions,
    Recipe,
    Validation,
    check_plateau,
    summary,
)
from segmend.training.reporting import Bar
from segmend.training.validation import scoring

AppearanceWeight = Literal["fit"] | Annotated[float, Field(ge=0)]
"""Weight of the appearance term; ``fit``: the best one on the training split (see `fit_appearance`)."""


class ECNOptions(Options):
    """Arguments of `segmend.refiners.ecn.ECN`, and whether its encoder starts from ImageNet features."""

    width: Literal["full", "half", "quarter"] = "full"
    branches: Literal["both", "propagation", "replacement"] = "both"
    encoder: str | None = None
    features: Literal["imagenet"] | None = None
    max_displacement: float | None = 32.0
    residual: bool = False
    frozen: bool = False
    coarse_weight: float = Field(0.0, ge=0, lt=1)
    appearance: AppearanceWeight = 0.0


class SPNOptions(Options):
    """Arguments of `segmend.refiners.spatial_propagation.SpatialPropagation`, and its encoder's features."""

    connections: Literal[1, 3] = 3
    gates: Literal["free", "similarity"] = "similarity"
    lift: int | None = None
    rounds: int = Field(1, ge=1)
    width: Literal["full", "half", "quarter"] = "half"
    encoder: str | None = None
    frozen: bool = False
    sees_coarse: bool = True
    appearance: AppearanceWeight = 0.0
    restrict_to_present: bool = False
    weighted: bool = False
    features: Literal["imagenet"] | None = None


class CorrectorValidation(Validation):
    """Validation of a corrector, with the folder of the split's coarse maps."""

    coarse: Path


class CorrectorRecipe(Recipe):
    """Train a corrector.

    Attributes:
        propagated: which frames of a propagated data set are trained on; None for all of them.
        fusion_share: share of the training images on which ECN's fusion mask alone is trained. The branches never
            see them, so that the mask learns how good the branches are on new images. 0: all of the network is
            trained on all images, as in the paper.
    """

    task: Literal["corrector"] = "corrector"
    data: DataOptions
    propagated: PropagatedOptions | None = None
    coarse: CoarseOptions
    ecn: ECNOptions | None = None
    spn: SPNOptions | None = None
    fusion_share: float = Field(0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()
    validation: CorrectorValidation | None = None

    @model_validator(mode="after")
    def _check(self) -> CorrectorRecipe:
        if (self.ecn is None) == (self.spn is None):
            raise ValueError("give one network, `ecn` or `spn`")
        check_plateau(self)
        return self


def stages(recipe: CorrectorRecipe, bar: Bar) -> list[Stage]:
    """One stage."""
    return stages_of(recipe.data.training_set(recipe.coarse.train, recipe.propagated), recipe, bar)


def stages_of(dataset: Dataset, recipe: CorrectorRecipe, bar: Bar) -> list[Stage]:
    """One stage, on the images of a data set that is open already."""
    options, maps = recipe.optimisation, recipe.coarse
    chosen = recipe.ecn or recipe.spn
    assert chosen is not None
    appearance = fit_appearance(dataset, bar) if chosen.appearance == "fit" else chosen.appearance
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    model = _network(chosen, appearance, dataset)
    held_out = _fusion_images(recipe, dataset)
    samples = Samples(
        dataset,
        recipe.augmentation.view(dataset.classes.void),
        options.samples,
        options.seed,
        CoarseSource(maps.truth_share, maps.truth_steps * options.batch, maps.variation),
        held_out,
        propagated_share=recipe.propagated.share if recipe.propagated else None,
    )
    void = dataset.classes.void
    loss = _spn_loss(void) if recipe.ecn is None else _ecn_loss(void, bool(held_out))
    return [
        Stage(
            model,
            samples,
            loss,
            options,
            summary(dataset),
            pretrained=("encoder.image.",),
            validation=_validation(recipe),
        )
    ]


def _network(options: ECNOptions | SPNOptions, appearance: float, dataset: Dataset) -> ECN | SpatialPropagation:
    arguments = options.model_dump(exclude={"features"}) | {"appearance": appearance}
    kind = ECN if isinstance(options, ECNOptions) else SpatialPropagation
    network: ECN | SpatialPropagation = kind(dataset.classes, **arguments)
    if options.features == "imagenet":
        if options.encoder is None:
            raise InvalidInput("features: the plain encoder has none; name an encoder")
        load_imagenet_features(network.encoder.image)  # type: ignore[arg-type]
    return network


def _fusion_images(recipe: CorrectorRecipe, dataset: Dataset) -> frozenset[str]:
    """IDs of the images on which the fusion mask alone is trained."""
    if recipe.ecn is None or recipe.ecn.branches != "both":
        return frozenset()
    order = np.random.default_rng(recipe.optimisation.seed).permutation(len(dataset))
    return frozenset(dataset.records[i].id for i in order[: round(recipe.fusion_share * len(dataset))])


def _ecn_loss(void: int, hold_out: bool) -> Loss:
    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        correction = network(batch["image"], batch["coarse"], hold_out)
        return correction_loss(correction, batch["labels"], void, batch["held_out"] if hold_out else None)

    return loss


def _spn_loss(void: int) -> Loss:
    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        return propagation_loss(network(batch["image"], batch["coarse"]), batch["labels"], void)

    return loss


def _validation(recipe: CorrectorRecipe) -> Scoring | None:
    if recipe.validation is None:
        return None
    dataset = recipe.data.labelled(recipe.validation.split, recipe.validation.coarse)
    return scoring(dataset, recipe.validation.every, make_labels)


def make_labels(model: nn.Module, image: Tensor, dataset: Dataset, record: Record) -> Tensor:
    """A refiner's label map of an image and its coarse map (see `segmend.training.validation`)."""
    assert isinstance(model, Refiner)
    coarse = dataset.coarse(record)
    check_fits(record.coarse or record.id, image=image[0].cpu().numpy(), coarse=coarse)
    bands = refine_bands(model, image, as_tensor(coarse), len(dataset.classes))
    return torch.cat([refined.labels for _, refined in bands])


APPEARANCE_WEIGHTS = (0.0, 0.25, 0.5, 1.0)

MAX_IMAGES = 500
"""Number of images on which these weights are compared. With fifty, rare classes decide."""


def fit_appearance(dataset: Dataset, bar: Bar) -> float:
    """The weight of the appearance term (see `with_appearance`) with the best mIoU, of `APPEARANCE_WEIGHTS`.

    The mean is over the classes that the data set's scores are averaged over. The term improves blurred maps. It
    degrades sharp ones, and objects that have the colours of their surroundings. Files that cannot be read do not
    count; without coarse maps the weight is 0.
    """
    records = [record for record in dataset if record.coarse is not None]
    if len(records) > MAX_IMAGES:
        records = [records[i] for i in np.linspace(0, len(records) - 1, MAX_IMAGES).astype(int)]
    count = len(dataset.classes)
    totals = {weight: np.zeros((count, count + 1), np.int64) for weight in APPEARANCE_WEIGHTS}
    with bar("appearance", len(records)) as progress, torch.inference_mode():
        for record in records:
            progress.advance()
            try:
                pixels, map_ = pair_coarse(dataset, record)
                labels = dataset.labels(record)
                image, coarse = as_image(pixels)[None], as_probabilities(map_, count)[None]
            except InvalidInput:
                continue  # training lists it
            appearance = appearance_at_pixels(image, coarse)
            for weight, total in totals.items():
                total += confusion_matrix(most_likely(combined(coarse, appearance, weight))[0], labels, count)
    return max(APPEARANCE_WEIGHTS, key=lambda weight: mean_iou(totals[weight], dataset.scored_ids))
