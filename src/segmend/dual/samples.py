"""Training samples of DIS: whole images with label maps, and whole images with tags alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
import torch.utils.data
from torch import Tensor

from segmend.data.dataset import Dataset, Record, pair_labels
from segmend.data.files import InvalidFile
from segmend.data.sampling import Sample, seed_of
from segmend.data.tags import Tags
from segmend.labels import InvalidInput

SMALLEST = 0.8
"""Images are resized so that their longer side is this share of the sample's side to all of it, at random."""


class DualSample(Sample, total=False):
    """What DIS is trained on: square samples, in which an image is padded at the right and below.

    Attributes:
        valid: ``float32 [1, H, W]``, 1 inside the image.
        tags: ``float32 [C]``, scores of the classes, 1 for those that are in the image; the background always is.
        labelled: ``bool``, whether `labels` are its ground truth. Otherwise they are void, and the tags are given.
    """

    valid: Tensor
    tags: Tensor
    labelled: Tensor


class DualSamples(torch.utils.data.Dataset[Sample]):
    """`length` samples: labelled and tagged images, each kind in a new random order every epoch, half mirrored.

    Tags are of whole images, so no crop is taken. Sample i depends on (seed, i) alone. Images that cannot be read
    are replaced by others of their kind, and their message is in ``"broken"``.

    Args:
        labelled: records with label maps; their tags are the classes in these.
        tagged: records with tags.
        tagged_share: share of the samples that are tagged images, spread evenly.
        side: of the samples in pixels.
    """

    def __init__(
        self, labelled: Dataset, tagged: Sequence[Dataset], tagged_share: float, side: int, length: int, seed: int
    ) -> None:
        self.classes = labelled.classes
        self.kinds = (
            [(labelled, record) for record in labelled],
            [(dataset, record) for dataset in tagged for record in dataset],
        )
        self.tagged_share = tagged_share if self.kinds[1] else 0.0
        self.side, self.length, self.seed = side, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        before = int(index * self.tagged_share)
        is_tagged = int((index + 1) * self.tagged_share) > before
        records = self.kinds[is_tagged]
        epoch, position = divmod(before if is_tagged else index - before, len(records))
        order = np.random.default_rng((self.seed, int(is_tagged), epoch)).permutation(len(records))
        rng = np.random.default_rng(seed_of(self.seed, index))
        broken: list[str] = []
        for number in np.roll(order, -position):
            dataset, record = records[number]
            try:
                return self._draw(dataset, record, not is_tagged, rng, broken)
            except InvalidFile as error:
                broken.append(str(error))
        raise InvalidInput("no image of the training splits can be read; the first: " + broken[0])

    def _draw(
        self, dataset: Dataset, record: Record, labelled: bool, rng: np.random.Generator, broken: list[str]
    ) -> DualSample:
        void = self.classes.void
        if labelled:
            image, labels = (torch.from_numpy(a) for a in pair_labels(dataset, record))
            tags = tags_of_labels(labels, len(self.classes), void)
        else:
            image = torch.from_numpy(dataset.image(record))
            labels = torch.full(image.shape[:2], void, dtype=torch.uint8 if void == 255 else torch.int32)
            tags = scores_of_tags(record.tags or {}, self.classes.names)
        scale = self.side * rng.uniform(SMALLEST, 1) / max(image.shape[:2])
        size = [max(8, round(scale * length)) for length in image.shape[:2]]
        small = F.interpolate(
            image.permute(2, 0, 1)[None].float() / 255, size=size, mode="bilinear", antialias=True
        )
        shrunk = F.interpolate(labels[None, None].float(), size=size, mode="nearest-exact")[0, 0]
        if rng.random() < 0.5:
            small, shrunk = small.flip(-1), shrunk.flip(-1)
        padding = (0, self.side - size[1], 0, self.side - size[0])
        return DualSample(
            image=F.pad(small, padding, mode="constant")[0].clamp(0, 1),
            labels=F.pad(shrunk, padding, value=void).to(labels.dtype),
            valid=F.pad(torch.ones(1, *size), padding),
            tags=tags,
            labelled=torch.tensor(labelled),
            broken=broken,
        )


def tags_of_labels(labels: Tensor, num_classes: int, void: int) -> Tensor:
    """1 for each class in a label map ``[H, W]``, and for the background: ``float32 [C]``.

    >>> tags_of_labels(torch.tensor([[2, 255]]), 4, 255)
    tensor([1., 0., 1., 0.])
    """
    tags = torch.zeros(num_classes)
    tags[labels[labels != void].long().unique()] = 1
    tags[0] = 1
    return tags


def scores_of_tags(tags: Tags, classes: Sequence[str]) -> Tensor:
    """The score of each class, and 1 for the background, which is the first: ``float32 [C]``."""
    scores = torch.tensor([tags.get(name, 0.0) for name in classes])
    scores[0] = 1
    return scores
