"""Choose how a folder of coarse maps is refined, by a few good masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import segmend
from segmend.data.dataset import Dataset, Record, pair_coarse
from segmend.data.files import MAX_PIXELS, check_writable_folder
from segmend.data.pairs import open_pairs
from segmend.devices import available_cores
from segmend.jobs.border_profiles import of_folder
from segmend.jobs.evaluate import open_truth
from segmend.jobs.progress import bar
from segmend.jobs.trained_candidates import TRAINED, Trained, out_of_fold, trained
from segmend.labels import InvalidInput
from segmend.metrics import confusion_by_threshold, confusion_matrix, iou
from segmend.refiners import DenseCRF, GuidedFilter, Refiner, Unchanged, load, save_filter, save_tuned
from segmend.report.results import Skipped, Tried, Tuning, check_replaceable, holds, write_results
from segmend.training.tasks.filter import Filter, drawn_settings

FEWEST, MOST_CLASSES = 3, 200
"""Good masks that are needed, and classes that confusion matrices are held of."""

SETTINGS = {"dense CRF": 16, "guided filter": 6}
"""How many settings of each filter are tried: its default, and random ones."""

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Minimum confidences that are tried."""

FEWEST_TO_TRAIN = 40
"""Good masks from which on correctors are trained."""

MODELS = "trained"
"""Folder, in that of the result, of the correctors that were trained."""

OF_FOLDER = ("universal", "offset")
"""Refiners of the package that are tried by name, as they look at the folder."""

FOLDS = 5
DRAWN = 200
"""Times that the images are drawn anew, for intervals."""

UNLUCKY = 0.05
"""A candidate is judged by this quantile of its gain: one that is good by luck on few images has a low one."""


class Candidate(NamedTuple):
    """A way to refine.

    Attributes:
        method: its kind, such as ``dense CRF``.
        refiner: the name of one of the package, a filter, or what has to be trained.
        min_confidence: of changes; None: the refiner's own rule.
    """

    method: str
    refiner: Filter | Unchanged | Trained | str
    min_confidence: float | None = None

    def __str__(self) -> str:
        if self.min_confidence is None:
            return self.method
        return f"{self.method}, minimum confidence {self.min_confidence:g}"


def candidates(seed: int) -> list[Candidate]:
    """The ways that are tried; the first one leaves all as it is."""
    found = [Candidate("as they are", Unchanged()), Candidate("universal", "universal")]
    found += [Candidate("universal", "universal", threshold) for threshold in THRESHOLDS]
    found.append(Candidate("offset correction", "offset"))
    for method, default in (("dense CRF", DenseCRF()), ("guided filter", GuidedFilter())):
        found += [Candidate(method, setting) for setting in drawn_settings(default, SETTINGS[method], seed)]
    return found


@dataclass(frozen=True)
class TuneOptions:
    """How it is chosen.

    Attributes:
        train: whether correctors are trained where there are `FEWEST_TO_TRAIN` good masks or more.
        seed: of the settings that are drawn.
        logits: floats in coarse maps are logits.
        quiet: no progress bar.
    """

    train: bool = True
    seed: int = 0
    logits: bool = False
    quiet: bool = False


def open_labelled(
    images: Path,
    coarse: Path,
    truth: Path,
    *,
    classes: int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Dataset, Dataset, list[Skipped]]:
    """Images with coarse map and good mask; all images with a coarse map; and good masks without either.

    The classes are those that good masks and coarse maps hold together.

    Args:
        classes, ids, palette, max_pixels: see `segmend.open_dataset`.
    """
    masks = open_truth(
        truth, [coarse], images=images, classes=classes, ids=ids, palette=palette, max_pixels=max_pixels
    )
    labelled = masks.with_coarse(coarse)
    labelled = replace(labelled, records=tuple(record for record in labelled if record.image is not None))
    folder = open_pairs(images, coarse, classes=masks.classes, ids=ids, palette=palette, max_pixels=max_pixels)
    used = {record.id for record in labelled}
    unpaired = [
        Skipped(file=str(record.labels), reason="no image and coarse map of this ID")
        for record in masks
        if record.id not in used
    ]
    return labelled, folder.dataset, unpaired


def tune(
    labelled: Dataset,
    out: Path,
    options: TuneOptions = TuneOptions(),
    *,
    folder: Dataset | None = None,
    unpaired: Sequence[Skipped] = (),
) -> Tuning:
    """Choose by the good masks of `labelled` (records with image, coarse map and labels), and write the choice.

    Args:
        out: model folder for `segmend refine --refiner`; ``tuning.json`` in it says what was tried.
        folder: all images with coarse maps, for the border profile (None: `labelled`).
        unpaired: what the caller had to skip already, to be listed with the rest.

    Raises:
        InvalidInput: fewer than `FEWEST` good masks that can be read, more than `MOST_CLASSES` classes, or `out`
            holds the files of somebody else.
    """
    if len(labelled.classes) > MOST_CLASSES:
        raise InvalidInput(f"expected at most {MOST_CLASSES} classes, found {len(labelled.classes)}")
    check_writable_folder(out)
    check_replaceable(out / "tuning.json", partial(holds, kind=Tuning), "a tuning")
    if (out / "config.json").exists() and not (out / "tuning.json").exists():
        raise InvalidInput(f"{out}: holds another model: choose another folder")
    tried = candidates(options.seed)
    counts, read, skipped = score_candidates(labelled, tried, folder or labelled, options)
    if len(counts) < FEWEST:
        first = f"; the first that cannot: {skipped[0].file}: {skipped[0].reason}" if skipped else ""
        raise InvalidInput(f"expected at least {FEWEST} good masks that can be read, found {len(counts)}{first}")
    notes: list[str] = []
    if options.train and len(counts) >= FEWEST_TO_TRAIN:
        for method, kind in TRAINED.items():
            try:
                of_trained = out_of_fold(read, kind, out / MODELS, options.logits, options.quiet)
            except ImportError as error:
                needed = "pip install 'segmend[train,offline]'"
                notes.append(f"{method} was not tried: training needs a package ({error.name}): {needed}")
                continue
            except InvalidInput as error:
                notes.append(f"{method} was not tried: {error}")
                continue
            tried.append(Candidate(method, kind))
            counts = np.concatenate((counts, of_trained[:, None]), axis=1)
    scored = labelled.scored_ids
    chosen, expected_counts = decide(counts, scored)
    gains = gains_of(counts, scored)
    expected = gains_of(expected_counts, scored)
    results = Tuning(
        version=segmend.__version__,
        images=len(counts),
        chosen=str(tried[chosen]),
        mean_iou=float(_mean_iou(counts[:, 0].sum(axis=0), scored)),
        expected_gain=float(gain_of_all(expected_counts, scored)[1]),
        low=float(np.quantile(expected[:, 1], 0.025)),
        high=float(np.quantile(expected[:, 1], 0.975)),
        tried=[
            Tried(
                name=str(one),
                settings=settings_of(one.refiner),
                gain=float(gain),
                unlucky=float(np.quantile(gains[:, index], UNLUCKY)),
            )
            for index, (one, gain) in enumerate(zip(tried, gain_of_all(counts, scored), strict=True))
        ],
        notes=notes,
        skipped=[*unpaired, *skipped],
    )
    _save(tried[chosen], read, out, options.quiet)
    write_results(out / "tuning.json", results)
    return results


def _save(candidate: Candidate, labelled: Dataset, out: Path, quiet: bool) -> None:
    if isinstance(candidate.refiner, Trained):
        folder = trained(labelled, candidate.refiner, out / MODELS, quiet=quiet)
        save_tuned(folder.relative_to(out).as_posix(), None, out)
    elif isinstance(candidate.refiner, str):
        save_tuned(candidate.refiner, candidate.min_confidence, out)
    else:
        save_filter(candidate.refiner, out)


def decide(counts: np.ndarray, scored: Sequence[int]) -> tuple[int, np.ndarray]:
    """The candidate to take, and what to expect of it on other images.

    The one that `choose` gives, if the same choice gains by cross-validation too, with bad luck; many candidates
    and few images make one of them look good. Else the second one, the refiner of the package with its defaults,
    if that gains: nothing was chosen about it. Else the first, which changes nothing.

    Args:
        counts: confusion matrices ``[images, candidates, C, C + 1]``; the first candidate changes nothing.
        scored: ids of the classes that mIoU is the mean of.

    Returns:
        Its index, and confusion matrices ``[images, 2, C, C + 1]``: unchanged, and as refined without choosing by
        the image itself.
    """
    for chosen, refined in ((choose(counts, scored), cross_validated(counts, scored)), (1, counts[:, 1])):
        pair = np.stack((counts[:, 0], refined), axis=1)
        if chosen and np.quantile(gains_of(pair, scored)[:, 1], UNLUCKY) > 0:
            return chosen, pair
    return 0, counts[:, [0, 0]]


def choose(counts: np.ndarray, scored: Sequence[int]) -> int:
    """The candidate with the highest `UNLUCKY` quantile of its gain; the first one where none has one above 0.

    Args:
        counts: confusion matrices ``[images, candidates, C, C + 1]``; the first candidate changes nothing.
        scored: ids of the classes that mIoU is the mean of.
    """
    lower = np.quantile(gains_of(counts, scored), UNLUCKY, axis=0)
    return int(lower.argmax()) if lower.max() > 0 else 0


def gains_of(counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    """Gains in mIoU over the first candidate, ``[DRAWN, candidates]``, with the images drawn anew each time."""
    images = len(counts)
    drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), DRAWN)
    means = np.stack(
        [
            _mean_iou(np.tensordot(drawn, counts[:, candidate], axes=1), scored)
            for candidate in range(counts.shape[1])
        ],
        axis=1,
    )
    gains: np.ndarray = np.nan_to_num(means - means[:, :1])
    return gains


def cross_validated(counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    """Confusion matrices of the images ``[images, C, C + 1]``, each refined as the other folds would choose."""
    images = len(counts)
    found = counts[:, 0].copy()
    for fold in range(min(FOLDS, images)):
        inside = np.arange(images) % FOLDS == fold
        found[inside] = counts[inside, choose(counts[~inside], scored)]
    return found


def gain_of_all(counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    """Gain of each candidate in mIoU over the first, ``[candidates]``."""
    means = _mean_iou(counts.sum(axis=0), scored)
    gains: np.ndarray = np.nan_to_num(means - means[0])
    return gains


def _mean_iou(counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    """Of confusion matrices ``[..., C, C + 1]``; the mean is over classes of the ground truth."""
    of_classes = iou(counts)[..., list(scored)]
    there = counts.sum(axis=-1)[..., list(scored)] > 0
    means: np.ndarray = np.where(there, of_classes, 0).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return means


def settings_of(refiner: Filter | Unchanged | Trained | str) -> dict[str, float]:
    """The parameters of a filter, to two digits; empty for others."""
    values = vars(refiner) if isinstance(refiner, (DenseCRF, GuidedFilter)) else {}
    return {name: float(f"{value:.2g}") for name, value in values.items()}


def score_candidates(
    labelled: Dataset, tried: Sequence[Candidate], folder: Dataset, options: TuneOptions
) -> tuple[np.ndarray, Dataset, list[Skipped]]:
    """Try candidates without training.

    Args:
        folder: all images with coarse maps, at which refiners look first.

    Returns:
        Confusion matrices ``[images, candidates, C, C + 1]`` of the good masks that can be read; their records;
        and what cannot be read.
    """
    records = [record for record in labelled if record.labels is not None]
    known = {name: of_folder(load(name), folder, options.logits, options.quiet) for name in OF_FOLDER}
    found: dict[str, np.ndarray] = {}
    skipped = []
    with (
        bar("tune", len(records), options.quiet) as progress,
        ProcessPoolExecutor(
            min(available_cores(), max(1, len(records))), get_context("spawn"), _prepare, (known,)
        ) as pool,
    ):
        jobs = [pool.submit(_score, labelled, record, list(tried), options.logits) for record in records]
        for record, job in zip(records, jobs, strict=True):
            result = job.result()
            if isinstance(result, str):
                skipped.append(Skipped(file=str(record.labels), reason=result.removeprefix(f"{record.labels}: ")))
            else:
                found[record.id] = result
            progress.advance()
    classes = len(labelled.classes)
    none = np.zeros((0, len(tried), classes, classes + 1), np.int64)
    return np.stack(list(found.values())) if found else none, labelled.subset(set(found)), skipped


_known: dict[str, Refiner]
"""Of a process that scores: the refiners that candidates name, which know the folder."""


def _prepare(known: dict[str, Refiner]) -> None:
    global _known
    _known = known
    torch.set_num_threads(1)


def _score(labelled: Dataset, record: Record, tried: list[Candidate], logits: bool) -> np.ndarray | str:
    """Confusion matrices of one image ``[candidates, C, C + 1]``, or why its files cannot be used."""
    classes = len(labelled.classes)
    try:
        image, coarse = pair_coarse(labelled, record, as_stored=True)
        truth = labelled.labels(record)
        if truth.shape != image.shape[:2]:
            height, width = truth.shape
            return f"{record.labels}: {width} x {height} px, the image {image.shape[1]} x {image.shape[0]}"
        if (truth == labelled.classes.void).all():
            return f"{record.labels}: it holds no label"
    except InvalidInput as error:
        return str(error)
    return np.stack(list(_matrices(image, coarse, truth, tried, classes, logits)))


def _matrices(
    image: np.ndarray, coarse: np.ndarray, truth: np.ndarray, tried: list[Candidate], classes: int, logits: bool
) -> Iterator[np.ndarray]:
    bold = _known["universal"].refine(image, coarse, classes, min_confidence=THRESHOLDS[0], logits=logits)
    maps = (bold.labels.numpy(), truth, bold.coarse_labels.numpy(), bold.change_confidence.numpy())
    by_threshold = dict(zip(THRESHOLDS, confusion_by_threshold(*maps, classes, np.array(THRESHOLDS)), strict=True))
    for one in tried:
        if one.min_confidence is not None:
            yield by_threshold[one.min_confidence]
        else:
            assert not isinstance(one.refiner, Trained)
            refiner = _known[one.refiner] if isinstance(one.refiner, str) else one.refiner
            refined = refiner.refine(image, coarse, classes, logits=logits)
            yield confusion_matrix(refined.labels.numpy(), truth, classes)
