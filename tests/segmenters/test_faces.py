"""The face parser."""

import pytest
import torch

from segmend.segmenters.faces import FaceParser


def test_parameters_and_shapes_are_those_of_table_5():
    network = FaceParser(3).eval()
    assert sum(p.numel() for p in network.parameters()) == 4_524_323
    image = torch.rand(2, 3, 128, 128)
    features = network.encoder(image)
    assert features.shape == (2, 256, 32, 32)
    assert network.wider(features).shape == (2, 256, 32, 32)
    assert network(image).shape == (2, 3, 128, 128)


@pytest.mark.parametrize("size", [(20, 20), (64, 100), (132, 36)])
def test_other_sizes_work(size):
    assert FaceParser(11, width=8)(torch.rand(2, 3, *size)).shape == (2, 11, *size)


def test_half_the_width_has_a_quarter_of_the_parameters():
    full, half = (sum(p.numel() for p in FaceParser(3, width=width).parameters()) for width in (64, 32))
    assert full / half == pytest.approx(4, rel=0.01)


def test_a_pixel_sees_most_of_the_face():
    torch.manual_seed(0)
    network = FaceParser(3).eval()
    image = torch.rand(1, 3, 192, 192, requires_grad=True)
    network(image)[0, 0, 96, 96].backward()
    seen = image.grad.abs().sum(dim=(0, 1)) > 0
    rows, columns = seen.any(dim=1).nonzero(), seen.any(dim=0).nonzero()
    assert 93 <= rows.max() - rows.min() + 1 <= 95
    assert 93 <= columns.max() - columns.min() + 1 <= 95


def test_dropout_is_only_for_training():
    torch.manual_seed(0)
    network, image = FaceParser(3, dropout=0.5), torch.rand(2, 3, 32, 32)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))
