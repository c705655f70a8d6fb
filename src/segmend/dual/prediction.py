"""Label maps of images by a network of DIS, with inference at test time (section 3.2) or the closed form."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.dual.inference import infer
from segmend.dual.model import CELL, DualFeatures, DualSegmentation, combined, target_image
from segmend.dual.reconstruction import Guide, cielab, reconstruct_by_colours
from segmend.model_folder import load_model

FEATURES, FEATURE_ROUNDS = 1.0, 3
"""Weight and rounds of u1 in the closed form, on the cells of the label map."""

COLOURS, COLOUR_ROUNDS = 0.5, 2
"""The same of the colours in CIELAB, on cells of half the side."""


class DualPredictor(nn.Module):
    """A network of DIS as a segmenter: images to logits. Each image is explained by its own label map.

    Args:
        model: the network.
        closed_form: sharpen the label map by `reconstruct_by_colours`: by the features u1, then by the colours at
            twice the resolution.
        steps: gradient steps on the image loss before (the paper's t_ts); 0 for none.

    Attributes:
        classes: those of the logits.
        side: longest side in pixels of the images that the network was trained on. Here images are not resized.
    """

    def __init__(self, model: DualSegmentation, closed_form: bool = True, steps: int = 0) -> None:
        super().__init__()
        self.model = model
        self.classes, self.side = model.classes, model.side
        self.closed_form = closed_form
        self.steps = steps

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Images ``float32 [B, 3, H, W]`` in 0..1 to logits ``[B, C, H, W]``, which have no gradients.

        Under `torch.autocast`, the encoder alone computes in lower precision.
        """
        height, width = image.shape[2:]
        features = self.model.encode(image)
        with torch.autocast(image.device.type, enabled=False):
            features = DualFeatures(*(one.float() for one in features))
            # infer() looks at the image even for no steps, which costs a pass back
            found = infer(self.model, features, target_image(image) if self.steps else None, steps=self.steps)
            logits = combined(found.map_logits, found.tag_logits)
            if self.closed_form:
                logits = _sharpened(logits, features, image)
            cell = CELL // 2 if self.closed_form else CELL
            return _enlarged(logits, cell)[:, :, :height, :width]


def _sharpened(logits: Tensor, features: DualFeatures, image: Tensor) -> Tensor:
    """Log-probabilities on cells of half the side."""
    guide = Guide(features.u1, FEATURES)
    logits = reconstruct_by_colours(logits, [guide], FEATURE_ROUNDS, features.valid)
    small = F.avg_pool2d(image.float(), CELL // 2, ceil_mode=True, count_include_pad=False)
    colours = cielab(small)
    logits = _enlarged(logits, 2)[:, :, : colours.shape[2], : colours.shape[3]]
    return reconstruct_by_colours(logits, [Guide(colours, COLOURS)], COLOUR_ROUNDS)


def _enlarged(logits: Tensor, factor: int) -> Tensor:
    """Cells beyond the image stay in place, so that the rest is not stretched."""
    return F.interpolate(logits, scale_factor=factor, mode="bilinear", align_corners=False)


def load_dual(name: str | Path, closed_form: bool = True, steps: int = 0) -> DualPredictor:
    """Load a network of DIS from a model folder, or from a repository on the hub, in evaluation mode.

    Args:
        closed_form, steps: see `DualPredictor`.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    return DualPredictor(load_model(DualSegmentation, name), closed_form, steps).eval()
