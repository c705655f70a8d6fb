"""Predict label maps and probability maps of a folder of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from segmend.coding import Coding
from segmend.data.cityscapes import CLASSES, SERVER_IDS
from segmend.data.dataset import Dataset, Record
from segmend.data.remote import address
from segmend.data.tags import Tags, implied_classes
from segmend.devices import Precision, to_device
from segmend.dual.prediction import DualPredictor, GivenTags
from segmend.dual.samples import scores_of_tags
from segmend.jobs.inference_page import check_page, write_page
from segmend.jobs.maps import MapFolder, Maps
from segmend.jobs.outputs import fingerprint
from segmend.jobs.pipeline import LOCAL, Engine
from segmend.jobs.predicted_dataset import PredictedDataset, check_no_dataset
from segmend.jobs.predicted_tags import TagsFile, folder_of
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput, most_likely
from segmend.models import check_dual, load_predictor
from segmend.report.results import Run
from segmend.segmenters import Segmenter
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
        dataset: write a data set with this split (see `segmend.jobs.predicted_dataset`); None: maps alone.
        min_confidence: in the label maps of this data set, pixels are void where no class is as likely.
        page: also write ``out/steps.html``, the steps of inference of the first images; for models of dual image
            segmentation.
        overwrite: make again what an earlier run finished, also with other weights or options.
        quiet: no progress bar.
    """

    test_time: TestTime = field(default_factory=TestTime)
    precision: Precision = "auto"
    closed_form: bool | None = None
    inference_steps: int | Sequence[int] | None = None
    server_ids: bool = False
    probs: bool = False
    quantised: bool = False
    dataset: str | None = None
    min_confidence: float | None = None
    page: bool = False
    overwrite: bool = False
    quiet: bool = False


class _Given(NamedTuple):
    """What is read of a record. `inputs` is the hash of its file."""

    inputs: str
    image: np.ndarray


@dataclass(frozen=True)
class PredictWorker:
    """Predicts the maps of one image after another.

    Attributes:
        images: how images are read; it needs no records of its own.
        folder: where maps are written.
        tags: of images, by ID: evidence for networks of dual image segmentation, with the classes that tags pass
            over.
        dataset: the data set that the maps are part of.
    """

    segmenter: Segmenter | DualPredictor
    images: Dataset
    folder: MapFolder
    options: PredictOptions
    tags: Mapping[str, Tags] = field(default_factory=dict)
    dataset: PredictedDataset | None = None

    @property
    def out(self) -> Path:
        """See `segmend.jobs.pipeline.Worker`, also for the methods."""
        return self.folder.out

    def to(self, device: torch.device) -> None:
        to_device(self.segmenter, device)

    def name(self, record: Record) -> str:
        assert record.image is not None
        return address(record.image)

    def read(self, record: Record) -> _Given | None:
        evidence = f", tags {sorted(self.tags[record.id].items())}" if record.id in self.tags else ""
        is_copied = self.dataset is None or self.dataset.has_image(record)
        inputs = self.folder.inputs_unless_finished(record, evidence, is_copied)
        return None if inputs is None else _Given(inputs, self.images.image(record))

    def work(self, record: Record, given: _Given) -> Maps:
        segmenter, size = self.segmenter, given.image.shape[:2]
        maps = self.folder.new_maps(given.inputs, *size)
        network: nn.Module = segmenter
        if isinstance(segmenter, DualPredictor):
            own = self.tags.get(record.id)
            network = GivenTags(segmenter, None if own is None else scores_of_tags(own, segmenter.classes.names))
        shown = _shown(self.options.test_time, segmenter, size)
        for rows, band in predict_bands(network, given.image, shown, self.options.precision):
            labels = most_likely(band)
            if self.options.min_confidence is not None:
                labels[band.amax(dim=0) < self.options.min_confidence] = segmenter.classes.void
            maps.fill(rows, labels, band)
        if isinstance(network, GivenTags):
            maps.tag_scores = network.scores.cpu().numpy()
        return maps

    def write(self, record: Record, maps: Maps) -> None:
        if self.dataset is not None:
            self.dataset.remove(record)
        self.folder.write(record, maps)
        if self.dataset is not None:
            self.dataset.write(record)

    def counts(self, maps: Maps) -> dict[str, int]:
        return maps.counts


def predict(
    model: Path | str,
    images: Dataset,
    out: Path,
    options: PredictOptions = PredictOptions(),
    *,
    tags: Mapping[str, Tags] | None = None,
    engine: Engine = LOCAL,
) -> Run:
    """Write ``out/labels/ID.png`` and, with `probs`, ``out/probs/ID.npz`` for every image.

    Models of dual image segmentation also give the scores of tags: ``out/tags/ID.npz`` (the network's own) and
    ``out/tags.json`` (see `segmend.jobs.predicted_tags.TagsFile`).

    Maps that an earlier run made of the same image and tags, with the same model and options, are kept; those that
    it made of others are made again. Images that cannot be read are listed in the result, which is also written to
    ``out/results.json``.

    Args:
        model: a model folder, or a repository on the hub.
        tags: of images, by ID (see `segmend.jobs.predicted_tags.open_tags`): evidence for models of dual image
            segmentation. Images without are predicted from the image alone. Where tags pass over classes that
            most images hold, such as the background, every tagged image is taken to hold them.
        engine: where images are predicted; every engine writes the same files.

    Raises:
        InvalidInput: before any work, where `server_ids` are asked of a model of other classes than theirs, or
            options of a model that does not have them, `out` cannot be written, or holds files that are not
            replaced (see `segmend.jobs.refine.refine`).
    """
    if tags is not None or options.page:
        check_dual(model, "--page" if options.page else "--tags")
    segmenter = load_predictor(model, options.closed_form, options.inference_steps)
    if options.server_ids and segmenter.classes.names != CLASSES.names:
        raise InvalidInput(f"{model}: expected Cityscapes' classes, as only they have ids on its server")
    folder = _folder(out, segmenter, images, options)
    dataset = None if options.dataset is None else PredictedDataset(folder, images)
    given, implied = tags or {}, _implied(segmenter, tags or {})
    complete = {identity: {**dict.fromkeys(implied, 1.0), **of} for identity, of in given.items()}
    tags_file = None
    if folder.tags:
        tags_file = TagsFile(folder, options.dataset or folder_of(images).name, implied)
    folder.check(images)
    if dataset is None:
        check_no_dataset(out)
    else:
        dataset.check()
    if tags_file is not None:
        tags_file.check()
    page = out / "steps.html"
    if options.page:
        check_page(page)
    reading = images.without_records()
    if dataset is not None:
        dataset.start()
        dataset = PredictedDataset(folder, reading)
    worker = PredictWorker(segmenter, reading, folder, options, complete, dataset)
    with bar("predict", len(images), options.quiet) as progress:
        outcome = engine.run(worker, images.records, progress)
    if tags_file is not None:
        tags_file.write(images, given)
    if options.page and isinstance(segmenter, DualPredictor):
        write_page(page, segmenter, images, complete, implied)
    return folder.finish("predict", str(model), outcome)


def _implied(segmenter: Segmenter | DualPredictor, given: Mapping[str, Tags]) -> tuple[str, ...]:
    """Classes that tags pass over, as each image has them: those of given tags, or all common ones."""
    if not isinstance(segmenter, DualPredictor):
        return ()
    common = segmenter.model.common
    return implied_classes(common, given.values()) if given else common


def _folder(
    out: Path, segmenter: Segmenter | DualPredictor, images: Dataset, options: PredictOptions
) -> MapFolder:
    if options.dataset is None and options.min_confidence is not None:
        raise InvalidInput("--min-confidence is for the label maps of a data set: add --dataset SPLIT")
    if options.dataset is not None and options.server_ids:
        raise InvalidInput("--server-ids are not the classes of a data set: leave them out, or --dataset")
    made_with = f"predicted by {fingerprint(segmenter)}, {options.test_time}, precision={options.precision}"
    if options.min_confidence is not None:
        made_with += f", min_confidence={options.min_confidence:g}"
    coding = Coding(tuple(SERVER_IDS.tolist())) if options.server_ids else _coding_of(segmenter.classes)
    return MapFolder(
        out,
        segmenter.classes,
        made_with,
        probs=options.probs,
        quantised=options.quantised,
        overwrite=options.overwrite,
        coding=coding if options.dataset is None else None,
        read_as=f"{images.images_read.reading}",
        split=options.dataset,
        tags=isinstance(segmenter, DualPredictor),
    )


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
