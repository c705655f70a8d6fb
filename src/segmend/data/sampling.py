"""Training samples, drawn in an order that depends on the seed alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict, cast

import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torchvision import tv_tensors

from segmend.data.class_uniform import Centroid
from segmend.data.corruptions import AnyCorruption, Corruption
from segmend.data.dataset import Dataset, Record, check_fits, pair_labels
from segmend.data.files import InvalidFile
from segmend.data.transforms import Centre, LabelMap, ProbabilityMap
from segmend.labels import InvalidInput, as_probabilities
from segmend.ops.blobs import label_of_numbers


class Sample(TypedDict, total=False):
    """What a network is trained on. Shapes are those of one sample; batches have B in front (see `collate`).

    Which tensors there are depends on the task; tasks with other data add their own to a subclass.

    Attributes:
        image: ``float32 [3, H, W]`` in 0..1.
        labels: true label map ``[H, W]``; ``int64`` in batches.
        coarse: coarse map, probabilities ``float32 [C, H, W]``.
        blobs: number of each pixel's blob, ``int32 [H, W]``.
        held_out: ``bool``, whether the image is one of `Samples.held_out`.
        border_error_px: ``float32``, how far the borders of the coarse map are off, in pixels.
        error_given: ``bool``, whether the network may see `border_error_px`.
        broken: messages about files that could not be read, and were replaced by others.
    """

    image: Tensor
    labels: Tensor
    coarse: Tensor
    blobs: Tensor
    held_out: Tensor
    border_error_px: Tensor
    error_given: Tensor
    broken: Required[list[str]]


def seed_of(*numbers: int) -> int:
    """A seed of 64 bits, which depends on all of the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


@dataclass(frozen=True)
class CoarseSource:
    """Where the coarse map of a training sample comes from.

    Attributes:
        truth_share: share of samples whose coarse map is corrupted ground truth; the others have the data set's
            own coarse map.
        truth_first: number of samples at the start that are all of that kind (pretraining).
        variation: strength of the corruption that is added to the data set's own maps, as augmentation.
        corruption: of the ground truth.
    """

    truth_share: float = 0.0
    truth_first: int = 0
    variation: float = 0.0
    corruption: Corruption | AnyCorruption = field(default_factory=Corruption)

    def takes_truth(self, record: Record, index: int) -> bool:
        """Whether the coarse map of sample `index` is corrupted ground truth."""
        return record.coarse is None or index < self.truth_first or bool(torch.rand(()) < self.truth_share)


@dataclass(frozen=True)
class _Group:
    """Records that are drawn in a new random order every epoch of their own.

    Attributes:
        records: their numbers in the data set.
        others: numbers of the records of the other group, which are used if none of `records` can be read.
        centroids: in these records, of the classes that have some.
        stream: what the random order depends on besides seed and epoch.
    """

    records: np.ndarray
    others: np.ndarray
    centroids: list[list[Centroid]]
    stream: tuple[int, ...]


class Samples(torch.utils.data.Dataset[Sample]):
    """`length` samples: the records in a new random order every epoch, each seen by a random `view`.

    Sample i depends on (seed, i) alone, whatever process draws it, so a training can stop and resume. A record
    that cannot be read is replaced by the next one, and its message is in ``"broken"``.

    Args:
        view: random transform of the tensors of a sample (see `segmend.data.transforms.training_view`).
        coarse: None for samples without a coarse map.
        held_out: IDs of records whose samples are marked by ``"held_out"``.
        centroids: of each class (`find_centroids`); every second sample is then centred on one of them, of the
            classes that have some in turn.
        blobs: whether samples hold the numbers of their pixels' blobs (`Dataset.blobs`).
        propagated_share: share of the samples that show propagated records (`Record.distance` above 0), spread
            evenly. Propagated records and the others are then two groups, each with epochs, an order and centroids
            of its own. None: all records are drawn equally often, as they are where all belong to one group.
    """

    def __init__(
        self,
        dataset: Dataset,
        view: Callable[[Any], Any],
        length: int,
        seed: int,
        coarse: CoarseSource | None = None,
        held_out: frozenset[str] = frozenset(),
        centroids: list[list[Centroid]] | None = None,
        blobs: bool = False,
        propagated_share: float | None = None,
    ) -> None:
        self.dataset, self.view, self.length, self.seed, self.coarse = dataset, view, length, seed, coarse
        self.held_out, self.blobs = held_out, blobs
        self.centroids = [some for some in centroids or () if some]
        propagated = np.array([bool(record.distance) for record in dataset], dtype=bool)
        mixed = bool(propagated.any() and not propagated.all())
        self.propagated_share = propagated_share if mixed else None
        if self.propagated_share is None:
            self.groups = [self._group(np.ones_like(propagated), ())]
        else:
            self.groups = [self._group(~propagated, ()), self._group(propagated, (0, 1))]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        order, centre = self._place(index)
        broken: list[str] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, index))
            for number in order:
                record = self.dataset.records[number]
                try:
                    drawn = self._draw(record, index, centre)
                except InvalidFile as error:
                    broken.append(str(error))
                    centre = None  # it belongs to this image
                    continue
                held_out = torch.tensor(record.id in self.held_out)
                return cast(Sample, {**drawn, "held_out": held_out, "broken": broken})
        raise InvalidInput("no image of the training split can be read; the first: " + broken[0])

    def _place(self, index: int) -> tuple[np.ndarray, Centre | None]:
        """Records for a sample in the order in which they are tried, and the centre of its view."""
        group, drawn = self._turn(index // 2 if self.centroids else index)
        epoch, position = divmod(drawn, len(group.records))
        rng = np.random.default_rng((self.seed, epoch, *group.stream))
        order = group.records[np.roll(rng.permutation(len(group.records)), -position)]
        order = np.concatenate((order, group.others))
        if not group.centroids or index % 2 == 0:
            return order, None
        ones = group.centroids[drawn % len(group.centroids)]
        one = ones[np.random.default_rng((self.seed, 1, index)).integers(len(ones))]
        return np.concatenate(([one.record], order)), Centre([one.y, one.x])

    def _turn(self, drawn: int) -> tuple[_Group, int]:
        """The group that is drawn from, and how often it was before."""
        if self.propagated_share is None:
            return self.groups[0], drawn
        before, after = (math.floor(count * self.propagated_share) for count in (drawn, drawn + 1))
        return (self.groups[1], before) if after > before else (self.groups[0], drawn - before)

    def _group(self, members: np.ndarray, stream: tuple[int, ...]) -> _Group:
        inside = [[one for one in ones if members[one.record]] for ones in self.centroids]
        return _Group(np.flatnonzero(members), np.flatnonzero(~members), [some for some in inside if some], stream)

    def _draw(self, record: Record, index: int, centre: Centre | None) -> dict[str, Tensor]:
        image, labels = (torch.from_numpy(a) for a in pair_labels(self.dataset, record))
        sample: dict[str, Tensor] = {"image": tv_tensors.Image(image.permute(2, 0, 1)), "labels": LabelMap(labels)}
        if centre is not None:
            sample["centre"] = centre
        if self.blobs:
            sample["blobs"] = LabelMap(torch.from_numpy(self._numbers(record, labels.numpy())))
        count = len(self.dataset.classes)
        if self.coarse is None:
            return _plain(self.view(sample))
        if self.coarse.takes_truth(record, index):
            sample = _plain(self.view(sample))
            sample["coarse"] = self.coarse.corruption.of_truth(sample["labels"], count)
        else:
            sample["coarse"] = ProbabilityMap(self._coarse(record, labels))
            sample = _plain(self.view(sample))
            if self.coarse.variation > 0:
                sample["coarse"] = Corruption(self.coarse.variation)(sample["coarse"])
        return sample

    def _numbers(self, record: Record, labels: np.ndarray) -> np.ndarray:
        numbers = self.dataset.blobs(record).astype(np.int32)
        check_fits(record.blobs or record.id, labels=labels, blobs=numbers)
        valid = labels != self.dataset.classes.void
        try:
            label_of_numbers(numbers[valid], labels[valid])
        except ValueError as error:
            raise InvalidFile(record.blobs or record.id, str(error)) from None
        return numbers

    def _coarse(self, record: Record, labels: Tensor) -> Tensor:
        coarse = self.dataset.coarse(record)
        check_fits(record.coarse or record.id, labels=labels.numpy(), coarse=coarse)
        return as_probabilities(coarse, len(self.dataset.classes))


def _plain(sample: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.as_subclass(Tensor) for name, value in sample.items() if name != "centre"}


def collate(samples: list[Sample]) -> Sample:
    """A batch: tensors stacked, labels as ``int64``, the lists of broken files joined.

    All samples hold the same tensors.
    """
    tensors = [{name: value for name, value in sample.items() if name != "broken"} for sample in samples]
    batch: dict[str, Any] = torch.utils.data.default_collate(tensors)
    if "labels" in batch:
        batch["labels"] = batch["labels"].long()
    return cast(Sample, {**batch, "broken": [message for sample in samples for message in sample["broken"]]})
