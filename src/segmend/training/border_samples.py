"""Training samples of `BorderNetwork`: crops of simulated folders, whose masks are off in the same way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torchvision.transforms import v2

from segmend.borders import BorderProfile, BorderStrength, border_strength, evident_move
from segmend.borders.evidence import BorderEvidence, border_evidence
from segmend.borders.pairs import DESCRIPTION, PairProfiles
from segmend.borders.strength import deep
from segmend.data.class_agnostic import border_error_pixels
from segmend.data.corruptions import cut, fill_void, folder_change
from segmend.data.dataset import Dataset, pair_labels
from segmend.data.files import InvalidFile
from segmend.data.sampling import Sample, seed_of
from segmend.labels import InvalidInput

IMAGES = 8
"""In a simulated folder."""

SIDES = (180.0, 600.0)
"""Range of the longer side in pixels to which the images of a folder are resized."""

LARGEST_SCALE = 1.5
"""Images are enlarged by at most so much."""

SMALLEST = 32
"""Side in pixels to which images are reduced at most."""

NOISE = 0.2, 12.0
"""Share of the images that get noise, and its largest standard deviation in 0..255."""

PER_IMAGE = 2
"""Samples of each image of a folder, on average."""

TOGETHER = 12
"""Folders whose samples take turns."""

MOVED = 0.5
"""Share of the folders whose masks are moved where the profile evidently asks for it, as at use."""

CUT = 0.5
"""Share of the folders whose true masks have borders without edges (`segmend.data.corruptions.cut`) ..."""

CUT_CLASSES = 0.5
"""... by a share of their classes."""

GRAIN = (25.0, 120.0)
"""Range of the extent of the pieces in pixels."""

ALONE = 0.3
"""Share of the samples whose folder has fewer images."""

ON_BORDER = 0.8
"""Share of the crops that hold a pixel of a border."""

GIVEN = 0.2
"""Share of the samples whose border error is given."""

PAIRS = 32
"""Pairs of classes in a sample; further ones have the profile of the last."""

OWN, RIVAL, UNDECIDED = 0, 1, 255
"""Targets: the true class is the pixel's own, its rival's, or it is another one, or does not count."""


class BorderSample(Sample, total=False):
    """What `BorderNetwork` is trained on.

    Attributes:
        planes, pair, descriptions: of `segmend.borders.evidence.BorderEvidence`.
        target: `OWN`, `RIVAL` or `UNDECIDED`, ``uint8 [H, W]``.
    """

    planes: Tensor
    pair: Tensor
    descriptions: Tensor
    target: Tensor


class _Image(NamedTuple):
    """Of a simulated folder: `labels` are true, with void; `coarse` is the mask, without."""

    image: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray
    measured: BorderStrength
    border_error_px: float


class BorderSamples(torch.utils.data.Dataset[Sample]):
    """Samples of simulated folders. Sample i depends on (seed, i) alone.

    A folder has some images of one data set, resized by one factor, and masks that are off in one way
    (`segmend.data.corruptions.folder_change`). Its border profile is measured as at use, and a sample is a crop of
    one of its images.

    Args:
        sets: data sets with labels.
        shares: of the sets among the folders; they sum to 1.
        crop: side of the crops in pixels.
    """

    def __init__(
        self, sets: Sequence[Dataset], shares: Sequence[float], length: int, seed: int, crop: int
    ) -> None:
        self.sets, self.shares, self.length, self.seed, self.crop = sets, shares, length, seed, crop
        self._folders: OrderedDict[int, list[_Image]] = OrderedDict()
        self._colours = v2.Compose(
            [
                v2.ColorJitter(0.3, 0.3, 0.3, 0.05),
                v2.RandomGrayscale(0.15),
                v2.RandomInvert(0.15),
            ]
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        turn, place = divmod(index, TOGETHER)
        images = self._folder(turn // (IMAGES * PER_IMAGE) * TOGETHER + place)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, 0, index))
            return self._sample(images)

    def _folder(self, number: int) -> list[_Image]:
        """A folder's images, of those that were made last or made anew."""
        if number not in self._folders:
            while len(self._folders) >= TOGETHER:
                self._folders.popitem(last=False)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_of(self.seed, 1, number))
                self._folders[number] = self._simulated()
        return self._folders[number]

    def _simulated(self) -> list[_Image]:
        dataset = self.sets[int(torch.multinomial(torch.tensor(self.shares), 1))]
        low, high = np.log(SIDES)
        side = float(np.exp(low + (high - low) * torch.rand(()).item()))
        change = folder_change()
        read = []
        for number in torch.randperm(len(dataset)).tolist():
            try:
                image, labels = pair_labels(dataset, dataset.records[number])
            except InvalidFile:
                continue
            if len(np.unique(labels[labels != dataset.classes.void])) > 1:
                read.append(_resized(image, labels, min(LARGEST_SCALE, side / max(labels.shape))))
            if len(read) == IMAGES:
                break
        if not read:
            raise InvalidInput(f"{dataset.name}: no mask that can be read holds two classes")
        void = dataset.classes.void
        if torch.rand(()) < CUT:
            read = _cut(read, void)
        filled = [fill_void(torch.from_numpy(labels)) for _, labels in read]
        largest = int(torch.cat([one.flatten() for one in filled]).long().bincount().argmax())
        masks = [change(true, largest).numpy() for true in filled]
        measured = [_measured(*one, void) for one in zip(read, masks, strict=True)]
        move = evident_move(BorderProfile.of(measured)) if torch.rand(()) < MOVED else None
        if move is not None:
            masks = [move(mask, void) for mask in masks]
            measured = [_measured(*one, void) for one in zip(read, masks, strict=True)]
        return [
            _Image(
                image, labels, mask, strength, float(border_error_pixels(*map(torch.from_numpy, (mask, labels))))
            )
            for (image, labels), mask, strength in zip(read, masks, measured, strict=True)
        ]

    def _sample(self, images: list[_Image]) -> Sample:
        own = images[int(torch.randint(len(images), ()))]
        others = [one for one in images if one is not own]
        if torch.rand(()) < ALONE:
            others = others[: int(torch.randint(len(images), ()))]
        folder = BorderProfile.of(one.measured for one in (own, *others))
        known, alone = (PairProfiles(images, folder.areas) for images in (folder.images, folder.images[:1]))
        image, labels, coarse = self._cropped(own)
        image = _noisy(self._colours(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).numpy())
        evidence = border_evidence(image, coarse, known, alone)
        error = sum(one.border_error_px for one in images) / len(images) if torch.rand(()) < GIVEN else 0.0
        return self._tensors(image, labels, coarse, evidence, error)

    def _cropped(self, of: _Image) -> list[np.ndarray]:
        """Image, labels and coarse mask of a square of the image, turned and mirrored at random."""
        height, width = of.coarse.shape
        sides = min(height, self.crop), min(width, self.crop)
        free = height - sides[0] + 1, width - sides[1] + 1
        top, left = (int(torch.randint(length, ())) for length in free)
        inner = of.coarse[1:, 1:]
        on_border = np.flatnonzero((inner != of.coarse[:-1, 1:]) | (inner != of.coarse[1:, :-1]))
        if len(on_border) and torch.rand(()) < ON_BORDER:
            y, x = divmod(int(on_border[int(torch.randint(len(on_border), ()))]), width - 1)
            top, left = (
                int(np.clip(at - int(torch.randint(side, ())), 0, room - 1))
                for at, side, room in zip((y, x), sides, free, strict=True)
            )
        square = np.s_[top : top + sides[0], left : left + sides[1]]
        found = [of.image[square], of.labels[square], of.coarse[square]]
        if torch.rand(()) < 0.5:
            found = [map_[:, ::-1] for map_ in found]
        quarters = int(torch.randint(4, ()))
        return [np.ascontiguousarray(np.rot90(map_, quarters)) for map_ in found]

    def _tensors(
        self, image: np.ndarray, labels: np.ndarray, coarse: np.ndarray, evidence: BorderEvidence, error: float
    ) -> BorderSample:
        """Padded to the size of the crops."""
        height, width = coarse.shape
        padding = [(0, self.crop - height), (0, self.crop - width)]
        target = np.full(coarse.shape, UNDECIDED, np.uint8)
        target[labels == coarse] = OWN
        target[(labels == evidence.rival) & (labels != coarse)] = RIVAL
        target[~evidence.near] = UNDECIDED
        descriptions = np.zeros((1 + PAIRS, 2 * DESCRIPTION), np.float32)
        used = min(len(evidence.descriptions), 1 + PAIRS)
        descriptions[:used] = evidence.descriptions[:used]
        return {
            "image": torch.from_numpy(np.pad(image, [*padding, (0, 0)]).transpose(2, 0, 1) / np.float32(255)),
            "planes": torch.from_numpy(np.pad(evidence.planes, [(0, 0), *padding])),
            "pair": torch.from_numpy(np.pad(evidence.pair.clip(max=PAIRS), padding)),
            "descriptions": torch.from_numpy(descriptions),
            "target": torch.from_numpy(np.pad(target, padding, constant_values=UNDECIDED)),
            "border_error_px": torch.tensor(error),
            "broken": [],
        }


def _measured(read: tuple[np.ndarray, np.ndarray], mask: np.ndarray, void: int) -> BorderStrength:
    """Of a mask over an image with true labels."""
    image, labels = read
    return border_strength(image, mask, deep(labels == void))


def _resized(image: np.ndarray, labels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = labels.shape
    size = max(SMALLEST, round(width * factor)), max(SMALLEST, round(height * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return (
        cv2.resize(np.ascontiguousarray(image), size, interpolation=interpolation),
        cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST),
    )


def _cut(images: list[tuple[np.ndarray, np.ndarray]], void: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same images, with some classes of their labels cut in two."""
    present = np.unique(np.concatenate([np.unique(labels) for _, labels in images]))
    present = present[present != void]
    free = np.setdiff1d(np.arange(void), present)
    new = {int(k): int(v) for k, v in zip(present, free, strict=False) if torch.rand(()) < CUT_CLASSES}
    low, high = np.log(GRAIN)
    grain = float(np.exp(low + (high - low) * torch.rand(()).item()))
    return [(image, cut(torch.from_numpy(labels), grain, new).numpy()) for image, labels in images]


def _noisy(image: np.ndarray) -> np.ndarray:
    share, strongest = NOISE
    if torch.rand(()) >= share:
        return image
    noise = torch.randn(image.shape) * float(torch.rand(())) * strongest
    found: np.ndarray = (image + noise.numpy()).clip(0, 255).astype(np.uint8)
    return found
