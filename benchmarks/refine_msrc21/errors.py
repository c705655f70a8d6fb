"""MSRC-21: where errors lie, how far ECN moves labels, which images it degrades; after run.py of the same kind.

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

from comparison import DATA, METHODS, Comparison  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import degraded_images, error_bands  # noqa: E402

BANDS = ((0, 3), (3, 10), (10, 20), (20, np.inf))
"""Distances from the label borders of the ground truth, in pixels."""

TITLES = tuple(f"{low:.0f} to {high:.0f} px" if np.isfinite(high) else f"over {low:.0f} px" for low, high in BANDS)


def bands_of(truth: np.ndarray, void: int) -> list[np.ndarray]:
    """Masks of the valid pixels in each band."""
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


def degraded(truth: Dataset, coarse: Path, refined: Path) -> dict[str, dict[str, list[float]]]:
    """Scores before and after, in points, of the images whose own mIoU fell by more than half a point."""
    count, found = len(truth.classes), {}
    files = find_maps(coarse), find_maps(refined)
    for record in truth:
        true = truth.labels(record)
        before, after = (confusion_matrix(labels_in(f[record.id], truth), true, count) for f in files)
        if mean_iou(after) < mean_iou(before) - 0.005:
            present = np.unique(true[true != truth.classes.void])
            names = ", ".join(truth.classes.names[i] for i in present)
            found[f"{record.id} ({names})"] = {
                title: [100 * float(measure(before)), 100 * float(measure(after))]
                for title, measure in (
                    ("own mIoU", mean_iou),
                    ("mIoU of its true classes", lambda c, present=present: np.nanmean(iou(c)[present])),
                    ("correct pixels", pixel_accuracy),
                )
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Where errors lie before and after refinement, over MSRC-21 val.")
    parser.add_argument("--data", type=Path, default=DATA / "msrc21")
    parser.add_argument("--runs", type=Path, default=Path("runs/msrc21"))
    parser.add_argument("--kind", choices=("linear", "deeplab"), default="linear")
    arguments = parser.parse_args()
    comparison = Comparison(arguments.runs, arguments.kind, "val", arguments.data, METHODS)
    truth = comparison.truth()
    rows = {"coarse": comparison.folder / "val" / "probs"}
    rows |= {m.name: comparison.folder / m.folder / "0" / "refined" / "labels" for m in METHODS}
    bands = {name: wrong_by_band(truth, folder) for name, folder in rows.items()}
    moves = moves_by_band(truth, comparison.folder / "ecn" / "0" / "refined" / "details")
    bands |= dict(zip(("ECN: median displacement, px", "ECN: mean fusion mask"), moves, strict=True))
    figures: dict[str, dict] = {
        name: {"bands": dict(zip(TITLES, map(float, values), strict=True))} for name, values in bands.items()
    }
    name = f"errors_{arguments.kind}"
    write_raw(HERE / f"{name}.json", figures | degraded(truth, rows["coarse"], rows["ECN"]), seeds=(0,))
    print(error_bands(f"{HERE.name}/{name}"), degraded_images(f"{HERE.name}/{name}"), sep="\n\n")


if __name__ == "__main__":
    main()
