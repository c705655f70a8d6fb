"""Tidy a folder of masks alone: islands, holes and borders. Ids, palettes and bit depths stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmend import __version__
from segmend.coding import Coding
from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile, check_writable_folder
from segmend.data.maps import find_masks
from segmend.data.masks import ids_of_colours, read_labels, read_mask, write_labels
from segmend.jobs.outputs import INPUTS, check_outputs, hash_of, note_of
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, Palette, check_same_size, voc_colour
from segmend.report.results import Run, Skipped, holds, write_results
from segmend.tidy import Tidy, tidy


@dataclass(frozen=True)
class TidyOptions:
    """How a folder is tidied.

    Attributes:
        sizes: of what is tidied, by the names or stored ids of classes.
        confirmed: folder of masks by ID, 0 and 255, where a person confirmed the label; None: nowhere.
        overwrite: make again what an earlier run finished, also with other options.
        quiet: no progress bar.
    """

    sizes: Tidy
    confirmed: Path | None = None
    overwrite: bool = False
    quiet: bool = False


class _Mask(NamedTuple):
    """What is read of a record.

    Attributes:
        note: how its tidied map is made, and of what.
        ids: as they are stored, ``[H, W]``.
        confirmed: ``bool [H, W]``, or None.
    """

    note: str
    ids: np.ndarray
    palette: Palette | None
    confirmed: np.ndarray | None


class _Tidied(NamedTuple):
    note: str
    ids: np.ndarray
    palette: Palette | None


def tidy_masks(masks: Dataset, out: Path, options: TidyOptions) -> Run:
    """Tidy every label map of `masks` (see `segmend.data.dataset.open_masks`) into ``out/labels/ID.png``.

    Maps that an earlier run made of the same files with the same options are kept.

    Returns:
        What was done, also written to ``out/results.json``.

    Raises:
        InvalidInput: before any work, where there is no label map, a class is not there, no confirmed mask has the
            ID of a mask, or `out` cannot be written or holds files that are not replaced (see
            `segmend.jobs.refine.refine`).
    """
    coding = masks.coding or Coding.counted(len(masks.classes))
    numbers = numbers_by_name(masks.classes, coding)
    sizes = options.sizes.of_ids({name: coding.ids[number] for name, number in numbers.items()})
    records = [record for record in masks if record.labels is not None]
    if not records:
        raise InvalidInput(f"{masks.name}: no image has a label map to tidy")
    confirmed = {} if options.confirmed is None else find_masks(options.confirmed)
    skipped = _unpaired(records, confirmed)
    made_with = f"tidied by {sizes}"
    read_as = f"{coding}, palette {masks.classes.palette}" if coding.colours else f"{coding}"
    _check(out, records, confirmed, made_with, options.overwrite)
    changed = pixels = remade = 0

    def read(record: Record) -> _Mask | None:
        assert record.labels is not None
        marked = confirmed.get(record.id)
        inputs = hash_of(record.labels, marked, text=read_as)
        note = f"{made_with}{INPUTS}{inputs}"
        if inputs and not options.overwrite and note_of(_path(out, record)) == note:
            return None
        ids, palette = _stored(record.labels, coding, masks.classes, masks.max_pixels)
        return _Mask(note, ids, palette, None if marked is None else _confirmed(marked, ids, masks.max_pixels))

    def work(record: Record, given: _Mask) -> _Tidied:
        nonlocal changed, pixels
        found = tidy(given.ids, sizes, void=coding.void, confirmed=given.confirmed)
        changed += int(np.count_nonzero(found != given.ids))
        pixels += found.size
        return _Tidied(given.note, found, given.palette)

    def write(record: Record, made: _Tidied) -> None:
        nonlocal remade
        again = _path(out, record).exists()
        write_labels(_path(out, record), made.ids, made.palette, made.note)
        remade += again

    pipeline = Pipeline[Record, _Mask, _Tidied](lambda r: str(r.labels), read, work, write)
    with bar("tidy", len(records), options.quiet) as progress:
        outcome = pipeline.run(records, progress)
    run = Run(
        version=__version__,
        command="tidy",
        model=str(options.sizes),
        classes=list(masks.classes.names),
        done=outcome.done,
        kept=outcome.kept,
        remade=remade,
        seconds={part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
        images_per_second=round(outcome.rate, 3),
        changed=changed / pixels if pixels else None,
        skipped=[*skipped, *outcome.skipped],
    )
    write_results(out / "results.json", run)
    return run


def numbers_by_name(classes: Classes, coding: Coding | None) -> dict[str, int]:
    """The number of each class by what it may be called: its name, else the id that it is stored as."""
    ids = range(len(classes)) if coding is None else coding.ids
    stored = {str(i): number for number, i in enumerate(ids)}
    return {**stored, **{name: number for number, name in enumerate(classes.names)}}


def masks_in(folder: Path) -> Path:
    """The folder of label maps: `folder` itself, or its ``labels`` where a run of ours wrote it."""
    return folder / "labels" if holds(folder / "results.json", Run) and (folder / "labels").is_dir() else folder


def _path(out: Path, record: Record) -> Path:
    return out / "labels" / f"{record.id}.png"


def _files(records: list[Record]) -> list[Path]:
    return [record.labels for record in records if record.labels is not None]


def _unpaired(records: list[Record], confirmed: Mapping[str, Path]) -> list[Skipped]:
    there = {record.id for record in records}
    alone = [path for name, path in confirmed.items() if name not in there]
    if confirmed and len(alone) == len(confirmed):
        raise InvalidFile(alone[0], f"no mask has this ID; masks are called like {records[0].id!r}")
    return [Skipped(file=str(path), reason="confirmed pixels of no mask: none has this ID") for path in alone]


def _check(
    out: Path, records: list[Record], confirmed: Mapping[str, Path], made_with: str, overwrite: bool
) -> None:
    """Raise `InvalidFile` unless all can be written, and nothing that is there is anybody else's."""
    check_writable_folder(out)
    check_writable_folder(out / "labels")
    if out.exists() and any(folder.samefile(out) for folder in {path.parent for path in _files(records)}):
        raise InvalidFile(out, "holds the masks: choose another output folder (--out)")
    results = out / "results.json"
    if results.exists() and not holds(results, Run):
        raise InvalidFile(results, "was not written by this command: choose another output folder (--out)")
    inputs = [*_files(records), *confirmed.values()]
    check_outputs(((_path(out, record), made_with) for record in records), inputs, overwrite)


def _stored(path: Path, coding: Coding, classes: Classes, max_pixels: int) -> tuple[np.ndarray, Palette | None]:
    """The stored ids of a label file ``[H, W]``, and its palette; of colours, where they are read, theirs."""
    mask = read_mask(path, max_pixels)
    if coding.colours and mask.colours is not None:
        ids = ids_of_colours(path, mask.colours, dict(coding.colours))
        colour_of = {i: colour for colour, i in coding.colours}
        return ids, tuple(colour_of.get(i, voc_colour(i)) for i in range(max(colour_of) + 1))
    ids, palette = read_labels(path, max_pixels) if mask.ids is None else (mask.ids, mask.palette)
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high > VOID_16:
        raise InvalidFile(path, f"ids {low}..{high} do not fit the 16 bits of label files: renumber them")
    return ids, palette


def _confirmed(path: Path, ids: np.ndarray, max_pixels: int) -> np.ndarray:
    """Where pixels are confirmed, ``bool [H, W]``.

    Raises:
        InvalidFile: another size than the mask, or values other than 0 and 255 (or 0 and 1).
    """
    marks, _ = read_labels(path, max_pixels)
    if not set(np.unique(marks).tolist()) <= {0, 1, VOID}:
        raise InvalidFile(path, f"expected 0, and {VOID} where pixels are confirmed, found {np.unique(marks)[:5]}")
    try:
        check_same_size(mask=ids, confirmed=marks)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
    return np.asarray(marks != 0)
