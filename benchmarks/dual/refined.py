"""Refiners over the maps of dual image segmentation, trained on its 100 labelled images.

python benchmarks/dual/refined.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import METHODS, Coarse, Comparison, main  # noqa: E402

from segmend.data.convert.lists import read_lines  # noqa: E402
from segmend.data.dataset import Dataset, open_dataset  # noqa: E402
from segmend.data.files import atomic_write  # noqa: E402
from segmend.jobs.predict import PredictOptions, predict  # noqa: E402
from segmend.jobs.train import train  # noqa: E402
from segmend.training.recipe import read_recipe  # noqa: E402

COMPARED = tuple(method for method in METHODS if method.name in ("dense CRF", "ECN", "universal"))


class OverDual(Comparison):
    """Coarse maps of a network that was trained on all labelled images; out of fold, of one on the other half."""

    def make_coarse(self) -> Coarse:
        listed = read_lines(HERE / "labelled_100.txt")
        images = open_dataset(self.root, "train")
        for half in (0, 1):
            path = self.folder / f"half_{half}.txt"
            atomic_write(path, "\n".join(listed[half::2]).encode())
            self._maps(path, f"half_{half}", images.subset(set(listed[1 - half :: 2])), "out_of_fold")
        self._maps(HERE / "labelled_100.txt", "whole", self.truth(), self.split)
        return Coarse(self.folder / "out_of_fold" / "probs", Path(), self.folder / self.split / "probs")

    def _maps(self, labelled: Path, network: str, images: Dataset, out: str) -> None:
        recipe = read_recipe("dual", (self.data, f"labelled={labelled}"))
        train(recipe, self.folder / network)
        predict(self.folder / network, images, self.folder / out, PredictOptions(probs=True))


if __name__ == "__main__":
    main(HERE, "voc12_subset", {"refined": COMPARED}, comparison=OverDual)
