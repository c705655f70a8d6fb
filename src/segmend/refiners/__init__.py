"""Methods that refine coarse maps, and how to load one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, overload

from segmend.data.files import write_json
from segmend.labels import InvalidInput
from segmend.model_folder import load_model, read_config
from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.border_network import BorderNetwork
from segmend.refiners.dense_crf import DenseCRF
from segmend.refiners.ecn import ECN
from segmend.refiners.guided_filter import GuidedFilter
from segmend.refiners.network import RefinerNetwork
from segmend.refiners.objects import ObjectRefiner
from segmend.refiners.offset_correction import OffsetCorrection
from segmend.refiners.spatial_propagation import SpatialPropagation
from segmend.refiners.unchanged import Unchanged
from segmend.refiners.universal import UniversalPropagation, UniversalRefiner

REFINERS: dict[
    str,
    type[UniversalRefiner]
    | type[UniversalPropagation]
    | type[BorderNetwork]
    | type[ECN]
    | type[SpatialPropagation]
    | type[DenseCRF]
    | type[GuidedFilter]
    | type[OffsetCorrection]
    | type[Unchanged],
] = {
    "universal": UniversalRefiner,
    "universal_maps": UniversalPropagation,
    "universal_masks": BorderNetwork,
    "ecn": ECN,
    "spn": SpatialPropagation,
    "crf": DenseCRF,
    "guided": GuidedFilter,
    "offset": OffsetCorrection,
    "unchanged": Unchanged,
}
"""Every refiner, by the name that recipes and the command line use. To add a refiner, add it here."""

TUNED = "TunedRefiner"
"""``type`` of a folder that `save_tuned` writes."""

UNIVERSAL = Path(__file__).parent / "weights" / "universal"
"""Model folder of the class-agnostic refiner that comes with the package."""


@overload
def load(name: Literal["universal"]) -> UniversalRefiner: ...
@overload
def load(name: Literal["crf"]) -> DenseCRF: ...
@overload
def load(name: Literal["guided"]) -> GuidedFilter: ...
@overload
def load(name: str | Path) -> Refiner: ...
def load(name: str | Path) -> Refiner:
    """A refiner by name (``universal``, ``crf``, ``guided``), from a model folder, or from a hub repository.

    `segmend.models.load` loads segmenters too.

    Raises:
        InvalidInput: no such refiner, or a model of another kind.
    """
    named = REFINERS.get(str(name))
    if named is UniversalRefiner:
        name = UNIVERSAL
    elif named is not None and not issubclass(named, RefinerNetwork):
        return named()
    config = read_config(name)
    found = config.pop("type")
    if found == TUNED:
        inside = Path(name) / config["refiner"]
        refiner: Refiner = load(inside if inside.is_dir() else config["refiner"])
        refiner.min_confidence = config["min_confidence"]
        return refiner
    kind = {kind.__name__: kind for kind in REFINERS.values()}.get(found)
    if kind is None:
        advice = ": use segmend predict" if found in ("Segmenter", "DualSegmentation") else ""
        raise InvalidInput(f"{name}: holds a {found}, which is not a refiner{advice}")
    if issubclass(kind, RefinerNetwork):
        return load_model(kind, name)
    try:
        return kind(**config)
    except TypeError:
        expected = ", ".join(field.name for field in dataclasses.fields(kind))
        raise InvalidInput(
            f"{name}: expected the parameters {expected} in config.json, found {', '.join(config)}: "
            "remove the others"
        ) from None


def save_filter(refiner: DenseCRF | GuidedFilter | OffsetCorrection | Unchanged, folder: Path) -> None:
    """Write a refiner without weights as a folder that `load` reads."""
    write_json(folder / "config.json", {"type": type(refiner).__name__, **dataclasses.asdict(refiner)})


def save_tuned(name: str, min_confidence: float | None, folder: Path) -> None:
    """Write a folder that `load` reads: a refiner with a minimum confidence.

    Args:
        name: of a refiner of the package, or a model folder inside `folder`.
    """
    write_json(folder / "config.json", {"type": TUNED, "refiner": name, "min_confidence": min_confidence})


__all__ = [
    "ECN",
    "REFINERS",
    "UNIVERSAL",
    "BorderNetwork",
    "DenseCRF",
    "GuidedFilter",
    "ObjectRefiner",
    "OffsetCorrection",
    "Refinement",
    "Refiner",
    "RefinerNetwork",
    "SpatialPropagation",
    "Unchanged",
    "UniversalPropagation",
    "UniversalRefiner",
    "load",
    "save_filter",
    "save_tuned",
]
