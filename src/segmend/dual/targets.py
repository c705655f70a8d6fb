"""Targets for images that have tags alone: the label map that fits image and tags best (DIS, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmend.dual.inference import infer
from segmend.dual.model import DualFeatures, DualSegmentation, combined
from segmend.dual.reconstruction import Guide, cielab, reconstruct_by_colours

ABSENT = -1e4
"""Log-probability of a class that the tags exclude."""


@dataclass(frozen=True)
class Targets:
    """How the label map of a tagged image is inferred; all parts can be combined.

    Attributes:
        steps: gradient steps of inference (the paper's t_tr); 0 for none.
        image: the steps reconstruct the image by subnet 2, as in the paper.
        tags: the steps fit the tags; ``softmax`` as in the paper.
        mask: classes that are not among the tags are excluded (WSSL's hard constraint); otherwise tags weight the
            map as the network predicts them.
        features, colours: weights of u1 and of the colours in CIELAB in the closed form; 0 for none.
        rounds: of the closed form.
    """

    steps: int = 0
    image: bool = False
    tags: Literal["none", "sigmoid", "softmax"] = "softmax"
    mask: bool = True
    features: float = 2.0
    colours: float = 0.7
    rounds: int = 3

    @torch.no_grad()
    def infer(
        self, model: DualSegmentation, features: DualFeatures, image: Tensor, tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The most plausible label maps: log-probabilities ``[B, C, h, w]``; and logits of the tags ``[B, C]``.

        Args:
            model: in evaluation mode.
            image: ``[B, 3, h, w]`` in -1..1 (see `target_image`).
            tags: ``[B, C]``; None where nothing is known.
        """
        fitted = tags if self.tags != "none" else None
        shown = image if self.image else None
        steps = self.steps if shown is not None or fitted is not None else 0
        kind = "sigmoid" if self.tags == "none" else self.tags
        found = infer(model, features, shown, fitted, steps, kind=kind)
        if self.mask and tags is not None:
            logits = torch.where(tags[:, :, None, None] > 0, found.map_logits, ABSENT)
        else:
            logits = combined(found.map_logits, found.tag_logits)
        return self.sharpened(logits, features, image), found.tag_logits

    def sharpened(self, logits: Tensor, features: DualFeatures, image: Tensor) -> Tensor:
        """Log-probabilities ``[B, C, h, w]``, by the closed form."""
        guides = []
        if self.features:
            guides.append(Guide(features.u1.float(), self.features))
        if self.colours:
            guides.append(Guide(cielab((image + 1) / 2), self.colours))
        return reconstruct_by_colours(logits.float(), guides, self.rounds if guides else 0, features.valid)
