"""The search of a filter's parameters: it finds planted optima, in the planned rounds, and writes what it did."""

import dataclasses
import json

import pytest

from segmend.data.dataset import open_dataset
from segmend.jobs.progress import bar
from segmend.labels import InvalidInput
from segmend.refiners import DenseCRF, GuidedFilter, load
from segmend.training.options import DataOptions
from segmend.training.tasks import filter as module
from segmend.training.tasks.filter import CoarseMaps, FilterRecipe


def silent(title, total):
    return bar(title, total, quiet=True)


def recipe(synthetic, coarse, **changed):
    data = DataOptions(root=synthetic, train="train")
    maps = CoarseMaps(train=coarse / "train")
    return FilterRecipe(data=data, coarse=maps, **({"filter": "crf"} | changed))


def test_it_comes_close_to_a_planted_optimum(synthetic, coarse, tmp_path, monkeypatch):
    """With a score that peaks at known parameters (on a log scale), the best setting must lie near them."""

    def peak(setting, *rest):
        return -abs(setting.bilateral_sxy / 33 - 1) - abs(setting.certainty / 0.7 - 1)

    monkeypatch.setattr(module, "_score", peak)
    asked = recipe(synthetic, coarse, trials=64, images=3)
    assert module.run(asked, tmp_path, silent) == []
    best = load(tmp_path)
    assert best.bilateral_sxy == pytest.approx(33, rel=0.25)
    assert best.certainty == pytest.approx(0.7, rel=0.25)
    rounds = json.loads((tmp_path / "search.json").read_text())["rounds"]
    assert [len(r["mean_iou"]) for r in rounds] == [64, 16, 4, 64, 16, 4]
    assert [r["images"] for r in rounds] == [3, 9, 12, 3, 9, 12]
    assert all(r["mean_iou"] == sorted(r["mean_iou"], reverse=True) for r in rounds)
    assert module.run(asked, tmp_path, lambda title, total: pytest.fail("searched again")) == []
    with pytest.raises(InvalidInput, match="another recipe"):
        module.run(recipe(synthetic, coarse, trials=63, images=3), tmp_path, silent)


def test_parameters_stay_in_range_and_whole_numbers_whole(synthetic, coarse, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "_score", lambda setting, *rest: seen.append(setting) or setting.radius)
    dataset = open_dataset(synthetic, "train").with_coarse(coarse / "train")
    module.search(recipe(synthetic, coarse, filter="guided", trials=32, images=3), dataset, silent)
    assert all(isinstance(s, GuidedFilter) and isinstance(s.radius, int) and 2 <= s.radius <= 40 for s in seen)
    assert all(1e-6 <= s.eps <= 0.1 for s in seen)


def test_the_result_is_never_worse_than_the_default_and_broken_files_are_named(synthetic, coarse, tmp_path):
    dataset = open_dataset(synthetic, "train").with_coarse(coarse / "train").subset({"00000", "00001", "00002"})
    corrupted = tmp_path / "corrupted.jpg"
    corrupted.write_bytes(b"")
    records = (*dataset.records[:2], dataclasses.replace(dataset.records[2], image=corrupted))
    dataset = dataclasses.replace(dataset, records=records)
    best, rounds, broken = module.search(recipe(synthetic, coarse, trials=3, images=2), dataset, silent)
    assert len(broken) == 1
    assert "corrupted.jpg" in broken[0]
    assert isinstance(best, DenseCRF)
    assert rounds[-1]["mean_iou"][0] >= rounds[1]["mean_iou"][0] - 1e-9
