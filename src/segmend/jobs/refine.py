"""Refine a folder of coarse maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import nn

from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.pairs import open_pairs as pair
from segmend.devices import Precision, pick_device, to_device
from segmend.jobs.border_profiles import measured_borders, of_folder
from segmend.jobs.maps import MapFolder, Maps
from segmend.jobs.outputs import fingerprint
from segmend.jobs.pipeline import Pipeline
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


def refine(
    refiner: Refiner,
    images: Dataset,
    out: Path,
    options: RefineOptions = RefineOptions(),
    *,
    name: str = "",
    unpaired: Sequence[Skipped] = (),
) -> Run:
    """Refine every image of `images` (records with an image and a coarse map) into ``out/labels/ID.png``.

    Maps that an earlier run made of the same files, with the same refiner and options, are kept. Those that it
    made of other files are made again. A coarse map without any label is written as it is, and listed as skipped.

    Args:
        name: how the refiner is called in the results.
        unpaired: what the caller had to skip already, to be listed with the rest.

    Returns:
        What was done, also written to ``out/results.json``.

    Raises:
        InvalidInput: before any work, where the refiner was made for another number of classes, an option is not
            for it or for another one, `out` cannot be written, or holds files that are not replaced: inputs of
            this run, files that this program did not write, or maps of other weights or options.
    """
    classes = images.classes
    check_options(refiner, options.min_confidence, options.border_error_px, options.tile)
    if refiner.num_classes is not None and refiner.num_classes != len(classes):
        raise InvalidInput(
            f"the refiner was made for {refiner.num_classes} classes, the coarse maps have {len(classes)}"
        )
    if options.tidy is not None and options.probs:
        raise InvalidInput(
            "probabilities would not be those of the tidied labels, and are read in their place: leave out --tidy "
            "or --probs, or tidy the label maps afterwards (segmend tidy)"
        )
    made_by = fingerprint(refiner)
    device = pick_device()
    if isinstance(refiner, nn.Module):
        to_device(refiner, device)
    coding = images.coarse_coding
    folder = MapFolder(
        out,
        classes,
        made_with=f"refined by {made_by}, {options.made_with}",
        probs=options.probs,
        details=options.details,
        quantised=options.quantised,
        overwrite=options.overwrite,
        tidy=options.tidy and options.tidy.of_ids(numbers_by_name(classes, coding)),
        coding=None if coding is None or coding.is_plain else coding,
        read_as=f"{len(classes)} classes, {coding}, {images.images_read.reading}",
    )
    folder.check(images)
    refiner = of_folder(refiner, images, options.logits, options.quiet)
    changed = pixels = filled = 0

    def read(record: Record) -> _Given | None:
        inputs = folder.inputs_unless_finished(record)
        if inputs is None:
            return None
        return _Given(inputs, *pair_coarse(images, record, as_stored=True))

    def work(record: Record, given: _Given) -> Maps:
        nonlocal changed, pixels, filled
        maps = folder.new_maps(given.inputs, *given.image.shape[:2])
        bands = refine_bands(
            refiner,
            given.image,
            given.coarse,
            len(classes),
            min_confidence=options.min_confidence,
            border_error_px=options.border_error_px,
            logits=options.logits,
            keep_void=options.keep_void,
            tile=options.tile,
            precision=options.precision,
            device=device,
        )
        for rows, refined in bands:
            maps.fill(rows, refined.labels, refined.probabilities)
            changed += int(refined.changed.sum())
            if options.details:
                maps.fill_details(rows, refined)
        void = void_mask(as_tensor(given.coarse))
        pixels += maps.labels.size
        filled += 0 if void is None else int((maps.labels[void.numpy()] != classes.void).sum())
        return maps

    def write(record: Record, maps: Maps) -> None:
        if (maps.labels != classes.void).any():
            return folder.write(record, maps)
        # its note never counts as finished, so that every run lists it
        folder.write(record, replace(maps, inputs=f"{maps.inputs}, no label"))
        raise InvalidFile(record.coarse or record.id, "every pixel is void: written as it is, not refined")

    pipeline = Pipeline[Record, _Given, Maps](lambda r: str(r.coarse), read, work, write)
    with bar("refine", len(images), options.quiet) as progress:
        outcome = pipeline.run(images, progress)
    outcome.skipped[:0] = unpaired
    share = changed / pixels if pixels else None
    return folder.finish(
        "refine",
        name or type(refiner).__name__,
        outcome,
        share,
        filled,
        look_of(refiner, classes.names),
        refiner.far_uncertainty,
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
    return pairs.dataset, [Skipped(file=str(error.path), reason=error.reason) for error in pairs.unpaired]
