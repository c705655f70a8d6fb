"""Networks from image to logits."""

from __future__ import annotations

from pathlib import Path

from segmend.labels import InvalidInput
from segmend.model_folder import load_model, read_config
from segmend.segmenters.base import Segmenter


def load_segmenter(name: str | Path) -> Segmenter:
    """Load a segmenter from a model folder, or from a repository on the hub, in evaluation mode.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    found = read_config(name)["type"]
    if found != Segmenter.__name__:
        others = {"DualSegmentation": "segmend.load", "MotionNet": f"segmend propagate --model {name}"}
        advice = others.get(found, f"segmend refine --refiner {name}")
        raise InvalidInput(f"{name}: holds a {found}, which is not a segmenter: use {advice}")
    return load_model(Segmenter, name)


__all__ = ["Segmenter", "load_segmenter"]
