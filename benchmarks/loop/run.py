"""The loop: check, decide, retrain. Scores against the number of regions decided, beside images in random order.

python benchmarks/loop/run.py
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmend.check import Suspect
from segmend.data.dataset import open_dataset
from segmend.metrics import confusion_matrix
from segmend.metrics.overlap import mean_iou

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "check")]

from comparison import DATA  # noqa: E402
from corrupted import corrupt  # noqa: E402
from raw import write_raw  # noqa: E402
from run import Folder, Predicted  # noqa: E402
from segmenter import Features, FrozenEncoder, fitted_logits, out_of_fold_logits, probabilities  # noqa: E402
from tables import trainings as table  # noqa: E402

SETS = {"MSRC-21": "msrc21", "satellite": "dubai_aerial"}
SHARE, FOLDS, SEEDS = 0.3, 3, (1,)
DECIDED = (0, 25, 50, 100, 150)
"""Regions decided; after each of these numbers labels are checked anew, and a segmenter is trained."""


class Held(NamedTuple):
    """Images that nothing is trained on, with their labels."""

    features: list[Features]
    labels: list[np.ndarray]


def folders_of(root: Path) -> tuple[Folder, Held]:
    """The training split and the validation split of a data set."""
    encoder = FrozenEncoder()
    train, val = (open_dataset(root, split) for split in ("train", "val"))
    folder = Folder([], [], [], [], len(train.classes), train.classes.void)
    for record in train:
        image = train.image(record)
        folder.ids.append(record.id)
        folder.images.append(image)
        folder.labels.append(train.labels(record))
        folder.features.append(encoder(image))
    return folder, Held([encoder(val.image(r)) for r in val], [val.labels(r) for r in val])


def trained_score(folder: Folder, held: Held, labels: list[np.ndarray]) -> float:
    """Of a segmenter that was trained on labels, on the held-out images, in percent."""
    logits = fitted_logits(folder.features, labels, held.features, folder.classes, folder.void)
    found = [
        confusion_matrix(probabilities(one, truth.shape).argmax(0).astype(truth.dtype), truth, folder.classes)
        for one, truth in zip(logits, held.labels, strict=True)
    ]
    return 100 * mean_iou(np.sum(found, axis=0))


def decided(
    predicted: Predicted, folder: Folder, labels: list[np.ndarray], index: int, suspect: Suspect
) -> np.ndarray:
    """The label map of an image after a person decided on a suspect: accepted if it is right on more pixels."""
    before, truth = labels[index], folder.labels[index]
    seen = predicted.seen(index)
    pixels = suspect.mask(seen, before, folder.void)
    after = np.where(pixels, suspect.suggestion(seen, before), before)
    valid = pixels & (truth != folder.void)
    is_better = (after == truth)[valid].sum() > (before == truth)[valid].sum()
    return after if is_better else before


def ranked(predicted: Predicted, labels: list[np.ndarray]) -> Iterator[tuple[int, Suspect]]:
    """All suspects, the likeliest first."""
    suspects = predicted.checked(labels).suspects
    yield from sorted(
        ((i, one) for i, some in enumerate(suspects) for one in some), key=lambda pair: -pair[1].score
    )


def in_random_order(
    predicted: Predicted, labels: list[np.ndarray], rng: np.random.Generator
) -> Iterator[tuple[int, Suspect]]:
    """The suspects of one image after another, images in random order."""
    suspects = predicted.checked(labels).suspects
    for index in rng.permutation(len(labels)).tolist():
        yield from ((index, one) for one in suspects[index])


def wrong_share(folder: Folder, labels: list[np.ndarray]) -> float:
    """Percent of the valid pixels whose label is wrong."""
    pairs = [(a != b)[b != folder.void] for a, b in zip(labels, folder.labels, strict=True)]
    return 100 * float(np.concatenate(pairs).mean())


def curve(folder: Folder, held: Held, corrupted: list[np.ndarray], seed: int, is_ranked: bool) -> dict[int, tuple]:
    """mIoU on held-out images and share of wrong pixels, by the number of regions decided."""
    labels, seen, found = list(corrupted), set(), {}
    rng = np.random.default_rng(seed)
    for before, after in zip((0, *DECIDED), DECIDED, strict=False):
        if after > before:
            logits = out_of_fold_logits(folder.features, labels, folder.classes, folder.void, FOLDS)
            predicted = Predicted(folder, logits)
            order = ranked(predicted, labels) if is_ranked else in_random_order(predicted, labels, rng)
            fresh = [(i, one) for i, one in order if (i, one.kind, one.box) not in seen][: after - before]
            for index, suspect in fresh:
                seen.add((index, suspect.kind, suspect.box))
                labels[index] = decided(predicted, folder, labels, index, suspect)
        found[after] = (trained_score(folder, held, labels), wrong_share(folder, labels))
        print(seed, "worst first" if is_ranked else "random", after, np.round(found[after], 2), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Check, decide and retrain in turns.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--sets", nargs="*", default=list(SETS), help="which sets")
    arguments = parser.parse_args()
    for name in arguments.sets:
        folder, held = folders_of(arguments.data / SETS[name])
        rows: dict[str, dict[str, list[float]]] = {}
        for seed in SEEDS:
            corrupted = corrupt(folder.labels, folder.classes, folder.void, "mixed", SHARE, seed).labels
            best = trained_score(folder, held, folder.labels)
            for title, is_ranked in (("worst first", True), ("random order", False)):
                for count, (score, wrong) in curve(folder, held, corrupted, seed, is_ranked).items():
                    row = rows.setdefault(f"{name}: {count} regions", {})
                    row.setdefault(f"mIoU, {title}", []).append(score)
                    row.setdefault(f"wrong pixels %, {title}", []).append(wrong)
            rows.setdefault(f"{name}: all labels right", {}).setdefault("mIoU, worst first", []).append(best)
            rows[f"{name}: all labels right"].setdefault("mIoU, random order", []).append(best)
        write_raw(HERE / "results.json", rows, seeds=SEEDS)
    print(table("loop/results", "labels"))


if __name__ == "__main__":
    main()
