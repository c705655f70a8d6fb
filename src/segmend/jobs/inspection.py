"""Inspect a folder of images and masks: what it holds, and how well the masks fit their images."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import segmend
from segmend.borders import BorderProfile, BorderStrength
from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import InvalidFile, check_writable_folder
from segmend.jobs.border_profiles import (
    borders_of,
    count_classes,
    measured_borders,
    measured_offset,
    sampled,
)
from segmend.jobs.progress import bar
from segmend.labels import InvalidInput
from segmend.report.html import is_page
from segmend.report.inspection import write_inspection_page
from segmend.report.results import (
    InspectedClass,
    Inspection,
    Skipped,
    check_replaceable,
    holds,
    write_results,
)

RESULTS, PAGE = "results.json", "inspection.html"


class _Looked(NamedTuple):
    """What is kept of an image and its mask."""

    counts: np.ndarray
    size: tuple[int, int]
    image: str
    mask: str
    borders: BorderStrength | None


def inspect(
    images: Dataset, out: Path | None = None, unpaired: Sequence[Skipped] = (), quiet: bool = False
) -> Inspection:
    """Look at each image (records with an image and a coarse map) and measure the borders of some.

    Args:
        out: folder for ``results.json`` and the page ``inspection.html``; None writes nothing.
        unpaired: what the caller had to skip already, to be listed with the rest.

    Raises:
        InvalidInput: no mask can be read, or `out` cannot be written, or holds such files of somebody else.
    """
    if out is not None:
        check_writable_folder(out)
        check_replaceable(out / RESULTS, partial(holds, kind=Inspection), "an inspection")
        check_replaceable(out / PAGE, is_page, "a page of segmend")
    records = list(images)
    measured = {record.id for record in sampled(records)}
    looked: dict[str, _Looked] = {}
    skipped = list(unpaired)
    with bar("inspect", len(records), quiet) as progress:
        for record in records:
            try:
                looked[record.id] = _look(images, record, record.id in measured)
            except InvalidFile as error:
                skipped.append(Skipped(file=str(error.path), reason=error.reason))
            progress.advance()
    if not looked:
        raise InvalidInput(f"no mask can be read, the first: {skipped[0].file}: {skipped[0].reason}")
    results = _results(images, looked, skipped)
    if out is not None:
        write_inspection_page(out / PAGE, results)
        write_results(out / RESULTS, results)
    return results


def _look(images: Dataset, record: Record, is_measured: bool) -> _Looked:
    image, coarse = pair_coarse(images, record, as_stored=True)
    void = images.classes.void
    labels = coarse if coarse.ndim == 2 else coarse.argmax(axis=0).astype(np.int64)
    counts = count_classes(labels, images.classes)
    several = np.count_nonzero(counts) > 1
    borders = borders_of(image, labels, void) if is_measured and counts.any() else None
    return _Looked(
        np.append(counts, labels.size - counts.sum()),
        labels.shape,
        _digest(image),
        _digest(labels) if several else "",
        borders,
    )


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes() + str(array.shape).encode()).hexdigest()


def _results(images: Dataset, looked: dict[str, _Looked], skipped: list[Skipped]) -> Inspection:
    names = images.classes.names
    counts = np.stack([one.counts for one in looked.values()])
    of_classes = counts[:, :-1].sum(axis=0)
    profile = BorderProfile.of(one.borders for one in looked.values() if one.borders is not None)
    sizes = Counter(f"{width} x {height}" for height, width in (one.size for one in looked.values()))
    records = [record for record in images if record.id in looked]
    there = np.flatnonzero(of_classes)
    return Inspection(
        version=segmend.__version__,
        images=len(looked),
        borders=measured_borders(profile, names),
        classes={
            names[index]: InspectedClass(
                share=float(of_classes[index] / max(of_classes.sum(), 1)),
                images=int((counts[:, index] > 0).sum()),
                offset=measured_offset(profile, int(index)) if index in profile.classes else None,
            )
            for index in there
        },
        void=float(counts[:, -1].sum() / counts.sum()),
        sizes=dict(sizes.most_common()),
        files=dict(Counter(_kinds(records)).most_common()),
        one_class=[i for i, one in looked.items() if np.count_nonzero(one.counts[:-1]) == 1],
        unlabelled=[i for i, one in looked.items() if not one.counts[:-1].any()],
        same_images=_groups((one.image, i) for i, one in looked.items()),
        same_masks=_groups((one.mask, i) for i, one in looked.items() if one.mask),
        skipped=skipped,
    )


def _kinds(records: Iterable[Record]) -> Iterable[str]:
    for record in records:
        for what, path in (("images", record.image), ("masks", record.coarse)):
            if path is not None:
                yield f"{what} {path.suffix.lower()}"


def _groups(digests: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The IDs that share a digest, where there are several."""
    found = defaultdict(list)
    for digest, identity in digests:
        found[digest].append(identity)
    return [ids for ids in found.values() if len(ids) > 1]
