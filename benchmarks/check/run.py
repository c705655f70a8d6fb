"""Wrong labels that `segmend check` finds, beside cleanlab, on labels with known corruption.

python benchmarks/check/run.py
"""

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from segmend.check import Detector, Measured, Seen, Suspect, Usual, samples_of, suspects_of
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
    "satellite": "dubai_aerial",
    "CelebAMask-HQ": "celebamask_hq_mini",
    "leaves": "coffee_leaves",
    "nuclei": "dsb2018_nuclei",
    "CamVid": "camvid",
}
"""Folders whose training split is checked: none of them was used for a choice."""

HALVED = ("celebamask_hq_mini",)
"""Sets at half of their resolution."""

IMAGES, FOLDS = 120, 3
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


def checked(folder: Folder, labels: list[np.ndarray], logits: list[torch.Tensor]) -> Checked:
    """Score images as `segmend.jobs.check` does, on maps in memory."""

    def seen_at(index: int) -> Seen:
        return Seen.of(folder.images[index], probabilities(logits[index], labels[index].shape))

    measured: list[Measured] = [seen_at(i).measure(one, folder.void) for i, one in enumerate(labels)]
    usual = Usual.of(measured, folder.classes)
    chosen = np.linspace(0, len(labels) - 1, min(SIMULATED, len(labels))).astype(int).tolist()
    present = sorted({int(i) for index in chosen for i in measured[index].areas.label})
    samples = []
    for before, index in zip([chosen[-1], *chosen], chosen, strict=False):
        seen = seen_at(index)
        seed = seed_of(folder.ids[index])
        samples.append(
            samples_of(lambda _, seen=seen: seen, labels[index], labels[before], present, folder.void, seed)
        )
    detector = Detector.fit(usual, samples)
    judged = [detector.judge(one) for one in measured]
    suspects = [
        suspects_of(one, verdict, usual, map_.shape)
        for one, verdict, map_ in zip(measured, judged, labels, strict=True)
    ]
    return Checked([one.score for one in judged], suspects)


def softmin(folder: Folder, labels: list[np.ndarray], logits: list[torch.Tensor]) -> list[float]:
    """Scores by cleanlab: 1 minus its label quality. Void pixels get the likeliest label, as it knows no void."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    found = []
    for one, map_ in zip(labels, logits, strict=True):
        p = probabilities(map_, one.shape)
        given = np.where(one == folder.void, p.argmax(axis=0), one).astype(np.int64)
        found.append(1 - float(get_label_quality_scores(given[None], p[None], verbose=False)[0][0]))
    return found


def pixel_issues(folder: Folder, labels: list[np.ndarray], logits: list[torch.Tensor], file: Path) -> list[float]:
    """Share of the pixels that cleanlab finds wrong, from a memory map, in which all images have one size."""
    from cleanlab.segmentation.filter import find_label_issues

    height, width = (int(np.median([one.shape[axis] for one in labels])) for axis in (0, 1))
    shape = len(labels), folder.classes, height, width
    maps = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    given = np.empty((len(labels), height, width), np.int64)
    for index, (one, logit) in enumerate(zip(labels, logits, strict=True)):
        rows, columns = ((np.arange(n) * m // n) for n, m in zip((height, width), one.shape, strict=True))
        p = probabilities(logit, one.shape)[:, rows][:, :, columns]
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


def regions_found(
    folder: Folder, corrupted: Corrupted, logits: list[torch.Tensor], found: Checked
) -> tuple[int, int]:
    """Corrupted regions that overlap one of as many first suspects by an IoU of half, and their number."""
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
            seen = Seen.of(folder.images[index], probabilities(logits[index], labels.shape))
            mask = suspect.mask(seen, labels, folder.void)
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
    for name in arguments.sets:
        folder = folder_of(arguments.data / SETS[name], SETS[name] in HALVED)
        fit = partial(out_of_fold_logits, classes=folder.classes, void=folder.void, folds=FOLDS)
        clean = fit(folder.features, folder.labels)
        images, regions = {}, {}
        for title, kind, percent in configurations():
            start = time.perf_counter()
            corrupted = corrupt(folder.labels, folder.classes, folder.void, kind, percent / 100, seed=1)
            logits = fit(folder.features, corrupted.labels)
            found, wrong = checked(folder, corrupted.labels, logits), set(corrupted.kinds)
            row = {
                "images": [len(wrong)],
                "segmend check": [average_precision(found.scores, wrong)],
                "cleanlab, softmin": [average_precision(softmin(folder, corrupted.labels, logits), wrong)],
            }
            if kind == "mixed":
                flagged = {i for i, score in enumerate(found.scores) if score >= THRESHOLD}
                hits, count = regions_found(folder, corrupted, logits, found)
                regions[f"{name}: {title}"] = {
                    "wrong": [len(wrong)],
                    "said to be wrong": [len(flagged)],
                    "of them right": [len(flagged & wrong)],
                    "kind right, %": [100 * float(np.mean(kinds_named(found, corrupted.kinds)))],
                    "wrong regions": [count],
                    "found, %": [100 * hits / max(1, count)],
                }
            if kind == "mixed" and percent == ALONE:
                shares = pixel_issues(folder, corrupted.labels, logits, arguments.runs / "maps.npy")
                row["cleanlab, pixel issues"] = [average_precision(shares, wrong)]
                better = checked(folder, corrupted.labels, clean), softmin(folder, corrupted.labels, clean)
                row["segmend check, predictions by right labels"] = [average_precision(better[0].scores, wrong)]
                row["cleanlab, softmin, predictions by right labels"] = [average_precision(better[1], wrong)]
            images[f"{name}: {title}"] = row
            shown = {column: round(value[0], 1) for column, value in row.items()}
            print(name, title, shown, f"{time.perf_counter() - start:.0f} s", flush=True)
        write_raw(HERE / "images.json", images, seeds=[1])
        write_raw(HERE / "regions.json", regions, seeds=[1])
    print(table("check/images", "labels"))
    print(table("check/regions", "labels"))


if __name__ == "__main__":
    main()
