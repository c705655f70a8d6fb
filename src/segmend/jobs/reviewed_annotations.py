"""Annotations after a review: each object has the refined mask where it was accepted, else its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmend.data.annotations import Annotations, read_annotations
from segmend.data.annotations.annotations import Shape, Stored
from segmend.data.annotations.polygons import Cropped, OutlineOptions, outlines_of
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.masks import read_labels
from segmend.labels import InvalidInput


def apply_to_annotations(coarse: Path, refined: Path, images: Path, painted: Path, out: Path) -> tuple[Path, int]:
    """Write the annotations that were reviewed, after `segmend.jobs.review.apply` wrote their label maps.

    Args:
        coarse, refined: the annotations.
        images: folder of the images.
        painted: the label maps that `coarse` was painted into.
        out: folder of the review, with what was decided in ``labels``.

    Returns:
        The file or the folder that was written, and how many objects have another mask.

    Raises:
        InvalidInput: annotations of other objects (see `check_alike`), or a file that is no review's.
    """
    ours, theirs = read_annotations(coarse), read_annotations(refined)
    if any(file.resolve().is_relative_to((out / ours.output).resolve()) for file in (*ours.files, *theirs.files)):
        raise InvalidFile(out / ours.output, "an input, which the output would replace: choose another --out")
    identities = {place: identity for identity, place in ours.paired(open_dataset(images))[0].items()}

    def accepted(place: int) -> np.ndarray | None:
        name = f"{identities.get(place, '')}.png"
        if not (out / "labels" / name).is_file() or not (painted / name).is_file():
            return None
        before, after = (read_labels(folder / name)[0] for folder in (painted, out / "labels"))
        return np.asarray(before != after)

    return out / ours.output, write_reviewed(ours, theirs, accepted, out)


def check_alike(coarse: Annotations, refined: Annotations) -> None:
    """Raise `InvalidInput` unless annotations are others with refined masks: the same objects, in one order."""
    ours, theirs = ([(one.image, one.label) for one in several.objects] for several in (coarse, refined))
    if type(coarse) is not type(refined) or ours != theirs:
        raise InvalidInput(
            f"{refined.path}: expected the objects of {coarse.path} in their order, as segmend refine writes them"
        )


def write_reviewed(
    coarse: Annotations,
    refined: Annotations,
    accepted: Callable[[int], np.ndarray | None],
    out: Path,
    outlines: OutlineOptions | None = None,
) -> int:
    """Write annotations as `Annotations.output` into a folder, with refined masks where they were accepted.

    Args:
        accepted: for the place of an image the pixels ``bool [H, W]`` in which refined masks count; None where
            they count nowhere.

    Returns:
        How many objects have another mask.

    Raises:
        InvalidInput: annotations of other objects (see `check_alike`).
    """
    check_alike(coarse, refined)
    options = outlines or OutlineOptions()
    stored: dict[int, Stored] = {}
    for place, indices in coarse.by_image.items():
        pixels = accepted(place)
        if pixels is None:
            continue
        changed: dict[int, Cropped] = {}
        for index in indices:
            try:
                before, after = (several.mask(index, *pixels.shape) for several in (coarse, refined))
            except InvalidInput:
                continue  # what has no mask was not refined
            mask = np.where(pixels, after, before)
            if mask.any() and (mask != before).any():
                changed[index] = Cropped.of(mask)
        drawn = [index for index in changed if coarse.objects[index].is_polygon]
        outlined = dict(zip(drawn, outlines_of([changed[index] for index in drawn], options), strict=True))
        for index, part in changed.items():
            stored[index] = coarse.stored(index, Shape(part.whole(*pixels.shape), outlined.get(index)))
    coarse.write(out, stored)
    return len(stored)
