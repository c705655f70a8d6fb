"""Refine the masks of a file of objects."""

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
from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile, check_writable_folder, read_json, write_json
from segmend.data.objects import Annotation, ObjectFile, is_crowd, mask_of, sampled, with_mask
from segmend.devices import pick_device, to_device
from segmend.jobs.border_profiles import MEASURED
from segmend.jobs.outputs import fingerprint, hash_of
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.jobs.refine import look_of
from segmend.labels import InvalidInput
from segmend.refiners import Refiner
from segmend.refiners.objects import ObjectRefiner, surroundings
from segmend.report.results import ObjectRun, Skipped, check_replaceable, holds, write_results

ANNOTATIONS, RESULTS = "annotations.json", "results.json"

OF_IMAGE = 4
"""Objects of an image that the refiner looks at first, at most."""

NAMES = ("surroundings", "objects")
"""Of the two classes on a crop."""

EXPECTED_IOU = "expected_iou"
"""Key of an annotation that the refined file adds."""


class _Given(NamedTuple):
    inputs: str
    image: np.ndarray


@dataclass
class _Made:
    """The objects of one image, by index: replaced annotations, and what could not be refined."""

    inputs: str
    replaced: dict[int, Annotation] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def refine_objects(
    refiner: Refiner,
    images: Dataset,
    objects: ObjectFile,
    out: Path,
    *,
    name: str = "",
    overwrite: bool = False,
    quiet: bool = False,
) -> ObjectRun:
    """Refine each mask of a file on a crop around it, and write the file with refined masks: ``annotations.json``.

    Annotations keep their ids, order and all their keys; masks that change become run lengths. Each refined one
    has a new key `EXPECTED_IOU`. Groups of objects (`iscrowd`) and annotations that cannot be refined stay as they
    are; the latter are listed as skipped. The objects of each image are kept in ``objects/ID.json``, so that the
    same call resumes where an earlier one was interrupted.

    Args:
        name: how the refiner is called in the results.
        overwrite: make again what an earlier run finished.

    Raises:
        InvalidInput: no image of the file is there, the refiner is made for a number of classes, or `out` cannot
            be written, or holds files of somebody else, or of other weights.
    """
    method = ObjectRefiner(refiner)
    check_writable_folder(out)
    for file in (ANNOTATIONS, RESULTS):
        if (out / file).resolve() == objects.path.resolve():
            raise InvalidFile(out / file, "an input, which the output would replace: choose another output folder")
        check_replaceable(out / file, lambda path: holds(path.parent / RESULTS, ObjectRun), "refined objects")
    made_with = f"objects refined by {fingerprint(refiner)}"
    indices, missing = objects.paired(images)
    records = [record for record in images if record.id in indices]
    parts = {record.id: out / "objects" / f"{record.id}.json" for record in records}
    kept = _kept(parts.values(), made_with, overwrite)
    if isinstance(refiner, nn.Module):
        to_device(refiner, pick_device())
    method = method.of_folder(_some(images, objects, indices, quiet))

    def read(record: Record) -> _Given | None:
        annotations = [objects.annotations[index] for index in indices[record.id]]
        inputs = hash_of(record.image, text=json.dumps(annotations, sort_keys=True))
        if inputs and kept.get(parts[record.id], {}).get("inputs") == inputs:
            return None
        image = images.image(record)
        objects.check_size(indices[record.id], record.image or record.id, *image.shape[:2])
        return _Given(inputs, image)

    def work(record: Record, given: _Given) -> _Made:
        made = _Made(given.inputs)
        for index in indices[record.id]:
            annotation = objects.annotations[index]
            if is_crowd(annotation):
                continue
            try:
                mask = mask_of(annotation, *given.image.shape[:2])
                refined = method.refine(given.image, mask)
            except InvalidInput as error:
                shown = annotation.get("id", f"number {index + 1}")
                made.skipped.append(Skipped(file=f"{objects.path}, annotation {shown}", reason=str(error)))
                continue
            is_changed = bool((refined.mask != mask).any())
            new = with_mask(annotation, refined.mask) if is_changed else annotation
            made.replaced[index] = {**new, EXPECTED_IOU: round(refined.expected_iou, 4)}
            if is_changed:
                made.changed.append(index)
        return made

    def write(record: Record, made: _Made) -> None:
        content = {
            "made_with": made_with,
            "inputs": made.inputs,
            "annotations": {str(index): one for index, one in made.replaced.items()},
            "changed": made.changed,
            "skipped": [one.model_dump() for one in made.skipped],
        }
        write_json(parts[record.id], content)

    pipeline = Pipeline[Record, _Given, _Made](lambda r: str(r.image), read, work, write)
    with bar("refine objects", len(records), quiet) as progress:
        outcome = pipeline.run(records, progress)
    left_out = {one.file for one in outcome.skipped}
    done = [read_json(parts[record.id]) for record in records if str(record.image) not in left_out]
    replaced = {int(index): one for part in done for index, one in part["annotations"].items()}
    write_json(out / ANNOTATIONS, objects.with_annotations(replaced))
    run = ObjectRun(
        version=__version__,
        model=name or type(refiner).__name__,
        done=outcome.done,
        kept=outcome.kept,
        objects=len(replaced),
        changed=sum(len(part["changed"]) for part in done),
        expected_iou=float(np.mean([one[EXPECTED_IOU] for one in replaced.values()])) if replaced else None,
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


def _some(
    images: Dataset, objects: ObjectFile, indices: dict[str, list[int]], quiet: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and masks that the refiner looks at first. What cannot be read is left out here, and listed later."""
    by_id = {record.id: record for record in images}
    chosen = list(sampled(indices, MEASURED, OF_IMAGE))
    found: list[tuple[np.ndarray, np.ndarray]] = []
    last, image = "", None
    with bar("look at the objects", len(chosen), quiet) as progress:
        for identity, index in chosen:
            annotation = objects.annotations[index]
            with suppress(InvalidInput, OSError):
                if identity != last:
                    last, image = identity, None
                    image = images.image(by_id[identity])
                if image is not None and not is_crowd(annotation):
                    mask = mask_of(annotation, *image.shape[:2])
                    found.append(surroundings(image, mask))
            progress.advance()
    return found


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
        if not isinstance(content, dict) or "made_with" not in content:
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
