"""Methods that refine coarse maps, and how to load one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from segmend.data.files import write_json
from segmend.labels import InvalidInput
from segmend.model_folder import load_model, read_config
from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.dense_crf import DenseCRF
from segmend.refiners.ecn import ECN
from segmend.refiners.guided_filter import GuidedFilter
from segmend.refiners.spatial_propagation import SpatialPropagation
from segmend.refiners.universal import UniversalPropagation

FILTERS: dict[str, type[DenseCRF] | type[GuidedFilter]] = {"crf": DenseCRF, "guided": GuidedFilter}
"""Refiners that are parameters alone: by the name that the command line knows."""

UNIVERSAL = Path(__file__).parent / "weights" / "universal"
"""The class-agnostic refiner that comes with the package: by the name ``universal``."""

NETWORKS: tuple[type[ECN] | type[SpatialPropagation] | type[UniversalPropagation], ...] = (
    ECN,
    SpatialPropagation,
    UniversalPropagation,
)
"""Refiners that are learned."""


def load(name: str | Path) -> Refiner:
    """A refiner by name (``universal``, ``crf``, ``guided``), from a model folder, or from a hub repository.

    Raises:
        InvalidInput: no such refiner, or a folder that holds something else.
    """
    if str(name) in FILTERS:
        return FILTERS[str(name)]()
    if str(name) == UNIVERSAL.name:
        name = UNIVERSAL
    config = read_config(name)
    kind = config.pop("type")
    for network in NETWORKS:
        if kind == network.__name__:
            return load_model(network, name)
    for filter_type in FILTERS.values():
        if kind == filter_type.__name__:
            known = {field.name for field in dataclasses.fields(filter_type)}
            return filter_type(**{key: value for key, value in config.items() if key in known})
    raise InvalidInput(f"{name}: holds a {kind}, which is not a refiner")


def save_filter(refiner: DenseCRF | GuidedFilter, folder: Path) -> None:
    """Write a refiner that is parameters alone as a folder that `load` reads."""
    write_json(folder / "config.json", {"type": type(refiner).__name__, **dataclasses.asdict(refiner)})


__all__ = [
    "ECN",
    "DenseCRF",
    "GuidedFilter",
    "Refinement",
    "Refiner",
    "SpatialPropagation",
    "UniversalPropagation",
    "load",
    "save_filter",
]
