"""Refine a folder of coarse maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.pairs import open_pairs as pair
from segmend.data.remote import address
from segmend.devices import Precision, pick_device, to_device
from segmend.jobs.border_profiles import measured_borders, of_folder
from segmend.jobs.maps import MapFolder, Maps
from segmend.jobs.outputs import fingerprint
from segmend.jobs.pipeline import LOCAL, Engine
from segmend.jobs.progress import bar
from segmend.jobs.tidy import numbers_by_name
from segmend.labels import Classes, InvalidInput, as_tensor
from segmend.refiners.base import TILE, Refiner, check_options, refine_bands, void_mask
from segmend.report.results import FolderLook, Run, Skipped
from segmend.tidy import Tidy


@dataclass(frozen=True)
class RefineOptions:
    """How a folder is refined, and what is written.

    Attributes:
        min_confidence, border_error_px, keep_void, logits, tile: see `Refiner.refine`.
        precision: of the network.
        probs: also write ``out/probs/ID.npz``.
        details: also write ``out/details/ID.npz``: ``confidence``, ``change_confidence`` and ``changed``, and,
            where the refiner has them, ``displacement`` (float16, pixels) and ``fusion_mask``; shares as 0..255.
        quantised: write probabilities as 0..255 instead of float16.
        tidy: how refined label maps are tidied before they are written, with sizes by the names or stored ids of
            classes; not together with `probs`. Details are those of the refiner.
        overwrite: make again what an earlier run finished, also with other weights or options.
        quiet: no progress bar.
    """

    min_confidence: float | None = None
    border_error_px: float | None = None
    keep_void: bool = False
    logits: bool = False
    tile: int = TILE
    precision: Precision = "auto"
    probs: bool = False
    details: bool = False
    quantised: bool = False
    tidy: Tidy | None = None
    overwrite: bool = False
    quiet: bool = False

    @property
    def made_with(self) -> str:
        """The options that decide what a refined map is."""
        names = ("min_confidence", "border_error_px", "keep_void", "logits", "tile", "precision")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class _Given(NamedTuple):
    """What is read of a record.

    Attributes:
        inputs: hash of its files.
    """

    inputs: str
    image: np.ndarray
    coarse: np.ndarray


@dataclass(frozen=True)
class RefineWorker:
    """Refines the coarse map of one record after another.

    Attributes:
        images: how records are read; it needs no records of its own.
        folder: where maps are written.
    """

    refiner: Refiner
    images: Dataset
    folder: MapFolder
    options: RefineOptions

    @property
    def out(self) -> Path:
        """See `segmend.jobs.pipeline.Worker`, also for the methods."""
        return self.folder.out

    def to(self, device: torch.device) -> None:
        if isinstance(self.refiner, nn.Module):
            to_device(self.refiner, device)

    def name(self, record: Record) -> str:
        assert record.coarse is not None
        return address(record.coarse)

    def read(self, record: Record) -> _Given | None:
        inputs = self.folder.inputs_unless_finished(record)
        if inputs is None:
            return None
        return _Given(inputs, *pair_coarse(self.images, record, as_stored=True))

    def work(self, record: Record, given: _Given) -> Maps:
        options = self.options
        maps = self.folder.new_maps(given.inputs, *given.image.shape[:2])
        bands = refine_bands(
            self.refiner,
            given.image,
            given.coarse,
            len(self.images.classes),
            min_confidence=options.min_confidence,
            border_error_px=options.border_error_px,
            logits=options.logits,
            keep_void=options.keep_void,
            tile=options.tile,
            precision=options.precision,
            device=pick_device(),
        )
        for rows, refined in bands:
            maps.fill(rows, refined.labels, refined.probabilities)
            maps.changed += int(refined.changed.sum())
            if options.details:
                maps.fill_details(rows, refined)
        void = void_mask(as_tensor(given.coarse))
        if void is not None:
            maps.filled = int((maps.labels[void.numpy()] != self.images.classes.void).sum())
        return maps

    def write(self, record: Record, maps: Maps) -> None:
        is_void = not (maps.labels != self.images.classes.void).any()
        if is_void:  # its note never counts as finished, so that every run lists it
            maps.inputs += ", no label"
        self.folder.write(record, maps)
        if is_void:
            raise InvalidFile(record.coarse or record.id, "every pixel is void: written as it is, not refined")

    def counts(self, maps: Maps) -> dict[str, int]:
        return maps.counts


def refine(
    refiner: Refiner,
    images: Dataset,
    out: Path,
    options: RefineOptions = RefineOptions(),
    *,
    name: str = "",
    unpaired: Sequence[Skipped] = (),
    engine: Engine = LOCAL,
) -> Run:
    """Refine every image of `images` (records with an image and a coarse map) into ``out/labels/ID.png``.

    Maps that an earlier run made of the same files, with the same refiner and options, are kept. Those that it
    made of other files are made again. A coarse map without any label is written as it is, and listed as skipped.

    Args:
        name: how the refiner is called in the results.
        unpaired: what the caller had to skip already, to be listed with the rest.
        engine: where images are refined; every engine writes the same files.

    Returns:
        What was done, also written to ``out/results.json``.

    Raises:
        InvalidInput: before any work, where the refiner was made for another number of classes, an option is not
            for it or for another one, `out` cannot be written, or holds files that are not replaced: inputs of
            this run, files that this program did not write, or maps of other weights or options.
    """
    check_options(refiner, options.min_confidence, options.border_error_px, options.tile)
    if refiner.num_classes is not None and refiner.num_classes != len(images.classes):
        raise InvalidInput(
            f"the refiner was made for {refiner.num_classes} classes, the coarse maps have {len(images.classes)}"
        )
    if options.tidy is not None and options.probs:
        raise InvalidInput(
            "probabilities would not be those of the tidied labels, and are read in their place: leave out --tidy "
            "or --probs, or tidy the label maps afterwards (segmend tidy)"
        )
    folder = _folder(out, refiner, images, options)
    folder.check(images)
    if isinstance(refiner, nn.Module):
        to_device(refiner, pick_device())
    refiner = of_folder(refiner, images, options.logits, options.quiet)
    worker = RefineWorker(refiner, images.without_records(), folder, options)
    with bar("refine", len(images), options.quiet) as progress:
        outcome = engine.run(worker, images.records, progress)
    outcome.skipped[:0] = unpaired
    look = look_of(refiner, images.classes.names)
    return folder.finish("refine", name or type(refiner).__name__, outcome, look, refiner.far_uncertainty)


def _folder(out: Path, refiner: Refiner, images: Dataset, options: RefineOptions) -> MapFolder:
    coding = images.coarse_coding
    return MapFolder(
        out,
        images.classes,
        made_with=f"refined by {fingerprint(refiner)}, {options.made_with}",
        probs=options.probs,
        details=options.details,
        quantised=options.quantised,
        overwrite=options.overwrite,
        tidy=options.tidy and options.tidy.of_ids(numbers_by_name(images.classes, coding)),
        coding=None if coding is None or coding.is_plain else coding,
        read_as=f"{len(images.classes)} classes, {coding}, {images.images_read.reading}",
    )


def look_of(refiner: Refiner, names: Sequence[str]) -> FolderLook | None:
    """What the refiner found in the folder, for ``results.json``.

    Args:
        names: of the classes.
    """
    found = refiner.folder
    if found is None:
        return None
    return FolderLook(
        borders=measured_borders(found.profile, names),
        moved=found.move.described(names) if found.move else "",
        is_left=found.is_left,
    )


def open_pairs(
    images: Path,
    coarse: Path,
    refiner: Refiner | None = None,
    classes: Classes | int | None = None,
    *,
    ids: Sequence[int] | None = None,
    palette: Path | None = None,
    bands: tuple[int, int, int] | None = None,
    max_pixels: int | None = None,
) -> tuple[Dataset, list[Skipped]]:
    """Images and the coarse maps of the same ID, in the classes given, else in those of the refiner or the maps.

    Args:
        ids, palette, bands: see `segmend.open_dataset`.

    Returns:
        The pairs, and what has no partner.
    """
    own = (getattr(refiner, "classes", None) or refiner.num_classes) if refiner else None
    limit = max_pixels or MAX_PIXELS
    pairs = pair(images, coarse, classes=classes or own, ids=ids, palette=palette, bands=bands, max_pixels=limit)
    return pairs.dataset, [Skipped(file=address(error.path), reason=error.reason) for error in pairs.unpaired]
