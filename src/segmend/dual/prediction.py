"""Label maps of images by a network of DIS, with inference at test time (section 3.2) or the closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmend.dual.inference import Inferred, infer_at
from segmend.dual.model import CELL, DualFeatures, DualSegmentation, combined, target_image
from segmend.dual.reconstruction import Guide, cielab, reconstruct_by_colours
from segmend.dual.targets import ABSENT
from segmend.model_folder import load_model

FEATURES, FEATURE_ROUNDS = 1.0, 3
"""Weight and rounds of u1 in the closed form, on the cells of the label map."""

COLOURS, COLOUR_ROUNDS = 0.5, 2
"""The same of the colours in CIELAB, on cells of half the side."""

LEAST_SCORE = 1e-4
"""Scores of given tags count as no lower than this."""


class DualPrediction(NamedTuple):
    """What a network of DIS says of images.

    Attributes:
        logits: of the label maps, ``[B, C, H, W]``.
        tag_scores: sigmoid of v3, ``[B, C]``: the network's own, whatever tags were given.
    """

    logits: Tensor
    tag_scores: Tensor


class DualPredictor(nn.Module):
    """A network of DIS as a segmenter: images to logits. Each image is explained by its own label map.

    Args:
        model: the network.
        closed_form: sharpen the label map by `reconstruct_by_colours`: by the features u1, then by the colours at
            twice the resolution.
        steps: gradient steps on the image loss before (the paper's t_ts); 0 for none. Probabilities (and scores
            of tags) are averaged over several numbers of steps, for which inference runs once.

    Attributes:
        classes: those of the logits.
        side: longest side in pixels of the images that the network was trained on. Here images are not resized.
        steps: one or more numbers.

    >>> from segmend.labels import Classes
    >>> network = DualSegmentation(Classes(("background", "cat", "dog")), encoder="resnet18").eval()
    >>> predictor = DualPredictor(network)
    >>> with_cat = predictor(torch.rand(1, 3, 60, 100), torch.tensor([[1.0, 1.0, 0.0]]))
    >>> with_cat.shape, 2 in with_cat.argmax(dim=1)
    (torch.Size([1, 3, 60, 100]), False)
    """

    def __init__(self, model: DualSegmentation, closed_form: bool = True, steps: int | Sequence[int] = 0) -> None:
        super().__init__()
        self.model = model
        self.classes, self.side = model.classes, model.side
        self.closed_form = closed_form
        self.steps = (steps,) if isinstance(steps, int) else tuple(steps)

    def forward(self, image: Tensor, tags: Tensor | None = None) -> Tensor:
        """Images ``float32 [B, 3, H, W]`` in 0..1 to logits ``[B, C, H, W]``; see `predict`."""
        return self.predict(image, tags).logits

    @torch.no_grad()
    def predict(self, image: Tensor, tags: Tensor | None = None) -> DualPrediction:
        """Label maps and scores of tags, which have no gradients.

        Under `torch.autocast`, the encoder alone computes in lower precision.

        Args:
            image: ``float32 [B, 3, H, W]`` in 0..1.
            tags: scores of tags that are given, ``[B, C]`` in 0..1 (see `evidence`). They take the place of the
                network's own tags.
        """
        height, width = image.shape[2:]
        features = self.model.encode(image)
        with torch.autocast(image.device.type, enabled=False):
            features = DualFeatures(*(one.float() for one in features))
            shown = target_image(image) if max(self.steps) else None
            found = infer_at(self.model, features, shown, steps=self.steps)
            maps = [log_map(one, tags) for one in found]
            if self.closed_form:
                maps = [sharpened(one, features, image) for one in maps]
            logits = maps[0] if len(maps) == 1 else _log_mean([one.log_softmax(dim=1) for one in maps])
            scores = _mean_of([one.tag_logits.sigmoid() for one in found])
            cell = CELL // 2 if self.closed_form else CELL
            return DualPrediction(_enlarged(logits, cell)[:, :, :height, :width], scores)


class GivenTags(nn.Module):
    """A predictor of one image whose tags are given; it notes the scores of tags that the network finds.

    It predicts maps as the predictor does, at any sizes of the image, mirrored or not.

    Args:
        tags: scores, ``float32 [C]``; None where none are given.
    """

    def __init__(self, predictor: DualPredictor, tags: Tensor | None) -> None:
        super().__init__()
        self.predictor, self.tags = predictor, tags
        self.found: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[1, C, H, W]`` of the image ``[1, 3, H, W]``."""
        given = None if self.tags is None else self.tags.to(image.device)[None]
        found = self.predictor.predict(image, given)
        self.found.append(found.tag_scores[0])
        return found.logits

    @property
    def scores(self) -> Tensor:
        """The network's own scores of the tags, ``[C]``: their mean over what was shown to it."""
        return _mean_of(self.found)


def log_map(found: Inferred, tags: Tensor | None = None) -> Tensor:
    """The label map before the closed form, as logits: u3 weighted by the given tags, or else by those of v3.

    Args:
        tags: ``[B, C]``, see `evidence`.
    """
    if tags is None:
        return combined(found.map_logits, found.tag_logits)
    return found.map_logits + evidence(tags)[:, :, None, None]


def evidence(tags: Tensor) -> Tensor:
    """What given tags add to the logits of the map, ``[B, C]``.

    Tags without scores, which are all 0 or 1, exclude what is not among them. Of scores the logarithm is taken; no
    score is below `LEAST_SCORE`, so no class is excluded.

    >>> evidence(torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.5, 0.0]])).exp()
    tensor([[1.0000e+00, 0.0000e+00, 1.0000e+00],
            [1.0000e+00, 5.0000e-01, 1.0000e-04]])
    """
    is_hard = ((tags == 0) | (tags == 1)).all(dim=1, keepdim=True)
    return torch.where(is_hard & (tags == 0), ABSENT, tags.clamp_min(LEAST_SCORE).log())


def sharpened(
    logits: Tensor,
    features: DualFeatures,
    image: Tensor,
    *,
    by_features: float = FEATURES,
    by_colours: float = COLOURS,
) -> Tensor:
    """The closed form: log-probabilities on cells of half the side, of logits on the cells of the label map."""
    guide = Guide(features.u1, by_features)
    logits = reconstruct_by_colours(logits, [guide], FEATURE_ROUNDS, features.valid)
    small = F.avg_pool2d(image.float(), CELL // 2, ceil_mode=True, count_include_pad=False)
    colours = cielab(small)
    logits = _enlarged(logits, 2)[:, :, : colours.shape[2], : colours.shape[3]]
    return reconstruct_by_colours(logits, [Guide(colours, by_colours)], COLOUR_ROUNDS)


def _enlarged(logits: Tensor, factor: int) -> Tensor:
    """Cells beyond the image stay in place, so that the rest is not stretched."""
    return F.interpolate(logits, scale_factor=factor, mode="bilinear", align_corners=False)


def _mean_of(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(dim=0)


def _log_mean(logs: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean; those of 0 stay finite where they are (`ABSENT`)."""
    return torch.stack(list(logs)).logsumexp(dim=0) - math.log(len(logs))


def load_dual(name: str | Path, closed_form: bool = True, steps: int | Sequence[int] = 0) -> DualPredictor:
    """Load a network of DIS from a model folder, or from a repository on the hub, in evaluation mode.

    Args:
        closed_form, steps: see `DualPredictor`.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    return DualPredictor(load_model(DualSegmentation, name), closed_form, steps).eval()
