"""Training samples: determined by seed and number, joint in image, labels and coarse map."""

import dataclasses

import numpy as np
import pytest
import torch

from segmend.data.class_uniform import find_centroids
from segmend.data.corruptions import fill_void
from segmend.data.dataset import open_dataset
from segmend.data.sampling import CoarseSource, Samples, collate
from segmend.data.transforms import training_view


def samples(synthetic, coarse, seed=0, colour=0.0, **source):
    dataset = open_dataset(synthetic, "train").with_coarse(coarse / "train")
    view = training_view(48, (0.7, 1.4), True, colour, dataset.classes.void)
    return Samples(dataset, view, 40, seed, CoarseSource(**source))


def test_sample_i_is_the_same_whenever_it_is_drawn(synthetic, coarse):
    first, second = samples(synthetic, coarse, variation=0.5), samples(synthetic, coarse, variation=0.5)
    second[3]
    a, b = first[7], second[7]
    for name in ("image", "labels", "coarse"):
        assert torch.equal(a[name], b[name])
    assert not torch.equal(a["image"], first[8]["image"])
    assert not torch.equal(a["image"], samples(synthetic, coarse, seed=1)[7]["image"])


def test_records_held_out_are_marked(synthetic, coarse):
    some = samples(synthetic, coarse)
    first = next(iter(some.dataset)).id
    some.held_out = frozenset([first])
    count = len(some.dataset)
    marks = [some[index]["held_out"] for index in range(count)]
    assert sum(map(int, marks)) == 1
    assert collate([some[0], some[1]])["held_out"].shape == (2,)


def test_drawing_samples_leaves_the_callers_random_numbers_alone(synthetic, coarse):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    samples(synthetic, coarse)[0]
    assert torch.equal(torch.rand(3), expected)


def test_an_epoch_holds_every_record_once(synthetic, coarse):
    synthetic_samples = samples(synthetic, coarse)
    count = len(synthetic_samples.dataset)
    seen = []
    synthetic_samples._draw = lambda record, index, centre: seen.append(record.id) or {}
    for index in range(2 * count):
        synthetic_samples[index]
    assert sorted(seen[:count]) == sorted(seen[count:]) == [r.id for r in synthetic_samples.dataset]
    assert seen[:count] != seen[count:]


def test_coarse_maps_move_with_their_labels(synthetic, coarse):
    """If the coarse map is the one-hot ground truth, both agree in every view."""
    dataset = open_dataset(synthetic, "train")
    view = training_view(48, (0.7, 1.4), True, 1.0, dataset.classes.void)
    source = CoarseSource(truth_share=0.0)
    samples_ = Samples(dataset, view, 20, 0, source)
    samples_._coarse = lambda record, labels: (
        torch.nn.functional.one_hot(fill_void(labels).long(), len(dataset.classes)).permute(2, 0, 1).float()
    )
    samples_.dataset = dataclasses.replace(
        dataset, records=tuple(dataclasses.replace(r, coarse=r.labels) for r in dataset)
    )
    for index in range(6):
        sample = samples_[index]
        valid = sample["labels"] != 255
        agree = (sample["coarse"].argmax(0) == sample["labels"])[valid]
        assert agree.float().mean() > 0.97


def test_a_broken_image_is_replaced_and_named(synthetic, coarse, tmp_path):
    synthetic_samples = samples(synthetic, coarse)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    records = list(synthetic_samples.dataset.records)
    records[5] = dataclasses.replace(records[5], image=broken)
    synthetic_samples.dataset = dataclasses.replace(synthetic_samples.dataset, records=tuple(records))
    batch = collate([synthetic_samples[i] for i in range(len(records))])
    assert len(batch["image"]) == len(records)
    assert len(batch["broken"]) == 1
    assert "broken.png" in batch["broken"][0]


def test_truth_comes_first_where_asked(synthetic, coarse):
    source = CoarseSource(truth_share=0.0, truth_first=4)
    record = samples(synthetic, coarse).dataset.records[0]
    assert [source.takes_truth(record, i) for i in range(6)] == [True] * 4 + [False] * 2


BY_HAND = 4
"""The first records of `partly_propagated`, of 12."""


def partly_propagated(synthetic, share, centroids=False):
    """Samples of four records labelled by hand and eight propagated ones."""
    dataset = open_dataset(synthetic, "train")
    distances = [0] * BY_HAND + [1, 3] * BY_HAND
    records = [dataclasses.replace(r, distance=d) for r, d in zip(dataset, distances, strict=True)]
    dataset = dataclasses.replace(dataset, records=tuple(records))
    view = training_view(48, (0.7, 1.4), True, 0.0, dataset.classes.void)
    found = find_centroids(dataset, 32) if centroids else None
    return Samples(dataset, view, 400, 0, centroids=found, propagated_share=share)


def drawn(some, count):
    """Numbers of the first records of `count` samples."""
    return np.array([some._place(index)[0][0] for index in range(count)])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 2 / 3, 0.9, 1.0])
@pytest.mark.parametrize("centroids", [False, True])
def test_the_share_of_propagated_frames_holds_and_is_spread_evenly(synthetic, share, centroids):
    chosen = partly_propagated(synthetic, share, centroids)
    propagated = drawn(chosen, 400) >= BY_HAND
    kinds = (propagated[::2], propagated[1::2]) if centroids else (propagated,)  # random crops, and centroids
    for kind in kinds:
        assert abs(np.cumsum(kind) - share * np.arange(1, len(kind) + 1)).max() < 1


def test_each_group_has_epochs_and_orders_of_its_own(synthetic):
    numbers = drawn(partly_propagated(synthetic, 0.5), 64)
    for group, records in ((numbers[numbers < BY_HAND], range(4)), (numbers[numbers >= BY_HAND], range(4, 12))):
        epochs = group.reshape(-1, len(records))
        assert all(sorted(epoch) == list(records) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_every_class_of_a_group_is_drawn_equally_often_around_centroids(synthetic):
    chosen = partly_propagated(synthetic, 0.5, centroids=True)
    for group, records in zip(chosen.groups, (range(BY_HAND), range(BY_HAND, 12)), strict=True):
        assert {one.record for ones in group.centroids for one in ones} <= set(records)
        places = {
            (one.record, np.float32(one.y), np.float32(one.x)): turn
            for turn, ones in enumerate(group.centroids)
            for one in ones
        }
        turns = []
        for index in range(1, 400, 2):
            order, centre = chosen._place(index)
            assert centre is not None
            if order[0] in records:
                turns.append(places[(int(order[0]), *centre.tolist())])
        assert turns == [number % len(group.centroids) for number in range(len(turns))]


@pytest.mark.parametrize("centroids", [False, True])
def test_without_a_share_or_without_two_groups_the_order_is_the_one_of_all_records(synthetic, centroids):
    mixed = partly_propagated(synthetic, None, centroids)
    plain = open_dataset(synthetic, "train")
    found = find_centroids(plain, 32) if centroids else None
    alone = Samples(plain, mixed.view, 400, 0, centroids=found, propagated_share=0.5)
    numbers = drawn(alone, 60)
    assert np.array_equal(drawn(mixed, 60), numbers)
    if not centroids:
        expected = [np.random.default_rng((0, epoch)).permutation(12) for epoch in range(5)]
        assert np.array_equal(numbers, np.concatenate(expected))


def test_a_broken_frame_is_replaced_by_one_of_its_group(synthetic, tmp_path):
    chosen = partly_propagated(synthetic, 0.5)
    nowhere = tmp_path / "nothing.png"
    nowhere.write_bytes(b"")
    records = list(chosen.dataset.records)
    records[5] = dataclasses.replace(records[5], image=nowhere)
    chosen.dataset = dataclasses.replace(chosen.dataset, records=tuple(records))
    seen = []
    chosen.view = lambda sample: sample
    read = chosen._draw

    def noted(record, index, centre):
        sample = read(record, index, centre)
        seen.append(record.distance > 0)
        return sample

    chosen._draw = noted
    broken = [message for index in range(16) for message in chosen[index]["broken"]]
    assert len(broken) == 1
    assert seen == [False, True] * 8
    gone = [dataclasses.replace(record, image=nowhere) if record.distance else record for record in records]
    chosen.dataset = dataclasses.replace(chosen.dataset, records=tuple(gone))
    assert len(chosen[1]["broken"]) == 8  # then one labelled by hand
