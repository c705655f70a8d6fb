"""The network of DIS and its losses, against the paper's formulas."""

import pytest
import torch

from segmend.dual.model import (
    DualFeatures,
    DualSegmentation,
    combined,
    image_loss,
    map_loss,
    soft_labels,
    tag_loss,
    target_image,
)
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import load_model, save_model

CLASSES = Classes.numbered(4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DualSegmentation(CLASSES, width=16).eval()


@pytest.mark.parametrize("size", [(64, 96), (50, 41), (9, 8)])
def test_maps_have_the_size_of_the_image_and_features_an_eighth(model, size):
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        features = model.encode(image)
        cells = tuple(-(-side // 8) for side in size)
        assert features.u1.shape == (2, 16, *cells)
        assert features.v1.shape == (2, 16)
        logits = model.map_logits(features)
        assert logits.shape == (2, 4, *cells)
        assert model.reconstruct(logits).shape == (2, 3, *cells) == target_image(image).shape
        assert model.tag_logits(features).shape == (2, 4)
        whole = model(image)
        assert torch.equal(whole.map_logits, logits)
        assert torch.equal(whole.reconstruction, model.reconstruct(logits))


def test_subnets_are_those_of_the_paper(model):
    with torch.no_grad():
        features = model.encode(torch.rand(1, 3, 64, 64))
        u2 = features.u1 + features.v1[:, :, None, None]
        assert torch.allclose(model.map_logits(features), model.subnet1(u2))
        v2 = features.u1.flatten(2).mean(-1) + features.v1
        assert torch.allclose(model.tag_logits(features), model.subnet3(v2), atol=1e-5)
    kernels = [tuple(layer.weight.shape) for layer in model.subnet2 if hasattr(layer, "weight")]
    assert kernels == [(4, 4, 5, 5), (16, 4, 3, 3), (3, 16, 3, 3)]


def test_a_constant_added_to_the_logits_does_not_change_the_reconstruction(model):
    logits = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        assert torch.allclose(model.reconstruct(logits), model.reconstruct(logits + 5), atol=1e-5)


def test_a_dilated_encoder_keeps_stride_eight():
    torch.manual_seed(0)
    model = DualSegmentation(CLASSES, "resnet18", output_stride=8, width=8).eval()
    with torch.no_grad():
        assert model.encode(torch.rand(1, 3, 64, 64)).u1.shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    ("encoder", "stride", "message"),
    [
        ("resnet1", 32, "resnet1 .*Wrong encoder name"),
        ("tu-nothing", 32, "Unknown model"),
        ("vgg11", 8, "vgg11 with output_stride 8: .*do not support dilated mode"),
    ],
)
def test_encoders_that_cannot_be_are_refused(encoder, stride, message):
    with pytest.raises(InvalidInput, match=message):
        DualSegmentation(CLASSES, encoder, stride)


def test_combined_maps_multiply_by_the_probability_of_the_tag():
    u3, v3 = torch.randn(2, 4, 3, 5), torch.randn(2, 4)
    expected = u3.exp() * v3.sigmoid()[:, :, None, None]
    assert torch.allclose(combined(u3, v3).exp(), expected, atol=1e-5)


def test_losses_are_those_of_pytorch():
    torch.manual_seed(0)
    u3, labels = torch.randn(2, 4, 3, 5), torch.randint(0, 4, (2, 3, 5))
    labels[0, 0] = 255
    hard = torch.nn.functional.one_hot(labels.where(labels != 255, 0), 4).movedim(-1, 1).float()
    found = map_loss(u3, hard, (labels != 255)[:, None].float())
    assert torch.isclose(found, torch.nn.functional.cross_entropy(u3, labels, ignore_index=255))
    v3, tags = torch.randn(2, 4), torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 0]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(v3, tags)
    assert torch.isclose(tag_loss(v3, tags).mean(), expected)
    shares = tags / tags.sum(1, keepdim=True)
    assert torch.isclose(tag_loss(v3, tags, "softmax").mean(), torch.nn.functional.cross_entropy(v3, shares))
    z3, image = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    whole = torch.ones(2, 1, 4, 4)
    assert torch.isclose(image_loss(z3, image, whole).mean(), torch.nn.functional.mse_loss(z3, image))
    part = whole.clone()
    part[..., 3:] = 0
    expected = torch.nn.functional.mse_loss(z3[..., :3], image[..., :3])
    assert torch.isclose(image_loss(z3, image, part).mean(), expected)


def test_soft_labels_are_shares_of_the_valid_pixels_of_a_cell():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 19, 16))
    labels[torch.rand(labels.shape) < 0.3] = 255
    labels[0, :8, :8] = 255
    shares, valid = soft_labels(labels, 3, 255)
    assert shares.shape == (2, 3, 3, 2)
    for b, i, j in ((0, 0, 0), (0, 1, 1), (1, 2, 0)):
        cell = labels[b, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8]
        known = cell[cell != 255]
        assert valid[b, 0, i, j].item() == pytest.approx(known.numel() / cell.numel())
        for label in range(3):
            expected = (known == label).float().mean().item() if known.numel() else 0
            assert shares[b, label, i, j].item() == pytest.approx(expected, abs=1e-4)


def test_a_model_comes_back_from_its_folder(model, tmp_path):
    save_model(model, tmp_path)
    again = load_model(DualSegmentation, tmp_path)
    image = torch.rand(1, 3, 40, 48)
    with torch.no_grad():
        assert torch.equal(model(image).tag_logits, again(image).tag_logits)
    assert again.classes.names == CLASSES.names


def test_padding_does_not_count_in_the_tags(model):
    torch.manual_seed(0)
    u1, v1 = torch.randn(1, 16, 6, 8), torch.randn(1, 16)
    valid = torch.zeros(1, 1, 6, 8)
    valid[..., :4, :5] = 1
    with torch.no_grad():
        inside = model.tag_logits(DualFeatures(u1[..., :4, :5], v1, torch.ones(1, 1, 4, 5)))
        assert torch.allclose(model.tag_logits(DualFeatures(u1, v1, valid)), inside, atol=1e-5)


def test_features_of_maps_of_the_encoder_are_those_of_the_image(model):
    image = torch.rand(1, 3, 50, 70)
    with torch.no_grad():
        expected, pyramid = model.encode(image), model.pyramid(image)
        assert expected.valid.shape == (1, 1, 7, 9)
        assert (expected.valid == 1).all()
        found = model.encode(pyramid, expected.valid)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        outputs = model(pyramid, expected.valid), model(image)
        assert torch.equal(outputs[0].map_logits, outputs[1].map_logits)
