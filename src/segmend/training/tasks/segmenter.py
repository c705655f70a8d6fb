"""Train a segmenter: any network from image to logits, with losses and sampling for imperfect labels."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segmend.data.class_uniform import find_centroids
from segmend.data.dataset import Dataset, Record
from segmend.data.sampling import Sample, Samples
from segmend.labels import Classes, InvalidInput, most_likely
from segmend.losses import consensus_loss, relaxed_cross_entropy
from segmend.model_folder import load_model
from segmend.ops.blobs import find_blobs, numbered_blobs
from segmend.segmenters.base import Segmenter, import_network
from segmend.segmenters.features import load_imagenet_features
from segmend.segmenters.prediction import TestTime, predict_bands
from segmend.training.loop import Loss, Scoring, Stage
from segmend.training.options import (
    Augmentation,
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


class Prediction(Options):
    """How the trained segmenter predicts out-of-fold maps (see `TestTime`)."""

    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False


class Relaxation(Options):
    """Cross-entropy that tolerates border errors (see `segmend.losses.relaxed_cross_entropy`).

    Attributes:
        radius: of the tolerance, in pixels.
        until: share of the steps after which the loss is plain cross-entropy.
        strict: names of classes whose loss is always plain cross-entropy.
    """

    radius: int = Field(1, ge=0)
    until: float = Field(1.0, ge=0, le=1)
    strict: tuple[str, ...] = ()


class Consensus(Options):
    """Agreement within blobs (see `segmend.losses.consensus_loss`).

    Attributes:
        cross_entropy: weight of the cross-entropy that is added.
        blobs: ``areas``, connected areas of one class; ``classes``, all pixels of a class in an image; ``files``,
            pixels with one number in the data set's ``blobs/SPLIT``.
    """

    alpha: float = Field(10.0, ge=0)
    beta: float = Field(5.0, ge=0)
    cross_entropy: float = Field(0.0, ge=0)
    blobs: Literal["areas", "classes", "files"] = "areas"


class SegmenterRecipe(Recipe):
    """Train a segmenter.

    The loss is cross-entropy, relaxed if `relaxation` is given, or that of `consensus`.

    Attributes:
        propagated: which frames of a propagated data set are trained on; None for all of them.
        network: importable path of the network's class (see `segmend.segmenters.Segmenter`).
        arguments: of the network.
        stride: sides of images are padded to a multiple of it.
        features: ``imagenet`` for an encoder with pretrained features.
        start: folder of a trained segmenter: the weights whose names and shapes fit are copied.
        class_uniform: side in pixels of the tiles of class-uniform sampling (see `segmend.data.class_uniform`).
            Every second sample is then centred on a class's centroid in a tile, all classes equally often.
    """

    task: Literal["segmenter"] = "segmenter"
    data: DataOptions
    propagated: PropagatedOptions | None = None
    network: str = "segmentation_models_pytorch.DeepLabV3Plus"
    arguments: dict[str, Any] = Field({})
    stride: int = Field(32, ge=1)
    features: Literal["imagenet"] | None = None
    start: Path | None = None
    prediction: Prediction = Prediction()
    class_uniform: int | None = Field(None, ge=8)
    relaxation: Relaxation | None = None
    consensus: Consensus | None = None
    augmentation: Augmentation = Augmentation(scale=(0.5, 2.0), colour=1.0)
    optimisation: Optimisation = Optimisation()
    validation: Validation | None = None

    @model_validator(mode="after")
    def _check(self) -> SegmenterRecipe:
        if self.relaxation and self.consensus and not self.consensus.cross_entropy:
            raise ValueError("`relaxation` changes the cross-entropy, but `consensus.cross_entropy` is 0")
        check_plateau(self)
        return self


def stages(recipe: SegmenterRecipe, bar: Bar) -> list[Stage]:
    """One stage."""
    options, dataset = recipe.optimisation, recipe.data.training_set(propagated=recipe.propagated)
    centroids = find_centroids(dataset, recipe.class_uniform) if recipe.class_uniform else None
    numbered = recipe.consensus is not None and recipe.consensus.blobs == "files"
    samples = Samples(
        dataset,
        recipe.augmentation.view(dataset.classes.void),
        options.samples,
        options.seed,
        centroids=centroids,
        blobs=numbered,
        propagated_share=recipe.propagated.share if recipe.propagated else None,
    )
    loss = _loss(recipe, dataset.classes)
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    return [
        Stage(
            make_segmenter(recipe, dataset),
            samples,
            loss,
            options,
            summary(dataset),
            pretrained=("network.encoder.",),
            validation=_validation(recipe),
        )
    ]


def _loss(recipe: SegmenterRecipe, classes: Classes) -> Loss:
    void, relaxation, consensus = classes.void, recipe.relaxation, recipe.consensus
    strict = classes.ids(relaxation.strict) if relaxation else ()

    def cross_entropy(logits: Tensor, labels: Tensor, progress: float) -> Tensor:
        radius = relaxation.radius if relaxation and progress < relaxation.until else 0
        return relaxed_cross_entropy(logits, labels, ignore_index=void, radius=radius, strict_classes=strict)

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        logits, labels = network(batch["image"]), batch["labels"]
        if consensus is None:
            return cross_entropy(logits, labels, progress)
        if consensus.blobs == "files":
            blobs = numbered_blobs(batch["blobs"], labels, void)
        else:
            blobs = find_blobs(labels, void, by_class=consensus.blobs == "classes")
        agreed = consensus_loss(
            logits, labels, ignore_index=void, alpha=consensus.alpha, beta=consensus.beta, blobs=blobs
        )
        if not consensus.cross_entropy:
            return agreed
        return agreed + consensus.cross_entropy * cross_entropy(logits, labels, progress)

    return loss


def _validation(recipe: SegmenterRecipe) -> Scoring | None:
    if recipe.validation is None:
        return None
    return scoring(recipe.data.labelled(recipe.validation.split), recipe.validation.every, make_labels)


def make_labels(model: nn.Module, image: Tensor, dataset: Dataset, record: Record) -> Tensor:
    """A segmenter's label map of an image, at the image's own size (see `segmend.training.validation`)."""
    assert isinstance(model, Segmenter)
    return torch.cat([most_likely(band) for _, band in predict_bands(model, image, TestTime())])


def make_segmenter(recipe: SegmenterRecipe, dataset: Dataset) -> Segmenter:
    """The segmenter that a recipe describes; the number of classes goes to the argument that takes it."""
    accepted = inspect.signature(import_network(recipe.network)).parameters
    arguments: dict[str, Any] = {}
    for name in ("classes", "num_classes"):
        if name in accepted:
            arguments[name] = len(dataset.classes)
    if "encoder_weights" in accepted:
        arguments["encoder_weights"] = None  # smp's default downloads from a hub
    arguments |= recipe.arguments
    segmenter = Segmenter(dataset.classes, recipe.network, arguments, recipe.stride)
    if recipe.features == "imagenet":
        encoder = getattr(segmenter.network, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise InvalidInput(f"{recipe.network}: has no `encoder` to load ImageNet features into")
        inner = getattr(encoder, "model", encoder)
        load_imagenet_features(inner if isinstance(inner, nn.Module) else encoder)
    if recipe.start is not None:
        copy_weights(load_model(Segmenter, recipe.start), segmenter, recipe.start)
    return segmenter


def copy_weights(trained: nn.Module, segmenter: nn.Module, name: Path) -> None:
    """Copy weights to another segmenter where names and shapes fit: mostly all but those of the last layer.

    Args:
        name: of the trained one, for messages.

    Raises:
        InvalidInput: none fits.
    """
    own = segmenter.state_dict()
    fitting = {n: w for n, w in trained.state_dict().items() if n in own and own[n].shape == w.shape}
    if not any(weight.ndim > 1 for weight in fitting.values()):
        raise InvalidInput(f"start: {name} is another network, none of its weights fits")
    segmenter.load_state_dict(fitting, strict=False)


@dataclass(frozen=True)
class Fold:
    """A training without a part of the training split, and how its maps of that part are predicted."""

    recipe: SegmenterRecipe
    held_out: Dataset
    test_time: TestTime


def folds(recipe: SegmenterRecipe, count: int) -> list[Fold]:
    """The recipes of `count` segmenters, each of which leaves out another part of the training split."""
    dataset, shown = recipe.data.training_set(propagated=recipe.propagated), recipe.prediction
    made = []
    for index in range(count):
        data = recipe.data.model_copy(update={"leave_out": (index, count)})
        held_out = dataset.fold(index, count)[1]
        without = recipe.model_copy(update={"data": data})
        made.append(Fold(without, held_out, TestTime(shown.scales, shown.mirror)))
    return made
