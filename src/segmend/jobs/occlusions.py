"""Label what covers faces: a data set of background, face and occlusion from images and a teacher's maps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.description import write_description
from segmend.data.files import InvalidFile, atomic_copy
from segmend.data.images import read_image, write_image
from segmend.data.masks import write_labels
from segmend.faces.occlusion import PAPER, Amplification, Occlusions, factor_occlusions
from segmend.faces.outline import FaceMesh, Outline
from segmend.jobs.maps import is_current
from segmend.jobs.pipeline import Outcome, Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, as_tensor, most_likely, voc_colour
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


def label_occlusions(
    images: Dataset,
    out: Path,
    *,
    face: Sequence[int],
    split: str = "train",
    outline: Outline | None = None,
    every: bool = False,
    amplification: Amplification | None = PAPER,
    steps: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    unpaired: Sequence[Skipped] = (),
) -> Outcome:
    """Write a data set of the classes background, face and occlusion (SVC, section 3.1).

    ``images/SPLIT`` holds the images, ``labels/SPLIT`` their labels, ``blobs/SPLIT`` the numbers of their
    occluders (16 bits: 0 background, 1 face, from 2 one each). Images in which no face is found are listed.

    Args:
        images: records with an image and the teacher's map.
        face: ids in the teacher's maps that are face.
        outline: outlines of the faces in an image (None: `FaceMesh`).
        every: all faces, not the largest alone.
        amplification: see `factor_occlusions`.
        steps: also ``steps/SPLIT``, every step of an image side by side (`STEPS`), and ``steps_SPLIT.html``,
            a page of the first `ON_PAGE` images.
        overwrite: label again what an earlier run finished.
        unpaired: what the caller had to skip already, to be listed with the rest.

    Raises:
        InvalidInput: the packages that outline faces are not installed, or `out` holds labels that were made with
            other options.
    """
    outline = outline or FaceMesh()
    made_with = f"outlines of {type(outline).__name__}, face={list(face)}, {every=}, {amplification=}"

    def path(kind: str, record: Record, suffix: str = ".png") -> Path:
        return out / kind / split / f"{record.id}{suffix}"

    def read(record: Record) -> tuple[np.ndarray, np.ndarray]:
        return pair_coarse(images, record)

    def work(record: Record, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, Occlusions]:
        image, map_ = pair
        labels = map_ if map_.ndim == 2 else most_likely(as_tensor(map_)).numpy()
        outlines = outline(image)
        if not outlines:
            raise InvalidFile(record.image or Path(record.id), "no face found")
        chosen = outlines if every else outlines[:1]
        return image, factor_occlusions(chosen, np.isin(labels, face), amplification)

    def write(record: Record, made: tuple[np.ndarray, Occlusions]) -> None:
        image, found = made
        assert record.image is not None
        atomic_copy(record.image, path("images", record, record.image.suffix))
        if steps:
            write_image(path("steps", record), strip(image, found))
        write_labels(path("blobs", record), found.blobs)
        write_labels(path("labels", record), found.labels, CLASSES.palette, made_with)

    def is_finished(record: Record) -> bool:
        labels = path("labels", record)
        return not overwrite and labels.is_file() and is_current(labels, record, made_with)

    pipeline = Pipeline[Record, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, Occlusions]](
        lambda record: str(record.image), read, work, write
    )
    with bar("label", len(images), quiet) as progress:
        outcome = pipeline.run(images, is_finished, progress)
    outcome.skipped[:0] = unpaired
    write_description(out, images.name, CLASSES)
    if steps:
        _write_page(out / f"steps_{split}.html", {r.id: path("steps", r) for r in images}, outcome)
    return outcome


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
