"""What `segmend check` measures of each label map, and the probability maps that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from segmend.check import Areas, Contradictions, Measured, Seen, Whole
from segmend.data.dataset import Dataset, Record, check_fits, pair_coarse
from segmend.data.files import InvalidFile
from segmend.data.probabilities import write_arrays
from segmend.devices import pick_device, to_device
from segmend.jobs.border_profiles import of_folder
from segmend.jobs.outputs import INPUTS, fingerprint, hash_of, note_of
from segmend.labels import Classes
from segmend.refiners import load
from segmend.refiners.base import refine_bands


class Evidence(Protocol):
    """What gives the probability maps that labels are compared with."""

    @property
    def name(self) -> str:
        """How results and the page call it."""

    @property
    def folder(self) -> Path | None:
        """Where the maps are read from; None: they are made."""

    @property
    def made_with(self) -> str:
        """What decides its maps, but for the files of a record."""

    @property
    def sees_labels(self) -> bool:
        """Whether its maps depend on the labels themselves."""

    def file(self, record: Record) -> Path | None:
        """The file that the map of a record is read from."""

    def of(self, record: Record, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The probability map ``[C, H, W]`` of a record."""


class Predictions:
    """Probability maps in files: those of segmenters that were not trained on the image.

    Args:
        images: records whose coarse maps are these files.
    """

    name, made_with = "probability maps", "probability maps"
    sees_labels = False

    def __init__(self, images: Dataset, folder: Path) -> None:
        self.images = images
        self.folder: Path | None = folder
        self.records = {record.id: record for record in images}

    def file(self, record: Record) -> Path | None:
        return self.records[record.id].coarse

    def of(self, record: Record, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        found = self.images.coarse(self.records[record.id])
        check_fits(self.file(record) or record.id, image=image[..., 0], probabilities=found)
        return found


class Refined:
    """What the universal refiner makes of the labels.

    Args:
        images: the folder that label maps are compared with; None: each stands alone.
    """

    sees_labels = True
    folder: Path | None = None
    name = "what the universal refiner makes of them"

    def __init__(self, classes: Classes, images: Dataset | None = None, quiet: bool = False) -> None:
        refiner = load("universal")
        self.made_with = f"refined by {fingerprint(refiner)}"
        self.count = max(2, len(classes))
        self.refiner = refiner
        self.to(pick_device())
        if images is not None:
            self.refiner = of_folder(refiner, images, quiet=quiet)

    def to(self, device: torch.device) -> None:
        """Compute on a device from now on."""
        self.device = device
        if isinstance(self.refiner, nn.Module):
            to_device(self.refiner, device)

    def file(self, record: Record) -> Path | None:
        return None

    def of(self, record: Record, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return self.refined(image, labels)

    def refined(self, image: np.ndarray, labels: np.ndarray, border_error_px: float | None = None) -> np.ndarray:
        """The refined probability map ``float16 [C, H, W]``.

        Args:
            border_error_px: by how many pixels borders are off (None: the refiner estimates it).
        """
        found = np.empty((self.count, *labels.shape), np.float16)
        bands = refine_bands(
            self.refiner,
            image,
            labels,
            self.count,
            min_confidence=0.5,
            border_error_px=border_error_px,
            device=self.device,
        )
        for rows, band in bands:
            found[:, rows] = band.probabilities.half().cpu().numpy()
        return found


class Given(NamedTuple):
    """What is read of a record; `inputs` is the note of what is made of it."""

    inputs: str
    image: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class MeasureWorker:
    """Measures one label map after another (see `segmend.jobs.pipeline.Worker`).

    Attributes:
        images: how records are read; it needs no records of its own.
        out: folder of the check.
        overwrite: measure what an earlier call measured.
    """

    images: Dataset
    evidence: Evidence
    out: Path
    overwrite: bool = False

    @property
    def made_with(self) -> str:
        """What decides what is measured of a record, but for its files."""
        return f"measured by check, {self.evidence.made_with}"

    def to(self, device: torch.device) -> None:
        if isinstance(self.evidence, Refined):
            self.evidence.to(device)

    def name(self, record: Record) -> str:
        return str(record.coarse)

    def file(self, record: Record) -> Path:
        """Where what is measured of a record is kept."""
        return self.out / "measured" / f"{record.id}.npz"

    def read(self, record: Record) -> Given | None:
        images = self.images
        read_as = f"{len(images.classes)} classes, {images.coarse_coding}, {images.images_read.reading}"
        files = record.image, record.coarse, self.evidence.file(record)
        inputs = hash_of(*files, text=f"{read_as}, turn {record.turn}")
        note = f"{self.made_with}{INPUTS}{inputs}"
        if inputs and not self.overwrite and note_of(self.file(record)) == note:
            return None
        self.file(record).unlink(missing_ok=True)  # of other files: they may not be readable any more
        return self.given(record)._replace(inputs=note)

    def given(self, record: Record) -> Given:
        """Image, labels and probabilities of a record."""
        image, labels = pair_coarse(self.images, record)
        if labels.ndim == 3:
            labels = labels.argmax(axis=0).astype(self.images.classes.dtype)
        if (labels == self.images.classes.void).all():
            raise InvalidFile(record.coarse or record.id, "every pixel is void: nothing to check")
        return Given("", image, labels, self.evidence.of(record, image, labels))

    def work(self, record: Record, given: Given) -> tuple[str, Measured, tuple[int, ...]]:
        seen = Seen.of(given.image, given.probabilities)
        return given.inputs, seen.measure(given.labels, self.images.classes.void), given.labels.shape

    def write(self, record: Record, made: tuple[str, Measured, tuple[int, ...]]) -> None:
        note, measured, size = made
        write_arrays(self.file(record), note, size=np.array(size), **_arrays(measured))

    def counts(self, made: tuple[str, Measured, tuple[int, ...]]) -> dict[str, int]:
        return {}


def read_measured(path: Path) -> Measured:
    """What a `MeasureWorker` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return _of_arrays(stored)


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of the label map that was measured."""
    with np.load(path, allow_pickle=False) as stored:
        height, width = stored["size"].tolist()
    return height, width


def _arrays(measured: Measured) -> dict[str, np.ndarray]:
    """What was measured as named arrays."""
    found = {"whole": np.array(measured.whole), "confusion": measured.confusion, "step": np.array(measured.step)}
    for name in ("areas", "contradictions"):
        columns = getattr(measured, name)
        found |= {f"{name}.{field}": getattr(columns, field) for field in columns._fields}
    return found


def _of_arrays(stored: np.lib.npyio.NpzFile) -> Measured:
    areas = Areas(*(stored[f"areas.{field}"] for field in Areas._fields))
    contradictions = Contradictions(*(stored[f"contradictions.{field}"] for field in Contradictions._fields))
    whole = Whole(*stored["whole"].tolist())
    return Measured(areas, contradictions, whole, stored["confusion"], int(stored["step"]))
