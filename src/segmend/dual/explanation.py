"""How a network of DIS explains an image: maps, reconstructions and tags along its inference (Fig. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.devices import device_of
from segmend.dual.inference import infer_at
from segmend.dual.model import CELL, image_loss, target_image
from segmend.dual.prediction import DualPredictor, log_map, sharpened
from segmend.dual.reconstruction import of_mean_colours
from segmend.labels import as_image, most_likely

STEPS = (0, 5, 10, 30)
"""Numbers of steps that are shown."""


class Explanation(NamedTuple):
    """One state of inference.

    Attributes:
        steps: how many steps came before; None for the closed form.
        labels: label map ``[H, W]`` of the shrunk image; its cells are squares.
        reconstruction: ``uint8 [H, W, 3]``.
        error: mean squared error of the reconstruction on the cells of the network, with colours in -1..1.
        tag_scores: sigmoid of v3, ``float32 [C]``; the closed form does not change those of no steps.
    """

    steps: int | None
    labels: Tensor
    reconstruction: Tensor
    error: float
    tag_scores: Tensor


@torch.no_grad()
def explain(
    predictor: DualPredictor, image: Any, tags: Tensor | None = None, steps: Sequence[int] = STEPS
) -> tuple[Tensor, list[Explanation]]:
    """Gradient steps on the image loss from the paper, then the closed form without steps.

    Args:
        image: see `segmend.labels.as_image`; it is shrunk to the size of the predictor's training.
        tags: given ones, ``[C]``; see `DualPredictor.predict`.

    Returns:
        The shrunk image, ``uint8 [H, W, 3]``, and what is found at each number of steps and by the closed form.
    """
    shown = as_image(image)[None].to(device_of(predictor))
    scale = predictor.side / max(shown.shape[2:])
    size = [max(1, round(scale * side)) for side in shown.shape[2:]]
    shown = F.interpolate(shown, size=size, mode="bilinear", antialias=True).clamp(0, 1)
    given = None if tags is None else tags.to(shown.device)[None]
    model, target = predictor.model, target_image(shown)
    features = model.encode(shown)
    states = infer_at(model, features, target, steps=(*steps, 0))
    found = []

    def add(number: int | None, map_: Tensor, image: Tensor, tag_logits: Tensor, cell: int) -> None:
        small = F.avg_pool2d(image, CELL // cell, ceil_mode=True, count_include_pad=False)
        error = image_loss(small, target, features.valid).item()
        labels = _squares(most_likely(map_)[:, None], cell, size)[0, 0]
        found.append(
            Explanation(number, labels, _bytes(_squares(image, cell, size)), error, tag_logits.sigmoid()[0])
        )

    for number, state in zip(steps, states, strict=False):
        add(number, log_map(state, given), model.reconstruct(state.map_logits), state.tag_logits, CELL)
    closed = sharpened(log_map(states[-1], given), features, shown)
    cell = CELL // 2
    colours = 2 * F.avg_pool2d(shown, cell, ceil_mode=True, count_include_pad=False) - 1
    add(None, closed, of_mean_colours(closed, colours), states[-1].tag_logits, cell)
    return _bytes(2 * shown - 1), found


def _squares(map_: Tensor, cell: int, size: Sequence[int]) -> Tensor:
    """Cells ``[B, K, h, w]`` as squares of pixels, without those beyond the image."""
    return map_.repeat_interleave(cell, 2).repeat_interleave(cell, 3)[:, :, : size[0], : size[1]]


def _bytes(image: Tensor) -> Tensor:
    """``[1, 3, H, W]`` in -1..1 as ``uint8 [H, W, 3]``."""
    return ((image[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte()
