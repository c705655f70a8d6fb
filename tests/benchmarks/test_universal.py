"""The class-agnostic refiner: what it is trained on, and how it is scored."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "universal"))

import tables
from map_constants import CONFIDENT_WEIGHTS, MapConstants, find_map_constants
from mosaics import SIDE, mosaic
from raw import write_raw
from regions import CLASSES, regions, write_regions
from scoring import CORRUPTION, Case, Score, figures_of, score

from segmend.data.dataset import open_dataset, pair_labels
from segmend.data.synthetic import generate_dataset
from segmend.labels import one_hot
from segmend.refiners import GuidedFilter, Refinement, Refiner


def test_regions_lie_between_borders_of_the_image():
    image = np.zeros((192, 288, 3), np.uint8)
    image[:, 120:] = (250, 40, 40)
    image[60:132, 180:240] = (40, 250, 40)
    for seed in range(8):
        labels = regions(image, np.random.default_rng(seed))
        assert labels.max() < len(CLASSES)
        for inside in (labels[:, :114], labels[:54, 126:], labels[66:126, 186:234]):
            assert (inside == inside[0, 0]).all()


def test_a_data_set_of_regions(synthetic, tmp_path):
    write_regions(synthetic / "images" / "train", tmp_path, count=5)
    dataset = open_dataset(tmp_path, "train")
    assert len(dataset) == 5
    assert max(int(dataset.labels(record).max()) for record in dataset) > 0


@pytest.mark.parametrize("kind", CORRUPTION)
def test_gains_of_a_refiner_over_corruption(synthetic, kind):
    dataset = open_dataset(synthetic, "val")
    change, count = CORRUPTION[kind], len(dataset.classes)
    case = Case("synthetic", kind, dataset, lambda record, labels: change(labels, count))
    found = score(case, {"guided": GuidedFilter()})
    assert 0 < found["coarse"].mean_iou < 100
    assert found["guided"].mean_iou != found["coarse"].mean_iou
    figures = figures_of([(case, [found])])
    assert list(figures) == [f"synthetic: {kind}", f"mean: {kind}"]
    assert figures[f"synthetic: {kind}"]["coarse"] == found["coarse"].mean_iou


def test_a_mosaic_holds_small_images_and_their_labels(tmp_path):
    generate_dataset(tmp_path, train=9, val=1, height=64, width=96)
    dataset = open_dataset(tmp_path, "train")
    image, labels = mosaic(dataset, np.random.default_rng(1))
    assert image.shape == (SIDE, SIDE, 3)
    assert set(np.unique(labels)) <= {*range(len(dataset.classes)), 255}
    again, _ = mosaic(dataset, np.random.default_rng(1))
    assert np.array_equal(again, image)
    assert not np.array_equal(mosaic(dataset, np.random.default_rng(2))[0], image)
    corners = [mosaic(dataset, np.random.default_rng(seed))[0][:128, :128].mean() for seed in range(9)]
    whole = [pair_labels(dataset, record)[0][:, 16:80].mean() for record in dataset.records]
    assert min(abs(a - b) for a in corners for b in whole) < 2  # an image's middle, made small


class Swaps(Refiner):
    """Gives the top of the image to the next class, confidently enough for a coarse weight below 0.359.

    An appearance weight makes all maps wrong.
    """

    coarse_weight = coarse_weight_confident = appearance = 0.0
    keep_shares = 1.0

    def coarse_weight_for(self, coarse, border_error_px=None):
        return self.coarse_weight if float(coarse.amax(dim=0).mean()) < 0.95 else self.coarse_weight_confident

    def refine_batch(self, image, coarse, border_error_px=None):
        refined, rows = coarse.clone(), slice(0, coarse.shape[2] // 4)
        other = coarse.roll(1, dims=1)
        refined[..., rows, :] += 0.78 * (other - coarse)[..., rows, :]
        return Refinement.of(refined.flip(1) if self.appearance else refined, coarse)


@pytest.fixture
def kind(synthetic):
    """Makes a case of true maps, or of maps whose top `Swaps` refines."""
    dataset = open_dataset(synthetic, "val")
    count = len(dataset.classes)

    def make(smoothing, swapped, name="synthetic"):
        def coarse(record, labels):
            map_ = one_hot(labels.clamp_max(count - 1), count, smoothing)
            if swapped:
                map_[:, : len(labels) // 4] = map_[:, : len(labels) // 4].roll(-1, dims=0)
            return map_

        return Case("synthetic", name, dataset, coarse)

    return make


SMOOTHING = (0.1, 0.02)
LOWEST = MapConstants(0.0, CONFIDENT_WEIGHTS[0], 0.0, 1.0)


def test_constants_gain_most_of_those_that_degrade_no_kind(kind):
    wrong = [[kind(smoothing, True)] * 3 for smoothing in SMOOTHING]
    assert find_map_constants(Swaps(), *wrong) == LOWEST
    for number, cases in enumerate(wrong):  # their gain is larger than the loss on correct maps
        true = kind(SMOOTHING[number], False)
        found = find_map_constants(Swaps(), *wrong[:number], [true, *cases], *wrong[number + 1 :])
        assert found[number] > 0.359
        assert found[1 - number] == LOWEST[1 - number]


def test_means_and_spreads_over_seeds_are_of_gains(kind, tmp_path, monkeypatch):
    def scores(**after):
        coarse = Score(50.0, 40.0, 0.0, np.zeros(()))
        return {"coarse": coarse} | {name: Score(*of, np.zeros(())) for name, of in after.items()}

    seeds = [
        scores(one=(51.0, 40.5, 5.0), two=(49.0, 39.0, 10.0)),
        scores(one=(52.0, 40.5, 0.0)),
        scores(one=(51.5, 41.5, 1.0)),
    ]
    write_raw(tmp_path / "gains.json", figures_of([(kind(0.0, False, "a segmenter"), seeds)]))
    monkeypatch.setattr(tables, "HERE", tmp_path)
    text = tables.gains("gains").splitlines()
    row = "+1.50 ± 0.50 | +0.83 ± 0.50 | 2.0 % | -1.00 | -1.00 | 10.0 % |"
    assert text[2] == f"| synthetic | a segmenter | 50.0 | {row}"
    assert text[3:] == ["| mean | segmenters |  | +1.50 ± 0.50 |  |  | -1.00 |  |  |"]
