"""Class-uniform sampling."""

import numpy as np
import pytest
import torch

from segmend.data.class_uniform import Centroid, centroids_in, find_centroids
from segmend.data.dataset import open_dataset
from segmend.data.sampling import Samples
from segmend.data.transforms import training_view


@pytest.mark.parametrize("size", [(20, 33), (5, 6), (16, 16)])
def test_centroids_are_means_over_tiles(size):
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, 3, 255], np.uint8), size)
    found = {(c, round(y, 6), round(x, 6)) for c, y, x in centroids_in(labels, 5, 8)}
    expected = set()
    for top in range(0, size[0], 8):
        for left in range(0, size[1], 8):
            part = labels[top : top + 8, left : left + 8]
            for label in set(part.ravel().tolist()) - {255}:
                y, x = np.nonzero(part == label)
                expected.add((label, round(y.mean() + top, 6), round(x.mean() + left, 6)))
    assert found == expected
    assert centroids_in(np.full(size, 255, np.uint8), 5, 8) == []


def samples(synthetic, centroids, crop=24):
    dataset = open_dataset(synthetic, "train")
    view = training_view(crop, (1.0, 1.0), True, 0.0, 255)
    return Samples(dataset, view, 200, 0, centroids=centroids)


def test_every_second_sample_holds_a_class_in_turn(synthetic):
    dataset = open_dataset(synthetic, "train")
    centroids = find_centroids(dataset, 16)
    assert len(centroids) == len(dataset.classes)
    chosen = samples(synthetic, centroids, crop=17)
    there = [label for label, some in enumerate(centroids) if some]
    for turn in range(2 * len(there)):
        labels = chosen[2 * turn + 1]["labels"]
        assert (labels == there[turn % len(there)]).any()


def test_ordinary_samples_are_those_of_no_centroids(synthetic):
    plain = samples(synthetic, None)
    chosen = samples(synthetic, find_centroids(open_dataset(synthetic, "train"), 16))
    records = len(open_dataset(synthetic, "train"))
    for index in range(0, 2 * records, 2):
        assert chosen._place(index)[1] is None
        assert chosen._place(index)[0][0] == plain._place(index // 2)[0][0]


def test_a_centroid_is_in_the_middle_where_the_image_allows(synthetic):
    dataset = open_dataset(synthetic, "train")
    labels = torch.from_numpy(dataset.labels(dataset.records[3]))
    height, width = labels.shape
    for y, x, top, left in (
        (height // 2, width // 2, height // 2 - 4, width // 2 - 4),
        (0, width - 1, 0, width - 8),
    ):
        sample = samples(synthetic, [[], [Centroid(3, y, x)]], crop=8)[1]
        cut = labels[top : top + 8, left : left + 8]
        assert torch.equal(sample["labels"], cut) or torch.equal(sample["labels"], cut.flip(-1))


def test_images_smaller_than_a_crop_work(synthetic):
    centroids = find_centroids(open_dataset(synthetic, "train"), 1000)
    assert samples(synthetic, centroids, crop=400)[1]["labels"].shape == (400, 400)


def test_classes_that_no_image_holds_are_skipped(synthetic):
    chosen = samples(synthetic, [[], [], [Centroid(0, 5, 5)], []])
    assert [len(some) for some in chosen.centroids] == [1]
    assert samples(synthetic, [[], []])[1]["labels"].shape == (24, 24)
