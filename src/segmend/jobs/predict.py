"""Predict label maps and probability maps of a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from segmend.data.cityscapes import CLASSES, SERVER_IDS
from segmend.data.dataset import Dataset, Record
from segmend.devices import Precision, autocast, pick_device, to_device
from segmend.jobs.maps import MapFolder, Maps, fingerprint
from segmend.jobs.pipeline import Pipeline
from segmend.jobs.progress import bar
from segmend.labels import InvalidInput, as_image, most_likely
from segmend.report.results import Run
from segmend.segmenters import load_segmenter
from segmend.segmenters.prediction import TestTime, predict_bands


def predict(
    model: Path | str,
    images: Dataset,
    out: Path,
    *,
    test_time: TestTime = TestTime(),  # noqa: B008 - frozen
    probs: bool = False,
    quantised: bool = False,
    precision: Precision = "auto",
    overwrite: bool = False,
    server_ids: bool = False,
    quiet: bool = False,
) -> Run:
    """Write ``out/labels/ID.png`` and, with `probs`, ``out/probs/ID.npz`` for every image.

    What is newer than its image is kept unless `overwrite`; images that cannot be read are listed in
    the result, which is also written to ``out/results.json``.

    Args:
        model: a model folder, or a repository on the hub.
        test_time: mirror, scales and tiles.
        quantised: write probabilities as 0..255 instead of float16.
        server_ids: write label maps in the ids that the servers of Cityscapes and KITTI expect.

    Raises:
        InvalidInput: `server_ids` of a model of other classes than theirs, or `out` holds maps of another
            model or of other options.
    """
    device = pick_device()
    segmenter = load_segmenter(model)
    if server_ids and segmenter.classes.names != CLASSES.names:
        raise InvalidInput(f"{model}: expected Cityscapes' classes, as only they have ids on its server")
    to_device(segmenter, device)
    ids = SERVER_IDS if server_ids else None
    made_with = f"segmenter {fingerprint(segmenter)}, {test_time}, {server_ids=}, {precision=}"
    folder = MapFolder(out, segmenter.classes, probs, False, quantised, overwrite, made_with, ids)

    def work(record: Record, image: np.ndarray) -> Maps:
        maps = folder.new_maps(*image.shape[:2])
        with torch.inference_mode(), autocast(device, precision):
            for rows, band in predict_bands(segmenter, as_image(image).to(device), test_time):
                maps.fill(rows, most_likely(band), band)
        return maps

    pipeline = Pipeline[Record, np.ndarray, Maps](lambda r: str(r.image), images.image, work, folder.write)
    with bar("predict", len(images), quiet) as progress:
        outcome = pipeline.run(images, folder.is_finished, progress)
    return folder.finish("predict", str(model), outcome)
