"""Features of whole images do not depend on their padding, and components are those of a covariance."""

import numpy as np
import pytest
import torch

from segmend.segmenters.image_features import SIDE, ImageNetFeatures, fitted, principal_components


@pytest.fixture(scope="module")
def network():
    return ImageNetFeatures()


def test_features_agree_with_the_whole_network(network):
    timm = pytest.importorskip("timm")
    from segmend.segmenters.features import OFFLINE_ENCODER, load_imagenet_features

    whole = timm.create_model(OFFLINE_ENCODER, pretrained=False).eval()
    load_imagenet_features(whole)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = network(image, torch.ones(2, 1, 64, 64))
    cells = whole.forward_features((image - 127 / 255) / (128 / 255))
    assert torch.allclose(found.pooled, cells.mean((2, 3)), atol=1e-5)
    each = torch.stack([whole.classifier(cells[:, :, y, x]) for y in range(2) for x in range(2)])
    assert torch.allclose(found.objects, each.amax(0), atol=1e-4)


@pytest.mark.parametrize("size", [(256, 256), (100, 400), (3, 300), (1, 1)])
def test_an_image_of_any_shape_has_features(network, size):
    rng = np.random.default_rng(0)
    image, valid = fitted(torch.from_numpy(rng.integers(0, 256, (*size, 3), dtype=np.uint8)))
    assert image.shape == (3, SIDE, SIDE)
    assert valid.shape == (1, SIDE, SIDE)
    assert (image * (1 - valid) == 0).all()
    found = network(image[None], valid[None])
    assert torch.isfinite(found.pooled).all()
    assert torch.isfinite(found.objects).all()


def test_what_lies_in_the_padding_does_not_matter(network):
    image, valid = fitted(torch.full((100, 256, 3), 90, dtype=torch.uint8))
    found, other = network(image[None], valid[None]), network((image + (1 - valid))[None], valid[None])
    assert torch.equal(found.pooled, other.pooled)
    assert torch.equal(found.objects, other.objects)


def test_components_are_uncorrelated_and_of_mean_variance_1():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(50, 20, generator=generator) @ torch.randn(20, 20, generator=generator)
    found = principal_components(features, 6)
    covariance = found.T @ found / 50
    assert torch.allclose(covariance, covariance.diag().diag(), atol=1e-9)
    assert covariance.diag().mean() == pytest.approx(1)
    assert (covariance.diag().diff() < 0).all()
    values = features.double()
    values = (values - values.mean(0)) / values.std(0, correction=0)
    scales = torch.linalg.svdvals(values)[:6] ** 2
    assert torch.allclose(covariance.diag(), scales / scales.mean(), rtol=1e-3)


@pytest.mark.parametrize(("images", "components"), [(1, 0), (2, 1), (5, 4)])
def test_few_images_have_few_components(images, components):
    features = torch.randn(images, 30, generator=torch.Generator().manual_seed(0))
    assert principal_components(features).shape == (images, components)
    assert principal_components(features[:1].expand(4, -1)).shape == (4, 0)
