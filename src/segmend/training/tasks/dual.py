"""Train dual image segmentation on few label maps and many tags (DIS, section 3)."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segmend.data.convert.lists import read_lines
from segmend.data.dataset import Dataset, Record
from segmend.data.description import named
from segmend.data.files import InvalidFile
from segmend.data.sampling import Sample
from segmend.dual.model import DualSegmentation, image_loss, map_loss, soft_labels, tag_loss, target_image
from segmend.dual.samples import DualSamples
from segmend.dual.targets import Targets
from segmend.labels import InvalidInput
from segmend.segmenters.features import load_imagenet_features
from segmend.training.loop import Loss, Stage
from segmend.training.options import DataOptions, Optimisation, Options, Recipe, logger, summary
from segmend.training.reporting import Bar


class TargetOptions(Options):
    """How label maps of tagged images are inferred (see `segmend.dual.targets.Targets`)."""

    steps: int = Field(0, ge=0)
    image: bool = False
    tags: Literal["none", "sigmoid", "softmax"] = "softmax"
    mask: bool = True
    features: float = Field(2.0, ge=0)
    colours: float = Field(0.7, ge=0)
    rounds: int = Field(3, ge=0)


class DualRecipe(Recipe):
    """Train a network on labelled images, then on these and tagged ones.

    Attributes:
        labelled: a file with the IDs of the images of the training split whose label maps are used, one in each
            line; None: all label maps are. Other images of the split have the tags of ``tags.json``, or those that
            their label maps show.
        tagged: further splits of images with tags.
        features: ``imagenet`` starts from ImageNet features that come with the extra ``offline``.
        frozen: the encoder keeps its weights.
        side: of the samples in pixels; images are shrunk to fit.
        tagged_share: share of tagged images in the batches of the second part.
        pretraining: steps on labelled images alone: of all but subnet 2; of subnet 2 alone; of all.
        rounds: one for each stage of the second part, of `optimisation.steps` each: how the label maps of tagged
            images are inferred. Empty: label maps alone.
    """

    task: Literal["dual"] = "dual"
    data: DataOptions
    labelled: Path | None = None
    tagged: tuple[str, ...] = ()
    encoder: str = "tu-tf_efficientnet_lite0"
    output_stride: Literal[8, 16, 32] = 32
    width: int = Field(64, ge=4)
    features: Literal["imagenet"] | None = None
    frozen: bool = False
    side: int = Field(256, ge=32)
    tagged_share: float = Field(2 / 3, gt=0, lt=1)
    pretraining: tuple[int, int, int] = (400, 200, 200)
    rounds: tuple[TargetOptions, ...] = ()
    optimisation: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _check(self) -> DualRecipe:
        if self.optimisation.schedule == "plateau":
            raise ValueError("the schedule `plateau` is for segmenters and correctors, which have a `validation`")
        if min(self.pretraining) < 1:
            raise ValueError(f"`pretraining` holds three numbers of steps of at least 1, found {self.pretraining}")
        if self.optimisation.batch < 2:
            raise ValueError(f"`optimisation.batch` of at least 2 is needed, found {self.optimisation.batch}")
        return self


def stages(recipe: DualRecipe, bar: Bar) -> list[Stage]:
    """Three stages on labelled images, then one for each round."""
    options = recipe.optimisation
    labelled, tagged = split_by_labels(recipe)
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    model = DualSegmentation(labelled.classes, recipe.encoder, recipe.output_stride, recipe.width, recipe.side)
    if recipe.features == "imagenet":
        inner = getattr(model.encoder, "model", model.encoder)
        load_imagenet_features(inner)
    encoder = () if recipe.frozen else ("encoder.",)
    heads = ("projections.", "to_u1.", "to_v1.", "subnet1.", "subnet3.")
    count, void = len(labelled.classes), labelled.classes.void
    data = summary(labelled)
    made = []
    for number, (steps, trained, image_alone) in enumerate(
        zip(
            recipe.pretraining,
            ((*encoder, *heads), ("subnet2.",), (*encoder, *heads, "subnet2.")),
            (False, True, False),
            strict=True,
        )
    ):
        own = options.model_copy(update={"steps": steps, "seed": options.seed + number})
        samples = DualSamples(labelled, (), 0.0, recipe.side, own.samples, own.seed)
        loss = _labelled_loss(count, void, maps=not image_alone, images=number > 0)
        made.append(Stage(model, samples, loss, own, data, trained, encoder))
    for number, round_ in enumerate(recipe.rounds, len(made)):
        own = options.model_copy(update={"seed": options.seed + number})
        samples = DualSamples(labelled, tagged, recipe.tagged_share, recipe.side, own.samples, own.seed)
        loss = _mixed_loss(count, void, Targets(**round_.model_dump()))
        more = "; ".join(f"{one.name}, {len(one)} images with tags" for one in tagged)
        made.append(Stage(model, samples, loss, own, more, (*encoder, *heads, "subnet2."), encoder))
    return made


def split_by_labels(recipe: DualRecipe) -> tuple[Dataset, list[Dataset]]:
    """The images whose label maps are used, and those of which the tags are.

    What is left out and what contradicts is reported.

    Raises:
        InvalidInput: no labelled image, a list with IDs that the split does not have, or rounds without tags.
    """
    options = recipe.data
    everything = options.open(options.train)
    _report(everything.findings)
    with_maps = {record.id for record in everything if record.labels is not None}
    wanted = with_maps if recipe.labelled is None else _listed(recipe.labelled, everything, with_maps)
    whole = everything if options.leave_out is None else everything.fold(*options.leave_out)[0]
    labelled = whole.subset(wanted)
    if not len(labelled):
        split = f" of {options.train}" if options.train else ""
        raise InvalidInput(f"{options.root}: no image{split} that is trained on has a label map")
    _report(contradictions(labelled))
    if not recipe.rounds:
        return labelled, []
    given = [whole.subset({record.id for record in whole} - wanted)]
    if recipe.tagged and not (options.root / "dataset.yaml").is_file():
        raise InvalidFile(options.root, "it has no splits for `tagged`: expected a data set with a dataset.yaml")
    for split in recipe.tagged:
        given.append(options.open(split))
        _report(given[-1].findings)
    tagged = [dataset for dataset in map(with_tags_of_labels, given) if len(dataset)]
    if not tagged:
        raise InvalidInput(
            f"{options.root}: `rounds` are for images with tags, and there are none: write the classes of images "
            "to tags.json, give a list of the images to be `labelled`, or train without `rounds`"
        )
    return labelled, tagged


def with_tags_of_labels(dataset: Dataset) -> Dataset:
    """The same images; those without tags get the classes of their label maps as tags.

    Images with neither are left out, and so are those whose label map cannot be read; both are reported.
    """
    records, neither, unreadable = [], [], []
    for record in dataset:
        if record.tags is None and record.labels is None:
            neither.append(record.id)
            continue
        if record.tags is None:
            try:
                record = dataclasses.replace(record, tags=dict.fromkeys(_classes_in(dataset, record), 1.0))
            except InvalidFile as error:
                unreadable.append(str(error))
                continue
        records.append(record)
    if neither:
        have = "1 image has" if len(neither) == 1 else f"{len(neither)} images have"
        _report([f"{dataset.name}: {have} neither tags nor a label map, left out: {named(neither)}"])
    _report([f"warning: left out, as there are no tags beside it: {message}" for message in unreadable])
    return dataclasses.replace(dataset, records=tuple(records))


def contradictions(dataset: Dataset) -> list[str]:
    """A warning about images whose tags are not the classes of their label maps, which are used."""
    found = []
    background = dataset.classes.names[0]
    for record in dataset:
        if record.tags is None:
            continue
        try:
            present = set(_classes_in(dataset, record)) - {background}
        except InvalidFile:
            continue  # training lists it
        tags = {name for name, score in record.tags.items() if score > 0.5} - {background}
        if tags != present:
            texts = (", ".join(sorted(names)) or "none" for names in (tags, present))
            found.append("{} (tags: {}; label map: {})".format(record.id, *texts))
    if not found:
        return []
    have = "1 labelled image has" if len(found) == 1 else f"{len(found)} labelled images have"
    return [f"warning: {have} other tags than classes in the label map, which is used: {named(found)}"]


def _classes_in(dataset: Dataset, record: Record) -> tuple[str, ...]:
    """Names of the classes in a label map, in the order of the classes."""
    present = np.unique(dataset.labels(record))
    return tuple(name for i, name in enumerate(dataset.classes.names) if i in present)


def _listed(path: Path, dataset: Dataset, with_maps: set[str]) -> set[str]:
    """The IDs in a file, which all have a label map."""
    wanted = read_lines(path)
    known = {record.id for record in dataset}
    if not wanted:
        raise InvalidFile(path, "expected the ID of a labelled image in each line, found none")
    if unknown := [one for one in wanted if one not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"one that there is: {min(known)!r}"
        raise InvalidFile(path, f"no image of the training split has the ID {named(unknown)}; {meant}")
    if without := [one for one in wanted if one not in with_maps]:
        raise InvalidFile(
            path, f"no label map belongs to {named(without)}: add it, or take the ID out of the list"
        )
    return set(wanted)


def _report(findings: Iterable[str]) -> None:
    for finding in findings:
        logger.info(finding)


def _labelled_loss(count: int, void: int, maps: bool, images: bool) -> Loss:
    """Of label maps and tags, of reconstructed images, or of all."""

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        found = network(batch["image"], batch["valid"])  # type: ignore[typeddict-item]
        total = found.map_logits.new_zeros(())
        if maps:
            shares, known = soft_labels(batch["labels"], count, void)
            total = total + map_loss(found.map_logits, shares, known)
            total = total + tag_loss(found.tag_logits, batch["tags"]).mean()  # type: ignore[typeddict-item]
        if images:
            image = target_image(batch["image"])
            total = total + image_loss(found.reconstruction, image, found.features.valid).mean()
        return total

    return loss


def _mixed_loss(count: int, void: int, targets: Targets) -> Loss:
    """Of label maps where there are some, and where not, of those that the network itself infers from the tags."""

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        image, valid, tags = batch["image"], batch["valid"], batch["tags"]  # type: ignore[typeddict-item]
        labelled = batch["labelled"]  # type: ignore[typeddict-item]
        cells = target_image(image)
        inferred = None
        if not labelled.all():
            own = network.module if isinstance(getattr(network, "module", None), nn.Module) else network
            assert isinstance(own, DualSegmentation)
            with _evaluating(own), torch.no_grad():
                features = own.encode(image[~labelled], valid[~labelled])
                inferred = targets.infer(own, features, cells[~labelled], tags[~labelled])[0].exp()
        found = network(image, valid)
        total = image_loss(found.reconstruction, cells, found.features.valid).mean()
        total = total + tag_loss(found.tag_logits, tags).mean()
        if labelled.any():
            shares, known = soft_labels(batch["labels"][labelled], count, void)
            total = total + map_loss(found.map_logits[labelled], shares, known)
        if inferred is not None:
            inside = (found.features.valid[~labelled] > 0.5).float()
            total = total + map_loss(found.map_logits[~labelled], inferred, inside)
        return total

    return loss


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """A context in which a model is in evaluation mode; each layer gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
