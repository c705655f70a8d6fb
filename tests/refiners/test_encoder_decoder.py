"""Layers that refiners share."""

import pytest
import torch

from segmend.refiners.encoder_decoder import REACH, alike_votes, encoder_and_decoder, head, pad_to_stride


@pytest.mark.parametrize(
    ("encoder", "votes"), [(None, False), ("tf_efficientnet_lite0", False), ("tf_efficientnet_lite0", True)]
)
def test_decoders_end_at_the_finest_stride(encoder, votes):
    network, make_decoder = encoder_and_decoder(4, "quarter", encoder, votes=votes)
    network.eval()
    image, guide = torch.rand(2, 3, 64, 96), torch.rand(2, 4, 64, 96)
    features = network(image, guide)
    assert [f.shape[1] for f in features] == network.channels
    finest = make_decoder().eval()(features)
    assert finest.shape == (2, 16, 64 // network.finest, 96 // network.finest)
    assert network.stride == network.finest * 2 ** (len(features) - 1)


@pytest.mark.parametrize(("finest", "scale"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_last_layers_give_the_scale_that_is_asked_for(finest, scale):
    features = torch.rand(1, 8, 32 // finest, 48 // finest)
    assert head(8, 5, finest, scale)(features).shape == (1, 5, 32 // scale, 48 // scale)


def test_padding_repeats_the_last_lines():
    map_ = torch.rand(1, 2, 5, 6)
    padded = pad_to_stride(map_, 4)
    assert padded.shape == (1, 2, 8, 8)
    assert torch.equal(padded[:, :, 7, :6], map_[:, :, 4])
    assert torch.equal(pad_to_stride(padded, 4), padded)


def test_votes_are_means_weighted_by_colour_and_place():
    torch.manual_seed(0)
    image, map_ = torch.rand(1, 3, 32, 48), torch.rand(1, 4, 32, 48)
    found = alike_votes(image, map_, 0.1, fine=8, rough=16)
    assert found.shape == (1, 4, 4, 6)
    fine, rough = (torch.nn.functional.avg_pool2d(image, stride) for stride in (8, 16))
    said = torch.nn.functional.avg_pool2d(map_, 16)
    for y in range(4):
        for x in range(6):
            weights = torch.zeros(2, 3)
            for v in range(2):
                for u in range(3):
                    colours = (fine[0, :, y, x] - rough[0, :, v, u]).square().sum() / 0.1**2
                    apart = (
                        (8 * (y + 0.5) - 16 * (v + 0.5)) ** 2 + (8 * (x + 0.5) - 16 * (u + 0.5)) ** 2
                    ) / REACH**2
                    weights[v, u] = torch.exp(-(colours + apart) / 2)
            expected = (said[0] * weights / weights.sum()).sum((1, 2))
            assert torch.allclose(found[0, :, y, x], expected, atol=1e-4)


def test_votes_outvote_a_region_that_looks_like_another():
    """A grey road taken for a building in one corner: the rest of the road says road."""
    image = torch.full((1, 3, 64, 64), 0.5)
    image[:, :, :32] = 0.9
    coarse = torch.zeros(1, 2, 64, 64)
    coarse[:, 0, :32] = 1
    coarse[:, 1, 32:] = 1
    coarse[:, :, 48:, :16] = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    votes = alike_votes(image, coarse, 0.04)
    assert votes.argmax(1)[0, 16:].unique().tolist() == [1]
    assert votes.argmax(1)[0, :16].unique().tolist() == [0]
