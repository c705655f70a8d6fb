"""Optical flow between two frames: DIS of OpenCV, or RAFT of torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.data.files import InvalidFile, check_file
from segmend.devices import pick_device
from segmend.video.frame import Frame

FULL = 1 << 20
"""Pixels of the largest frames whose flow is estimated at full resolution by default."""


class Flow(Protocol):
    """Estimates how a frame moved onto another."""

    def __call__(self, source: Frame, target: Frame, start: Tensor | None = None) -> Tensor:
        """The displacement ``float32 [2, H, W]`` in pixels with which `warp` moves `source` onto `target`.

        It is defined at the pixels of `target`: ``target(p) = source(p - d(p))``.

        Args:
            start: a displacement to begin with, for frames that are far apart.
        """
        ...


@dataclass(frozen=True)
class DISFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) with OpenCV's preset `medium`.

    Attributes:
        finest_scale: the flow is estimated down to ``1 / 2^finest_scale`` of the resolution and enlarged. OpenCV's
            preset has 1; 0 follows thin objects more closely and takes four times as long. None: 0 for frames of
            up to `FULL` pixels, 1 for larger ones.
    """

    finest_scale: int | None = None

    def __call__(self, source: Frame, target: Frame, start: Tensor | None = None) -> Tensor:
        """See `Flow`."""
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        height, width = target.size
        scale = int(height * width > FULL) if self.finest_scale is None else self.finest_scale
        search.setFinestScale(scale)
        greys = [_at_least(grey, SMALLEST) for grey in (target.grey, source.grey)]
        initial = np.empty(0, np.float32)
        if start is not None:
            initial = _at_least(np.ascontiguousarray(-start.permute(1, 2, 0).numpy()), SMALLEST)
        found = np.asarray(search.calc(greys[0], greys[1], initial))[:height, :width]
        return -torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))


SMALLEST = 64
"""Side in pixels to which smaller frames are extended: DIS matches patches on several scales."""


def _at_least(map_: np.ndarray, side: int) -> np.ndarray:
    below, right = (max(0, side - length) for length in map_.shape[:2])
    return cv2.copyMakeBorder(map_, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else map_


class RAFTFlow:
    """RAFT (Teed and Deng, ECCV 2020) with torchvision's weights from a file.

    Args:
        weights: a file that torchvision offers for `raft_small` or `raft_large`, such as `WEIGHTS`; it is not
            downloaded here.

    Raises:
        InvalidFile: not there, or weights of another network.
    """

    WEIGHTS = "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth"
    STRIDE, LEAST = 8, 128

    def __init__(self, weights: Path) -> None:
        from torchvision.models.optical_flow import raft_large, raft_small

        expected = "expected torchvision's weights of raft_small or raft_large"
        try:
            check_file(weights)
            state = torch.load(weights, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise InvalidFile(weights, f"no such file: download {self.WEIGHTS}") from None
        except InvalidFile:
            raise
        except Exception:  # torch.load raises many kinds for files of other programs
            raise InvalidFile(weights, f"{expected}, found another file: download {self.WEIGHTS}") from None
        try:
            width = state["feature_encoder.convnormrelu.0.weight"].shape[0]
            network = raft_small(weights=None) if width == 32 else raft_large(weights=None)
            network.load_state_dict(state)
        except (KeyError, TypeError, AttributeError, RuntimeError):
            raise InvalidFile(
                weights, f"{expected}, found those of another network: download {self.WEIGHTS}"
            ) from None
        self.device = pick_device()
        self.network = network.eval().requires_grad_(False).to(self.device)

    def __call__(self, source: Frame, target: Frame, start: Tensor | None = None) -> Tensor:
        """See `Flow`; `start` is not used."""
        height, width = target.size
        below, right = (max(self.LEAST - n, -n % self.STRIDE) for n in (height, width))
        images = [
            F.pad(2 * frame.tensor[None] - 1, (0, right, 0, below), mode="replicate").to(self.device)
            for frame in (target, source)
        ]
        with torch.inference_mode():
            found = self.network(*images)[-1]
        displacement: Tensor = -found[0, :, :height, :width].float().cpu().clone()
        return displacement
