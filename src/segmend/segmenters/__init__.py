"""Networks from image to logits, and how to predict with them."""

from __future__ import annotations

from pathlib import Path

from segmend.labels import InvalidInput
from segmend.model_folder import read_config
from segmend.segmenters.base import Segmenter


def load_segmenter(name: str | Path) -> Segmenter:
    """A segmenter from a model folder, or from a repository on the hub, ready to predict.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    kind = read_config(name)["type"]
    if kind != Segmenter.__name__:
        raise InvalidInput(f"{name}: holds a {kind}, which is not a segmenter")
    return Segmenter.from_pretrained(str(name)).eval()


__all__ = ["Segmenter", "load_segmenter"]
