"""Random transforms of an image together with its labels and its coarse map, on torchvision's `transforms.v2`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


class ProbabilityMap(tv_tensors.TVTensor):
    """A probability map ``[C, H, W]``: moved with its image and resized bilinearly; colours do not change it."""


class LabelMap(tv_tensors.Mask):
    """A label map ``[H, W]``: moved with its image, resized by nearest neighbour, padded with void."""


class Centre(tv_tensors.TVTensor):
    """A position in the image, (y, x) in pixels, on which the view of a sample is centred."""


class RandomView(v2.Transform):
    """A random square crop of the image at a random scale, mirrored with probability 1/2.

    A sample that holds a `Centre` is cropped around it, as far as the edges of the image allow.

    Args:
        size: side of the crop in pixels, after scaling.
        scale: range of the factor by which the image is scaled (uniform in its logarithm).
        mirror: whether to mirror from left to right.
        void: id of label maps outside the image; there images are grey and probability maps uniform.
        mixed: choose crops with more than one class (SPN) where a few tries find one.
        inside: crops that would extend beyond the image become as large as it allows.
    """

    TRIES = 10

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.5, 1.5),
        mirror: bool = True,
        void: int = 255,
        mixed: bool = False,
        inside: bool = False,
    ):
        super().__init__()
        self.size, self.scale, self.mirror, self.void = size, scale, mirror, void
        self.mixed, self.inside = mixed, inside

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = v2.query_size(flat_inputs)
        for centre in (given for given in flat_inputs if isinstance(given, Centre)):
            return self._sample(size[0], size[1], centre.tolist())
        params = self._sample(*size)
        for labels in (map_ for map_ in flat_inputs if self.mixed and isinstance(map_, LabelMap)):
            for _ in range(self.TRIES):
                if self._is_mixed(labels, params):
                    break
                params = self._sample(*size)
        return params

    def _is_mixed(self, labels: Tensor, params: dict[str, Any]) -> bool:
        top, left, side = params["top"], params["left"], params["side"]
        cut = labels[max(top, 0) : top + side, max(left, 0) : left + side]
        valid = cut[cut != self.void]
        return bool(valid.numel()) and bool((valid != valid[0]).any())

    def _sample(self, height: int, width: int, centre: Sequence[float | None] = (None, None)) -> dict[str, Any]:
        low, high = (math.log(s) for s in self.scale)
        # The side of the square in the source image: to crop before resizing saves most of the work.
        side = max(1, round(self.size / math.exp(low + (high - low) * torch.rand(()).item())))
        if self.inside:
            side = min(side, height, width)

        def start(length: int, middle: float | None) -> int:
            """A random start inside; an image smaller than the square lies at a random place in it."""
            slack = length - side
            if middle is None or slack <= 0:
                return round(slack * torch.rand(()).item())
            return min(max(0, round(middle - side / 2)), slack)

        return {
            "top": start(height, centre[0]),
            "left": start(width, centre[1]),
            "side": side,
            "flip": self.mirror and bool(torch.rand(()) < 0.5),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, (tv_tensors.Image, LabelMap, ProbabilityMap)):
            return inpt
        top, left, side = params["top"], params["left"], params["side"]
        height, width = inpt.shape[-2:]
        nearest = isinstance(inpt, LabelMap)
        plain = inpt.as_subclass(Tensor)[(None,) * nearest]
        cut = plain[..., max(top, 0) : top + side, max(left, 0) : left + side]
        padding = [max(-left, 0), max(-top, 0), max(left + side - width, 0), max(top + side - height, 0)]
        if any(padding):
            if nearest:
                fill: float = self.void
            else:
                fill = 1.0 / inpt.shape[0] if isinstance(inpt, ProbabilityMap) else 127
            cut = F.pad(cut, padding, fill=fill)
        if side != self.size:
            mode = v2.InterpolationMode.NEAREST_EXACT if nearest else v2.InterpolationMode.BILINEAR
            cut = F.resize(cut, [self.size, self.size], interpolation=mode, antialias=not nearest)
        if params["flip"]:
            cut = cut.flip(-1)
        return tv_tensors.wrap(cut[0] if nearest else cut, like=inpt)


def colour_jitter(strength: float) -> v2.Transform:
    """Random brightness, contrast, saturation and hue, and sometimes blur; of images alone."""
    return v2.Compose(
        [
            v2.ColorJitter(0.4 * strength, 0.4 * strength, 0.4 * strength, 0.06 * strength),
            v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.2 * min(strength, 1.0)),
        ]
    )


def training_view(
    crop: int,
    scale: Sequence[float],
    mirror: bool,
    colour: float,
    void: int,
    mixed: bool = False,
    inside: bool = False,
) -> v2.Transform:
    """The transform of a training sample ``{"image": uint8 [3, H, W], "labels", "coarse"}``.

    Returns float images in 0..1.
    """
    steps: list[v2.Transform] = [RandomView(crop, scale, mirror, void, mixed, inside)]
    if colour > 0:
        steps.append(colour_jitter(colour))
    steps.append(v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True))
    return v2.Compose(steps)
