"""Predict label maps and probability maps of a folder of images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import nn

from segmend.coding import Coding
from segmend.data.cityscapes import CLASSES, SERVER_IDS
from segmend.data.dataset import Dataset, Record
from segmend.devices import Precision, pick_device, to_device
from segmend.dual.prediction import DualPredictor
from segmend.jobs.maps import MapFolder, Maps
from segmend.jobs.outputs import fingerprint
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput, most_likely
from segmend.models import load_predictor
from segmend.report.results import Run
from segmend.segmenters.prediction import TestTime, predict_bands


@dataclass(frozen=True)
class PredictOptions:
    """How maps of a folder are predicted, and what is written.

    Attributes:
        test_time: mirror, scales and tiles.
        precision: of the network.
        closed_form, inference_steps: of models of dual image segmentation (see `segmend.dual.DualPredictor`);
            None for their defaults, and for other models.
        server_ids: write label maps in the ids that the servers of Cityscapes and KITTI expect.
        probs: also write ``out/probs/ID.npz``.
        quantised: write probabilities as 0..255 instead of float16.
        overwrite: make again what an earlier run finished, also with other weights or options.
        quiet: no progress bar.
    """

    test_time: TestTime = field(default_factory=TestTime)
    precision: Precision = "auto"
    closed_form: bool | None = None
    inference_steps: int | None = None
    server_ids: bool = False
    probs: bool = False
    quantised: bool = False
    overwrite: bool = False
    quiet: bool = False


class _Given(NamedTuple):
    """What is read of a record. `inputs` is the hash of its file."""

    inputs: str
    image: np.ndarray


def predict(
    model: Path | str,
    images: Dataset,
    out: Path,
    options: PredictOptions = PredictOptions(),
) -> Run:
    """Write ``out/labels/ID.png`` and, with `probs`, ``out/probs/ID.npz`` for every image.

    Maps that an earlier run made of the same image, with the same model and options, are kept; those that it made
    of another image are made again. Images that cannot be read are listed in the result, which is also written to
    ``out/results.json``.

    Args:
        model: a model folder, or a repository on the hub.

    Raises:
        InvalidInput: before any work, where `server_ids` are asked of a model of other classes than theirs, or
            options of a model that does not have them, `out` cannot be written, or holds files that are not
            replaced (see `segmend.jobs.refine.refine`).
    """
    device = pick_device()
    segmenter = load_predictor(model, options.closed_form, options.inference_steps)
    if options.server_ids and segmenter.classes.names != CLASSES.names:
        raise InvalidInput(f"{model}: expected Cityscapes' classes, as only they have ids on its server")
    to_device(segmenter, device)
    folder = MapFolder(
        out,
        segmenter.classes,
        f"predicted by {fingerprint(segmenter)}, {options.test_time}, precision={options.precision}",
        probs=options.probs,
        quantised=options.quantised,
        overwrite=options.overwrite,
        coding=Coding(tuple(SERVER_IDS.tolist())) if options.server_ids else _coding_of(segmenter.classes),
        read_as=f"{images.images_read.reading}",
    )
    folder.check(images)

    def read(record: Record) -> _Given | None:
        inputs = folder.inputs_unless_finished(record)
        return None if inputs is None else _Given(inputs, images.image(record))

    def work(record: Record, given: _Given) -> Maps:
        maps = folder.new_maps(given.inputs, *given.image.shape[:2])
        shown = _shown(options.test_time, segmenter, given.image.shape[:2])
        for rows, band in predict_bands(segmenter, given.image, shown, options.precision):
            maps.fill(rows, most_likely(band), band)
        return maps

    pipeline = Pipeline[Record, _Given, Maps](lambda r: str(r.image), read, work, folder.write)
    with bar("predict", len(images), options.quiet) as progress:
        outcome = pipeline.run(images, progress)
    return folder.finish("predict", str(model), outcome)


def _shown(test_time: TestTime, segmenter: nn.Module, size: tuple[int, ...]) -> TestTime:
    """How an image is shown: to networks of DIS whole, at the size of their training, which scales multiply."""
    if not isinstance(segmenter, DualPredictor):
        return test_time
    scales = tuple(scale * segmenter.side / max(size) for scale in test_time.scales)
    return dataclasses.replace(test_time, scales=scales, tile=max(test_time.tile, *size))


def _coding_of(classes: Classes) -> Coding | None:
    """The coding of label files: the ids of the masks that a model learned from, where they are in its names."""
    coding = Coding.of_names(classes)
    return None if coding is None or coding.is_plain else coding
