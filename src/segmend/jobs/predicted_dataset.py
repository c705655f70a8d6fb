"""The data set that ``segmend predict --dataset SPLIT`` writes: images beside their predicted maps."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from segmend.data.dataset import Dataset, Record
from segmend.data.description import describe, read_description, write_description
from segmend.data.files import InvalidFile, atomic_copy, check_writable_folder
from segmend.data.images import write_image
from segmend.jobs.maps import MapFolder
from segmend.jobs.outputs import check_outputs, note_of
from segmend.jobs.predicted_tags import folder_of
from segmend.labels import InvalidInput
from segmend.pixels import ImageReading

LABELS_OF = "segmend predict"
"""What the ``dataset.yaml`` gives as the source of its labels."""


def check_no_dataset(out: Path) -> None:
    """Raise `InvalidFile` if `out` is a predicted data set, to which maps alone cannot be added."""
    if (out / "dataset.yaml").exists() and _is_predicted(out):
        raise InvalidFile(out, "is a data set of predicted maps: give --dataset SPLIT, or another --out")


def _is_predicted(root: Path) -> bool:
    source = read_description(root).get("source")
    return isinstance(source, dict) and source.get("labels") == LABELS_OF


@dataclass(frozen=True)
class PredictedDataset:
    """A data set in ``folder.out``: ``images/SPLIT/ID`` beside ``labels/SPLIT/ID.png``, and ``dataset.yaml``.

    Images are copied; those that reading changes (bands, more than 8 bits, an EXIF orientation) are written as
    they were read. An image comes after its label map, whose note says that the image is ours.
    """

    folder: MapFolder
    images: Dataset

    def check(self) -> None:
        """Raise `InvalidFile` unless all can be written, and nothing that is there is anybody else's."""
        split = self.folder.split or ""
        if not split or split in (".", "..") or split.startswith(".") or "/" in split or "\\" in split:
            raise InvalidInput(f"--dataset {split!r}: expected the name of a split, as train")
        written, read = self.folder.folder("images").resolve(), folder_of(self.images)
        if written.is_relative_to(read) or read.is_relative_to(written):
            raise InvalidFile(
                self.folder.out,
                f"its images would lie among those of {read}, which are read: choose an output folder (--out) "
                "outside",
            )
        check_writable_folder(written)
        self._check_description()
        inputs = [record.image for record in self.images]
        for record in self.images:
            if there := [] if note_of(self.folder.path("labels", record)) else self._there(record):
                check_outputs([(path, self.folder.made_with) for path in there], inputs)

    def _check_description(self) -> None:
        out = self.folder.out
        path = out / "dataset.yaml"
        if not path.exists():
            if (out / "results.json").exists():  # the description comes before it
                raise InvalidFile(out, "holds maps that are no data set: choose another output folder (--out)")
            return
        if not _is_predicted(out):
            raise InvalidFile(path, "describes a data set that was not predicted: choose another --out")
        if describe(out).classes.names != self.folder.classes.names:
            raise InvalidFile(path, "describes a data set of other classes: choose another --out")

    def start(self) -> None:
        """Describe the data set; `check` comes before."""
        classes, scored = self.folder.classes, self.images.scored
        more = {"evaluate_on": list(scored)} if scored and set(scored) <= set(classes.names) else {}
        name = self.folder.out.resolve().name
        write_description(self.folder.out, name, classes, **more, source={"labels": LABELS_OF})

    def has_image(self, record: Record) -> bool:
        """Whether a record's image is there, and no other one of its ID."""
        return len(self._there(record)) == 1

    def _there(self, record: Record) -> list[Path]:
        path = self.folder.folder("images") / record.id
        if not path.parent.is_dir():
            return []
        return [file for file in path.parent.glob(f"{glob.escape(path.name)}.*") if file.stem == path.name]

    def remove(self, record: Record) -> None:
        """Remove a record's earlier image, before its maps are written again."""
        for path in self._there(record):
            path.unlink()

    def write(self, record: Record) -> None:
        """Write a record's image, after its maps."""
        assert record.image is not None
        path = self.folder.folder("images") / record.id
        survey = self.images.images_read
        if survey.reading == ImageReading() and record.image not in survey.turned:
            atomic_copy(record.image, path.with_name(f"{path.name}{record.image.suffix}"))
        else:
            write_image(path.with_name(f"{path.name}.png"), self.images.image(record))
