"""A result never depends on how classes are numbered."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmend.labels import one_hot
from segmend.refiners import DenseCRF, GuidedFilter, load
from segmend.refiners.present_classes import class_order, present_classes, void_filled

REFINERS = {
    "universal": load("universal"),
    "crf": DenseCRF(bilateral_sxy=10, smooth_sxy=2),
    "guided": GuidedFilter(radius=4),
}
CLASSES, SIZE = 5, (24, 36)


def image_and_map(kind, seed):
    """An image, and a coarse map with ties between classes: within cells (masks), or at pixels (rounded, void)."""
    random = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, CLASSES, (4, 6), generator=random)
    labels = blocks.repeat_interleave(6, 0).repeat_interleave(6, 1).roll((2, 2), (0, 1)).to(torch.uint8)
    image = 0.7 * torch.rand(3, *SIZE, generator=random) + 0.05 * labels
    if kind == "void":
        labels[:20, :28] = 255
    if kind in ("mask", "void"):
        return image, one_hot(labels, CLASSES)
    coarse = (2 * torch.randn(CLASSES, *SIZE, generator=random) + 2 * one_hot(labels, CLASSES)).softmax(dim=0)
    if kind == "rounded":
        coarse = (6 * coarse).round() + 0.1
    return image, coarse / coarse.sum(dim=0)


@pytest.mark.parametrize("name", REFINERS)
@pytest.mark.parametrize("kind", ["mask", "void", "soft", "rounded"])
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(order=st.permutations(range(CLASSES)), seed=st.integers(0, 10_000))
def test_permuted_classes_give_permuted_labels(name, kind, order, seed):
    image, coarse = image_and_map(kind, seed)
    order = torch.tensor(order)
    with torch.inference_mode():
        found, permuted = (
            REFINERS[name].refine_batch(image[None], map_[None])[0] for map_ in (coarse, coarse[order])
        )
    # Guided filters sum over classes where they normalise: this may round differently.
    assert torch.allclose(permuted.probabilities, found.probabilities[order], atol=1e-6)
    assert torch.equal(order[permuted.labels.long()], found.labels.long())


def test_classes_are_ordered_by_their_total_and_then_by_place():
    coarse = torch.zeros(1, 4, 2, 6)
    coarse[0, 2, :, :3] = 1
    coarse[0, 0, :, 3:5] = 1
    coarse[0, 3, 0, 5] = 1
    coarse[0, 1, 1, 5] = 1
    assert class_order(coarse).tolist() == [2, 0, 3, 1]
    assert class_order(coarse[:, [1, 0, 3, 2]]).tolist() == [3, 1, 2, 0]


def test_present_classes_are_likeliest_somewhere_and_void_does_not_count():
    coarse = one_hot(torch.tensor([[3, 3, 255], [3, 1, 255]], dtype=torch.uint8), 5)
    assert present_classes(coarse[None]).tolist() == [3, 1]
    void = one_hot(torch.full((2, 3), 255, dtype=torch.uint8), 5)
    assert present_classes(void[None]).tolist() == []


def test_void_is_filled_with_the_mean_of_its_image():
    maps = torch.stack(
        [
            one_hot(torch.tensor([[0, 1], [1, 255]], dtype=torch.uint8), 3, smoothing=0.0),
            one_hot(torch.full((2, 2), 255, dtype=torch.uint8), 3),
        ]
    )
    filled = void_filled(maps)
    assert torch.allclose(filled[0, :, 1, 1], torch.tensor([1 / 3, 2 / 3, 0.0]))
    assert torch.equal(filled[0, :, 0], maps[0, :, 0])
    assert torch.equal(filled[1], maps[1])
