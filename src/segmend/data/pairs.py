"""Images and the coarse maps that belong to them, in plain folders: opened once, with what was found said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from segmend.coding import Coding
from segmend.data.dataset import Dataset, dataset_above, open_dataset
from segmend.data.description import describe
from segmend.data.files import MAX_PIXELS, InvalidFile
from segmend.data.images import unread_image, unread_images
from segmend.data.maps import count_planes, find_maps, label_files
from segmend.data.reading import Found, Reading, read_plain
from segmend.data.remote import address
from segmend.labels import Classes


class Pairs(NamedTuple):
    """Records with an image and a coarse map, and what has no partner."""

    dataset: Dataset
    unpaired: list[InvalidFile]


def open_pairs(
    images: Path | str,
    coarse: Path | str,
    *,
    classes: Classes | int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | str | None = None,
    bands: tuple[int, int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pairs:
    """Images and the coarse maps of the same ID.

    Args:
        classes: the classes of the maps or their number (None: those that the maps hold).
        ids, palette, bands: see `open_dataset`.

    Raises:
        InvalidFile: no images, no maps, no pair, or maps whose ids cannot be meant.
    """
    images, coarse = Path(images), Path(coarse)
    maps = find_maps(coarse)
    dataset = open_dataset(images, bands=bands, max_pixels=max_pixels)
    pairs = dataset.paired(coarse, maps)
    used = pairs.coarse_files
    if len(label_files(used)) < len(used):
        given = classes if isinstance(classes, Classes) else Classes.numbered(classes or count_planes(used))
        counted = "1 class" if len(given) == 1 else f"{len(given)} classes"
        found = Found(
            given,
            Coding.of_names(given) or Coding.counted(len(given)),
            (f"{address(coarse)}: probabilities of {counted}",),
        )
    else:
        reading = Reading(classes, ids, palette, max_pixels)
        found = _described(coarse, reading) or read_plain(coarse, used, reading)
    findings = (*pairs.findings, *found.findings)
    pairs = replace(pairs, classes=found.classes, coarse_coding=found.coding, findings=findings)
    with_map, paired = {r.id for r in pairs}, {r.coarse for r in pairs}
    unpaired = [
        InvalidFile(r.image, f"no map of this ID in {address(coarse)}")
        for r in dataset
        if r.id not in with_map and r.image
    ]
    others = unread_images(images)
    for name, path in maps.items():
        if path not in paired:
            instead = f": {unread_image(others[name])}" if name in others else ""
            unpaired.append(InvalidFile(path, f"no image of this ID in {address(images)}{instead}"))
    return Pairs(pairs, unpaired)


def _described(folder: Path, reading: Reading) -> Found | None:
    """How label maps in a data set are read: as its ``dataset.yaml`` says, unless something else was said."""
    root = dataset_above(folder)
    if root is None or reading.ids or reading.palette:
        return None
    described = describe(root)
    if isinstance(reading.classes, Classes):
        fits = reading.classes.names == described.classes.names
    else:
        fits = reading.classes in (None, len(described.classes))
    if not fits:
        return None
    names = ", ".join(described.classes.names[:12]) + (", ..." if len(described.classes) > 12 else "")
    coding = Coding.counted(len(described.classes), described.void)
    finding = f"{folder}: {len(described.classes)} classes of its dataset.yaml ({names}); void {described.void}"
    return Found(described.classes, coding, (finding,))
