"""Training samples: determined by seed and number, joint in image, labels and coarse map."""

import dataclasses

import torch

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
