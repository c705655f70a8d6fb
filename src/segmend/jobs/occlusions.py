"""Label what covers faces: a data set of background, face and occlusion from pictures and a teacher's maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmend.data.dataset import Dataset, Record, pair_coarse, write_description
from segmend.data.files import InvalidFile, copy_whole, write_image, write_labels
from segmend.faces.occlusion import PAPER, Amplification, Occlusions, factor_occlusions
from segmend.faces.outline import FaceMesh, Outline
from segmend.jobs.pipeline import Outcome, Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, as_tensor, most_likely
from segmend.report.results import Skipped

CLASSES = Classes(("background", "face", "occlusion"), ((0, 0, 0), (220, 170, 130), (40, 110, 220)))


def label_occlusions(
    pictures: Dataset,
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

    ``images/SPLIT`` holds the pictures, ``labels/SPLIT`` their labels, ``blobs/SPLIT`` the numbers of their
    occluders (16 bits: 0 background, 1 face, from 2 one each). Pictures in which no face is found are listed.

    Args:
        pictures: records with a picture and the teacher's map.
        face: ids in the teacher's maps that are face.
        outline: outlines of the faces in a picture (None: `FaceMesh`).
        every: all faces, not the largest alone.
        amplification: see `factor_occlusions`.
        steps: also ``steps/SPLIT``: picture, contour, face, residual, amplified residual and labels side by side.
        overwrite: label again what an earlier run finished.
        unpaired: what the caller had to pass over already, to be listed with the rest.

    Raises:
        InvalidInput: the packages that outline faces are not installed.
    """
    outline = outline or FaceMesh()

    def path(kind: str, record: Record, suffix: str = ".png") -> Path:
        return out / kind / split / f"{record.id}{suffix}"

    def read(record: Record) -> tuple[np.ndarray, np.ndarray]:
        return pair_coarse(pictures, record)

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
        copy_whole(record.image, path("images", record, record.image.suffix))
        if steps:
            write_image(path("steps", record), strip(image, found))
        write_labels(path("blobs", record), found.blobs)
        write_labels(path("labels", record), found.labels, CLASSES.palette)

    def is_finished(record: Record) -> bool:
        return not overwrite and path("labels", record).is_file()

    pipeline = Pipeline[Record, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, Occlusions]](
        lambda record: str(record.image), read, work, write
    )
    with bar("label", len(pictures), quiet) as progress:
        outcome = pipeline.run(pictures, is_finished, progress)
    outcome.skipped[:0] = unpaired
    write_description(out, pictures.name, CLASSES)
    return outcome


def strip(image: np.ndarray, found: Occlusions) -> np.ndarray:
    """A picture and every step side by side, ``uint8 [H, 6 W, 3]``."""
    masks = (found.contour, found.face, found.residual, found.amplified)
    shown = [np.repeat(255 * mask.astype(np.uint8)[..., None], 3, axis=2) for mask in masks]
    labels = np.array(CLASSES.palette, np.uint8)[found.labels]
    return np.concatenate([image, *shown, (image // 2 + labels // 2)], axis=1)
