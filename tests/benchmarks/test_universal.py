"""The refiner of any classes: what it is trained on, and how it is scored."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "universal"))

from regions import CLASSES, regions, write_regions
from scoring import DAMAGE, Case, score, table

from segmend.data.dataset import open_dataset
from segmend.refiners import GuidedFilter


def test_regions_lie_between_borders_of_the_picture():
    image = np.zeros((192, 288, 3), np.uint8)
    image[:, 120:] = (250, 40, 40)
    image[60:132, 180:240] = (40, 250, 40)
    for seed in range(8):
        labels = regions(image, np.random.default_rng(seed))
        assert labels.max() < len(CLASSES)
        for inside in (labels[:, :114], labels[:54, 126:], labels[66:126, 186:234]):
            assert (inside == inside[0, 0]).all()


def test_a_data_set_of_regions(drawn, tmp_path):
    write_regions(drawn / "images" / "train", tmp_path, count=5)
    dataset = open_dataset(tmp_path, "train")
    assert len(dataset) == 5
    assert max(int(dataset.labels(record).max()) for record in dataset) > 0


@pytest.mark.parametrize("kind", DAMAGE)
def test_gains_of_a_refiner_over_damage(drawn, kind):
    dataset = open_dataset(drawn, "val")
    change, count = DAMAGE[kind], len(dataset.classes)
    case = Case("drawn", kind, dataset, lambda record, labels: change(labels, count))
    found = score(case, {"guided": GuidedFilter()})
    assert found["coarse"].mean_iou == 100 if kind == "the truth" else 0 < found["coarse"].mean_iou < 100
    assert found["guided"].mean_iou != found["coarse"].mean_iou
    text = table([(case, found)])
    assert f"| drawn | {kind} | {found['coarse'].mean_iou:.1f} |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1
