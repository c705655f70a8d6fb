"""A network of DIS as a segmenter: its logits are those of the paper's parts, put together by hand here."""

import json

import kornia
import pytest
import torch
import torch.nn.functional as F

from segmend.dual import DualPredictor, DualSegmentation, Guide, combined, infer, load_dual, reconstruct_by_colours
from segmend.dual.model import target_image
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.segmenters.prediction import TestTime, predict_bands

CLASSES = Classes.numbered(4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DualSegmentation(CLASSES, width=16).eval()


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(1)
    return torch.rand(2, 3, 48, 64)


def enlarged(logits, factor):
    return F.interpolate(logits, scale_factor=factor, mode="bilinear", align_corners=False)


def test_without_more_it_is_the_combined_map(model, image):
    found = DualPredictor(model, closed_form=False)(image)
    with torch.no_grad():
        output = model(image)
    expected = enlarged(combined(output.map_logits, output.tag_logits), 8)
    assert found.shape == (2, 4, 48, 64)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("steps", [0, 3])
def test_the_closed_form_takes_features_then_colours_at_twice_the_resolution(model, image, steps):
    found = DualPredictor(model, steps=steps)(image)
    with torch.no_grad():
        features = model.encode(image)
        inferred = infer(model, features, target_image(image), steps=steps)
        logits = combined(inferred.map_logits, inferred.tag_logits)
        logits = reconstruct_by_colours(logits, [Guide(features.u1, 1.0)], 3)
        colours = kornia.color.rgb_to_lab(F.avg_pool2d(image, 4))
        expected = enlarged(reconstruct_by_colours(enlarged(logits, 2), [Guide(colours, 0.5)], 2), 4)
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, DualPredictor(model, False, steps)(image), atol=1e-2)


def test_steps_change_the_map(model, image):
    assert not torch.allclose(DualPredictor(model, False, 5)(image), DualPredictor(model, False)(image), atol=1e-4)


@pytest.mark.parametrize("closed_form", [False, True])
@pytest.mark.parametrize("size", [(50, 41), (9, 8), (1, 3)])
def test_images_of_any_size(model, closed_form, size):
    torch.manual_seed(2)
    found = DualPredictor(model, closed_form)(torch.rand(1, 3, *size))
    assert found.shape == (1, 4, *size)
    assert found.isfinite().all()


def test_cells_at_the_border_are_not_stretched(model):
    image = torch.rand(1, 3, 49, 65)  # 7 x 9 cells of 8 pixels, of which the last show one pixel
    found = DualPredictor(model, closed_form=False)(image)
    with torch.no_grad():
        output = model(image)
    expected = enlarged(combined(output.map_logits, output.tag_logits), 8)
    assert torch.allclose(found, expected[:, :, :49, :65], atol=1e-5)


def test_bands_with_mirror_scales_and_tiles(model, image):
    whole = (image[0].permute(1, 2, 0) * 255).byte().numpy()
    for steps in (0, 2):
        predictor = DualPredictor(model, steps=steps)
        test_time = TestTime((0.5, 1.0), mirror=True, tile=64, overlap=16)
        (band,) = predict_bands(predictor, whole, test_time, "32")
        assert band[1].shape == (4, 48, 64)
        assert torch.allclose(band[1].sum(0), torch.ones(48, 64), atol=1e-4)
        tiled = torch.cat([b for _, b in predict_bands(predictor, whole, TestTime(tile=32, overlap=16))], 1)
        assert tiled.shape == (4, 48, 64)


def test_bfloat16_is_for_the_encoder_alone(model, image):
    predictor = DualPredictor(model, steps=2)
    with torch.autocast("cpu", torch.bfloat16):
        found = predictor(image)
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())


def test_there_are_no_gradients_and_the_model_stays(model, image):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not DualPredictor(model, steps=2)(image).requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_it_comes_from_a_folder(model, image, tmp_path):
    save_model(model, tmp_path)
    found = load_dual(tmp_path, closed_form=False, steps=1)
    assert (found.closed_form, found.steps, found.training) == (False, 1, False)
    assert found.classes.names == CLASSES.names
    assert torch.equal(found(image), DualPredictor(model, False, 1)(image))
    (tmp_path / "config.json").write_text(json.dumps({"type": "Segmenter"}))
    with pytest.raises(InvalidInput, match="holds a Segmenter, expected a DualSegmentation"):
        load_dual(tmp_path)
