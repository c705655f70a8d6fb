"""A small evaluation with its folders: four images of three classes."""

from pathlib import Path

import numpy as np
import pytest

from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_arrays, write_probabilities
from segmend.report.results import (
    Bin,
    Confidence,
    Evaluation,
    ImageScore,
    Run,
    Scores,
    Skipped,
    Threshold,
    write_results,
)

CLASSES = ["sky", "cow", "grass & <b>$x$</b>"]
PALETTE = [(70, 130, 180), (200, 30, 30), (20, 160, 40)]
SIZE = (48, 64)


def make_scores(mean_iou: float) -> Scores:
    return Scores(
        pixel_accuracy=mean_iou + 0.1,
        mean_accuracy=mean_iou + 0.05,
        mean_iou=mean_iou,
        boundary_iou=mean_iou - 0.2,
        boundary_f=mean_iou - 0.1,
        region_j=mean_iou - 0.05,
        iou={"sky": mean_iou, "cow": 1.5 * mean_iou - 0.4, "grass & <b>$x$</b>": None},
        f_measure={"sky": mean_iou, "cow": mean_iou, "animals": mean_iou},
        trimap=[mean_iou - 0.1 / width for width in range(1, 9)],
    )


def make_truth() -> np.ndarray:
    truth = np.full(SIZE, 2, np.uint8)
    truth[:20] = 0
    truth[14:36, 20:44] = 1
    truth[:, :3] = 255
    return truth


def score(identity: str, mean_iou: float) -> ImageScore:
    """An image whose pixel accuracy changes as its mIoU does."""
    return ImageScore(
        id=identity, mean_iou=mean_iou, pixel_accuracy=mean_iou, coarse_mean_iou=0.7, coarse_pixel_accuracy=0.7
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``results.json`` and all that it names.

    Of the images a, b, sub/c and d, a and d (more) are improved, b is degraded, sub/c is similar.
    """
    truth = make_truth()
    coarse = np.roll(np.where(truth == 255, 0, truth), 4, axis=1)
    worse = np.roll(coarse, 9, axis=0)
    refined = {"a": np.where(truth == 255, 0, truth), "b": worse, "sub/c": coarse, "d": truth}
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for name, labels in refined.items():
        write_labels(tmp_path / "truth" / f"{name}.png", truth, tuple(PALETTE))
        write_labels(tmp_path / "coarse" / f"{name}.png", coarse)
        write_labels(tmp_path / "out" / "labels" / f"{name}.png", labels, note="universal")
        write_image(tmp_path / "images" / f"{name}.jpg", photo)
    displacement = np.stack([np.full(SIZE, 3.0), np.full(SIZE, -4.0)]).astype(np.float16)
    mask = np.full(SIZE, 128, np.uint8)
    details = {"displacement": displacement, "fusion_mask": mask, "confidence": mask, "change_confidence": mask}
    write_arrays(tmp_path / "out" / "details" / "a.npz", **details)
    sure = np.eye(3)[refined["a"]].transpose(2, 0, 1)
    sure[:, :, :32] = 1 / 3
    write_probabilities(tmp_path / "out" / "probs" / "a.npz", sure)
    run = Run(
        version="0.1.0",
        command="refine",
        model="universal",
        classes=CLASSES,
        done=4,
        seconds={"read": 0.5, "network": 1.5, "write": 0.25, "total": 2.0},
        images_per_second=2.0,
        skipped=[Skipped(file="e.jpg", reason="the file is empty")],
    )
    evaluation = Evaluation(
        version="0.1.0",
        classes=CLASSES,
        palette=PALETTE,
        truth="truth",
        pred="out/labels",
        coarse="coarse",
        images="images",
        scores=make_scores(0.794),
        coarse_scores=make_scores(0.726),
        improved=0.5,
        degraded=0.25,
        corrected_pixels=300,
        degraded_pixels=100,
        confidence=Confidence(
            calibration_error=0.034,
            reliability=[
                Bin(pixels=40, confidence=0.55, accuracy=0.5),
                Bin(pixels=900, confidence=0.97, accuracy=0.93),
            ],
            thresholds=[
                Threshold(min_confidence=0.5, mean_iou=0.794, degraded=0.25),
                Threshold(min_confidence=0.55, mean_iou=0.797, degraded=0.0),
                Threshold(min_confidence=0.6, mean_iou=0.788, degraded=0.0),
            ],
        ),
        per_image=[
            score("a", 0.8),
            score("b", 0.5),
            score("sub/c", 0.704),
            score("d", 1.0),
        ],
        run=run,
        skipped=[Skipped(file="f.png", reason="no truth <for> it")],
    )
    write_results(tmp_path / "results.json", evaluation)
    return tmp_path
