"""The protocol: what people hand in, what they get back, and images cut into tiles."""

import numpy as np
import pytest
import torch

from segmend.labels import InvalidInput, one_hot
from segmend.refiners.base import Refinement, Refiner, refine_bands
from segmend.refiners.combine import mixed


class Sharpen(Refiner):
    """Squares the probabilities, and pretends to have moved everything by its own column."""

    def refine_batch(self, image, coarse, border_error_px=None):
        squared = coarse**2
        columns = torch.arange(image.shape[3]).expand(image.shape[0], 2, *image.shape[2:]).float()
        mask = torch.full((image.shape[0], *image.shape[2:]), 0.5)
        return Refinement.of(
            squared / squared.sum(1, keepdim=True), coarse, displacement=columns * 0, fusion_mask=mask
        )


class Swap(Refiner):
    """Made for two classes; swaps them."""

    num_classes = 2

    def refine_batch(self, image, coarse, border_error_px=None):
        return Refinement.of(coarse.flip(1), coarse)


class SwapFour(Swap):
    """The same for four: the first and the last, and those between."""

    num_classes = 4


def test_labels_arrays_and_tensors_give_the_same():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (12, 17, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, (12, 17), dtype=np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    results = [
        Swap().refine(image, labels),
        Swap().refine(tensor, one_hot(torch.from_numpy(labels), 2)),
        Swap().refine(image / np.float32(255), torch.from_numpy(labels)),
    ]
    for refined in results:
        assert torch.equal(refined.labels, 1 - torch.from_numpy(labels))
        assert refined.changed.all()
        assert torch.allclose(refined.confidence, torch.full((12, 17), 0.98))


def test_a_refiner_of_any_classes_counts_them_in_the_labels():
    labels = np.array([[0, 3], [255, 1]], dtype=np.uint8)
    assert Sharpen().refine(np.zeros((2, 2, 3), np.uint8), labels).probabilities.shape == (4, 2, 2)
    assert Sharpen().refine(np.zeros((2, 2, 3), np.uint8), labels, num_classes=6).probabilities.shape[0] == 6


@pytest.mark.parametrize(
    ("image", "coarse", "words"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), "one size"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), "RGB"),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 7, np.uint8), "ids"),
        (np.full((4, 4, 3), 200.0), np.zeros((4, 4), np.uint8), "0..1"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((2, 4, 4), np.float32), "sum to 1"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), np.nan, np.float32), "NaN"),
        (np.zeros((4, 4, 3), np.uint8), np.full((3, 4, 4), 1 / 3, np.float32), "2 classes"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(image, coarse, words):
    with pytest.raises(InvalidInput, match=words):
        Swap().refine(image, coarse)


def test_tiles_give_what_the_whole_image_gives():
    torch.manual_seed(0)
    image, coarse = torch.rand(3, 90, 75), torch.randn(4, 90, 75).softmax(0)
    whole = Sharpen().refine(image, coarse)
    bands = list(refine_bands(Sharpen(), image, coarse, 4, tile=32, overlap=8))
    assert len(bands) > 1
    assert torch.allclose(torch.cat([m.probabilities for _, m in bands], 1), whole.probabilities, atol=1e-5)
    assert torch.equal(torch.cat([m.labels for _, m in bands]), whole.labels)
    assert torch.cat([m.displacement for _, m in bands], 1).shape == (2, 90, 75)
    assert torch.allclose(torch.cat([m.fusion_mask for _, m in bands]), torch.full((90, 75), 0.5))


def test_what_is_given_is_not_written_to():
    class Same(Refiner):
        def refine_batch(self, image, coarse, border_error_px=None):
            return Refinement.of(coarse, coarse)

    torch.manual_seed(0)
    coarse = torch.randn(4, 50, 40).softmax(0)
    before = coarse.clone()
    bands = [
        m
        for _, m in refine_bands(Same(), torch.rand(3, 50, 40), coarse, 4, tile=32, overlap=8, min_confidence=0.9)
    ]
    assert torch.equal(coarse, before)
    assert torch.allclose(torch.cat([m.probabilities for m in bands], 1), coarse, atol=1e-6)


def test_a_change_is_as_sure_as_the_new_label_is_likelier_than_the_coarse_one():
    new = torch.tensor([0.6, 0.3, 0.1]).view(3, 1, 1).expand(3, 1, 3)
    coarse = torch.eye(3).view(3, 1, 3)  # pixels that were 0, 1 and 2
    refined = Refinement.of(new, coarse)
    assert refined.changed.tolist() == [[False, True, True]]
    assert torch.allclose(refined.change_confidence, torch.tensor([[1 / 2, 0.6 / 0.9, 0.6 / 0.7]]))


def test_where_a_refiner_is_unsure_the_coarse_map_may_stay():
    torch.manual_seed(0)
    image, coarse = torch.rand(3, 20, 30), (3 * torch.randn(4, 20, 30)).softmax(0)
    bold, careful, still = (SwapFour().refine(image, coarse, min_confidence=least) for least in (0.0, 0.8, 1.0))
    assert bold.changed.all()
    sure = bold.change_confidence >= 0.8
    assert not torch.equal(sure, bold.confidence >= 0.8)  # more than two classes
    assert torch.equal(careful.changed, sure)
    assert torch.equal(careful.labels, torch.where(sure, bold.labels, coarse.argmax(0)))
    assert torch.equal(careful.probabilities.argmax(0).to(torch.uint8), careful.labels)
    assert not still.changed.any()
    (band,) = [m for _, m in refine_bands(SwapFour(), image, coarse, 4, min_confidence=0.8)]
    assert torch.equal(band.labels, careful.labels)


def test_a_mixture_with_the_coarse_map():
    torch.manual_seed(0)
    coarse, new = (torch.randn(4, 20, 30).mul(3).softmax(0) for _ in range(2))
    before, every = Refinement.of(coarse, coarse), Refinement.of(new, coarse, fusion_mask=torch.rand(20, 30))
    for share, expected in ((0.0, new), (1.0, coarse)):
        assert torch.equal(mixed(every, coarse, share).probabilities, expected)
    found = mixed(every, coarse, 0.6)
    assert torch.allclose(found.probabilities, 0.4 * new + 0.6 * coarse, atol=1e-6)
    assert torch.equal(found.labels, found.probabilities.argmax(dim=0).to(found.labels.dtype))
    assert torch.equal(found.confidence, found.probabilities.amax(dim=0))
    assert torch.equal(found.changed, found.labels != before.labels)
    assert 0 < int(found.changed.sum()) < int(every.changed.sum())
    assert torch.equal(found.change_confidence[found.changed], every.change_confidence[found.changed])
    assert (found.change_confidence[~found.changed] == 0.5).all()
    assert torch.equal(found.fusion_mask, every.fusion_mask)


def test_a_refiner_chooses_its_coarse_weight_by_the_coarse_map():
    class Turn(Refiner):
        num_classes = 4

        def refine_batch(self, image, coarse, border_error_px=None):
            return Refinement.of(coarse.roll(1, dims=1), coarse)

    class Cautious(Turn):
        def coarse_weight_for(self, coarse, border_error_px=None):
            assert coarse.shape == (4, 23, 18)  # every fourth pixel of the whole image, also where that is cut
            return 0.5

    torch.manual_seed(0)
    image, coarse = torch.rand(3, 90, 70), (3 * torch.randn(4, 90, 70)).softmax(0)
    every = Turn().refine(image, coarse)
    expected = mixed(every, coarse, 0.5).labels
    assert not torch.equal(expected, every.labels)
    assert torch.equal(Cautious().refine(image, coarse).labels, expected)
    for tile in (128, 32):
        bands = [m.labels for _, m in refine_bands(Cautious(), image, coarse, 4, tile=tile, overlap=8)]
        assert torch.equal(torch.cat(bands), expected)
    assert torch.equal(
        Cautious().refine(image, coarse, min_confidence=0.5).labels, every.labels
    )  # told, it is not
