"""Label what covers faces: a data set of background, face and occlusion from images and a teacher's maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmend.coding import listed
from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.description import describe, write_description
from segmend.data.files import InvalidFile, atomic_copy, check_writable_folder
from segmend.data.images import read_image, write_image
from segmend.data.masks import write_labels
from segmend.faces.occlusion import PAPER, Amplification, Occlusions, factor_occlusions
from segmend.faces.outline import FaceMesh, Outline
from segmend.jobs.outputs import INPUTS, check_outputs, hash_of, note_of
from segmend.jobs.pipeline import Outcome, Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput, as_tensor, most_likely, voc_colour
from segmend.report import wording
from segmend.report.results import Skipped
from segmend.report.steps import row, write_steps

CLASSES = Classes(("background", "face", "occlusion"), ((0, 0, 0), (220, 170, 130), (40, 110, 220)))

STEPS = {
    "Image": "",
    "Contour": "all of the face, from its outline",
    "Face": "what the teacher sees of it",
    "Residual": "contour without face",
    "Amplified": "specks gone, the rest grown",
    "Blobs": "one colour each",
    "Labels": "face and what covers it",
}
"""Steps of SVC's Fig. 2 by title."""

ON_PAGE = 24


@dataclass(frozen=True)
class OcclusionOptions:
    """How occlusions are labelled.

    Attributes:
        face: ids in the teacher's maps that are face.
        split: of the data set that is written.
        every: label all faces, not only the largest.
        amplification: see `factor_occlusions`.
        steps: also write ``steps/SPLIT``, every step of an image side by side (`STEPS`), and ``steps_SPLIT.html``,
            a page of the first `ON_PAGE` images.
        overwrite: make again what an earlier run finished, also with other options.
        quiet: no progress bar.
    """

    face: tuple[int, ...]
    split: str = "train"
    every: bool = False
    amplification: Amplification | None = PAPER
    steps: bool = False
    overwrite: bool = False
    quiet: bool = False


class _Given(NamedTuple):
    """What is read of a record. `inputs` is the hash of its files."""

    inputs: str
    image: np.ndarray
    teacher: np.ndarray


def label_occlusions(
    images: Dataset,
    out: Path,
    options: OcclusionOptions,
    *,
    outline: Outline | None = None,
    unpaired: Sequence[Skipped] = (),
) -> Outcome:
    """Write a data set of the classes background, face and occlusion (SVC, section 3.1).

    ``images/SPLIT`` holds the images, ``labels/SPLIT`` their labels, ``blobs/SPLIT`` the numbers of their
    occluders (16 bits: 0 background, 1 face, from 2 one each). Images in which no face is found are listed as
    skipped. What an earlier run made of the same files with the same options is kept.

    Args:
        images: records with an image and the teacher's map.
        outline: outlines of the faces in an image (None: `FaceMesh`).
        unpaired: what the caller had to skip already, to be listed with the rest.

    Raises:
        InvalidInput: before any work, where the packages that outline faces are not installed, `out` cannot be
            written, or holds files that are not replaced (see `segmend.jobs.refine.refine`) or another data set.
    """
    outline = outline or FaceMesh()
    face, every, amplification = list(options.face), options.every, options.amplification
    face_classes = _classes_of(images, options.face)
    made_with = f"occlusions by {type(outline).__name__}, {face=}, {every=}, {amplification=}"

    def path(kind: str, record: Record, suffix: str = ".png") -> Path:
        return out / kind / options.split / f"{record.id}{suffix}"

    def copied(record: Record) -> Path:
        assert record.image is not None
        return path("images", record, record.image.suffix)

    _check(out, images, made_with, options, path, copied)

    def read(record: Record) -> _Given | None:
        inputs = hash_of(record.image, record.coarse, text=str(images.images_read.reading))
        labels = path("labels", record)
        if inputs and not options.overwrite and note_of(labels) == f"{made_with}{INPUTS}{inputs}":
            return None
        return _Given(inputs, *pair_coarse(images, record))

    def work(record: Record, given: _Given) -> tuple[_Given, Occlusions]:
        teacher = given.teacher
        labels = teacher if teacher.ndim == 2 else most_likely(as_tensor(teacher)).numpy()
        outlines = outline(given.image)
        if not outlines:
            raise InvalidFile(record.image or Path(record.id), "no face found")
        chosen = outlines if every else outlines[:1]
        return given, factor_occlusions(chosen, np.isin(labels, face_classes), amplification)

    def write(record: Record, made: tuple[_Given, Occlusions]) -> None:
        given, found = made
        note = f"{made_with}{INPUTS}{given.inputs}"
        # Blobs first, labels last: where there are labels, all is there; where there are blobs, the rest is ours.
        write_labels(path("blobs", record), found.blobs, note=note)
        assert record.image is not None
        atomic_copy(record.image, copied(record))
        if options.steps:
            write_image(path("steps", record), strip(given.image, found))
        write_labels(path("labels", record), found.labels, CLASSES.palette, note)

    pipeline = Pipeline[Record, _Given, tuple[_Given, Occlusions]](lambda r: str(r.image), read, work, write)
    with bar("label", len(images), options.quiet) as progress:
        outcome = pipeline.run(images, progress)
    outcome.skipped[:0] = unpaired
    write_description(out, images.name, CLASSES)
    if options.steps:
        strips = {record.id: path("steps", record) for record in images}
        _write_page(out / f"steps_{options.split}.html", strips, outcome)
    return outcome


def _classes_of(images: Dataset, ids: tuple[int, ...]) -> list[int]:
    """The classes that are stored as some ids in the teacher's maps; ids that these lack are left out.

    Raises:
        InvalidInput: the maps lack all of them.
    """
    stored = images.coarse_coding.ids if images.coarse_coding else tuple(range(len(images.classes)))
    classes = [stored.index(i) for i in ids if i in stored]
    if not classes:
        raise InvalidInput(
            f"none of the ids {listed(ids)} of faces occurs in the maps, which hold {listed(stored)}"
        )
    return classes


def _check(
    out: Path,
    images: Dataset,
    made_with: str,
    options: OcclusionOptions,
    path: Callable[[str, Record], Path],
    copied: Callable[[Record], Path],
) -> None:
    """Raise `InvalidFile` unless all can be written, and nothing that is there is anybody else's."""
    for folder in (out, *(out / kind / options.split for kind in ("images", "labels", "blobs", "steps"))):
        check_writable_folder(folder)
    if (out / "dataset.yaml").exists() and describe(out).classes.names != CLASSES.names:
        raise InvalidFile(out / "dataset.yaml", "describes another data set: choose another output folder (--out)")
    outputs = [(path(kind, record), made_with) for record in images for kind in ("labels", "blobs")]
    inputs = [file for record in images for file in (record.image, record.coarse)]
    check_outputs(outputs, inputs, options.overwrite)
    for record in images:  # copies of images hold no note: they are ours where blobs with one lie beside them
        for file in (copied(record), path("steps", record)):
            if file.exists() and not note_of(path("blobs", record)):
                check_outputs([(file, made_with)], inputs)


def strip(image: np.ndarray, found: Occlusions) -> np.ndarray:
    """An image and every step of `STEPS` side by side, ``uint8 [H, 7 W, 3]``."""
    masks = (found.contour, found.face, found.residual, found.amplified)
    shown = [np.repeat(255 * mask.astype(np.uint8)[..., None], 3, axis=2) for mask in masks]
    colours = [voc_colour(i) for i in range(int(found.blobs.max()) + 1)]
    blobs = np.array(colours, np.uint8)[found.blobs]
    labels = np.array(CLASSES.palette, np.uint8)[found.labels]
    return np.concatenate([image, *shown, blobs, (image // 2 + labels // 2)], axis=1)


def _write_page(page: Path, strips: dict[str, Path], outcome: Outcome) -> None:
    there = {identity: path for identity, path in strips.items() if path.is_file()}
    rows = []
    for identity, path in itertools.islice(there.items(), ON_PAGE):
        parts = np.split(read_image(path), len(STEPS), axis=1)
        rows.append(row(identity, {t: (c, part) for (t, c), part in zip(STEPS.items(), parts, strict=True)}))
    more = f"; the first {len(rows)} are here" if len(rows) < len(there) else ""
    write_steps(
        page, "What covers faces", f"{wording.images(len(there))}, step by step{more}", rows, outcome.skipped
    )
