"""Blobs, against scipy's labelling and loops."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from segmend.ops import native
from segmend.ops.blobs import (
    blob_log_means,
    blob_softmax_sums,
    blob_sums,
    find_blobs,
    label_components,
    numbered_blobs,
)


def snake(size=65):
    """A class that winds through another, one pixel wide."""
    labels = np.zeros((size, size), np.uint8)
    labels[::2] = 1
    labels[1::4, -1] = 1
    labels[3::4, 0] = 1
    return labels


def test_components_are_those_of_scipy():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 3, (40, 50)), rng.integers(0, 2, (40, 50))]).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.1] = 255
    found = find_blobs(torch.from_numpy(labels))
    expected = 0
    for image in range(2):
        for c in range(3):
            areas, number = ndimage.label(labels[image] == c, np.ones((3, 3)))
            expected += number
            for area in range(1, number + 1):
                ids = found.ids[image].numpy()[areas == area]
                assert len(set(ids.tolist())) == 1
                assert found.labels[ids[0]] == c
                assert found.images[ids[0]] == image
                assert found.sizes[ids[0]] == len(ids)
    assert len(found) == expected
    assert (found.ids.numpy() == -1).sum() == (labels == 255).sum()


def test_a_class_of_an_image_can_be_one_blob():
    labels = torch.tensor([[[3, 0, 3], [255, 255, 255]], [[0, 0, 9], [255, 3, 3]]]).byte()
    found = find_blobs(labels, by_class=True)
    assert found.ids.tolist() == [[[1, 0, 1], [-1, -1, -1]], [[2, 2, 4], [-1, 3, 3]]]
    assert found.labels.tolist() == [0, 3, 0, 3, 9]
    assert found.images.tolist() == [0, 0, 1, 1, 1]
    assert found.sizes.tolist() == [1, 2, 2, 2, 1]


def test_blobs_can_have_given_numbers():
    labels = torch.tensor([[[1, 1, 0], [255, 1, 0]], [[1, 1, 0], [0, 0, 0]]]).byte()
    numbers = torch.tensor([[[7, 2, 0], [7, 7, 0]], [[7, 7, 300], [300, 300, 5]]])
    found = numbered_blobs(numbers, labels)
    assert found.ids.tolist() == [[[2, 1, 0], [-1, 2, 0]], [[4, 4, 5], [5, 5, 3]]]
    assert found.labels.tolist() == [0, 1, 1, 0, 1, 0]
    assert found.images.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.sizes.tolist() == [2, 1, 2, 1, 2, 3]
    assert len(numbered_blobs(numbers, torch.full_like(labels, 255))) == 0


def test_areas_with_numbers_are_the_same_blobs():
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (2, 20, 30)).astype(np.uint8))
    areas = np.stack([label_components(map_, 255) for map_ in labels.numpy()])
    found, again = find_blobs(labels), numbered_blobs(torch.from_numpy(areas), labels)
    for name in ("ids", "labels", "images", "sizes"):
        assert torch.equal(getattr(found, name), getattr(again, name))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([[[0, 0, 1]]], "one label in each blob, found 2 and 3 in blob 0"),
        ([[[0, -1, 1]]], "from 0, found -1"),
        ([[[0, 1]]], r"size \[1, 1, 3\], found \[1, 1, 2\]"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers, words):
    with pytest.raises(ValueError, match=words):
        numbered_blobs(torch.tensor(numbers), torch.tensor([[[2, 3, 3]]]).byte())


def test_a_snake_is_one_blob():
    found = find_blobs(torch.from_numpy(snake())[None])
    assert (found.labels == 1).sum() == 1
    assert found.sizes.sum() == 65 * 65


def test_sums_and_means_are_exact_over_large_areas():
    torch.manual_seed(0)
    blobs = find_blobs(torch.from_numpy(np.stack([snake(), snake().T.copy()])))
    values = torch.randn(2, 3, 65, 65, dtype=torch.float64)
    sums, log_means = blob_sums(values, blobs), blob_log_means(values, blobs)
    for m in range(len(blobs)):
        own = values.movedim(1, -1)[blobs.ids == m]
        assert torch.allclose(sums[m], own.sum(0))
        assert torch.allclose(log_means[m], own.exp().mean(0).log())


def test_wide_label_maps_and_no_blob_at_all():
    wide = torch.full((1, 4, 4), 65535, dtype=torch.int32)
    assert len(find_blobs(wide, ignore_index=65535)) == 0
    wide[0, 1, 1] = 300
    assert find_blobs(wide, ignore_index=65535).labels.tolist() == [300]


def logits_and_blobs(classes, size=(2, 9, 300)):
    torch.manual_seed(0)
    target = torch.randint(0, 3, (size[0], 3, -(-size[2] // 50)), dtype=torch.uint8)
    target = target.repeat_interleave(3, 1).repeat_interleave(50, 2)[:, : size[1], : size[2]].contiguous()
    target[:, 4, ::7] = 255
    return torch.randn(size[0], classes, *size[1:]) * 3, find_blobs(target)


@pytest.mark.parametrize("classes", [1, 3, 70])
def test_sums_of_softmax_and_its_logarithm(backend, classes):
    logits, blobs = logits_and_blobs(classes)
    shares, log_shares = blob_softmax_sums(logits, blobs)
    log_p = logits.double().log_softmax(dim=1)
    assert torch.allclose(shares.double(), blob_sums(log_p.exp(), blobs), rtol=1e-4, atol=1e-5)
    assert torch.allclose(log_shares.double(), blob_sums(log_p, blobs), rtol=1e-4, atol=1e-3)


def test_gradients_of_sums_are_those_of_the_formula(monkeypatch):
    logits, blobs = logits_and_blobs(5)
    logits.requires_grad_()
    weights = torch.randn(2, len(blobs), 5)

    def gradient():
        sums = torch.stack(blob_softmax_sums(logits, blobs))
        return torch.autograd.grad((sums * weights).sum(), logits)[0]

    found = gradient()
    assert found.movedim(1, -1)[blobs.ids < 0].abs().max() == 0
    monkeypatch.setenv(native.REFERENCE, "1")
    assert torch.allclose(found, gradient(), atol=1e-4)


def test_the_number_of_threads_does_not_change_sums():
    logits, blobs = logits_and_blobs(4)
    torch.set_num_threads(4)
    try:
        many = torch.stack(blob_softmax_sums(logits, blobs))
    finally:
        torch.set_num_threads(1)
    assert torch.allclose(many, torch.stack(blob_softmax_sums(logits, blobs)), rtol=1e-5)


def test_pytorch_knows_the_operation():
    logits, blobs = logits_and_blobs(3, size=(1, 6, 20))
    arguments = (logits.requires_grad_(), blobs.ids, len(blobs))
    found = torch.library.opcheck(torch.ops.segmend.blob_softmax_sums.default, arguments)
    assert set(found.values()) == {"SUCCESS"}
