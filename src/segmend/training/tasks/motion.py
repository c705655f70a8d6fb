"""Train motion on unlabelled video (VPLR, sections 3.1 and 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from segmend.data.frames import open_frames
from segmend.data.sampling import Sample
from segmend.training.loop import Stage
from segmend.training.options import Optimisation, Options, Recipe, logger
from segmend.training.reporting import Bar
from segmend.video.flow import DISFlow
from segmend.video.loss import motion_loss
from segmend.video.motion import MotionNet
from segmend.video.samples import MotionSamples

Side = Annotated[int, Field(ge=8)]
"""Of a crop, in pixels."""


class MotionOptions(Options):
    """The network (see `segmend.video.motion.MotionNet`)."""

    mode: Literal["reconstruction", "prediction"] = "reconstruction"
    past: int = Field(2, ge=1)
    widths: tuple[int, int, int] = (24, 32, 48)
    radius: int = Field(2, ge=0)


class MotionRecipe(Recipe):
    """Train the network that `segmend propagate --method learned` uses, on frames without labels.

    Attributes:
        frames: folders of frames, or video files.
        finest_scale: of the flow that the network corrects (see `segmend.video.flow.DISFlow`).
        crop: height and width of the crops in pixels.
    """

    task: Literal["motion"] = "motion"
    frames: list[Path] = Field(min_length=1)
    motion: MotionOptions = MotionOptions()
    finest_scale: int | None = Field(None, ge=0)
    crop: tuple[Side, Side] = (192, 256)
    optimisation: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _check(self) -> MotionRecipe:
        if self.optimisation.schedule == "plateau":
            raise ValueError("the schedule `plateau` is for segmenters and correctors, which have a `validation`")
        return self


def stages(recipe: MotionRecipe, bar: Bar) -> list[Stage]:
    """One stage, which needs no labels."""
    options = recipe.optimisation
    videos = [open_frames(path) for path in recipe.frames]
    for finding in (finding for video in videos for finding in video.findings):
        logger.info(finding)
    sequences = [sequence for video in videos for sequence in video.sequences]
    samples = MotionSamples(
        sequences, DISFlow(recipe.finest_scale), recipe.motion.past, recipe.crop, options.samples, options.seed
    )
    torch.manual_seed(options.seed)  # the first weights depend on the seed too
    model = MotionNet(**recipe.motion.model_dump())
    count = "1 video" if len(sequences) == 1 else f"{len(sequences)} videos"
    data = f"{', '.join(path.name for path in recipe.frames)}: {count}, {sum(map(len, sequences))} frames"
    return [Stage(model, samples, _loss, options, data)]


def _loss(network: nn.Module, batch: Sample, progress: float) -> Tensor:
    frames, flows = batch["frames"], batch["flows"]  # type: ignore[typeddict-item]
    seen = (frames, flows) if network.mode == "reconstruction" else (frames[:, :, :-1], flows[:, :, :-1])
    return motion_loss(network(*seen), frames[:, :, -2], frames[:, :, -1], batch["visible"])  # type: ignore[typeddict-item]
