"""The baselines follow the image's edges, and are saved and loaded."""

import pytest
import torch

from segmend.labels import InvalidInput, one_hot
from segmend.refiners import DenseCRF, GuidedFilter, load, save_filter


def disk_with_a_square_mask():
    """A bright disk on dark ground, and a square as its coarse mask."""
    y, x = torch.meshgrid(torch.arange(48), torch.arange(60), indexing="ij")
    disk = ((x - 30) ** 2 + (y - 24) ** 2 < 15**2).to(torch.uint8)
    square = ((x - 30).abs().maximum((y - 24).abs()) < 14).to(torch.uint8)
    image = 0.2 + 0.6 * disk.float().expand(3, -1, -1)
    return image, disk, square


@pytest.mark.parametrize("refiner", [DenseCRF(bilateral_sxy=20), GuidedFilter(radius=6, eps=1e-4)])
def test_a_filter_brings_a_coarse_mask_to_the_edge(refiner):
    image, disk, square = disk_with_a_square_mask()
    refined = refiner.refine(image, one_hot(square, 2, smoothing=0.3))
    assert (refined.labels != disk).sum() < 0.5 * (square != disk).sum()
    assert torch.allclose(refined.probabilities.sum(0), torch.ones(48, 60), atol=1e-4)
    assert torch.equal(refined.changed, refined.labels != square)


def test_without_pairwise_terms_the_crf_changes_nothing():
    torch.manual_seed(0)
    coarse = torch.randn(4, 20, 22).softmax(0)
    refined = DenseCRF(smooth_weight=0, bilateral_weight=0).refine(torch.rand(3, 20, 22), coarse)
    assert torch.allclose(refined.probabilities, coarse, atol=1e-4)


@pytest.mark.parametrize("refiner", [DenseCRF(iterations=3, certainty=0.5), GuidedFilter(radius=3)])
def test_parameters_survive_a_folder(tmp_path, refiner):
    save_filter(refiner, tmp_path / "filter")
    assert load(tmp_path / "filter") == refiner


def test_names_load_and_nonsense_is_refused(tmp_path):
    assert load("crf") == DenseCRF()
    assert load("guided") == GuidedFilter()
    with pytest.raises(InvalidInput, match="not a model folder"):
        load(tmp_path)
