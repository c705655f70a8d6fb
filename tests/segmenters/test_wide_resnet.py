"""WideResNet-38 and DeepLabV3+ on it: counted layer by layer, without memory for their weights."""

import pytest
import torch
from torch import nn

from segmend.segmenters.wide_resnet import DeepLabV3PlusWide, ResidualBlock, WideResNet38


def convolution(kernel, inputs, outputs):
    return kernel**2 * inputs * outputs


def test_layers_are_those_of_the_paper():
    """Model A2 of "Wider or Deeper" from its Table 1, and the decoder of DeepLabV3+; norms have two a channel."""
    trunk = convolution(3, 3, 64) + 2 * 4096
    inputs = 64
    for channels, blocks in (((128, 128), 3), ((256, 256), 3), ((512, 512), 6), ((512, 1024), 3)):
        for _ in range(blocks):
            trunk += 2 * inputs + convolution(3, inputs, channels[0])
            trunk += 2 * channels[0] + convolution(3, *channels)
            trunk += convolution(1, inputs, channels[1]) if inputs != channels[1] else 0
            inputs = channels[1]
    for narrow, middle, wide in ((512, 1024, 2048), (1024, 2048, 4096)):
        trunk += 2 * (inputs + narrow + middle) + convolution(1, inputs, wide)
        trunk += convolution(1, inputs, narrow) + convolution(3, narrow, middle) + convolution(1, middle, wide)
        inputs = wide
    views = 2 * convolution(1, 4096, 256) + 3 * convolution(3, 4096, 256) + 5 * 2 * 256 + convolution(1, 1280, 256)
    decoder = convolution(1, 128, 48) + convolution(3, 304, 256) + convolution(3, 256, 256) + 4 * 256
    with torch.device("meta"):
        network = DeepLabV3PlusWide(19)
    assert sum(p.numel() for p in network.encoder.parameters()) == trunk == 105_070_912
    assert sum(p.numel() for p in network.parameters()) == trunk + views + decoder + 256 * 19 == 137_112_128


@pytest.mark.parametrize("size", [(96, 128), (97, 130)])
def test_features_have_stride_2_and_8_and_logits_the_image_s_size(size):
    with torch.device("meta"):
        image = torch.zeros(2, 3, *size)
        fine, deep = WideResNet38()(image)
        logits = DeepLabV3PlusWide(5)(image)
    assert fine.shape == (2, 128, *(-(-side // 2) for side in size))
    assert deep.shape == (2, 4096, *(-(-side // 8) for side in size))
    assert logits.shape == (2, 5, *size)


def test_the_shortcut_is_the_identity_where_shapes_allow():
    torch.manual_seed(0)
    same, wider = ResidualBlock(8, (8, 8)).eval(), ResidualBlock(8, (4, 8, 16), stride=2, dilation=2).eval()
    for block in (same, wider):
        nn.init.zeros_(block.layers[-1].weight)
    x = torch.randn(1, 8, 9, 9)
    assert torch.equal(same(x), x)
    assert wider.shortcut is not None
    assert torch.allclose(wider(x), wider.shortcut((x / (1 + 1e-5) ** 0.5).clamp_min(0)), atol=1e-6)
