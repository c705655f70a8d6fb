"""Motion from frame to frame: none, optical flow, or displacements that a network learned (VPLR, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.devices import autocast, pick_device
from segmend.model_folder import load_model
from segmend.ops.matching_costs import matching_costs
from segmend.ops.warp import compose, warp
from segmend.video.flow import DISFlow, Flow
from segmend.video.frame import Frame

WEIGHTS = Path(__file__).parent / "weights" / "motion"
"""Model folder of the network that comes with the package, trained on DAVIS."""


Step = Callable[[Frame], Tensor]
"""Takes the next frame, and gives the displacement ``float32 [2, H, W]`` from the frame before onto it."""


class Motion(Protocol):
    """How a video moves.

    Attributes:
        flow: the optical flow that it is based on; None for a motion without.
    """

    @property
    def flow(self) -> Flow | None: ...

    def start(self, frame: Frame) -> Step:
        """Start at a frame, and take the following ones, or those before it backwards, one by one.

        Only the last few frames are held, so that memory does not depend on the length of the video.
        """
        ...


class NoMotion:
    """Nothing moves: labels are copied."""

    flow = None

    def start(self, frame: Frame) -> Step:
        """See `Motion`."""
        return lambda following: torch.zeros(2, *following.size)


class FlowMotion:
    """Things move as optical flow says."""

    def __init__(self, flow: Flow | None = None) -> None:
        self.flow = flow or DISFlow()

    def start(self, frame: Frame) -> Step:
        """See `Motion`."""
        last = frame

        def step(following: Frame) -> Tensor:
            nonlocal last
            found = self.flow(last, following)
            last = following
            return found

        return step


class LearnedMotion:
    """Things move as a `MotionNet` says, from the frames before, this frame, and the flow between them."""

    def __init__(self, network: MotionNet, flow: Flow | None = None) -> None:
        self.flow = flow or DISFlow()
        self.device = pick_device()
        self.network = network.eval().to(self.device)

    def start(self, frame: Frame) -> Step:
        """See `Motion`. Before the first frame the video is taken to stand still."""
        past = self.network.past
        seen, flows = [frame] * past, [torch.zeros(2, *frame.size)] * (past - 1)  # flows between the seen ones

        def step(following: Frame) -> Tensor:
            nonlocal seen, flows
            if self.network.mode == "reconstruction":
                flow = self.flow(seen[-1], following)
                found = self._displacement([*seen, following], [*flows, flow])
            else:
                found = self._displacement(seen, flows)
                flow = self.flow(seen[-1], following) if past > 1 else torch.zeros(2, *following.size)
            seen, flows = [*seen[1:], following], [*flows, flow][1:]
            return found

        return step

    def _displacement(self, frames: list[Frame], flows: list[Tensor]) -> Tensor:
        shown = torch.stack([frame.tensor for frame in frames], dim=1)[None].to(self.device)
        moved = torch.stack(flows, dim=1) if flows else torch.zeros(2, 0, *frames[0].size)
        with torch.inference_mode(), autocast(self.device, "auto"):
            found = self.network(shown, moved[None].to(self.device))
        displacement: Tensor = found[0].float().cpu().clone()
        return displacement


class MotionNet(nn.Module, PyTorchModelHubMixin):
    """VPLR's G (eq. 1 and 3): the displacement that moves the last past frame onto the next one.

    It corrects the optical flow. **Reconstruction** sees the next frame too and corrects the flow to it;
    **prediction** sees past frames alone and corrects the last flow, which it continues.

    The paper's 3D convolutions over time are folded into 2D ones: all past frames are first moved onto the time of
    the next one, and a 3D convolution whose kernel spans all frames is a 2D convolution of their channels. The
    encoder-decoder works at half the resolution and gives displacements at full resolution.

    Args:
        mode: what the network sees.
        past: number of past frames (the paper's t).
        widths: channels of the three levels.
        radius: of the displacements in pixels whose matching costs the network sees (reconstruction alone).
    """

    def __init__(
        self,
        mode: Literal["reconstruction", "prediction"] = "reconstruction",
        past: int = 2,
        widths: tuple[int, int, int] = (24, 32, 48),
        radius: int = 2,
    ) -> None:
        super().__init__()
        self.mode, self.past, self.radius = mode, past, radius
        reconstruction = mode == "reconstruction"
        seen = (6 if reconstruction else 3) + (past - 1)
        costs = (2 * radius + 1) ** 2 if reconstruction else 0
        first, second, third = widths
        self.encode1 = _conv(4 * seen + 2 + costs, first)
        self.encode2 = nn.Sequential(_conv(first, second, stride=2), _conv(second, second))
        self.encode3 = nn.Sequential(
            _conv(second, third, stride=2), _conv(third, third), _conv(third, third, dilation=2)
        )
        self.decode2 = _conv(third + second, second)
        self.decode1 = _conv(second + first, first)
        self.correction = nn.Conv2d(first, 8, 3, padding=1)
        nn.init.normal_(self.correction.weight, 0, 1e-3)  # it starts as the flow itself
        nn.init.constant_(self.correction.bias, 0)  # type: ignore[arg-type]

    def forward(self, frames: Tensor, flows: Tensor) -> Tensor:
        """The displacement of the last past frame onto the next one.

        Args:
            frames: ``[B, 3, T, H, W]`` in 0..1, the oldest first: `past` frames; for reconstruction also the next.
            flows: ``[B, 2, T - 1, H, W]``, displacements from each frame to the one after it, in pixels.

        Returns:
            ``[B, 2, H, W]`` in pixels, for `segmend.ops.warp`.
        """
        expected = self.past + (self.mode == "reconstruction")
        if frames.shape[2] != expected or flows.shape[2] != expected - 1:
            found = f"{frames.shape[2]} and {flows.shape[2]}"
            raise ValueError(f"expected {expected} frames and the flows between them, found {found}")
        start = flows[:, :, -1] if expected > 1 else frames.new_zeros(len(frames), 2, *frames.shape[3:])
        return start + self._correct(frames, flows, start)

    def _correct(self, frames: Tensor, flows: Tensor, start: Tensor) -> Tensor:
        height, width = frames.shape[3:]
        with torch.no_grad():
            seen, costs = self._see(frames, flows, start)
            padding = (0, -width % 8, 0, -height % 8)
            parts = [F.pixel_unshuffle(F.pad(seen, padding, mode="replicate"), 2)]
            parts.append(F.avg_pool2d(F.pad(start, padding, mode="replicate"), 2) / 8)
            if costs is not None:
                size = parts[0].shape[2:]
                costs = F.pad(costs, (0, size[1] - costs.shape[3], 0, size[0] - costs.shape[2]), mode="replicate")
                parts.append(10 * (costs - costs.amin(dim=1, keepdim=True)))
        fine = self.encode1(torch.cat(parts, dim=1))
        middle = self.encode2(fine)
        coarse = self.encode3(middle)
        middle = self.decode2(torch.cat((_enlarged(coarse, middle), middle), dim=1))
        fine = self.decode1(torch.cat((_enlarged(middle, fine), fine), dim=1))
        return F.pixel_shuffle(self.correction(fine), 2)[:, :, :height, :width]

    def _see(self, frames: Tensor, flows: Tensor, start: Tensor) -> tuple[Tensor, Tensor | None]:
        """All frames at the time of the next one: ``[B, seen, H, W]``; and the matching costs."""
        reconstruction = self.mode == "reconstruction"
        last = self.past - 1
        moved = [warp(frames[:, :, last], start)]
        displacement = start
        for index in range(last - 1, -1, -1):
            displacement = compose(flows[:, :, index], displacement)
            moved.append(warp(frames[:, :, index], displacement))
        reference = frames[:, :, -1] if reconstruction else moved[0]
        seen = [reference - 0.5]
        if reconstruction:
            seen.append(4 * (reference - moved[0]))
        seen += [4 * (older - reference).mean(dim=1, keepdim=True) for older in moved[1:]]
        costs = matching_costs(reference, moved[0], self.radius) if reconstruction else None
        return torch.cat(seen, dim=1), costs


def load_motion(name: str | Path = WEIGHTS) -> MotionNet:
    """A trained `MotionNet` from a folder or hub repository; by default the one that comes with the package.

    Raises:
        InvalidInput: no such model, or one of another kind.
    """
    return load_model(MotionNet, name)


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation)
    return nn.Sequential(convolution, nn.LeakyReLU(0.1, inplace=True))


def _enlarged(map_: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(map_, size=like.shape[2:], mode="bilinear", align_corners=False)
