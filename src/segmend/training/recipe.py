"""Recipes: what to train, on what, and how, as a checked YAML file."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from segmend.data.dataset import Dataset, open_dataset
from segmend.data.files import InvalidFile
from segmend.labels import Classes, InvalidInput


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataOptions(_Strict):
    """The data: a data set's folder, or plain folders of images and masks."""

    root: Path
    train: str | None = None
    labels: Path | None = Field(None, description="for a plain folder of images, the folder of masks")
    classes: list[str] | int | None = Field(None, description="for plain folders, names or number")
    merge: dict[str, tuple[str, ...]] = Field({}, description="new class name -> classes it joins")

    def open(self, split: str | None) -> Dataset:
        """The records of a split."""
        classes = Classes(tuple(self.classes)) if isinstance(self.classes, list) else self.classes
        dataset = open_dataset(self.root, split, labels=self.labels, classes=classes)
        return dataset.merged(self.merge) if self.merge else dataset


class Augmentation(_Strict):
    """How a training sample is varied.

    `scale` is a range of factors, `colour` the strength of the jitter (0: none), and with `mixed` only crops
    with more than one class are drawn, where there are some; with `inside` none reaches over the image's sides.
    """

    crop: int = Field(256, ge=8)
    scale: tuple[float, float] = (0.5, 1.5)
    mirror: bool = True
    colour: float = Field(0.0, ge=0)
    mixed: bool = False
    inside: bool = False


class Optimisation(_Strict):
    """Steps, optimiser and schedule.

    `power` is that of the schedule `poly`, `average` the decay of a moving average of the weights (0: none).
    With the schedule `plateau` the learning rate falls to a tenth, and then a hundredth, each time that the mean
    recall in `validation` has not risen in `patience` scores (SVC).
    """

    steps: int = Field(20_000, ge=1)
    batch: int = Field(8, ge=1)
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-4, gt=0)
    encoder_lr: float | None = Field(None, gt=0, description="for pretrained layers, where it differs")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "poly", "cosine", "plateau"] = "constant"
    power: float = Field(1.0, gt=0)
    patience: int = Field(3, ge=1)
    warmup: int = Field(0, ge=0)
    average: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "32", "bf16"] = "auto"
    seed: int = Field(0, ge=0)
    workers: int = Field(2, ge=0)


class Prediction(_Strict):
    """How the trained segmenter is asked for out-of-fold maps (see `TestTime`)."""

    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False


class Validation(_Strict):
    """Another split to be scored every so many steps: mean recall over its classes and mIoU go to the log."""

    split: str
    every: int = Field(500, ge=1)


class PairValidation(Validation):
    """The same for a corrector, with the folder of its coarse maps."""

    coarse: Path


class Relaxation(_Strict):
    """Cross-entropy that forgives at borders (see `segmend.losses.relaxed_cross_entropy`).

    `until` is the share of the steps after which it is plain cross-entropy, and `strict` names classes that always
    have that.
    """

    radius: int = Field(1, ge=0)
    until: float = Field(1.0, ge=0, le=1)
    strict: tuple[str, ...] = ()


class Consensus(_Strict):
    """Agreement within blobs (see `segmend.losses.consensus_loss`).

    A blob is a connected area of one class (``areas``), all of a class in an image (``classes``), or what has one
    number in the data set's ``blobs/SPLIT`` (``files``). `cross_entropy` is a weight for the loss of each pixel
    by itself, which is added.
    """

    alpha: float = Field(10.0, ge=0)
    beta: float = Field(5.0, ge=0)
    cross_entropy: float = Field(0.0, ge=0)
    blobs: Literal["areas", "classes", "files"] = "areas"


class SegmenterRecipe(_Strict):
    """Train a segmenter: any importable network from image to logits.

    The loss is cross-entropy, relaxed where `relaxation` says so, or what `consensus` says.

    With `class_uniform`, the side of tiles in pixels, every second sample is a crop around the middle of a class's
    pixels in a tile, of all classes alike.
    """

    task: Literal["segmenter"]
    data: DataOptions
    network: str = "segmentation_models_pytorch.DeepLabV3Plus"
    arguments: dict[str, Any] = {}
    stride: int = Field(32, ge=1)
    features: Literal["imagenet"] | None = None
    start: Path | None = Field(None, description="a trained segmenter: what fits of its weights comes first")
    prediction: Prediction = Prediction()
    class_uniform: int | None = Field(None, ge=8)
    relaxation: Relaxation | None = None
    consensus: Consensus | None = None
    augmentation: Augmentation = Augmentation(scale=(0.5, 2.0), colour=1.0)
    optimisation: Optimisation = Optimisation()
    validation: Validation | None = None

    @model_validator(mode="after")
    def _no_idle_loss(self) -> SegmenterRecipe:
        if self.relaxation and self.consensus and not self.consensus.cross_entropy:
            raise ValueError("`relaxation` is of cross-entropy, and `consensus.cross_entropy` is 0: there is none")
        return self

    @model_validator(mode="after")
    def _scored(self) -> SegmenterRecipe:
        _check_plateau(self.optimisation, self.validation)
        return self


AppearanceWeight = Literal["fit"] | Annotated[float, Field(ge=0)]
"""Weight of the appearance term; ``fit``: the best on the training split (see `fit_appearance`)."""


class ECNOptions(_Strict):
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


class SPNOptions(_Strict):
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


class CoarseOptions(_Strict):
    """Coarse maps for training: folders of them, and how much is corrupted truth (see `CoarseSource`)."""

    train: Path | None = None
    truth_share: float = Field(0.0, ge=0, le=1)
    truth_steps: int = Field(0, ge=0)
    variation: float = Field(0.0, ge=0)


class RefinerRecipe(_Strict):
    """Train a corrector of coarse maps: an error correction network, or a spatial propagation network.

    `mask_share` of the images are kept from ECN's branches: the fusion mask alone learns on them, and so
    learns how good the branches are on images they have not seen. 0: all learn on all, as in the paper.
    """

    task: Literal["refiner"]
    data: DataOptions
    coarse: CoarseOptions
    ecn: ECNOptions | None = None
    spn: SPNOptions | None = None
    mask_share: float = Field(0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()
    validation: PairValidation | None = None

    @model_validator(mode="after")
    def _one_network(self) -> RefinerRecipe:
        if (self.ecn is None) == (self.spn is None):
            raise ValueError("give one network, `ecn` or `spn`")
        return self

    @model_validator(mode="after")
    def _scored(self) -> RefinerRecipe:
        _check_plateau(self.optimisation, self.validation)
        return self


class Source(_Strict):
    """A data set to learn from, with its share of the samples; shares are relative to each other.

    Of its samples, `coarse.truth_share` (all, where it has no coarse maps) are the truth, corrupted in many ways.
    """

    data: DataOptions
    coarse: CoarseOptions = CoarseOptions()
    share: float = Field(1.0, gt=0)


class UniversalRecipe(_Strict):
    """Train a class-agnostic refiner (see `segmend.refiners.universal`) on several data sets at once.

    Each sample holds the `slots` classes that its coarse map believes in most.
    """

    task: Literal["universal"]
    sources: list[Source] = Field(min_length=1)
    width: Literal["full", "half", "quarter"] = "quarter"
    connections: Literal[1, 3] = 3
    slots: int = Field(5, ge=2)
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _unscored(self) -> UniversalRecipe:
        if self.optimisation.schedule == "plateau":
            raise ValueError("the schedule `plateau` is for segmenters and refiners of one data set")
        return self


class FilterRecipe(_Strict):
    """Search the parameters of a refiner that is not learned, on training images with coarse maps.

    `trials` random settings are tried on `images` images; the best quarter on three times as many,
    and so on, until one is left. The same again with settings near the best.
    """

    task: Literal["filter"]
    data: DataOptions
    coarse: CoarseOptions
    filter: Literal["crf", "guided"]
    trials: int = Field(32, ge=1)
    images: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)


Recipe = SegmenterRecipe | RefinerRecipe | UniversalRecipe | FilterRecipe
_ANY: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="task")])


def read_recipe(path: Path | str, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """The recipe in a YAML file, with ``key=value`` overrides (``optimisation.steps=100``).

    Paths in it are relative to the working directory.

    Raises:
        InvalidFile: not YAML, or a key or value that does not fit; the nearest valid key is named.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"not readable as YAML ({error})") from None
    if not isinstance(content, dict):
        raise InvalidFile(path, "expected keys such as `task`, `data`, `optimisation`")
    for override in overrides:
        _set(content, override)
    try:
        return _ANY.validate_python(content)
    except ValidationError as error:
        raise InvalidFile(path, _explain(error)) from None


def write_recipe(recipe: Recipe) -> str:
    """The recipe as YAML text, all defaults written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _check_plateau(optimisation: Optimisation, validation: Validation | None) -> None:
    if optimisation.schedule == "plateau" and validation is None:
        raise ValueError("the schedule `plateau` depends on the scores of `validation`: name its split")


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise InvalidInput(f"expected key=value, found {override!r}")
    *parents, last = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise InvalidInput(f"{override!r}: {parent} holds no keys")
    content[last] = yaml.safe_load(value)


def _explain(error: ValidationError) -> str:
    """What is wrong with a recipe: for each fault the key, and for unknown keys the nearest valid one."""
    lines = []
    for fault in error.errors():
        where = [str(part) for part in fault["loc"][1:]]  # the first is the task
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where[-1], _keys_beside(fault["loc"]), n=1)
            message = "no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        lines.append(f"{'.'.join(where) or 'recipe'}: {message}")
    return "; ".join(lines)


def _keys_beside(place: tuple[int | str, ...]) -> list[str]:
    """The keys that a recipe may have at a place: its task, then keys and positions in lists."""
    task, *parents, _ = place
    part: type[BaseModel] = next(kind for kind in get_args(Recipe) if task in get_args(_type_of(kind, "task")))
    for parent in (name for name in parents if isinstance(name, str)):
        inside = _type_of(part, parent)
        part = next(kind for kind in (inside, *get_args(inside)) if isinstance(kind, type(BaseModel)))
    return list(part.model_fields)


def _type_of(part: type[BaseModel], key: str) -> Any:
    return part.model_fields[key].annotation
