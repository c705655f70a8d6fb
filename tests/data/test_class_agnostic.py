"""Class-agnostic training samples."""

import torch

from segmend.data.class_agnostic import ClassAgnosticSamples, border_error_pixels, to_slots
from segmend.data.corruptions import AnyCorruption
from segmend.data.dataset import open_dataset
from segmend.data.sampling import CoarseSource, Samples
from segmend.data.transforms import training_view


def test_slots_hold_the_most_probable_classes():
    coarse = torch.zeros(6, 2, 3)
    coarse[4] = 0.5
    coarse[1] = 0.25
    coarse[5] = 0.2
    coarse[2] = 0.05  # too little for a slot
    labels = torch.tensor([[4, 1, 5], [2, 255, 4]], dtype=torch.uint8)
    found = to_slots({"coarse": coarse, "labels": labels}, 2)
    assert torch.allclose(found["coarse"], torch.tensor([2 / 3, 1 / 3])[:, None, None].expand(2, 2, 3))
    assert found["labels"].tolist() == [[0, 1, 255], [255, 255, 0]]
    roomy = to_slots({"coarse": coarse, "labels": labels}, 8)
    assert roomy["coarse"].shape == (8, 2, 3)
    assert roomy["labels"].tolist() == [[0, 1, 2], [255, 255, 0]]
    assert roomy["coarse"][3:].max() == 0
    assert torch.allclose(roomy["coarse"].sum(dim=0), torch.ones(2, 3))


def test_errors_are_measured_in_pixels_of_border():
    labels = torch.zeros(10, 20, dtype=torch.uint8)
    labels[:, 10:] = 1
    coarse = torch.zeros(2, 10, 20)
    coarse[0, :, :13] = 1
    coarse[1, :, 13:] = 1
    assert border_error_pixels(coarse.argmax(dim=0), labels) == 3
    labels[:5] = 255
    assert border_error_pixels(coarse, torch.full_like(labels, 255)) == 0


def test_samples_come_from_all_sets_and_depend_on_the_seed_alone(synthetic, coarse):
    sets = [open_dataset(synthetic, "train").with_coarse(coarse / "train"), open_dataset(synthetic, "val")]
    view = training_view(48, (0.7, 1.4), True, 0.0, 255)
    source = CoarseSource(truth_share=0.5, corruption=AnyCorruption())
    samples = [Samples(set_, view, 40, 0, source) for set_ in sets]
    for shares, expected in (([1.0, 0.0], 0), ([0.0, 1.0], 1)):
        chosen = ClassAgnosticSamples(samples, shares, 10, 0, slots=4)
        assert torch.equal(chosen[3]["image"], samples[expected][3]["image"])
    both = ClassAgnosticSamples(samples, [0.5, 0.5], 40, 0, slots=4)
    again = ClassAgnosticSamples(samples, [0.5, 0.5], 40, 0, slots=4)
    given = 0
    for index in range(20):
        sample = both[index]
        assert all(torch.equal(value, again[index][name]) for name, value in sample.items() if name != "broken")
        assert sample["coarse"].shape == (4, 48, 48)
        assert set(sample["labels"].unique().tolist()) <= {0, 1, 2, 3, 255}
        assert sample["border_error_px"] == border_error_pixels(
            sample["coarse"].max(dim=0).indices, sample["labels"]
        )
        given += int(sample["error_given"])
    assert 3 < given < 17
