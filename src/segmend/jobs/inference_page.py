"""The page of ``segmend predict --page``: how images are explained step by step (DIS, Fig. 4 and 5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from segmend.data.dataset import Dataset
from segmend.data.files import InvalidFile
from segmend.data.tags import Tags
from segmend.dual.explanation import Explanation, explain
from segmend.dual.prediction import DualPredictor
from segmend.dual.samples import scores_of_tags
from segmend.report import wording
from segmend.report.html import is_page
from segmend.report.results import Skipped, check_replaceable
from segmend.report.steps import Row, Stage, stages, write_steps

ON_PAGE = 12

LEAD = (
    "Above is the label map, below the image that it reconstructs. Gradient steps on the error of the "
    "reconstruction change the network's features, and with them map and tags. The closed form takes the map of "
    "no steps; each class reconstructs its pixels by their mean colour. The error is the mean squared one, of "
    "colours in -1..1."
)

MOST_TAGS, LEAST_SHOWN = 3, 0.1
"""How many tags of a step are named, and the score from which on they are; one is named in any case."""


def check_page(path: Path) -> None:
    """Raise `InvalidFile` where the page cannot be written, or would replace what segmend did not write."""
    check_replaceable(path, is_page, "a page of segmend")


def write_page(
    path: Path, predictor: DualPredictor, images: Dataset, given: Mapping[str, Tags], implied: Collection[str] = ()
) -> None:
    """Write the page of the first `ON_PAGE` images; those that cannot be read are listed on it.

    Args:
        given: tags that are given, by ID.
        implied: classes that tags pass over, as each image has them.
    """
    rows: list[Row] = []
    skipped = []
    records = images.records[:ON_PAGE]
    for record in records:
        try:
            rows.append(_row(record.id, predictor, images.image(record), given.get(record.id), implied))
        except InvalidFile as error:
            skipped.append(Skipped(file=str(error.path), reason=error.reason))
    more = f"; the first {len(records)} are here" if len(records) < len(images) else ""
    write_steps(path, "Inference, step by step", f"{wording.images(len(images))}{more}", rows, skipped, LEAD)


def _row(
    identity: str, predictor: DualPredictor, image: np.ndarray, given: Tags | None, implied: Collection[str]
) -> Row:
    names = predictor.classes.names
    tags = None if given is None else scores_of_tags(given, names)
    shown, found = explain(predictor, image, tags)
    caption = "no tags given"
    if given is not None:
        shown_tags = {name: score for name, score in given.items() if name not in implied}
        caption = f"given: {_listed(shown_tags) or 'no tag'}"
    made = [Stage("Image", caption, shown.cpu().numpy())]
    for one in found:
        made.append(
            Stage(
                _title(one),
                _caption(one, names, implied),
                one.reconstruction.cpu().numpy(),
                one.labels.cpu().numpy(),
            )
        )
    return stages(identity, made, predictor.classes)


def _title(one: Explanation) -> str:
    if one.steps is None:
        return "Closed form"
    return "No steps" if one.steps == 0 else f"{one.steps} step{'s' * (one.steps > 1)}"


def _caption(one: Explanation, names: tuple[str, ...], implied: Collection[str]) -> str:
    error = f"error {one.error:.3f}"
    if one.steps is None:
        return error
    scores = {n: score for n, score in zip(names, one.tag_scores.tolist(), strict=True) if n not in implied}
    best = sorted(scores, key=scores.__getitem__, reverse=True)
    shown = [name for name in best[:MOST_TAGS] if scores[name] >= LEAST_SHOWN] or best[:1]
    return f"{_listed({name: scores[name] for name in shown})}; {error}"


def _listed(tags: Mapping[str, float]) -> str:
    return ", ".join(name if score == 1 else f"{name} {score:.2f}" for name, score in tags.items())
