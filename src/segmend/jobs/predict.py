"""Predict label maps and probability maps of a folder of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from segmend.data.dataset import Dataset, Record
from segmend.devices import Precision, autocast, pick_device, to_device
from segmend.jobs.maps import MapFolder, Maps
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.labels import as_image, most_likely
from segmend.report.results import Run
from segmend.segmenters import load_segmenter
from segmend.segmenters.prediction import TestTime, predict_bands


def predict(
    model: Path | str,
    pictures: Dataset,
    out: Path,
    *,
    test_time: TestTime = TestTime(),  # noqa: B008 - frozen
    probs: bool = False,
    quantised: bool = False,
    precision: Precision = "auto",
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """Write ``out/labels/ID.png`` and, with `probs`, ``out/probs/ID.npz`` for every picture.

    Pictures whose files are there are kept unless `overwrite`; pictures that cannot be read are listed in
    the result, which is also written to ``out/results.json``.

    Args:
        model: a model folder, or a repository on the hub.
        test_time: mirror, scales and tiles.
        quantised: write probabilities as 0..255 instead of float16.
    """
    device = pick_device()
    segmenter = load_segmenter(model)
    to_device(segmenter, device)
    folder = MapFolder(out, segmenter.classes, probs, False, quantised, overwrite)

    def work(record: Record, image: np.ndarray) -> Maps:
        maps = folder.new_maps(*image.shape[:2])
        with torch.inference_mode(), autocast(device, precision):
            for rows, band in predict_bands(segmenter, as_image(image).to(device), test_time):
                maps.fill(rows, most_likely(band), band)
        return maps

    pipeline = Pipeline[Record, np.ndarray, Maps](lambda r: str(r.image), pictures.image, work, folder.write)
    with bar("predict", len(pictures), quiet) as progress:
        outcome = pipeline.run(pictures, folder.is_finished, progress)
    return folder.finish("predict", str(model), outcome)
