"""What a recipe trains: the model, the samples it learns from, and its loss."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmend.data.class_agnostic import ClassAgnosticSamples
from segmend.data.class_uniform import Centroid, find_centroids
from segmend.data.corruptions import AnyCorruption
from segmend.data.dataset import Dataset
from segmend.data.sampling import CoarseSource, Sample, Samples
from segmend.data.transforms import training_view
from segmend.labels import VOID, Classes, InvalidInput
from segmend.losses import consensus_loss, relaxed_cross_entropy
from segmend.model_folder import load_model
from segmend.ops.blobs import find_blobs, numbered_blobs
from segmend.refiners.ecn import ECN, correction_loss
from segmend.refiners.spatial_propagation import SpatialPropagation, propagation_loss
from segmend.refiners.universal import UniversalPropagation, universal_loss
from segmend.segmenters.base import Segmenter, import_network
from segmend.segmenters.features import load_imagenet_features
from segmend.training.loop import Loss
from segmend.training.recipe import (
    CoarseOptions,
    DataOptions,
    ECNOptions,
    RefinerRecipe,
    SegmenterRecipe,
    SPNOptions,
    UniversalRecipe,
)

Model = Segmenter | ECN | SpatialPropagation | UniversalPropagation


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        model: with its first weights.
        samples: as many as all steps take.
        loss: of the model on a batch.
        data: what it learns from, in words.
        validation: what it is scored on meanwhile.
    """

    model: Model
    samples: torch.utils.data.Dataset[Sample]
    loss: Loss
    data: str
    validation: Dataset | None = None


def plan(recipe: SegmenterRecipe | RefinerRecipe | UniversalRecipe, dataset: Dataset | None = None) -> Plan:
    """The plan of a recipe, in which ``appearance: fit`` has become a number (see `segmend.jobs.train`).

    Args:
        dataset: what a segmenter is trained on, where that is not the training split (None: it is).

    Raises:
        InvalidInput: data or options that cannot be used.
    """
    torch.manual_seed(recipe.optimisation.seed)  # the first weights belong to the seed too
    if isinstance(recipe, UniversalRecipe):
        return _of_universal(recipe)
    if isinstance(recipe, SegmenterRecipe):
        return _of_segmenter(recipe, dataset or labelled(recipe.data))
    return _of_refiner(recipe, dataset or labelled(recipe.data, recipe.coarse))


def labelled(data: DataOptions, coarse: CoarseOptions | None = None) -> Dataset:
    """The records of the training split that have a label map."""
    return _labelled(data, data.train, coarse.train if coarse else None)


def _labelled(data: DataOptions, split: str | None, coarse: Path | None) -> Dataset:
    dataset = data.open(split)
    if coarse is not None:
        dataset = dataset.with_coarse(coarse)
    records = tuple(r for r in dataset if r.labels is not None)
    if not records:
        raise InvalidInput(f"{data.root}: no image{f' of {split}' if split else ''} has a label map")
    return dataclasses.replace(dataset, records=records)


def _of_segmenter(recipe: SegmenterRecipe, dataset: Dataset) -> Plan:
    centroids = find_centroids(dataset, recipe.class_uniform) if recipe.class_uniform else None
    numbered = recipe.consensus is not None and recipe.consensus.blobs == "files"
    samples = _samples(recipe, dataset, centroids=centroids, blobs=numbered)
    scored = _labelled(recipe.data, recipe.validation.split, None) if recipe.validation else None
    loss = _segmenter_loss(recipe, dataset.classes)
    return Plan(make_segmenter(recipe, dataset), samples, loss, _told(dataset), scored)


def _segmenter_loss(recipe: SegmenterRecipe, classes: Classes) -> Loss:
    void, relaxation, consensus = classes.void, recipe.relaxation, recipe.consensus
    strict = classes.ids(relaxation.strict) if relaxation else ()

    def of_pixels(logits: Tensor, labels: Tensor, progress: float) -> Tensor:
        radius = relaxation.radius if relaxation and progress < relaxation.until else 0
        return relaxed_cross_entropy(logits, labels, ignore_index=void, radius=radius, strict_classes=strict)

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        logits, labels = network(batch["image"]), batch["labels"]
        if consensus is None:
            return of_pixels(logits, labels, progress)
        if consensus.blobs == "files":
            blobs = numbered_blobs(batch["blobs"], labels, void)
        else:
            blobs = find_blobs(labels, void, by_class=consensus.blobs == "classes")
        agreed = consensus_loss(
            logits, labels, ignore_index=void, alpha=consensus.alpha, beta=consensus.beta, blobs=blobs
        )
        if not consensus.cross_entropy:
            return agreed
        return agreed + consensus.cross_entropy * of_pixels(logits, labels, progress)

    return loss


def _of_refiner(recipe: RefinerRecipe, dataset: Dataset) -> Plan:
    void = dataset.classes.void
    model = make_refiner(recipe, dataset)
    held_out = _for_the_mask(recipe, dataset)

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        if isinstance(model, SpatialPropagation):
            return propagation_loss(network(batch["image"], batch["coarse"]), batch["labels"], void)
        correction = network(batch["image"], batch["coarse"], detach_mask=bool(held_out))
        apart = batch["held_out"] if held_out else None
        return correction_loss(correction, batch["labels"], void, apart)

    maps = recipe.coarse
    coarse = CoarseSource(maps.truth_share, maps.truth_steps * recipe.optimisation.batch, maps.variation)
    samples, shown = _samples(recipe, dataset, coarse, held_out), recipe.validation
    scored = _labelled(recipe.data, shown.split, shown.coarse) if shown else None
    return Plan(model, samples, loss, _told(dataset), scored)


def _of_universal(recipe: UniversalRecipe) -> Plan:
    options = recipe.optimisation
    model = UniversalPropagation(recipe.width, recipe.connections)

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        found = network(batch["image"], batch["coarse"], batch["border_error_px"] * batch["told"])
        return universal_loss(found, batch["labels"], VOID, batch["border_error_px"])

    sets = [labelled(source.data, source.coarse) for source in recipe.sources]
    samples = [
        _samples(recipe, dataset, CoarseSource(maps.truth_share, 0, maps.variation, AnyCorruption()))
        for dataset, maps in zip(sets, (source.coarse for source in recipe.sources), strict=True)
    ]
    whole = sum(source.share for source in recipe.sources)
    shares = [source.share / whole for source in recipe.sources]
    mixed = ClassAgnosticSamples(samples, shares, options.steps * options.batch, options.seed, recipe.slots)
    return Plan(model, mixed, loss, "; ".join(map(_told, sets)))


def _samples(
    recipe: SegmenterRecipe | RefinerRecipe | UniversalRecipe,
    dataset: Dataset,
    coarse: CoarseSource | None = None,
    held_out: frozenset[str] = frozenset(),
    centroids: list[list[Centroid]] | None = None,
    blobs: bool = False,
) -> Samples:
    options = recipe.optimisation
    view = training_view(**recipe.augmentation.model_dump(), void=dataset.classes.void)
    return Samples(dataset, view, options.steps * options.batch, options.seed, coarse, held_out, centroids, blobs)


def _told(dataset: Dataset) -> str:
    return f"{dataset.name}, {len(dataset)} images, {len(dataset.classes)} classes"


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
        start_from(segmenter, load_model(Segmenter, recipe.start), recipe.start)
    return segmenter


def start_from(segmenter: nn.Module, trained: nn.Module, name: Path) -> None:
    """Give a segmenter the weights of a trained one where names and shapes fit: mostly all but the last layer's.

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


def make_refiner(recipe: RefinerRecipe, dataset: Dataset) -> ECN | SpatialPropagation:
    """The corrector that a recipe describes."""
    if recipe.ecn is not None:
        options: ECNOptions | SPNOptions = recipe.ecn
        network: ECN | SpatialPropagation = ECN(dataset.classes, **_arguments(options))
    else:
        assert recipe.spn is not None
        options = recipe.spn
        network = SpatialPropagation(dataset.classes, **_arguments(options))
    if options.features == "imagenet":
        if options.encoder is None:
            raise InvalidInput("features: the plain encoder has none; name an encoder")
        load_imagenet_features(network.encoder.image)  # type: ignore[arg-type]
    return network


def _arguments(options: ECNOptions | SPNOptions) -> dict[str, Any]:
    return options.model_dump(exclude={"features"})


def _for_the_mask(recipe: RefinerRecipe, dataset: Dataset) -> frozenset[str]:
    """IDs of the images that only the fusion mask learns on."""
    if recipe.ecn is None or recipe.ecn.branches != "both":
        return frozenset()
    order = np.random.default_rng(recipe.optimisation.seed).permutation(len(dataset))
    return frozenset(dataset.records[i].id for i in order[: round(recipe.mask_share * len(dataset))])
