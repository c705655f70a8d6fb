"""The parts of a label map that look wrong: what they are, where they are, and what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from segmend.check.detector import Judgement
from segmend.check.measure import Areas, Measured, Seen
from segmend.check.simulated import Error
from segmend.check.usual import Usual
from segmend.ops.blobs import label_components

Kind = Error

LISTED = 0.1
"""Score from which a part is listed."""

CERTAIN = 0.5
"""Score from which on a label map is taken for that of another image."""

MOST = 20
"""Parts of an image that are listed, at most."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Suspect:
    """A part of a label map that looks wrong.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the image; x1 and y1 lie outside.
        pixels: of the image, about.
        given, suggested: class ids; None where there are several, or no suggestion.
        score: how likely it is wrong (0..1).
        area, contradiction: its number on the grid (see `segmend.check.measure`); 0 where it is none.
    """

    kind: Kind
    box: Box
    pixels: int
    given: int | None
    suggested: int | None
    score: float
    area: int = 0
    contradiction: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is the label map as a whole."""
        return not self.area and not self.contradiction

    def mask(self, seen: Seen, labels: np.ndarray, void: int) -> np.ndarray:
        """Its pixels in the label map ``[H, W]`` that was measured, ``bool [H, W]``; a whole map has all."""
        is_valid = labels != void
        if self.is_whole:
            return np.asarray(is_valid)
        small = np.ascontiguousarray(labels[:: seen.step, :: seen.step])
        if self.area:
            chosen = label_components(small, void) == self.area
        else:
            chosen = seen.contradicted(small, void) == self.contradiction
        found: np.ndarray = enlarged(chosen, seen.step, labels.shape) & (labels == self.given)
        return found

    def with_pixels(self, chosen: np.ndarray) -> Suspect:
        """The same with the box and the number of the pixels that would change, ``bool [H, W]``."""
        rows, columns = (np.flatnonzero(chosen.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return replace(self, pixels=0)
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        return replace(self, box=box, pixels=int(chosen.sum()))

    def suggestion(self, seen: Seen, labels: np.ndarray) -> np.ndarray:
        """The suggested label of each pixel ``[H, W]``, of which those in `mask` count."""
        if self.suggested is None:
            return enlarged(seen.best, seen.step, labels.shape).astype(labels.dtype)
        return np.full_like(labels, self.suggested)


def enlarged(small: np.ndarray, step: int, size: tuple[int, ...]) -> np.ndarray:
    """A map on a grid brought to the size of its image by nearest neighbour."""
    large = small.repeat(step, axis=0).repeat(step, axis=1)
    rows, columns = (
        np.minimum(np.arange(length), have - 1) for length, have in zip(size, large.shape, strict=True)
    )
    found: np.ndarray = large[rows][:, columns]
    return found


def suspects_of(measured: Measured, judged: Judgement, usual: Usual, size: tuple[int, int]) -> list[Suspect]:
    """The suspects of an image, the likeliest first.

    Args:
        size: height and width of the image.
    """
    height, width = size
    whole = Suspect("other image", (0, 0, width, height), height * width, None, None, judged.other)
    if judged.other >= CERTAIN:  # then nothing else needs to be said
        return [whole]
    border = replace(whole, kind="border", score=judged.border)
    found = [one for one in (whole, border) if one.score >= LISTED]
    found += _of_parts(measured, judged, usual, size)
    found.sort(key=lambda one: -one.score)
    return found[:MOST]


def _of_parts(measured: Measured, judged: Judgement, usual: Usual, size: tuple[int, int]) -> Iterator[Suspect]:
    areas, others, step = measured.areas, measured.contradictions, measured.step
    scores = np.maximum(judged.classes, judged.specks)
    listed = set(areas.number[scores >= LISTED].tolist())
    for index in np.flatnonzero(scores >= LISTED).tolist():
        is_speck = judged.specks[index] > judged.classes[index] and areas.around[index] >= 0
        kind, suggested = _speck(areas, index, usual) if is_speck else ("class", int(areas.rival[index]))
        yield Suspect(
            kind,
            _box(areas.box[index], step, size),
            int(areas.pixels[index]) * step**2,
            int(areas.label[index]),
            suggested,
            float(scores[index]),
            area=int(areas.number[index]),
        )
    for index in np.flatnonzero(judged.missing >= LISTED).tolist():
        if int(others.area[index]) not in listed:  # else its area is a suspect as a whole
            yield Suspect(
                "missing",
                _box(others.box[index], step, size),
                int(others.pixels[index]) * step**2,
                int(others.label[index]),
                int(others.rival[index]),
                float(judged.missing[index]),
                contradiction=int(others.number[index]),
            )


def _speck(areas: Areas, index: int, usual: Usual) -> tuple[Kind, int]:
    """Whether an area is an island or a hole, and the class around it. A hole has the more frequent class."""
    label, around = int(areas.label[index]), int(areas.around[index])
    labelled = usual.confusion.sum(axis=0)
    return ("holes" if labelled[label] > labelled[around] else "islands"), around


def _box(box: np.ndarray, step: int, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = (int(value) * step for value in box)
    return x0, y0, min(x1, size[1]), min(y1, size[0])
