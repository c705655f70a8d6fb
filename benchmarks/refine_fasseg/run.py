"""FASSEG: refiners over maps at an eighth of the resolution, as in SPN's Table 1.

python benchmarks/refine_fasseg/run.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from segmend.data.corruptions import fill_void, low_resolution
from segmend.data.dataset import Dataset, open_dataset
from segmend.data.probabilities import write_probabilities
from segmend.jobs.progress import bar

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import UNTRAINED, Coarse, Comparison, main, propagations  # noqa: E402

EXACT = ("coarse.truth_share=0", "coarse.variation=0")
"""Train on maps of this kind alone."""

COMPARED = {"eighth": (*UNTRAINED, *propagations(*EXACT))}


@dataclass(frozen=True)
class AtAnEighth(Comparison):
    """Coarse maps are the shares of the classes in blocks of 8 x 8 pixels, brought back bilinearly.

    The images are too few to teach a segmenter that sees them at that size.
    """

    def make_coarse(self) -> Coarse:
        """Write the coarse maps of both splits; no segmenter makes them, so they are not out of fold."""
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


if __name__ == "__main__":
    main(HERE, "fasseg_frontal", COMPARED, comparison=AtAnEighth)
