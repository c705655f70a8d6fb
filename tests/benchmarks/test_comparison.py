"""The benchmarks' machinery, small: from the embedded data set to a table."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from comparison import Comparison, Method, margins, replace_table, table
from random_walker import RandomWalker

FEW = ("optimisation.steps=2", "optimisation.batch=2", "optimisation.workers=0")


def test_from_raw_data_to_a_table(synthetic, tmp_path):
    ecn = Method("ECN", "ecn_few_images", (*FEW, "ecn.width=quarter", "augmentation.crop=32"), seeds=2)
    careful = replace(ecn, name="ECN, unsure changes undone", min_confidence=1.0, trained_as=ecn)
    filters = (Method("guided filter", "guided", ("trials=2", "images=2")),)
    methods = (*filters, ecn, careful, Method("random walker", made=RandomWalker))
    comparison = Comparison(tmp_path, "linear", "val", synthetic, methods, segmenter=FEW)
    found = comparison.run()
    assert [len(evaluations) for evaluations in found.values()] == [1, 2, 2, 1]
    undone = found[careful.name][0]
    assert undone.scores.mean_iou == pytest.approx(undone.coarse_scores.mean_iou)
    assert not (tmp_path / "linear" / careful.folder / "0" / "refiner").exists()
    text = table(found)
    rows = [line.split("|")[1].strip() for line in text.splitlines()]
    assert rows == ["refiner", "---", "coarse", "guided filter", "ECN", careful.name, "random walker"]
    assert "±" in text
    gains = margins({"dense CRF": found["guided filter"], **found}).splitlines()
    assert [line.split("|")[1].strip() for line in gains[2:]] == rows[3:]
    assert gains[2] == "| guided filter | +0.00 | +0.00 (at 3 px) |"
    same = margins({"dense CRF": found["ECN"], "ECN": found["ECN"]}).splitlines()[2]
    assert same == "| ECN | +0.00 | +0.00 (at 3 px) |"
    assert (tmp_path / "linear" / "ecn" / "1" / "report.html").is_file()
    document = tmp_path / "results.md"
    document.write_text("before\n<!-- here -->\nold\n<!-- /here -->\nafter\n")
    replace_table(document, "here", text)
    assert document.read_text() == f"before\n<!-- here -->\n{text}\n<!-- /here -->\nafter\n"
    with pytest.raises(SystemExit, match="no place"):
        replace_table(document, "elsewhere", text)


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
