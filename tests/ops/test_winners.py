"""The class with the largest value, against PyTorch's maximum."""

import pytest
import torch

from segmend.ops.winners import present, winners


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 4, 30, 41), (1, 1, 1), (2, 21, 1, 600)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_and_classes_are_those_of_the_maximum(backend, shape, dtype):
    torch.manual_seed(0)
    map_ = torch.randn(shape).to(dtype)
    values, classes = winners(map_)
    expected = map_.max(dim=-3)
    assert torch.equal(values, expected.values)
    assert values.dtype == dtype
    assert torch.equal(map_.gather(-3, classes.unsqueeze(-3)).squeeze(-3), values)
    assert torch.equal(classes.to(torch.int64), classes)


def test_ties_go_to_the_smaller_class_and_any_layout_is_accepted(backend):
    map_ = torch.tensor([0.2, 0.4, 0.4]).view(1, 3, 1, 1).expand(1, 3, 40, 50)
    assert (winners(map_)[1] == 1).all()
    turned = torch.randn(2, 3, 6, 5).to(memory_format=torch.channels_last)
    bands = torch.randn(4, 9, 6)[:, 2:5], torch.randn(4, 9, 6)[:, :, 1:4], torch.randn(2, 4, 9, 6)[:, :, 2:5]
    for map_ in (turned, *bands):
        assert torch.equal(winners(map_)[1], winners(map_.contiguous())[1])


def test_pytorch_knows_the_operation():
    found = torch.library.opcheck(torch.ops.segmend.winners.default, (torch.rand(2, 3, 5, 7),))
    assert set(found.values()) == {"SUCCESS"}


def test_classes_that_win_somewhere_are_present(backend):
    map_ = torch.zeros(2, 6, 4, 5)
    map_[:, 1] = 0.5
    map_[1, 4, 2, 3] = 0.6
    map_[:, 5] = 0.4
    assert present(map_).tolist() == [1, 4]
