"""MSRC-21: where errors lie, how far ECN moves labels, whom it harms; after run.py of the same kind.

python benchmarks/refine_msrc21/errors.py --kind linear
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

from segmend.data.dataset import Dataset
from segmend.data.details import read_details
from segmend.data.maps import find_maps, read_map
from segmend.labels import as_tensor, most_likely
from segmend.metrics import confusion_matrix, iou, mean_iou, pixel_accuracy

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA, METHODS, Comparison, replace_table  # noqa: E402

BANDS = ((0, 3), (3, 10), (10, 20), (20, np.inf))
"""Distances from the true label borders, in pixels."""


def bands_of(truth: np.ndarray, void: int) -> list[np.ndarray]:
    """Masks of the known pixels in each band."""
    border = np.zeros(truth.shape, bool)
    for axis in (0, 1):
        changes = np.diff(truth.astype(int), axis=axis) != 0
        border |= np.pad(changes, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        border |= np.pad(changes, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
    away = ndimage.distance_transform_edt(~border) if border.any() else np.full(truth.shape, np.inf)
    return [(truth != void) & (away >= low) & (away < high) for low, high in BANDS]


def labels_in(path: Path, truth: Dataset) -> np.ndarray:
    """The label map in a file, or the most likely labels of its probabilities."""
    map_ = as_tensor(read_map(path, truth.classes))
    return (most_likely(map_) if map_.ndim == 3 else map_).numpy()


def wrong_by_band(truth: Dataset, folder: Path) -> np.ndarray:
    """Share of wrong pixels in each band, in percent."""
    files, wrong, total = find_maps(folder), np.zeros(len(BANDS)), np.zeros(len(BANDS))
    for record in truth:
        true, labels = truth.labels(record), labels_in(files[record.id], truth)
        for i, band in enumerate(bands_of(true, truth.classes.void)):
            wrong[i] += (labels != true)[band].sum()
            total[i] += band.sum()
    return 100 * wrong / total


def moves_by_band(truth: Dataset, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Median length of the displacements in pixels, and mean of the fusion mask, in each band."""
    lengths: list[list[np.ndarray]] = [[] for _ in BANDS]
    masks: list[list[np.ndarray]] = [[] for _ in BANDS]
    for record in truth:
        shown = read_details(folder / f"{record.id}.npz")
        length = np.hypot(*shown["displacement"])
        for i, band in enumerate(bands_of(truth.labels(record), truth.classes.void)):
            lengths[i].append(length[band])
            masks[i].append(shown["fusion_mask"][band] / 255)
    medians = [float(np.median(np.concatenate(values))) for values in lengths]
    return np.array(medians), np.array([float(np.concatenate(values).mean()) for values in masks])


def degraded(truth: Dataset, coarse: Path, refined: Path) -> str:
    """Markdown: the images whose own mIoU fell by more than half a point, and what else became of them."""
    count = len(truth.classes)
    files = find_maps(coarse), find_maps(refined)
    lines = ["| degraded | own mIoU | over its true classes alone | right pixels, % |", "|---|---|---|---|"]
    for record in truth:
        true = truth.labels(record)
        before, after = (confusion_matrix(labels_in(f[record.id], truth), true, count) for f in files)
        if mean_iou(after) < mean_iou(before) - 0.005:
            there = np.unique(true[true != truth.classes.void])
            cells = [
                f"{100 * measure(before):.1f} to {100 * measure(after):.1f}"
                for measure in (mean_iou, lambda c, there=there: np.nanmean(iou(c)[there]), pixel_accuracy)
            ]
            names = ", ".join(truth.classes.names[i] for i in there)
            lines.append(f"| {record.id} ({names}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Where errors lie before and after, over MSRC-21 val.")
    parser.add_argument("--data", type=Path, default=DATA / "msrc21")
    parser.add_argument("--runs", type=Path, default=Path("runs/msrc21"))
    parser.add_argument("--kind", choices=("linear", "deeplab"), default="linear")
    arguments = parser.parse_args()
    comparison = Comparison(arguments.runs, arguments.kind, "val", arguments.data, METHODS)
    truth = comparison.truth()
    titles = [f"{low:.0f} to {high:.0f} px" if np.isfinite(high) else f"over {low:.0f} px" for low, high in BANDS]
    lines = ["| wrong pixels, % | " + " | ".join(titles) + " |", "|---" * (len(BANDS) + 1) + "|"]
    rows = {"coarse": comparison.folder / "val" / "probs"}
    rows |= {m.name: comparison.folder / m.folder / "0" / "refined" / "labels" for m in METHODS}
    for name, folder in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{w:.1f}" for w in wrong_by_band(truth, folder)) + " |")
    lengths, masks = moves_by_band(truth, comparison.folder / "ecn" / "0" / "refined" / "details")
    lines.append("| ECN: median displacement, px | " + " | ".join(f"{v:.1f}" for v in lengths) + " |")
    lines.append("| ECN: mean fusion mask | " + " | ".join(f"{v:.2f}" for v in masks) + " |")
    worse = degraded(truth, rows["coarse"], rows["ECN"])
    text = "\n".join(lines) + "\n\n" + worse
    replace_table(HERE.parents[1] / "docs" / "results.md", f"msrc21 {arguments.kind} errors", text)
    print(text)


if __name__ == "__main__":
    main()
