"""Random views: sizes, fillings, and which of the parts are touched."""

import pytest
import torch
from torchvision import tv_tensors

from segmend.data.transforms import LabelMap, ProbabilityMap, RandomView, training_view


def sample(height, width, classes=3):
    labels = torch.randint(0, classes, (height, width), dtype=torch.uint8)
    return {
        "image": tv_tensors.Image(torch.randint(0, 256, (3, height, width), dtype=torch.uint8)),
        "labels": LabelMap(labels),
        "coarse": ProbabilityMap(torch.randn(classes, height, width).softmax(0)),
    }


@pytest.mark.parametrize("size", [(100, 90), (20, 200), (9, 11), (1, 1)])
def test_views_have_the_size_asked_for_whatever_the_image(size):
    torch.manual_seed(0)
    view = training_view(32, (0.5, 1.5), True, 1.0, 255)
    for _ in range(8):
        seen = view(sample(*size))
        assert seen["image"].shape == (3, 32, 32)
        assert seen["image"].dtype == torch.float32
        assert 0 <= seen["image"].min() <= seen["image"].max() <= 1
        assert seen["labels"].shape == (32, 32)
        assert seen["labels"].dtype == torch.uint8
        assert torch.allclose(seen["coarse"].sum(0), torch.ones(32, 32), atol=1e-4)


def test_outside_is_void_and_undecided():
    seen = RandomView(40, (1.0, 1.0), mirror=False)(sample(10, 40))
    outside = seen["labels"] == 255
    assert outside.all(1).sum() == 30
    assert torch.allclose(seen["coarse"][:, outside], torch.tensor(1 / 3))


def test_inside_the_image_nothing_is_padded():
    torch.manual_seed(0)
    given = sample(10, 40)
    given["labels"] = LabelMap((torch.arange(40) // 4).to(torch.uint8).expand(10, 40))
    view = RandomView(40, (0.5, 2.0), inside=True)
    for _ in range(10):
        labels = view(given)["labels"]
        assert labels.shape == (40, 40)
        assert labels.max() < 10
        assert labels.unique().numel() <= 4  # bands 4 px wide, in a square as high as the image


def test_at_scale_one_nothing_is_resampled():
    torch.manual_seed(0)
    given = sample(16, 16)
    view = RandomView(16, (1.0, 1.0), mirror=True)
    for _ in range(4):
        seen = view(given)
        same = torch.equal(seen["labels"], given["labels"])
        mirrored = torch.equal(seen["labels"], given["labels"].flip(-1))
        assert same or mirrored
        assert torch.equal(seen["coarse"], given["coarse"] if same else given["coarse"].flip(-1))


def test_mixed_views_hold_more_than_one_class():
    labels = torch.zeros(60, 60, dtype=torch.uint8)
    labels[:20, :20] = 1
    labels[40:] = 255  # void is no class
    sample = {"labels": LabelMap(labels)}
    torch.manual_seed(0)
    view = RandomView(16, scale=(1, 1), mixed=True)
    counts = [len(set(view(sample)["labels"].unique().tolist()) - {255}) for _ in range(30)]
    plain = RandomView(16, scale=(1, 1))
    others = [len(set(plain(sample)["labels"].unique().tolist()) - {255}) for _ in range(30)]
    assert counts.count(2) >= 25 > 15 > others.count(2)
    assert view({"labels": LabelMap(torch.zeros(60, 60, dtype=torch.uint8))})["labels"].shape == (16, 16)
