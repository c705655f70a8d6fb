"""What is exported: modules from tensors to tensors that compute what the package computes from files.

Each is traced once, and serves batches, heights and widths of any size. A refiner's graph computes what
`segmend.refiners.Refiner.refine` computes of probabilities without void, of an image that is not cut into tiles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from segmend.borders.evidence import PLANES
from segmend.borders.pairs import DESCRIPTION
from segmend.labels import Classes
from segmend.refiners import ECN, BorderNetwork, RefinerNetwork, SpatialPropagation, UniversalPropagation
from segmend.refiners.appearance import MIN_COARSE
from segmend.refiners.base import EVERY, Refinement
from segmend.refiners.combine import combine
from segmend.refiners.universal.coarse_weight import scaled, uncertainties
from segmend.segmenters import Segmenter

SIZES = {0: "batch", 2: "height", 3: "width"}

IMAGE = "RGB, float32 [batch, 3, height, width] in 0..1"
COARSE = "probabilities of the coarse map, float32 [batch, classes, height, width], which sum to 1 at each pixel"


class Graph(nn.Module, ABC):
    """A module to export.

    Attributes:
        inputs: what each argument of `forward` is, by its name.
        axes: names of the axes of each argument that have any length.
        output: name of the result.
        meaning: what it is.
        kind: name of the class of the model.
        classes: of the maps; None for any.
    """

    inputs: ClassVar[dict[str, str]]
    axes: ClassVar[dict[str, dict[int, str]]]
    output: ClassVar[str] = "probabilities"
    meaning: ClassVar[str]
    kind: str
    classes: Classes | None = None

    @abstractmethod
    def example(self, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        """Arguments of `forward` of a size, the same at each call."""


class SegmenterGraph(Graph):
    """A segmenter: image to probabilities."""

    inputs: ClassVar = {"image": IMAGE}
    axes: ClassVar = {"image": SIZES}
    meaning: ClassVar = "probabilities of the classes, float32 [batch, classes, height, width]"

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter, self.classes = segmenter, segmenter.classes
        self.kind = type(segmenter).__name__

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.segmenter(image)
        return logits.softmax(dim=1)

    def example(self, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        return (_noise(batch, 3, height, width),)


class RefinerGraph(Graph):
    """A corrector (ECN or SPN): image and coarse map to the refined map.

    Args:
        min_confidence: of a refiner that was tuned on good masks; else None.
    """

    inputs: ClassVar = {"image": IMAGE, "coarse": COARSE}
    axes: ClassVar = {"image": SIZES, "coarse": SIZES}
    meaning: ClassVar = "probabilities of the refined map, float32 [batch, classes, height, width]"

    def __init__(self, refiner: RefinerNetwork, min_confidence: float | None = None) -> None:
        super().__init__()
        self.refiner, self.min_confidence = refiner, min_confidence
        self.kind = type(refiner).__name__
        self.classes = refiner.classes if isinstance(refiner, ECN | SpatialPropagation) else None

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        refined = self.refiner.refine_batch(image, coarse)
        weight = self.refiner.coarse_weight_for(coarse[0])
        return combine(refined, coarse, weight, self.min_confidence).probabilities

    def example(self, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        count = len(self.classes) if self.classes is not None else 4
        return _noise(batch, 3, height, width), (4 * _noise(batch, count, height, width)).softmax(dim=1)


class UniversalMapsGraph(RefinerGraph):
    """The class-agnostic network for probability maps, with any number of classes from 2.

    What `UniversalPropagation.refine_batch` decides in Python is computed here: which classes are present, and how
    uncertain each map is.
    """

    axes: ClassVar = {"image": SIZES, "coarse": {**SIZES, 1: "classes"}}
    refiner: UniversalPropagation

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        network = self.refiner
        # Classes that are the most likely one somewhere, the largest first. One alone is not refined: its map
        # stays as it is, and another class beside it keeps all shapes from being special.
        largest = coarse.amax(dim=1, keepdim=True)
        is_present = (coarse == largest).any(dim=3).any(dim=2).any(dim=0)
        total = coarse.sum(dim=(0, 2, 3)) / coarse.sum()
        order = (total + is_present).argsort(descending=True)
        count = is_present.sum()
        # int() would ask for the number while it is traced.
        kept = cast(int, count.clamp_min(2).item())
        torch._check(kept >= 2)
        torch._check(kept <= coarse.shape[1])
        chosen = order.narrow(0, 0, kept)
        restricted = coarse.index_select(1, chosen).clamp_min(MIN_COARSE)
        restricted = restricted / restricted.sum(dim=1, keepdim=True)
        refined = network(image, restricted).probabilities
        if network.appearance > 0:
            far = scaled(uncertainties(restricted[..., ::EVERY, ::EVERY]))[:, 1]
            refined = network.add_appearance(image, restricted, refined, far)
        found = torch.zeros_like(coarse).index_copy(1, chosen, refined)
        refined = torch.where(count > 1, found, coarse)
        near, far = scaled(uncertainties(coarse[..., ::EVERY, ::EVERY])).unbind(1)
        weight = network.coarse_weight_of(near, far)[:, None, None, None]
        return combine(Refinement.of(refined, coarse), coarse, weight, self.min_confidence).probabilities


class UniversalMasksGraph(Graph):
    """The class-agnostic network for masks: evidence to the share of each pixel's rival class.

    The evidence comes from `segmend.borders.evidence.border_evidence`: edges, border profiles and distances, which
    are no network.
    """

    inputs: ClassVar = {
        "image": IMAGE,
        "planes": f"BorderEvidence.planes, float32 [batch, {PLANES}, height, width]",
        "pair": "BorderEvidence.pair, int64 [batch, height, width]",
        "descriptions": f"BorderEvidence.descriptions, float32 [batch, 1 + pairs, {2 * DESCRIPTION}]",
    }
    axes: ClassVar = {
        "image": SIZES,
        "planes": SIZES,
        "pair": {0: "batch", 1: "height", 2: "width"},
        "descriptions": {0: "batch", 1: "pairs_and_one"},
    }
    output: ClassVar = "rival_share"
    meaning: ClassVar = "probability that each pixel is of its rival class, float32 [batch, height, width]"

    def __init__(self, network: BorderNetwork) -> None:
        super().__init__()
        self.network, self.kind = network, type(network).__name__

    def forward(self, image: Tensor, planes: Tensor, pair: Tensor, descriptions: Tensor) -> Tensor:
        logits: Tensor = self.network(image, planes, pair, descriptions)
        return logits.sigmoid()

    def example(self, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        pairs = 3
        pair = (_noise(batch, height, width) * (1 + pairs)).long()
        descriptions = _noise(batch, 1 + pairs, 2 * DESCRIPTION)
        return _noise(batch, 3, height, width), _noise(batch, PLANES, height, width), pair, descriptions


def _noise(*shape: int) -> Tensor:
    """Values in 0..1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))
