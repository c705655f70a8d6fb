"""Refine the masks of annotations: objects of images, in whichever format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from segmend import __version__
from segmend.data.annotations import Annotations
from segmend.data.annotations.annotations import Shape, Stored, sampled
from segmend.data.annotations.polygons import Cropped, OutlineOptions, outlines_of
from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile, check_writable_folder, read_json, write_json
from segmend.devices import pick_device, to_device
from segmend.jobs.border_profiles import MEASURED
from segmend.jobs.outputs import fingerprint, hash_of
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.jobs.refine import look_of
from segmend.labels import InvalidInput
from segmend.refiners import Refiner
from segmend.refiners.objects import ObjectRefiner, surroundings
from segmend.report.results import ObjectRun, Skipped, holds, write_results

RESULTS = "results.json"

OF_IMAGE = 4
"""Objects of an image that the refiner looks at first, at most."""

NAMES = ("surroundings", "objects")
"""Of the two classes on a crop."""


class _Given(NamedTuple):
    inputs: str
    image: np.ndarray


@dataclass
class _Made:
    """The objects of one image, by index: as they are stored, and what could not be refined."""

    inputs: str
    stored: dict[int, Stored] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    expected_iou: dict[int, float] = field(default_factory=dict)
    error_px: float = 0.0
    skipped: list[Skipped] = field(default_factory=list)


def refine_objects(
    refiner: Refiner,
    images: Dataset,
    annotations: Annotations,
    out: Path,
    *,
    outlines: OutlineOptions | None = None,
    name: str = "",
    overwrite: bool = False,
    quiet: bool = False,
) -> ObjectRun:
    """Refine the mask of each object on a crop around it, and write the annotations with refined masks.

    They are written as `Annotations.output` of their format, with their ids, order and all keys. Polygons stay
    polygons, pixels stay pixels. Formats with a place for it get the IoU to expect of each refined mask. Groups
    and objects that cannot be refined stay as they are; the latter are listed as skipped. The objects of each
    image are kept in ``objects/ID.json``, so that the same call resumes where an earlier one was interrupted.

    Args:
        outlines: how masks become polygons.
        name: how the refiner is called in the results.
        overwrite: make again what an earlier run finished.

    Raises:
        InvalidInput: no image of the annotations is there, the refiner is made for a number of classes, or `out`
            cannot be written, or holds files of somebody else, or of other weights.
    """
    method = ObjectRefiner(refiner)
    check_writable_folder(out)
    _check_output(annotations, out)
    outlines = outlines or OutlineOptions()
    made_with = f"objects refined by {fingerprint(refiner)}, {outlines}"
    places, missing = annotations.paired(images)
    records = [record for record in images if places.get(record.id) in annotations.by_image]
    indices = {record.id: annotations.by_image[places[record.id]] for record in records}
    parts = {record.id: out / "objects" / f"{record.id}.json" for record in records}
    kept = _kept(parts.values(), made_with, overwrite)
    if isinstance(refiner, nn.Module):
        to_device(refiner, pick_device())
    method = method.of_folder(_some(images, annotations, indices, quiet))

    def read(record: Record) -> _Given | None:
        stored = [annotations.stored(index) for index in indices[record.id]]
        inputs = hash_of(record.image, text=json.dumps(stored, sort_keys=True))
        if inputs and kept.get(parts[record.id], {}).get("inputs") == inputs:
            return None
        image = images.image(record)
        annotations.check_size(places[record.id], record.image or record.id, *image.shape[:2])
        return _Given(inputs, image)

    def work(record: Record, given: _Given) -> _Made:
        made = _Made(given.inputs)
        size = given.image.shape[:2]
        changed: dict[int, Cropped] = {}
        for index in indices[record.id]:
            if annotations.objects[index].is_group:
                continue
            try:
                mask = annotations.mask(index, *size)
                refined = method.refine(given.image, mask)
            except InvalidInput as error:
                file = f"{annotations.path}, {annotations.objects[index].name}"
                made.skipped.append(Skipped(file=file, reason=str(error)))
                continue
            made.expected_iou[index] = round(refined.expected_iou, 4)
            if refined.mask.any() and (refined.mask != mask).any():
                changed[index] = Cropped.of(refined.mask)
        drawn = [index for index in changed if annotations.objects[index].is_polygon]
        outlined = dict(zip(drawn, outlines_of([changed[index] for index in drawn], outlines), strict=True))
        made.error_px = max((outline.error_px for outline in outlined.values()), default=0.0)
        made.changed = list(changed)
        for index, expected in made.expected_iou.items():
            part = changed.get(index)
            shape = None if part is None else Shape(part.whole(*size), outlined.get(index))
            made.stored[index] = annotations.stored(index, shape, expected)
        return made

    def write(record: Record, made: _Made) -> None:
        content = {
            "made_with": made_with,
            "inputs": made.inputs,
            "objects": {str(index): one for index, one in made.stored.items()},
            "expected_iou": {str(index): value for index, value in made.expected_iou.items()},
            "changed": made.changed,
            "error_px": made.error_px,
            "skipped": [one.model_dump() for one in made.skipped],
        }
        write_json(parts[record.id], content)

    pipeline = Pipeline[Record, _Given, _Made](lambda r: str(r.image), read, work, write)
    with bar("refine objects", len(records), quiet) as progress:
        outcome = pipeline.run(records, progress)
    left_out = {one.file for one in outcome.skipped}
    done = [read_json(parts[record.id]) for record in records if str(record.image) not in left_out]
    stored = {int(index): one for part in done for index, one in part["objects"].items()}
    expected = [value for part in done for value in part["expected_iou"].values()]
    annotations.write(out, stored)
    run = ObjectRun(
        version=__version__,
        model=name or type(refiner).__name__,
        done=outcome.done,
        kept=outcome.kept,
        objects=len(stored),
        changed=sum(len(part["changed"]) for part in done),
        expected_iou=float(np.mean(expected)) if expected else None,
        outline_error_px=max((part["error_px"] for part in done), default=0.0),
        object_side=method.side,
        seconds={part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
        look=look_of(method.refiner, NAMES),
        skipped=[
            *(Skipped(file=str(error.path), reason=error.reason) for error in missing),
            *outcome.skipped,
            *(Skipped(**one) for part in done for one in part["skipped"]),
        ],
    )
    write_results(out / RESULTS, run)
    return run


def _check_output(annotations: Annotations, out: Path) -> None:
    """Raise `InvalidFile` where the output would replace an input, or what this program did not write."""
    for name in (annotations.output, RESULTS):
        path = (out / name).resolve()
        if any(file.resolve().is_relative_to(path) for file in annotations.files):
            raise InvalidFile(out / name, "an input, which the output would replace: choose another output folder")
    # A run that was stopped while it wrote has left its parts, and no results yet.
    is_ours = holds(out / RESULTS, ObjectRun) or any(
        _is_part(read_json(path)) for path in (out / "objects").rglob("*.json")
    )
    for name in (annotations.output, RESULTS):
        if (out / name).exists() and not is_ours:
            raise InvalidFile(out / name, "is there already and holds no refined objects: choose another --out")


def _some(
    images: Dataset, annotations: Annotations, indices: dict[str, list[int]], quiet: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and masks that the refiner looks at first. What cannot be read is left out here, and listed later."""
    by_id = {record.id: record for record in images}
    chosen = list(sampled(indices, MEASURED, OF_IMAGE))
    found: list[tuple[np.ndarray, np.ndarray]] = []
    last, image = "", None
    with bar("look at the objects", len(chosen), quiet) as progress:
        for identity, index in chosen:
            with suppress(InvalidInput, OSError):
                if identity != last:
                    last, image = identity, None
                    image = images.image(by_id[identity])
                if image is not None and not annotations.objects[index].is_group:
                    mask = annotations.mask(index, *image.shape[:2])
                    found.append(surroundings(image, mask))
            progress.advance()
    return found


def _is_part(content: Any) -> bool:
    """Whether this is what an earlier run wrote of the objects of an image."""
    return isinstance(content, dict) and "made_with" in content


def _kept(parts: Iterable[Path], made_with: str, overwrite: bool) -> dict[Path, dict[str, Any]]:
    """What an earlier run made, by file.

    Raises:
        InvalidFile: a file of somebody else, or made with other weights.
    """
    found = {}
    for path in parts:
        if not path.exists():
            continue
        content = read_json(path)
        if not _is_part(content):
            raise InvalidFile(path, "not written by this program: choose another output folder (--out)")
        if content["made_with"] != made_with and not overwrite:
            raise InvalidFile(
                path,
                "made with other weights or options: choose another output folder (--out), or make everything "
                "again (--overwrite)",
            )
        if not overwrite:
            found[path] = content
    return found
