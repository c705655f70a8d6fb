"""Wrong labels that `segmend check` finds, beside cleanlab, on labels with known corruption.

python benchmarks/check/run.py
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from segmend.check import Detector, Measured, Sample, Seen, Suspect, Usual, samples_of, suspects_of
from segmend.data.dataset import open_dataset
from segmend.jobs.check import SIMULATED, THRESHOLD, seed_of
from segmend.ops.blobs import components

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from comparison import DATA  # noqa: E402
from corrupted import KINDS, Corrupted, corrupt  # noqa: E402
from raw import write_raw  # noqa: E402
from segmenter import Features, FrozenEncoder, out_of_fold_logits, probabilities  # noqa: E402
from tables import trainings as table  # noqa: E402

SETS = {
    "MSRC-21": "msrc21",
    "CamVid": "camvid",
    "CelebAMask-HQ": "celebamask_hq_mini",
    "satellite": "dubai_aerial",
    "nuclei": "dsb2018_nuclei",
    "leaves": "coffee_leaves",
}
"""Folders whose training split is checked: none of them was used for a choice."""

HALVED = ("celebamask_hq_mini",)
"""Sets at half of their resolution."""

IMAGES, FOLDS = 100, 3
SEEDS = (1, 2, 3, 4, 5)
DRAWS = {2: 5}
"""Draws of all kinds mixed, by percent, where there are not two: of few wrong images, more."""

ALONE = 10
MIXED = (2, 5, 10, 20)
"""Percent of the images that have a wrong label map, of one kind alone, and of all kinds mixed."""


class Folder(NamedTuple):
    """Images with right labels."""

    ids: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    features: list[Features]
    classes: int
    void: int


def folder_of(root: Path, is_halved: bool) -> Folder:
    """Some images of a training split."""
    data = open_dataset(root, "train")
    encoder, found = FrozenEncoder(), Folder([], [], [], [], len(data.classes), data.classes.void)
    for index in np.linspace(0, len(data) - 1, min(IMAGES, len(data))).astype(int):
        record = data.records[index]
        image, labels = data.image(record), data.labels(record)
        if is_halved:
            small = F.avg_pool2d(torch.from_numpy(image).permute(2, 0, 1)[None].float(), 2)
            image = np.ascontiguousarray(small[0].permute(1, 2, 0).round().byte().numpy())
            labels = np.ascontiguousarray(labels[::2, ::2])
        found.ids.append(record.id)
        found.images.append(image)
        found.labels.append(labels)
        found.features.append(encoder(image))
    return found


class Checked(NamedTuple):
    """What `segmend check` says of a folder."""

    scores: list[float]
    suspects: list[list[Suspect]]


class Predicted:
    """A folder with predictions that do not change: what was measured of an image is kept for its labels."""

    def __init__(self, folder: Folder, logits: list[torch.Tensor]) -> None:
        self.folder, self.logits = folder, logits
        self.kept: dict[tuple[int, int], tuple[Measured, float]] = {}
        self.samples: dict[tuple[int, int], list[Sample]] = {}
        self.known: list[np.ndarray] = []  # so that no other label map gets the id of one of them

    def probabilities(self, index: int) -> np.ndarray:
        return probabilities(self.logits[index], self.folder.images[index].shape[:2])

    def seen(self, index: int) -> Seen:
        return Seen.of(self.folder.images[index], self.probabilities(index))

    def looked(self, labels: list[np.ndarray]) -> list[tuple[Measured, float]]:
        """What is measured of each label map, and its score by cleanlab."""
        for index, one in enumerate(labels):
            if (index, id(one)) not in self.kept:
                measured = self.seen(index).measure(one, self.folder.void)
                self.known.append(one)
                self.kept[index, id(one)] = measured, softmin(self.folder, one, self.probabilities(index))
        return [self.kept[index, id(one)] for index, one in enumerate(labels)]

    def checked(self, labels: list[np.ndarray]) -> Checked:
        """Score images as `segmend.jobs.check` does, on maps in memory."""
        folder, measured = self.folder, [one for one, _ in self.looked(labels)]
        usual = Usual.of(measured, folder.classes)
        chosen = np.linspace(0, len(labels) - 1, min(SIMULATED, len(labels))).astype(int).tolist()
        present = sorted({int(i) for index in chosen for i in measured[index].areas.label})
        samples = []
        for before, index in zip([chosen[-1], *chosen], chosen, strict=False):
            key = index, id(labels[index])
            if key not in self.samples:
                seen = self.seen(index)
                seed = seed_of(folder.ids[index])
                self.samples[key] = samples_of(
                    lambda _, seen=seen: seen, labels[index], labels[before], present, folder.void, seed
                )
            samples.append(self.samples[key])
        detector = Detector.fit(usual, samples)
        judged = [detector.judge(one) for one in measured]
        suspects = [
            suspects_of(one, verdict, usual, map_.shape)
            for one, verdict, map_ in zip(measured, judged, labels, strict=True)
        ]
        return Checked([one.score for one in judged], suspects)


def softmin(folder: Folder, labels: np.ndarray, p: np.ndarray) -> float:
    """Score by cleanlab: 1 minus its label quality. Void pixels get the likeliest label, as it knows no void."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    given = np.where(labels == folder.void, p.argmax(axis=0), labels).astype(np.int64)
    return 1 - float(get_label_quality_scores(given[None], p[None], verbose=False)[0][0])


def pixel_issues(predicted: Predicted, labels: list[np.ndarray], file: Path) -> list[float]:
    """Share of the pixels that cleanlab finds wrong, from a memory map, in which all images have one size."""
    from cleanlab.segmentation.filter import find_label_issues

    height, width = (int(np.median([one.shape[axis] for one in labels])) for axis in (0, 1))
    folder = predicted.folder
    shape = len(labels), folder.classes, height, width
    maps = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    given = np.empty((len(labels), height, width), np.int64)
    for index, one in enumerate(labels):
        rows, columns = ((np.arange(n) * m // n) for n, m in zip((height, width), one.shape, strict=True))
        p = predicted.probabilities(index)[:, rows][:, :, columns]
        small = one[rows][:, columns]
        maps[index] = p
        given[index] = np.where(small == folder.void, p.argmax(axis=0), small)
    issues = find_label_issues(given, maps, n_jobs=1, verbose=False)
    file.unlink()
    return issues.mean(axis=(1, 2)).tolist()


def average_precision(scores: list[float], wrong: set[int]) -> float:
    """In percent; ties in the order of the images."""
    hits = np.isin(np.argsort(-np.array(scores), kind="stable"), list(wrong))
    return 100 * float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def kinds_named(found: Checked, kinds: dict[int, str]) -> list[bool]:
    """Of each corrupted image, whether its first suspect has the kind of its corruption."""
    return [bool(found.suspects[i]) and found.suspects[i][0].kind == kind for i, kind in kinds.items()]


def regions_found(predicted: Predicted, corrupted: Corrupted, found: Checked) -> tuple[int, int]:
    """Corrupted regions that overlap one of as many first suspects by an IoU of half, and their number."""
    folder = predicted.folder
    regions = [
        (
            index,
            components((corrupted.labels[index] != folder.labels[index]) & (folder.labels[index] != folder.void)),
        )
        for index, kind in corrupted.kinds.items()
        if kind in ("class", "missing", "islands", "holes")
    ]
    masks = [(i, map_ == n) for i, map_ in regions for n in range(1, map_.max() + 1) if (map_ == n).sum() >= 64]
    ranked = sorted(
        ((one, index) for index, some in enumerate(found.suspects) for one in some if not one.is_whole),
        key=lambda pair: -pair[0].score,
    )[: len(masks)]
    hits = np.zeros(len(masks), bool)
    for suspect, index in ranked:
        there = [n for n, (i, _) in enumerate(masks) if i == index]
        if there:
            labels = corrupted.labels[index]
            mask = suspect.mask(predicted.seen(index), labels, folder.void)
            for n in there:
                hits[n] |= (mask & masks[n][1]).sum() >= 0.5 * (mask | masks[n][1]).sum()
    return int(hits.sum()), len(masks)


def configurations() -> Iterator[tuple[str, str, int]]:
    """Name, kind and percent."""
    for percent in MIXED:
        yield f"all kinds, {percent} %", "mixed", percent
    for kind in KINDS:
        yield f"{kind}, {ALONE} %", kind, ALONE


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare rankings of labels with known corruption.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for what is written meanwhile")
    parser.add_argument("--sets", nargs="*", default=list(SETS), help="which sets")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    images, regions, trained = {}, {}, {}
    for name in arguments.sets:
        folder = folder_of(arguments.data / SETS[name], SETS[name] in HALVED)
        fit = partial(out_of_fold_logits, classes=folder.classes, void=folder.void, folds=FOLDS)
        by_right = Predicted(folder, fit(folder.features, folder.labels))
        for title, kind, percent in configurations():
            rows: dict[str, list[float]] = {}
            for seed in SEEDS[: DRAWS.get(percent, 2) if kind == "mixed" else 1]:
                corrupted = corrupt(folder.labels, folder.classes, folder.void, kind, percent / 100, seed)
                row = compared(by_right, corrupted)
                if kind == "mixed":
                    for column, value in of_regions(by_right, corrupted).items():
                        regions.setdefault(f"{name}: {title}", {}).setdefault(column, []).append(value)
                if (kind, percent, seed) == ("mixed", ALONE, SEEDS[0]):
                    by_wrong = Predicted(folder, fit(folder.features, corrupted.labels))
                    issues = pixel_issues(by_right, corrupted.labels, arguments.runs / "maps.npy")
                    trained[name] = {
                        **{f"{column}, right": [value] for column, value in row.items()},
                        "cleanlab, pixel issues, right": [average_precision(issues, set(corrupted.kinds))],
                        **{f"{c}, corrupted": [value] for c, value in compared(by_wrong, corrupted).items()},
                    }
                for column, value in row.items():
                    rows.setdefault(column, []).append(value)
            images[f"{name}: {title}"] = rows
            print(name, title, {column: np.round(value, 1).tolist() for column, value in rows.items()}, flush=True)
        print(name, trained[name], flush=True)
    write_raw(HERE / "images.json", images, seeds=SEEDS)
    write_raw(HERE / "regions.json", regions, seeds=SEEDS)
    write_raw(HERE / "trained.json", trained, seeds=SEEDS[:1])
    print(table("check/images", "labels"))
    print(table("check/regions", "labels"))
    print(table("check/trained", "labels"))


def compared(predicted: Predicted, corrupted: Corrupted) -> dict[str, float]:
    """Average precision of both rankings."""
    wrong, found = set(corrupted.kinds), predicted.checked(corrupted.labels)
    return {
        "segmend check": average_precision(found.scores, wrong),
        "cleanlab": average_precision([score for _, score in predicted.looked(corrupted.labels)], wrong),
    }


def of_regions(predicted: Predicted, corrupted: Corrupted) -> dict[str, float]:
    """How many images are said to be wrong, and which kinds and regions are found."""
    found, wrong = predicted.checked(corrupted.labels), set(corrupted.kinds)
    flagged = {index for index, score in enumerate(found.scores) if score >= THRESHOLD}
    hits, count = regions_found(predicted, corrupted, found)
    return {
        "wrong images": len(wrong),
        "said to be wrong": len(flagged),
        "of them wrong": len(flagged & wrong),
        "kind right, %": 100 * float(np.mean(kinds_named(found, corrupted.kinds))),
        "wrong regions": count,
        "found, %": 100 * hits / max(1, count),
    }


if __name__ == "__main__":
    main()
