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

BIASES = 3.0, 5.0
"""What a fixed bias adds to the logits of common classes (the background), and of other ones (WSSL, EM-Fixed)."""


@dataclass(frozen=True)
class Targets:
    """How the label map of a tagged image is inferred; all parts can be combined.

    Attributes:
        steps: gradient steps of inference (the paper's t_tr); 0 for none.
        image: the steps reconstruct the image by subnet 2, as in the paper.
        tags: the steps fit the tags; ``softmax`` as in the paper.
        evidence: how the tags change the map. ``mask`` adds the logarithms of their scores, so it excludes classes
            without a tag (WSSL's hard constraint); ``bias`` raises the logits of tagged classes (WSSL, EM-Fixed);
            ``network`` weights the map by the tags that the network predicts after the steps, as in the paper.
        features, colours: weights of u1 and of the colours in CIELAB in the closed form; 0 for none.
        rounds: of the closed form.
    """

    steps: int = 0
    image: bool = False
    tags: Literal["none", "sigmoid", "softmax"] = "softmax"
    evidence: Literal["mask", "bias", "network"] = "mask"
    features: float = 2.0
    colours: float = 0.7
    rounds: int = 3

    @torch.no_grad()
    def infer(
        self, model: DualSegmentation, features: DualFeatures, image: Tensor, tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The most plausible label maps: log-probabilities ``[B, C, h, w]``; and tags: probabilities ``[B, C]``.

        Without `tags`, and with the evidence ``network``, the tags are those that the network predicts.

        Args:
            model: in evaluation mode.
            image: ``[B, 3, h, w]`` in -1..1 (see `target_image`).
            tags: scores in 0..1, ``[B, C]``; None where nothing is known.
        """
        fitted = tags if self.tags != "none" else None
        shown = image if self.image else None
        steps = self.steps if shown is not None or fitted is not None else 0
        kind = "sigmoid" if self.tags == "none" else self.tags
        found = infer(model, features, shown, fitted, steps, kind=kind)
        if self.evidence == "network" or tags is None:
            logits, tags = combined(found.map_logits, found.tag_logits), found.tag_logits.sigmoid()
        elif self.evidence == "mask":
            logits = found.map_logits + torch.where(tags > 0, tags.log(), ABSENT)[:, :, None, None]
        else:
            bias = tags.new_tensor([BIASES[name not in model.common] for name in model.classes.names])
            logits = found.map_logits + (bias * tags)[:, :, None, None]
        return self.sharpened(logits, features, image), tags

    def sharpened(self, logits: Tensor, features: DualFeatures, image: Tensor) -> Tensor:
        """Log-probabilities ``[B, C, h, w]``, by the closed form."""
        guides = []
        if self.features:
            guides.append(Guide(features.u1.float(), self.features))
        if self.colours:
            guides.append(Guide(cielab((image + 1) / 2), self.colours))
        return reconstruct_by_colours(logits.float(), guides, self.rounds if guides else 0, features.valid)
