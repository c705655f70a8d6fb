"""Training samples of DIS: whole images with label maps, and whole images with tags alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
import torch.utils.data
from torch import Tensor

from segmend.data.dataset import Dataset, Record, pair_labels
from segmend.data.files import InvalidFile
from segmend.data.sampling import Sample, seed_of
from segmend.data.tags import Tags
from segmend.dual.model import CELL, soft_labels, target_image
from segmend.labels import InvalidInput

SMALLEST = 0.8
"""Images are resized so that their longer side is this share of the sample's side to all of it, at random."""


class DualSample(Sample, total=False):
    """What DIS is trained on: square samples, in which an image is padded at the right and below.

    All but `image` is given for the cells of the label map, h = H / 8 by w = W / 8.

    Attributes:
        image: ``float32 [3, H, W]`` in 0..1; where the encoder is frozen, there is its `pyramid` instead.
        pyramid: maps of a frozen encoder (`DualSegmentation.pyramid`), ``float16``.
        cells: mean colours, ``float32 [3, h, w]`` in -1..1 (`target_image`).
        valid: share of each cell that is inside the image, ``float32 [1, h, w]``.
        shares: of the classes in the true label map, ``float32 [C, h, w]``; 0 where there is none.
        weight: of each cell in `map_loss`: the share of it that has a true label, ``float32 [1, h, w]``.
        tags: scores of the classes, ``float32 [C]``, 1 for those that are in the image.
        labelled: ``bool``, whether the image has a label map. Otherwise its tags are the given ones.
    """

    pyramid: Sequence[Tensor]
    cells: Tensor
    valid: Tensor
    shares: Tensor
    weight: Tensor
    tags: Tensor
    labelled: Tensor


class Images(Protocol):
    """Images that samples are drawn from.

    Attributes:
        kinds: numbers of the labelled images, and of the tagged ones.
    """

    kinds: tuple[range, range]

    def draw(self, number: int, rng: np.random.Generator) -> DualSample:
        """A sample of an image.

        Raises:
            InvalidFile: it cannot be read.
        """


class DualImages:
    """Images as they are read, at a random scale, half of them mirrored. Tags are of whole images: nothing is cut.

    Args:
        labelled: records with label maps; their tags are the classes in these.
        tagged: records with tags.
        side: of the samples in pixels.
    """

    def __init__(self, labelled: Dataset, tagged: Sequence[Dataset], side: int) -> None:
        self.classes, self.side = labelled.classes, side
        self.records = [(one, record) for one in (labelled, *tagged) for record in one]
        self.kinds = range(len(labelled)), range(len(labelled), len(self.records))

    def draw(self, number: int, rng: np.random.Generator) -> DualSample:
        return self.view(number, rng.uniform(SMALLEST, 1), rng.random() < 0.5)

    def view(self, number: int, scale: float, mirrored: bool) -> DualSample:
        """A sample whose longer side is the share `scale` of the sample's side."""
        labelled = number in self.kinds[0]
        image, labels, tags = self._read(*self.records[number], labelled)
        scale = self.side * scale / max(image.shape[:2])
        size = [max(8, round(scale * length)) for length in image.shape[:2]]
        small = F.interpolate(
            image.permute(2, 0, 1)[None].float() / 255, size=size, mode="bilinear", antialias=True
        ).clamp(0, 1)
        shrunk = F.interpolate(labels[None, None].float(), size=size, mode="nearest-exact")[0].long()
        if mirrored:
            small, shrunk = small.flip(-1), shrunk.flip(-1)
        padding = (0, self.side - size[1], 0, self.side - size[0])
        void, inside = self.classes.void, F.pad(torch.ones(1, 1, *size), padding)
        shares, weight = soft_labels(F.pad(shrunk, padding, value=void), len(self.classes), void)
        small = F.pad(small, padding)
        return DualSample(
            image=small[0],
            cells=target_image(small)[0],
            valid=F.avg_pool2d(inside, CELL, ceil_mode=True, count_include_pad=False)[0],
            shares=shares[0],
            weight=weight[0],
            tags=tags,
            labelled=torch.tensor(labelled),
            broken=[],
        )

    def _read(self, dataset: Dataset, record: Record, labelled: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Image ``[H, W, 3]``, label map ``[H, W]`` (void where there is none) and tags ``[C]``."""
        void, count = self.classes.void, len(self.classes)
        if labelled:
            image, labels = (torch.from_numpy(array) for array in pair_labels(dataset, record))
            return image, labels, tags_of_labels(labels, count, void)
        image = torch.from_numpy(dataset.image(record))
        return image, torch.full(image.shape[:2], void), scores_of_tags(record.tags or {}, self.classes.names)


class StoredImages:
    """The same images, each as it is and mirrored, with the maps of a frozen encoder, in a file without a name.

    The file lies in the folder for temporary files, and is gone when the process ends.

    Args:
        images: what is stored.
        views: samples of each number, as it is and mirrored in turn, with `pyramid`; or the error of an image that
            cannot be read, twice (see `segmend.training.tasks.dual`).
    """

    def __init__(self, images: DualImages, views: Iterator[DualSample | InvalidFile]) -> None:
        self.kinds = images.kinds
        self.broken: dict[int, InvalidFile] = {}
        self.tags: dict[int, Tensor] = {}
        self.shapes: list[torch.Size] = []
        count = 2 * len(images.records)
        for index, view in enumerate(views):
            if isinstance(view, InvalidFile):
                self.broken[index // 2] = view
                continue
            parts = [view["cells"], view["valid"], view["shares"], view["weight"], *view["pyramid"]]
            if not self.shapes:
                self.shapes = [part.shape for part in parts]
                self.file = _temporary(count, sum(part.numel() for part in parts))
            self.tags[index // 2] = view["tags"]
            self.file[index] = torch.cat([part.flatten().half() for part in parts]).numpy()

    def draw(self, number: int, rng: np.random.Generator) -> DualSample:
        if number in self.broken:
            raise self.broken[number]
        stored = torch.from_numpy(np.array(self.file[2 * number + int(rng.random() < 0.5)]))
        parts = stored.split([shape.numel() for shape in self.shapes])
        parts = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        cells, valid, shares, weight = (part.float() for part in parts[:4])
        return DualSample(
            pyramid=tuple(parts[4:]),
            cells=cells,
            valid=valid,
            shares=shares,
            weight=weight,
            tags=self.tags[number],
            labelled=torch.tensor(number in self.kinds[0]),
            broken=[],
        )


def _temporary(count: int, size: int) -> np.ndarray:
    """An array ``float16 [count, size]`` in a temporary file."""
    folder, needed = Path(tempfile.gettempdir()), 2 * count * size
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InvalidInput(
            f"features of a frozen encoder need {needed / 1e9:.1f} GB for {count // 2} images, and {folder} has "
            f"{free / 1e9:.1f} GB: set TMPDIR to another folder, or train with `frozen: false`"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float16, "w+", shape=(count, size))


class DualSamples(torch.utils.data.Dataset[Sample]):
    """`length` samples: labelled and tagged images, each kind in a new random order every epoch.

    Sample i depends on (seed, i) alone. Images that cannot be read are replaced by others of their kind, and their
    message is in ``"broken"``.

    Args:
        tagged_share: share of the samples that are tagged images, spread evenly.
    """

    def __init__(self, images: Images, tagged_share: float, length: int, seed: int) -> None:
        self.images = images
        self.tagged_share = tagged_share if images.kinds[1] else 0.0
        self.length, self.seed = length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        before = int(index * self.tagged_share)
        is_tagged = int((index + 1) * self.tagged_share) > before
        numbers = self.images.kinds[is_tagged]
        epoch, position = divmod(before if is_tagged else index - before, len(numbers))
        order = np.random.default_rng((self.seed, int(is_tagged), epoch)).permutation(numbers)
        rng = np.random.default_rng(seed_of(self.seed, index))
        broken: list[str] = []
        for number in np.roll(order, -position).tolist():
            try:
                sample = self.images.draw(number, rng)
                sample["broken"] = broken
                return sample
            except InvalidFile as error:
                broken.append(str(error))
        raise InvalidInput("no image of the training splits can be read; the first: " + broken[0])


def tags_of_labels(labels: Tensor, num_classes: int, void: int) -> Tensor:
    """1 for each class in a label map ``[H, W]``: ``float32 [C]``.

    >>> tags_of_labels(torch.tensor([[2, 255]]), 4, 255)
    tensor([0., 0., 1., 0.])
    """
    tags = torch.zeros(num_classes)
    tags[labels[labels != void].long().unique()] = 1
    return tags


def scores_of_tags(tags: Tags, classes: Sequence[str]) -> Tensor:
    """The score of each class: ``float32 [C]``."""
    return torch.tensor([tags.get(name, 0.0) for name in classes])
