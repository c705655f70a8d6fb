"""Scores as text."""

import math
from pathlib import Path
from typing import Any

import pytest

from segmend.report.collect import collect
from segmend.report.results import Evaluation, read_results
from segmend.report.wording import NONE, headline, images, percent, signed, verdict


@pytest.mark.parametrize(("value", "words"), [(0.7264, "72.6"), (1.0, "100.0"), (None, NONE), (math.nan, NONE)])
def test_percent(value: float | None, words: str) -> None:
    assert percent(value) == words


@pytest.mark.parametrize(
    ("gain", "words", "kind"),
    [
        (0.068, "+6.8", "better"),
        (-0.068, "\N{MINUS SIGN}6.8", "worse"),
        (0.0004, "0.0", "same"),
        (-0.0004, "0.0", "same"),
        (None, NONE, "same"),
    ],
)
def test_gain_and_its_verdict_agree(gain: float | None, words: str, kind: str) -> None:
    assert signed(gain) == words
    assert verdict(gain) == kind


def test_images_are_counted() -> None:
    assert [images(count) for count in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]


def headline_of(folder: Path, **changes: Any) -> tuple[str, str]:
    evaluation = read_results(folder / "results.json")
    assert isinstance(evaluation, Evaluation)
    return headline(collect(evaluation.model_copy(update=changes), folder))


def test_headline_gives_the_scores_and_the_images_improved_and_degraded(folder: Path) -> None:
    assert headline_of(folder) == (
        "mIoU 72.6 → 79.4 (+6.8)",
        "2 of 4 images improved, 1 degraded",
    )


def test_headline_of_one_image(folder: Path) -> None:
    images = read_results(folder / "results.json").per_image[:1]  # type: ignore[union-attr]
    _, second = headline_of(folder, per_image=images)
    assert second == "1 of 1 image improved, 0 degraded"


def test_headline_without_comparison(folder: Path) -> None:
    images = [
        p.model_copy(update={"coarse_mean_iou": None, "coarse_pixel_accuracy": None})
        for p in read_results(folder / "results.json").per_image  # type: ignore[union-attr]
    ]
    changes = {"coarse": None, "coarse_scores": None, "per_image": images}
    assert headline_of(folder, **changes) == ("mIoU 79.4", "4 images scored")
