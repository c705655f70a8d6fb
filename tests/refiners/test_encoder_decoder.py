"""Layers that the refiner networks share."""

import pytest
import torch

from segmend.labels import InvalidInput
from segmend.refiners.encoder_decoder import encoder_and_decoder, head


@pytest.mark.parametrize(
    ("encoder", "hints"), [(None, 0), ("tf_efficientnet_lite0", 0), ("tf_efficientnet_lite0", 4)]
)
def test_decoders_end_at_the_finest_stride(encoder, hints):
    network, make_decoder = encoder_and_decoder(4, "quarter", encoder, hints=hints)
    network.eval()
    image, guide = torch.rand(2, 3, 64, 96), torch.rand(2, 4, 64, 96)
    features = network(image, guide, *([torch.rand(2, hints, 32, 48)] if hints else []))
    assert [f.shape[1] for f in features] == network.channels
    finest = make_decoder().eval()(features)
    assert finest.shape == (2, 16, 64 // network.finest, 96 // network.finest)
    assert network.stride == network.finest * 2 ** (len(features) - 1)


def test_the_plain_encoder_takes_no_hints():
    with pytest.raises(InvalidInput, match="name a timm encoder"):
        encoder_and_decoder(4, "quarter", hints=4)


@pytest.mark.parametrize(("finest", "scale"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_heads_have_outputs_of_any_stride(finest, scale):
    features = torch.rand(1, 8, 32 // finest, 48 // finest)
    assert head(8, 5, finest, scale)(features).shape == (1, 5, 32 // scale, 48 // scale)
