"""Golden label maps: what every method gives on the embedded data set stays what it was.

``python tests/end_to_end/test_golden.py`` writes the golden maps anew, where a change is meant. On another
processor sums are rounded in another order, so a few labels may differ there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from segmend.data.dataset import open_dataset
from segmend.data.masks import read_labels
from segmend.data.synthetic import generate_dataset
from segmend.jobs.demo import corrupt
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.refine import RefineOptions, open_pairs, refine
from segmend.jobs.train import train
from segmend.refiners import load
from segmend.training.recipe import read_recipe

GOLDEN = Path(__file__).with_name("golden.npz")

ROUNDED = 2e-3
"""Share of labels that may differ on another processor."""

FEW = "{crop: 32}\noptimisation: {steps: 6, batch: 2, workers: 0, precision: '32', optimiser: adamw, lr: 1.0e-3}\n"
RECIPES = {
    "segmenter": """
task: segmenter
data: {root: DATA, train: train}
network: segmentation_models_pytorch.Unet
arguments: {encoder_name: tu-tf_efficientnet_lite0}
features: imagenet
relaxation: {radius: 1}
consensus: {alpha: 1, beta: 1, cross_entropy: 1}
class_uniform: 32
""",
    "ecn": """
task: corrector
data: {root: DATA, train: train}
coarse: {train: COARSE, truth_share: 0.5, variation: 0.3}
ecn: {width: quarter, encoder: tf_efficientnet_lite0, features: imagenet, frozen: true, residual: true,
    coarse_weight: 0.2, appearance: fit}
fusion_share: 0.2
""",
    "spn": """
task: corrector
data: {root: DATA, train: train}
coarse: {train: COARSE, truth_share: 0.5}
spn: {width: quarter, gates: similarity, rounds: 2, weighted: true, lift: 8}
""",
    "own": """
task: universal
training_sets: [{data: {root: DATA, train: train}, coarse: {train: COARSE, truth_share: 0.5}}]
""",
    "search": """
task: filter
filter: guided
data: {root: DATA, train: train}
coarse: {train: COARSE}
trials: 5
images: 4
""",
}


def label_maps(folder: Path) -> dict[str, np.ndarray]:
    """Every method's label maps of the four validation images, ``[4, H, W]``, by the method's name."""
    data, coarse = folder / "data", folder / "coarse"
    generate_dataset(data, train=12, val=4, height=64, width=96)
    for split in ("train", "val"):
        corrupt(open_dataset(data, split), coarse / split, seed=0, quiet=True)
    truth = open_dataset(data, "val")
    found = {"truth": np.stack([truth.labels(record) for record in truth])}
    for name, text in RECIPES.items():
        path = folder / f"{name}.yaml"
        content = text.replace("DATA", str(data)).replace("COARSE", str(coarse / "train"))
        path.write_text(content if name == "search" else f"{content}augmentation: {FEW}")
        train(read_recipe(path), folder / name, quiet=True)
    predict(folder / "segmenter", truth, folder / "predicted", PredictOptions(precision="32", quiet=True))
    found["segmenter"] = read(folder / "predicted")
    refiners = {name: name for name in ("universal", "crf", "guided")}
    refiners |= {name: str(folder / name) for name in RECIPES if name != "segmenter"}
    refined = {name: {"refiner": name} for name in refiners}
    refined |= {f"{name} in tiles": {"refiner": name, "tile": 64} for name in ("universal", "ecn", "spn")}
    refined |= {f"{name} careful": {"refiner": name, "min_confidence": 0.6} for name in ("universal", "ecn")}
    for name, options in refined.items():
        refiner = load(refiners[options.pop("refiner")])
        pairs, _ = open_pairs(data / "images" / "val", coarse / "val", refiner)
        refine(refiner, pairs, folder / "refined" / name, RefineOptions(precision="32", quiet=True, **options))
        found[name] = read(folder / "refined" / name)
    # masks, and the call from Python
    for name in ("universal", "crf", "guided", "ecn"):
        refiner = load(refiners[name])
        labels = [
            refiner.refine(truth.image(r), moved(truth.labels(r)), len(truth.classes)).labels.numpy()
            for r in truth
        ]
        found[f"{name} of masks"] = np.stack(labels)
    bold = load("universal")
    labels = [
        bold.refine(truth.image(r), moved(truth.labels(r)), len(truth.classes), border_error_px=4).labels.numpy()
        for r in truth
    ]
    found["universal of masks, error known"] = np.stack(labels)
    return found


def read(folder: Path) -> np.ndarray:
    return np.stack([read_labels(path)[0] for path in sorted((folder / "labels").iterdir())])


def moved(labels: np.ndarray) -> np.ndarray:
    """Objects moved by three pixels."""
    return np.roll(labels, 3, axis=1)


def test_every_method_gives_the_golden_labels(tmp_path):
    golden = np.load(GOLDEN)
    found = label_maps(tmp_path)
    assert found.keys() == set(golden.files)
    off = {name: float(np.mean(found[name] != golden[name])) for name in golden.files}
    print({name: share for name, share in off.items() if share})
    assert {name: share for name, share in off.items() if share > ROUNDED} == {}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        maps = label_maps(Path(folder))
    if "--compare" in sys.argv:
        golden = np.load(GOLDEN)
        for name in maps:
            print(f"{name}: {int(np.sum(maps[name] != golden[name])) if name in golden else 'new'} labels differ")
    else:
        np.savez_compressed(GOLDEN, **maps)
