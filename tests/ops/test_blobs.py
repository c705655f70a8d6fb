"""Blobs, against scipy's labelling and loops."""

import numpy as np
import torch
from scipy import ndimage

from segmend.ops.blobs import blob_log_means, blob_sums, find_blobs


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
    for picture in range(2):
        for c in range(3):
            areas, number = ndimage.label(labels[picture] == c, np.ones((3, 3)))
            expected += number
            for area in range(1, number + 1):
                ids = found.ids[picture].numpy()[areas == area]
                assert len(set(ids.tolist())) == 1
                assert found.labels[ids[0]] == c
                assert found.pictures[ids[0]] == picture
                assert found.sizes[ids[0]] == len(ids)
    assert len(found) == expected
    assert (found.ids.numpy() == -1).sum() == (labels == 255).sum()


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
    assert len(find_blobs(wide)) == 0
    wide[0, 1, 1] = 300
    assert find_blobs(wide).labels.tolist() == [300]
