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
    assert torch.allclose(permuted.probabilities, found.probabilities[order], atol=1e-6)
    first, second = found.probabilities.topk(2, dim=0).values
    clear = first - second > 1e-6  # refined probabilities may be equal too: any of these labels is right then
    assert clear.float().mean() > 0.99
    assert torch.equal(order[permuted.labels.long()][clear], found.labels.long()[clear])


@pytest.mark.parametrize("name", REFINERS)
@pytest.mark.parametrize("kind", ["mask", "void"])
@pytest.mark.parametrize("ids", [(1, 2, 3, 4, 5), (0, 7, 20, 90, 200), (200, 0, 90, 7, 20)])
def test_masks_with_any_ids_give_the_same_result_in_these_ids(name, kind, ids):
    image, coarse = image_and_map(kind, seed=0)
    labels = coarse.argmax(dim=0).to(torch.uint8)
    void = coarse.amax(dim=0) < 0.5
    renumbered = torch.tensor(ids, dtype=torch.uint8)[labels.long()]
    found, other = (REFINERS[name].refine(image, m.masked_fill(void, 255)) for m in (labels, renumbered))
    assert torch.equal(torch.tensor(ids)[found.labels.long()], other.labels.long())


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


def test_void_is_filled_from_the_nearest_pixel():
    labels = torch.full((9, 14), 255, dtype=torch.uint8)
    labels[2, 3], labels[7, 4], labels[4, 12] = 0, 2, 1
    maps = torch.stack([one_hot(labels, 3), one_hot(torch.full_like(labels, 255), 3)])
    filled = void_filled(maps)
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(14.0), indexing="ij")
    seeds = {0: (2, 3), 2: (7, 4), 1: (4, 12)}
    distance = torch.stack([(rows - seeds[c][0]) ** 2 + (columns - seeds[c][1]) ** 2 for c in range(3)]).sqrt()
    first, second = distance.topk(2, dim=0, largest=False).values
    clear = second - first > 0.5  # OpenCV's distances are approximate
    assert torch.equal(filled[0].argmax(dim=0)[clear], distance.argmin(dim=0)[clear])
    assert torch.equal(filled[0].amax(dim=0), torch.full((9, 14), 0.98))
    assert torch.equal(filled[1], maps[1])
