"""Refiners over the truth at an eighth of its resolution: SPN's task on faces, without a segmenter of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from comparison import UNTRAINED, Coarse, Comparison, propagations

from segmend.data.damage import fill_void, low_resolution
from segmend.data.dataset import Dataset, open_dataset
from segmend.data.files import write_probabilities
from segmend.jobs.progress import bar

EXACT = ("coarse.truth_share=0", "coarse.variation=0")
"""Nothing but maps of this kind to learn from."""

COMPARED = {"eighth": (*UNTRAINED, *propagations(*EXACT))}


@dataclass(frozen=True)
class AtAnEighth(Comparison):
    """Coarse maps are the shares of the classes in blocks of 8 x 8 pixels, brought back bilinearly."""

    def make_coarse(self) -> Coarse:
        """Write the coarse maps of both splits; no picture is seen for them, so none is out of fold."""
        train, scored = self.folder / "train", self.folder / self.split
        for dataset, folder in ((open_dataset(self.root, "train"), train), (self.truth(), scored)):
            _write(dataset, folder / "probs")
        return Coarse(train / "probs", train / "probs", scored / "probs")


def _write(dataset: Dataset, folder: Path) -> None:
    with bar("coarse", len(dataset)) as progress:
        for record in dataset:
            file = folder / f"{record.id}.npz"
            if not file.is_file():
                labels = fill_void(torch.from_numpy(dataset.labels(record)))
                write_probabilities(file, low_resolution(labels, len(dataset.classes), 8).numpy())
            progress.advance()
