"""Networks from image to logits, and how to predict with them."""

from __future__ import annotations

from pathlib import Path

from segmend.model_folder import load_model
from segmend.segmenters.base import Segmenter


def load_segmenter(name: str | Path) -> Segmenter:
    """A segmenter from a model folder, or from a repository on the hub, ready to predict.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    return load_model(Segmenter, name)


__all__ = ["Segmenter", "load_segmenter"]
