"""Segmenters: any network, any size; ImageNet features that see; prediction with scales, mirror and tiles."""

import pytest
import torch
from torch import nn

from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.segmenters import Segmenter, load_segmenter
from segmend.segmenters.base import import_network
from segmend.segmenters.features import load_imagenet_features
from segmend.segmenters.prediction import TestTime, predict_bands, predict_logits

CLASSES = Classes(("one", "two", "three"))


class Local(nn.Module):
    """Logits that depend on nothing but the pixel itself, so that any way to cut the image agrees."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.classify = nn.Conv2d(3, classes, 1)

    def forward(self, image):
        return self.classify(image)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (
            "segmentation_models_pytorch.Unet",
            {"encoder_name": "tu-tf_efficientnet_lite0", "encoder_weights": None},
        ),
        ("segmentation_models_pytorch.FPN", {"encoder_name": "resnet18", "encoder_weights": None}),
        ("segmend.segmenters.linear.LinearProbe", {}),
    ],
)
def test_any_network_gives_logits_of_the_images_size_and_is_saved(tmp_path, network, arguments):
    torch.manual_seed(0)
    segmenter = Segmenter(CLASSES, network, {"classes": 3, **arguments}).eval()
    image = torch.rand(1, 3, 45, 70)
    logits = segmenter(image)
    assert logits.shape == (1, 3, 45, 70)
    save_model(segmenter, tmp_path / "model")
    loaded = load_segmenter(tmp_path / "model")
    assert torch.equal(loaded(image), logits)
    assert loaded.classes == CLASSES


@pytest.mark.parametrize("path", ["os.system", "torch.nn.functional.relu", "nowhere.Net", "Net", "torch.nn.Nonet"])
def test_only_module_classes_can_be_named(path):
    with pytest.raises(InvalidInput, match=r"cannot be imported|not the importable path"):
        import_network(path)


def test_a_network_of_other_classes_is_refused():
    segmenter = Segmenter(CLASSES, "segmend.segmenters.linear.LinearProbe", {"classes": 4}).eval()
    with pytest.raises(InvalidInput, match="3, h, w"):
        segmenter(torch.rand(1, 3, 32, 32))


def test_imagenet_features_recognise_a_cat():
    """The whole classifier, loaded the same way, names scikit-image's image of a cat."""
    import timm
    from skimage import data, transform

    classifier = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_imagenet_features(classifier)
    cat = torch.from_numpy(transform.resize(data.cat(), (224, 224))).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        found = classifier.eval()((cat - 127 / 255) / (128 / 255)).argmax()
    assert 281 <= found <= 285  # ImageNet's five kinds of cat


def test_features_for_another_encoder_are_refused():
    import timm

    with pytest.raises(InvalidInput, match="tf_efficientnet_lite0"):
        load_imagenet_features(timm.create_model("resnet18", pretrained=False))


def test_frozen_features_stay_frozen():
    segmenter = Segmenter(CLASSES, "segmend.segmenters.linear.LinearProbe", {"classes": 3}).train()
    before = {name: value.clone() for name, value in segmenter.network.encoder.state_dict().items()}
    segmenter(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(torch.equal(v, before[n]) for n, v in segmenter.network.encoder.state_dict().items())
    assert all(p.grad is None for p in segmenter.network.encoder.parameters())


def test_tiles_and_mirror_agree_with_the_whole_for_a_local_network():
    torch.manual_seed(0)
    network = Local()
    image = torch.rand(3, 70, 50)
    whole = network(image[None])[0].softmax(0)
    bands = list(predict_bands(network, image, TestTime(mirror=True, tile=32, overlap=8)))
    assert len(bands) > 1
    assert torch.allclose(torch.cat([band for _, band in bands], 1), whole, atol=1e-5)


def test_scales_are_averaged_as_logits():
    torch.manual_seed(0)
    network = Local()
    image = torch.rand(1, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    one = predict_logits(network, image, TestTime())
    both = predict_logits(network, image, TestTime(scales=(1.0, 2.0)))
    two = predict_logits(network, image, TestTime(scales=(2.0,)))
    assert torch.allclose(both, (one + two) / 2, atol=1e-5)
    assert torch.allclose(one, two, atol=0.2)
    assert not torch.allclose(one, two, atol=1e-4)
