"""A network of DIS as a segmenter: its logits are those of the paper's parts, put together by hand here."""

import json

import kornia
import pytest
import torch
import torch.nn.functional as F

from segmend.dual import DualPredictor, DualSegmentation, Guide, combined, infer, load_dual, reconstruct_by_colours
from segmend.dual.model import target_image
from segmend.dual.prediction import GivenTags
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
    assert (found.closed_form, found.steps, found.training) == (False, (1,), False)
    assert found.classes.names == CLASSES.names
    assert torch.equal(found(image), DualPredictor(model, False, 1)(image))
    (tmp_path / "config.json").write_text(json.dumps({"type": "Segmenter"}))
    with pytest.raises(InvalidInput, match="holds a Segmenter, expected a DualSegmentation"):
        load_dual(tmp_path)


@pytest.mark.parametrize("closed_form", [False, True])
def test_probabilities_are_averaged_over_numbers_of_steps_and_the_encoder_runs_once(
    model, image, closed_form, monkeypatch
):
    image = image[:, :, :40, :48]  # whole cells: averaging before or after enlarging differs in between
    runs = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda *given: runs.append(1) or encode(*given))
    found = DualPredictor(model, closed_form, (0, 2, 5)).predict(image)
    assert len(runs) == 1
    alone = [DualPredictor(model, closed_form, steps).predict(image) for steps in (0, 2, 5)]
    expected = sum(one.logits.softmax(1) for one in alone) / 3
    assert torch.allclose(found.logits.softmax(1), expected, atol=2e-2)
    cell = 4 if closed_form else 8
    corner = (..., slice(0, cell // 2), slice(0, cell // 2))  # where nothing is interpolated
    assert torch.allclose(found.logits.softmax(1)[corner], expected[corner], atol=1e-5)
    assert torch.allclose(found.tag_scores, sum(one.tag_scores for one in alone) / 3, atol=1e-6)


def test_without_steps_nothing_passes_back(model, image, monkeypatch):
    monkeypatch.setattr(torch.autograd, "grad", None)
    assert DualPredictor(model)(image).isfinite().all()


@pytest.mark.parametrize("closed_form", [False, True])
@pytest.mark.parametrize("steps", [0, (0, 3)])
def test_given_tags_exclude_other_classes(model, image, closed_form, steps):
    tags = torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 0]])
    predictor = DualPredictor(model, closed_form, steps)
    found = predictor.predict(image, tags)
    p = found.logits.softmax(dim=1)
    assert found.logits.isfinite().all()
    assert (p[0, [1, 3]] == 0).all()
    assert (p[0, 2] > 0).all()
    assert torch.allclose(p[1, 0], torch.ones(48, 64))
    assert torch.equal(found.logits, predictor(image, tags))
    assert torch.equal(found.tag_scores, predictor.predict(image).tag_scores)


def test_scores_of_tags_weight_the_map_in_place_of_the_networks_own(model, image):
    scores = torch.tensor([[1.0, 0.5, 0.2, 0.0], [1, 0.9, 0, 1e-9]])
    found = DualPredictor(model, closed_form=False)(image, scores)
    with torch.no_grad():
        u3 = model(image).map_logits
    expected = u3 + scores.clamp_min(1e-4).log()[:, :, None, None]
    assert torch.allclose(found, enlarged(expected, 8), atol=1e-4)
    certain = DualPredictor(model, closed_form=False)(image, torch.ones(2, 4))
    assert torch.allclose(certain, enlarged(u3, 8), atol=1e-4)


def test_the_tags_of_an_image_hold_at_all_sizes_and_its_scores_are_averaged(model, image):
    whole = (image[0].permute(1, 2, 0) * 255).byte().numpy()
    predictor = DualPredictor(model)
    network = GivenTags(predictor, torch.tensor([1.0, 0, 0, 1]))
    ((_, p),) = predict_bands(network, whole, TestTime((0.5, 1.0), mirror=True), "32")
    assert (p[[1, 2]] == 0).all()
    assert len(network.found) == 4
    assert torch.allclose(network.scores, torch.stack(network.found).mean(0))
    plain = GivenTags(predictor, None)
    ((_, p),) = predict_bands(plain, whole, TestTime(), "32")
    ((_, expected),) = predict_bands(predictor, whole, TestTime(), "32")
    assert torch.equal(p, expected)
    with torch.no_grad():
        v3 = model.tag_logits(model.encode(torch.from_numpy(whole).permute(2, 0, 1)[None] / 255))
    assert torch.allclose(plain.scores, v3[0].sigmoid(), atol=1e-5)
