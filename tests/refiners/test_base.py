"""The protocol: what people hand in, what they get back, and images cut into tiles."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

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


def test_a_refiner_of_any_classes_counts_those_that_occur_in_the_labels():
    labels = np.array([[0, 3], [255, 1]], dtype=np.uint8)
    refined = Sharpen().refine(np.zeros((2, 2, 3), np.uint8), labels)
    assert refined.probabilities.shape == (3, 2, 2)
    assert refined.labels[labels != 255].tolist() == [0, 3, 1]
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
    assert torch.equal(Cautious().refine(image, coarse, min_confidence=0.5).labels, every.labels)


def test_python_cuts_large_images_into_tiles_too():
    seen = []

    class Looks(Sharpen):
        def refine_batch(self, image, coarse, border_error_px=None):
            seen.append(tuple(image.shape[2:]))
            return super().refine_batch(image, coarse)

    torch.manual_seed(0)
    image, coarse = torch.rand(3, 90, 75), torch.randn(4, 90, 75).softmax(0)
    whole, tiled = Looks().refine(image, coarse), Looks().refine(image, coarse, tile=32)
    assert seen[0] == (90, 75)
    assert max(height for height, _ in seen[1:]) <= 16
    assert max(width for _, width in seen[1:]) <= 32
    assert torch.equal(tiled.labels, whole.labels)
    for name in ("probabilities", "confidence", "change_confidence", "displacement", "fusion_mask"):
        assert torch.allclose(getattr(tiled, name), getattr(whole, name), atol=1e-5)
    assert torch.equal(tiled.changed, whole.changed)


class Moves(torch.nn.Module, SwapFour):
    """A network, on whatever device it is said to be."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))


@pytest.mark.parametrize("tile", [64, 16])
def test_inputs_go_to_the_network_and_results_come_back(monkeypatch, tile):
    moved, to = [], torch.Tensor.to

    def fake(tensor, *where, **how):
        if where and isinstance(where[0], torch.device):
            moved.append((tuple(tensor.shape), tensor.dtype, where[0].type))
            return tensor
        return to(tensor, *where, **how)

    monkeypatch.setattr("segmend.refiners.base.device_of", lambda model: torch.device("cuda"))
    monkeypatch.setattr(torch.Tensor, "to", fake)
    image, labels = np.zeros((40, 30, 3), np.uint8), np.zeros((40, 30), np.uint8)
    labels[:4] = 255
    assert (Moves().refine(image, labels, tile=tile).labels == 3)[4:].all()
    assert moved[0] == ((3, 40, 30), torch.float32, "cuda")
    there = [shape for shape, dtype, device in moved if device == "cuda" and dtype == torch.uint8]
    assert sum(height * width for height, width in there) >= 40 * 30  # coarse labels
    back = [shape for shape, dtype, device in moved if device == "cpu" and len(shape) == 3]
    assert sum(height for _, height, _ in back) == 40  # probabilities


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_arrays_and_a_refiner_on_an_accelerator():
    image, labels = np.zeros((40, 30, 3), np.uint8), np.zeros((40, 30), np.uint8)
    labels[:4] = 255
    network = Moves().cuda()
    expected = Moves().refine(image, labels).labels
    assert torch.equal(network.refine(image, labels).labels, expected)
    on_device = network.refine(torch.from_numpy(image).cuda(), labels).labels
    assert on_device.is_cuda
    assert torch.equal(on_device.cpu(), expected)


def test_results_can_be_targets_of_a_loss():
    refined = Swap().refine(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    prediction = torch.zeros(2, 4, 4, requires_grad=True)
    (prediction * refined.probabilities).sum().backward()
    assert torch.equal(prediction.grad, refined.probabilities)


def test_void_is_filled_or_kept_and_is_no_change():
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (40, 30), dtype=torch.uint8)
    void = torch.zeros(40, 30, dtype=torch.bool)
    void[5:15] = True
    labels[void] = 255
    image = torch.rand(3, 40, 30)

    class LastWins(Refiner):
        """Prefers the last class a little."""

        def refine_batch(self, image, coarse, border_error_px=None):
            new = coarse + torch.tensor([0.0, 0.0, 0.0, 0.1]).view(4, 1, 1)
            return Refinement.of(new / 1.1, coarse)

    for options in ({}, {"min_confidence": 0.9}, {"tile": 16}):
        filled = LastWins().refine(image, labels, 4, **options)
        assert (filled.labels[void] == 3).all()  # and not class 0, which is the first of a uniform coarse map
        assert not filled.changed[void].any()
        kept = LastWins().refine(image, labels, 4, keep_void=True, **options)
        assert (kept.labels[void] == 255).all()
        assert (kept.probabilities[:, void] == 0.25).all()
        assert (kept.confidence[void] == 0.25).all()
        assert not kept.changed[void].any()
        assert torch.equal(kept.labels[~void], filled.labels[~void])
        assert torch.equal(kept.probabilities[:, ~void], filled.probabilities[:, ~void])


@pytest.mark.parametrize("tile", [16, 64])
def test_a_label_map_without_any_label_is_not_refined(tile):
    class Never(Refiner):
        def refine_batch(self, image, coarse, border_error_px=None):
            raise AssertionError

    refined = Never().refine(np.zeros((40, 30, 3), np.uint8), np.full((40, 30), 255, np.uint8), 4, tile=tile)
    assert (refined.labels == 255).all()
    assert (refined.probabilities == 0.25).all()
    assert not refined.changed.any()


def test_options_that_do_not_fit_are_refused():
    image, labels = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    for options, words in (
        ({"border_error_px": 3}, "Swap does not use a border error"),
        ({"min_confidence": 1.5}, "0..1"),
        ({"tile": 3}, "at least 16"),
    ):
        with pytest.raises(InvalidInput, match=words):
            Swap().refine(image, labels, **options)


def test_a_border_error_reaches_refiners_that_use_it():
    class Takes(Swap):
        takes_border_error = True

        def refine_batch(self, image, coarse, border_error_px=None):
            given.append(border_error_px)
            return super().refine_batch(image, coarse)

        def coarse_weight_for(self, coarse, border_error_px=None):
            given.append(border_error_px)
            return 0.0

    given = []
    image, labels = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    Takes().refine(image, labels, border_error_px=3.5)
    assert given == [3.5, 3.5]
    with pytest.raises(InvalidInput, match="above 0"):
        Takes().refine(image, labels, border_error_px=0)


def test_a_notebook_shows_what_changed():
    coarse = torch.zeros(900, 600, dtype=torch.uint8)
    coarse[:, 300:] = 7
    coarse[:100] = 255
    found = Refinement.of(one_hot(coarse.clamp_max(7).roll(60, 1), 9), one_hot(coarse.clamp_max(7), 9))
    shown = np.asarray(Image.open(io.BytesIO(found._repr_png_())))
    assert shown.shape == (450, 3 * 300, 3)
    before, after, changed = shown[:, :300], shown[:, 300:600], shown[:, 600:]
    assert (changed == 255 * found.changed[::2, ::2, None].numpy()).all()
    assert ((before != after).any(axis=2) == (changed[..., 0] > 0)).all()
    assert len(np.unique(after.reshape(-1, 3), axis=0)) == 2
