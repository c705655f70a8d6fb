"""Searches: they find planted optima, spend as planned, and write what they did."""

import dataclasses
import json

import numpy as np
import pytest

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_probabilities
from segmend.jobs import search as module
from segmend.labels import Classes
from segmend.refiners import DenseCRF, GuidedFilter, load
from segmend.training.recipe import CoarseOptions, DataOptions, FilterRecipe


def recipe(synthetic, coarse, **changed):
    data = DataOptions(root=synthetic, train="train")
    maps = CoarseOptions(train=coarse / "train")
    return FilterRecipe(task="filter", data=data, coarse=maps, **({"filter": "crf"} | changed))


def test_it_comes_close_to_a_planted_optimum(synthetic, coarse, tmp_path, monkeypatch):
    """With a score that peaks at known parameters (on a log scale), the best setting must lie near them."""

    def peak(setting, *rest):
        return -abs(setting.bilateral_sxy / 33 - 1) - abs(setting.certainty / 0.7 - 1)

    monkeypatch.setattr(module, "_score", peak)
    dataset = open_dataset(synthetic, "train").with_coarse(coarse / "train")
    assert module.search(recipe(synthetic, coarse, trials=64, images=3), dataset, tmp_path, quiet=True) == []
    best = load(tmp_path)
    assert best.bilateral_sxy == pytest.approx(33, rel=0.25)
    assert best.certainty == pytest.approx(0.7, rel=0.25)
    rounds = json.loads((tmp_path / "search.json").read_text())["rounds"]
    assert [len(r["mean_iou"]) for r in rounds] == [64, 16, 4, 64, 16, 4]
    assert [r["images"] for r in rounds] == [3, 9, 12, 3, 9, 12]
    assert all(r["mean_iou"] == sorted(r["mean_iou"], reverse=True) for r in rounds)


def test_parameters_stay_in_range_and_whole_numbers_whole(synthetic, coarse, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "_score", lambda setting, *rest: seen.append(setting) or setting.radius)
    dataset = open_dataset(synthetic, "train").with_coarse(coarse / "train")
    module.search(recipe(synthetic, coarse, filter="guided", trials=32, images=3), dataset, tmp_path, quiet=True)
    assert all(isinstance(s, GuidedFilter) and isinstance(s.radius, int) and 2 <= s.radius <= 40 for s in seen)
    assert all(1e-6 <= s.eps <= 0.1 for s in seen)


def test_the_result_is_never_worse_than_the_default_and_broken_files_are_named(synthetic, coarse, tmp_path):
    dataset = open_dataset(synthetic, "train").with_coarse(coarse / "train").subset({"00000", "00001", "00002"})
    corrupted = tmp_path / "corrupted.jpg"
    corrupted.write_bytes(b"")
    records = (*dataset.records[:2], dataclasses.replace(dataset.records[2], image=corrupted))
    dataset = dataclasses.replace(dataset, records=records)
    broken = module.search(recipe(synthetic, coarse, trials=3, images=2), dataset, tmp_path, quiet=True)
    assert len(broken) == 1
    assert "corrupted.jpg" in broken[0]
    best = load(tmp_path)
    rounds = json.loads((tmp_path / "search.json").read_text())["rounds"]
    assert isinstance(best, DenseCRF)
    assert rounds[-1]["mean_iou"][0] >= rounds[1]["mean_iou"][0] - 1e-9


# ---- votes ----


def scenes(root, wrong=False, puddle=False, scored=()):
    """Grey ground below a bright wall, and coarse maps that are little sure.

    Args:
        wrong: they have a part of the ground wrong.
        puddle: there is a second class on the ground that nobody can tell from it by colours.
    """
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        truth = np.zeros((64, 64), np.uint8)
        truth[32:] = 1
        image = np.where(truth[..., None] == 1, 128, 230) + rng.integers(-3, 4, (64, 64, 3))
        if puddle:
            truth[40:56, 20:40] = 2
        map_ = truth.copy()
        if wrong:
            map_[48:, :16] = 0
        write_image(root / "images" / "train" / f"{name}.png", image.astype(np.uint8))
        write_labels(root / "labels" / "train" / f"{name}.png", truth)
        write_probabilities(root / "coarse" / f"{name}.npz", 0.7 * np.eye(3)[map_].transpose(2, 0, 1) + 0.1)
    more = {"evaluate_on": list(scored)} if scored else {}
    write_description(root, "scenes", Classes(("wall", "ground", "puddle")), **more)
    return open_dataset(root, "train").with_coarse(root / "coarse")


def test_appearance_is_weighted_where_it_improves(tmp_path):
    assert module.fit_appearance(scenes(tmp_path, wrong=True), quiet=True) > 0


def test_appearance_has_no_weight_where_it_degrades(tmp_path):
    assert module.fit_appearance(scenes(tmp_path, puddle=True), quiet=True) == 0


def test_appearance_is_weighted_as_the_scored_classes_want(tmp_path):
    both = {"wrong": True, "puddle": True}
    assert module.fit_appearance(scenes(tmp_path / "all", **both), quiet=True) == 0
    assert module.fit_appearance(scenes(tmp_path / "some", **both, scored=("wall", "ground")), quiet=True) > 0


def test_without_coarse_maps_appearance_has_no_weight(synthetic):
    assert module.fit_appearance(open_dataset(synthetic, "train"), quiet=True) == 0


def test_no_more_images_than_needed_are_asked_and_broken_ones_are_passed_over(tmp_path, monkeypatch):
    dataset = scenes(tmp_path, wrong=True)
    asked = []
    monkeypatch.setattr(module, "appearance_at_pixels", lambda image, coarse: asked.append(1) or 0 * coarse)
    monkeypatch.setattr(module, "FITTED_ON", 2)
    module.fit_appearance(dataset, quiet=True)
    assert len(asked) == 2
    (tmp_path / "labels" / "train" / "a.png").write_bytes(b"")
    module.fit_appearance(dataset, quiet=True)
    assert len(asked) == 3
