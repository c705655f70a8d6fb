"""Training samples of motion: a few successive frames of a video, and the flow between them. No labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from segmend.data.files import InvalidFile
from segmend.data.frames import FrameSequence
from segmend.data.sampling import Sample, seed_of
from segmend.labels import InvalidInput
from segmend.video.flow import Flow
from segmend.video.frame import Frame
from segmend.video.loss import agreement

MARGIN = 32
"""Pixels around a crop that its flow is estimated on too, so that what moves across its border is found."""


class MotionSample(Sample, total=False):
    """What motion is trained on.

    Attributes:
        frames: ``float32 [3, T + 1, H, W]`` in 0..1, T past frames, the oldest first, and the next one.
        flows: ``float32 [2, T, H, W]``, displacements from each frame to the one after it.
        visible: ``float32 [1, H, W]``, 1 where a pixel of the next frame can be seen in the last past one.
    """

    frames: Tensor
    flows: Tensor
    visible: Tensor


class MotionSamples(torch.utils.data.Dataset[Sample]):
    """`length` samples: successive frames in a new random order every epoch, in crops.

    Half of them are mirrored, half run backwards. Sample i depends on (seed, i) alone. Frames that cannot be read
    are replaced by others, and their message is in ``"broken"``.

    Args:
        sequences: of frames.
        past: number of past frames.
        crop: height and width of the crops in pixels; smaller where a sequence has smaller frames.

    Raises:
        InvalidInput: no sequence has `past` + 1 frames one after the other.
    """

    def __init__(
        self,
        sequences: Sequence[FrameSequence],
        flow: Flow,
        past: int,
        crop: tuple[int, int],
        length: int,
        seed: int,
    ) -> None:
        self.sequences, self.flow, self.past = sequences, flow, past
        self.length, self.seed = length, seed
        self.windows = [
            (number, last)
            for number, sequence in enumerate(sequences)
            for last in range(past, len(sequence))
            if not any(index in sequence.breaks for index in range(last - past + 1, last + 1))
        ]
        if not self.windows:
            raise InvalidInput(
                f"motion needs {past + 1} frames one after the other, and no video has them: give frames of a "
                "video without gaps"
            )
        used = sorted({number for number, _ in self.windows})
        sizes = [crop, *filter(None, (_size_of(sequences[number]) for number in used))]
        self.crop = min(height for height, _ in sizes), min(width for _, width in sizes)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        epoch, position = divmod(index, len(self.windows))
        order = np.roll(np.random.default_rng((self.seed, epoch)).permutation(len(self.windows)), -position)
        rng = np.random.default_rng(seed_of(self.seed, index))
        broken: list[str] = []
        for window in order:
            try:
                number, last = self.windows[window]
                return self._draw(number, last, rng, broken)
            except InvalidFile as error:
                broken.append(str(error))
        raise InvalidInput("no frames of the videos can be read; the first: " + broken[0])

    def _draw(self, number: int, last: int, rng: np.random.Generator, broken: list[str]) -> MotionSample:
        sequence = self.sequences[number]
        try:
            images = [sequence.read(i) for i in range(last - self.past, last + 1)]
        finally:
            sequence.close()  # a process that inherits an open video file waits for its decoder forever
        if len({image.shape for image in images}) > 1:
            raise InvalidFile(sequence.ids[last], "the frames before it have another size")
        if rng.random() < 0.5:
            images.reverse()
        mirrored = rng.random() < 0.5
        (height, width), (crop_height, crop_width) = images[0].shape[:2], self.crop
        if height < crop_height or width < crop_width:
            raise InvalidFile(sequence.ids[last], f"smaller than the crop of {crop_height} x {crop_width} pixels")
        top, left = rng.integers(height - crop_height + 1), rng.integers(width - crop_width + 1)
        first_row, first_column = max(0, top - MARGIN), max(0, left - MARGIN)
        rows = slice(first_row, top + crop_height + MARGIN)
        columns = slice(first_column, left + crop_width + MARGIN)
        cut = [image[rows, columns] for image in images]
        inner = (
            slice(top - first_row, top - first_row + crop_height),
            slice(left - first_column, left - first_column + crop_width),
        )
        if mirrored:
            wide = cut[0].shape[1]
            cut = [image[:, ::-1] for image in cut]
            inner = inner[0], slice(wide - inner[1].stop, wide - inner[1].start)
        frames = [Frame(np.ascontiguousarray(image)) for image in cut]
        flows = [self.flow(a, b) for a, b in itertools.pairwise(frames)]
        back = self.flow(frames[-1], frames[-2])
        visible = agreement(flows[-1][None], back[None])[0]
        return MotionSample(
            frames=torch.stack([frame.tensor for frame in frames], dim=1)[..., inner[0], inner[1]].contiguous(),
            flows=torch.stack(flows, dim=1)[..., inner[0], inner[1]].contiguous(),
            visible=visible[..., inner[0], inner[1]].contiguous(),
            broken=broken,
        )


def _size_of(sequence: FrameSequence) -> tuple[int, int] | None:
    """Height and width of the first frame that can be read; None where none can."""
    for index in range(len(sequence)):
        try:
            height, width = sequence.read(index).shape[:2]
        except InvalidFile:
            continue
        finally:
            sequence.close()
        return height, width
    return None
