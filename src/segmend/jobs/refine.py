"""Refine a folder of coarse maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segmend.data.dataset import Dataset, Record, open_dataset, pair_coarse
from segmend.data.maps import find_classes, find_maps
from segmend.devices import Precision, autocast, pick_device, to_device
from segmend.jobs.maps import MapFolder, Maps, fingerprint
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput, as_image, as_tensor
from segmend.refiners.base import TILE, Refiner, refine_bands
from segmend.report.results import Run, Skipped

Pair = tuple[np.ndarray, np.ndarray]


def refine(
    refiner: Refiner,
    images: Dataset,
    out: Path,
    *,
    name: str = "",
    probs: bool = False,
    details: bool = False,
    quantised: bool = False,
    tile: int = TILE,
    min_confidence: float | None = None,
    logits: bool = False,
    border_error_px: float | None = None,
    precision: Precision = "auto",
    overwrite: bool = False,
    quiet: bool = False,
    unpaired: Sequence[Skipped] = (),
) -> Run:
    """Refine every image of `images` (records with an image and a coarse map) into ``out/labels/ID.png``.

    Args:
        name: how the refiner is called in the results.
        probs: also write ``out/probs/ID.npz``.
        details: also write ``out/details/ID.npz``: ``confidence``, ``change_confidence`` and ``changed``, and
            where the refiner has them ``displacement`` (float16, pixels) and ``fusion_mask``; shares as 0..255.
        quantised: write probabilities as 0..255 instead of float16.
        tile: images with a larger side are cut into overlapping tiles.
        min_confidence: where the refiner is less sure of a change, the coarse map stays (see `Refiner.refine`).
        logits: the coarse maps in ``.npz`` files are logits.
        overwrite: refine again what an earlier run finished. Without, what is newer than its image and coarse
            map is kept.
        unpaired: what the caller had to skip already, to be listed with the rest.

    Returns:
        What was done, also written to ``out/results.json``.

    Raises:
        InvalidInput: the refiner was made for another number of classes, or `out` holds maps of another one
            or of other options.
    """
    classes = images.classes
    if refiner.num_classes is not None and refiner.num_classes != len(classes):
        raise InvalidInput(
            f"the refiner was made for {refiner.num_classes} classes, the coarse maps have {len(classes)}"
        )
    device = pick_device()
    if isinstance(refiner, nn.Module):
        to_device(refiner, device)
    made_with = (
        f"refiner {fingerprint(refiner)}, {min_confidence=}, {tile=}, {logits=}, {border_error_px=}, {precision=}"
    )
    folder = MapFolder(out, classes, probs, details, quantised, overwrite, made_with)
    changed = pixels = 0

    def read(record: Record) -> Pair:
        return pair_coarse(images, record, as_stored=True)

    def work(record: Record, pair: Pair) -> Maps:
        nonlocal changed, pixels
        image, coarse = pair
        maps = folder.new_maps(*image.shape[:2])
        with torch.inference_mode(), autocast(device, precision):
            shown = as_image(image).to(device)
            given = as_tensor(coarse)
            bands = refine_bands(
                refiner,
                shown,
                given,
                len(classes),
                tile,
                min_confidence=min_confidence,
                logits=logits,
                border_error_px=border_error_px,
            )
            for rows, refined in bands:
                maps.fill(rows, refined.labels, refined.probabilities)
                changed += int(refined.changed.sum())
                pixels += refined.changed.numel()
                if details:
                    maps.fill_details(rows, refined)
        return maps

    pipeline = Pipeline[Record, Pair, Maps](lambda r: str(r.coarse), read, work, folder.write)
    with bar("refine", len(images), quiet) as progress:
        outcome = pipeline.run(images, folder.is_finished, progress)
    outcome.skipped[:0] = unpaired
    share = changed / pixels if pixels else None
    return folder.finish("refine", name or type(refiner).__name__, outcome, share)


def open_pairs(
    images: Path,
    coarse: Path,
    refiner: Refiner | None = None,
    count: int | None = None,
    max_pixels: int | None = None,
) -> tuple[Dataset, list[Skipped]]:
    """Images and the coarse maps of the same ID, of the refiner's classes or of those the maps hold.

    Returns:
        The pairs, and what has no partner.
    """
    maps = find_maps(coarse)
    made_for = refiner.num_classes if refiner else None
    classes = getattr(refiner, "classes", None) or find_classes(maps.values(), count or made_for)
    assert isinstance(classes, Classes)
    dataset = replace(open_dataset(images), classes=classes)
    if max_pixels is not None:
        dataset = replace(dataset, max_pixels=max_pixels)
    pairs = dataset.with_coarse(coarse)
    paired = {record.id for record in pairs}
    unpaired = [
        Skipped(file=str(r.image), reason=f"no coarse map of this ID in {coarse}")
        for r in dataset
        if r.id not in paired
    ]
    unpaired += [
        Skipped(file=str(path), reason=f"no image of this ID in {images}")
        for identity, path in maps.items()
        if identity not in paired
    ]
    return pairs, unpaired
