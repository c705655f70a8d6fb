"""Train dual image segmentation on few label maps and many tags (DIS, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from segmend.data.files import InvalidFile
from segmend.data.sampling import Sample
from segmend.devices import Precision, autocast, to_device
from segmend.dual.model import DualSegmentation, image_loss, map_loss, tag_loss
from segmend.dual.samples import DualImages, DualSample, DualSamples, Images, StoredImages
from segmend.dual.targets import Targets
from segmend.segmenters.features import load_imagenet_features
from segmend.training.loop import Loss, Stage
from segmend.training.options import DataOptions, Optimisation, Options, Recipe, summary
from segmend.training.processes import launch
from segmend.training.reporting import Bar
from segmend.training.tagged import split_by_labels

BATCH = 16
"""Views of images that a frozen encoder sees at a time."""


class RoundOptions(Options):
    """A round of training with tagged images: how their label maps are inferred (see `segmend.dual.Targets`).

    Attributes:
        teacher: by the network as it was when the round began; otherwise by the network as it is at each step.
        weight: of the loss of the inferred maps. 0: none is inferred; tagged images train on their tags alone,
            which is multitask learning with missing label maps.
    """

    steps: int = Field(0, ge=0)
    image: bool = False
    tags: Literal["none", "sigmoid", "softmax"] = "softmax"
    evidence: Literal["mask", "bias", "network"] = "mask"
    features: float = Field(2.0, ge=0)
    colours: float = Field(0.7, ge=0)
    rounds: int = Field(3, ge=0)
    teacher: bool = True
    weight: float = Field(1.0, ge=0)

    @property
    def targets(self) -> Targets:
        return Targets(**self.model_dump(exclude={"teacher", "weight"}))


class DualRecipe(Recipe):
    """Train a network on labelled images, then on these and tagged ones.

    Attributes:
        labelled: a file with the IDs of the images of the training split whose label maps are used, one in each
            line; None: all label maps are. Other images of the split have the tags of ``tags.json``, or those that
            their label maps show.
        tagged: further splits of images with tags; None: those in ``tags.json`` that have no label maps.
        tags: another file than the data set's ``tags.json``, such as one that `segmend tags clean` wrote.
        features: ``imagenet`` starts from ImageNet features that come with the extra ``offline``.
        frozen: the encoder keeps its weights. What it gives is computed once for each image, which then varies by
            its mirror image alone.
        side: of the samples in pixels; images are shrunk to fit.
        tagged_share: share of tagged images in the batches of the second part.
        pretraining: steps on labelled images alone: of all but subnet 2; of subnet 2 alone; of all.
        rounds: one for each stage of the second part, of `optimisation.steps` each. Empty: label maps alone.
    """

    task: Literal["dual"] = "dual"
    data: DataOptions
    labelled: Path | None = None
    tagged: tuple[str, ...] | None = None
    tags: Path | None = None
    encoder: str = "tu-tf_efficientnet_lite0"
    output_stride: Literal[8, 16, 32] = 32
    width: int = Field(64, ge=4)
    features: Literal["imagenet"] | None = None
    frozen: bool = False
    side: int = Field(256, ge=32)
    tagged_share: float = Field(2 / 3, gt=0, lt=1)
    pretraining: tuple[int, int, int] = (400, 200, 200)
    rounds: tuple[RoundOptions, ...] = ()
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
    labelled, tagged, common = split_by_labels(
        recipe.data, recipe.labelled, recipe.tagged, recipe.tags, bool(recipe.rounds)
    )
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    size = recipe.encoder, recipe.output_stride, recipe.width, recipe.side
    model = DualSegmentation(labelled.classes, *size, common)
    if recipe.features == "imagenet":
        inner = getattr(model.encoder, "model", model.encoder)
        load_imagenet_features(inner)
    read = DualImages(labelled, tagged, recipe.side)
    images: Images = stored(read, model, options, bar) if recipe.frozen else read
    encoder = () if recipe.frozen else ("encoder.",)
    heads = (*encoder, "projections.", "to_u1.", "to_v1.", "subnet1.", "subnet3.")
    data = summary(labelled)
    parts = (
        (heads, _loss(images=False)),
        (("subnet2.",), _loss(maps=False)),
        ((*heads, "subnet2."), _loss()),
    )
    made = []
    for number, (steps, (trained, loss)) in enumerate(zip(recipe.pretraining, parts, strict=True)):
        own = options.model_copy(update={"steps": steps, "seed": options.seed + number})
        samples = DualSamples(images, 0.0, own.samples, own.seed)
        made.append(Stage(model, samples, loss, own, data, trained, encoder))
    more = "; ".join(f"{one.name}, {len(one)} images with tags" for one in tagged)
    teacher = copy.deepcopy(model) if any(one.teacher for one in recipe.rounds) else None
    for number, one in enumerate(recipe.rounds if tagged else (), len(made)):
        own = options.model_copy(update={"seed": options.seed + number})
        samples = DualSamples(images, recipe.tagged_share, own.samples, own.seed)
        by = teacher if one.teacher else None
        loss = _loss(inferred=_Inferred(one.targets, one.weight, by))
        made.append(Stage(model, samples, loss, own, more, (*heads, "subnet2."), encoder, teacher=by))
    return made


def stored(images: DualImages, model: DualSegmentation, options: Optimisation, bar: Bar) -> StoredImages:
    """Each image and its mirror image with what the frozen encoder gives for it."""
    device = launch(options).device
    encoder = to_device(model, device).eval()
    assert isinstance(encoder, DualSegmentation)

    def views() -> Iterator[DualSample | InvalidFile]:
        loader = DataLoader(_Views(images), BATCH, num_workers=options.workers, collate_fn=list)
        with bar("features", len(images.records)) as progress:
            for batch in loader:
                yield from _with_pyramids(encoder, batch, device, options.precision)
                for _ in range(len(batch) // 2):
                    progress.advance()

    return StoredImages(images, views())


class _Views(torch.utils.data.Dataset[DualSample | InvalidFile]):
    """Each image as it is and mirrored, or why it cannot be read."""

    def __init__(self, images: DualImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return 2 * len(self.images.records)

    def __getitem__(self, index: int) -> DualSample | InvalidFile:
        try:
            return self.images.view(index // 2, 1.0, index % 2 == 1)
        except InvalidFile as error:
            return error


def _with_pyramids(
    model: DualSegmentation, views: list[DualSample | InvalidFile], device: torch.device, precision: Precision
) -> Iterator[DualSample | InvalidFile]:
    good = [view for view in views if not isinstance(view, InvalidFile)]
    maps: list[Tensor] = []
    if good:
        with torch.no_grad(), autocast(device, precision):
            maps = [
                map_.half().cpu() for map_ in model.pyramid(torch.stack([v["image"] for v in good]).to(device))
            ]
    found = iter(zip(*maps, strict=True))
    for view in views:
        yield view if isinstance(view, InvalidFile) else {**view, "pyramid": next(found)}


class _Inferred(NamedTuple):
    """How label maps of tagged images are inferred, the weight of their loss, and by whom (None: the network)."""

    targets: Targets
    weight: float
    teacher: nn.Module | None


def _loss(maps: bool = True, images: bool = True, inferred: _Inferred | None = None) -> Loss:
    """The loss of a batch: of label maps and tags, of the reconstructed images, and of inferred label maps."""

    def loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
        given = cast(DualSample, batch)
        seen = given["image"] if "image" in given else given["pyramid"]
        valid, tags, tagged = given["valid"], given["tags"], ~given["labelled"]
        found: Tensor | None = None
        if inferred is not None and inferred.weight and tagged.any():
            model = inferred.teacher or network
            own = model.module if isinstance(getattr(model, "module", None), nn.Module) else model
            assert isinstance(own, DualSegmentation)
            with _evaluating(own), torch.no_grad():
                part = seen[tagged] if isinstance(seen, Tensor) else [map_[tagged] for map_ in seen]
                features = own.encode(part, valid[tagged])
                found, fitting = inferred.targets.infer(own, features, given["cells"][tagged], tags[tagged])
            tags = tags.index_put((tagged,), fitting.to(tags.dtype))
        output = network(seen, valid)
        total: Tensor = output.map_logits.new_zeros(())
        if maps:
            labelled = ~tagged
            total = total + tag_loss(output.tag_logits, tags).mean()
            total = total + map_loss(
                output.map_logits[labelled], given["shares"][labelled], given["weight"][labelled]
            )
        if found is not None and inferred is not None:
            inside = (valid[tagged] > 0.5).float()
            total = total + inferred.weight * map_loss(output.map_logits[tagged], found.exp(), inside)
        if images:
            total = total + image_loss(output.reconstruction, given["cells"], valid).mean()
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
