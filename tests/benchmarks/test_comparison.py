"""The benchmarks' machinery, small: from the embedded data set to raw figures and their tables."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import tables
from comparison import Comparison, Method, figures_of
from random_walker import RandomWalker
from raw import write_raw

FEW = ("optimisation.steps=2", "optimisation.batch=2", "optimisation.workers=0")


def rows_of(table):
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def test_from_raw_data_to_a_table(synthetic, tmp_path, monkeypatch):
    ecn = Method("ECN", "ecn_few_images", (*FEW, "ecn.width=quarter", "augmentation.crop=32"), seeds=2)
    undone = replace(ecn, name="ECN, minimum confidence 1", min_confidence=1.0, trained_as=ecn)
    filters = (Method("guided filter", "guided", ("trials=2", "images=2")),)
    methods = (*filters, ecn, undone, Method("random walker", made=RandomWalker))
    comparison = Comparison(tmp_path, "linear", "val", synthetic, methods, segmenter=FEW)
    found = comparison.run()
    assert [len(evaluations) for evaluations in found.values()] == [1, 2, 2, 1]
    scores = found[undone.name][0]
    assert scores.scores.mean_iou == pytest.approx(scores.coarse_scores.mean_iou)
    assert not (tmp_path / "linear" / undone.folder / "0" / "refiner").exists()
    assert (tmp_path / "linear" / "ecn" / "1" / "report.html").is_file()

    monkeypatch.setattr(tables, "HERE", tmp_path)
    figures = figures_of(found)
    write_raw(tmp_path / "few.json", figures | {"dense CRF": figures["guided filter"]}, seeds=(0, 1))
    text = tables.refinement("few")
    assert rows_of(text) == ["coarse", "guided filter", "ECN", undone.name, "random walker", "dense CRF"]
    assert "±" in text
    gains = tables.over_baseline("few")
    assert rows_of(gains) == rows_of(text)[1:-1]
    assert gains.splitlines()[2].startswith("| guided filter | +0.00 | +0.00 (at 3 px) |")
    assert tables.gain_over_baseline("few", undone.name) == pytest.approx(
        100 * (scores.coarse_scores.mean_iou - found["guided filter"][0].scores.mean_iou)
    )


def test_a_random_walker_stops_at_borders_of_the_image():
    image = torch.zeros(3, 20, 30)
    image[:, :, 17:] = 0.8
    coarse = torch.zeros(4, 20, 30)
    coarse[2] = torch.linspace(1.4, -0.4, 30).clamp(0, 1)  # even at column 14.5
    coarse[1] = 1 - coarse[2]
    refined = RandomWalker().refine(image, coarse)
    assert (refined.labels[:, :17] == 2).all()
    assert (refined.labels[:, 17:] == 1).all()
    assert torch.allclose(refined.probabilities.sum(dim=0), torch.ones(20, 30), atol=1e-2)
    alone = torch.eye(4)[:, :1, None].expand(4, 20, 30)
    assert (RandomWalker().refine(image, alone).labels == 0).all()
