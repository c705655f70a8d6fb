"""What is shown of inference is what the predictor computes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segmend.dual import DualPredictor, DualSegmentation, infer
from segmend.dual.explanation import explain
from segmend.dual.model import combined, target_image
from segmend.labels import Classes


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    return DualPredictor(DualSegmentation(Classes.numbered(4), width=16, side=64)).eval()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 64, 3), np.uint8)


def test_each_state_is_that_of_inference_of_its_steps(predictor, image):
    shown, found = explain(predictor, image, steps=(0, 4, 2))
    np.testing.assert_array_equal(shown.numpy(), image)  # it has the size already
    assert [one.steps for one in found] == [0, 4, 2, None]
    model = predictor.model
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        features = model.encode(batch)
    for one in found[:-1]:
        state = infer(model, features, target_image(batch), steps=one.steps)
        assert one.error == pytest.approx(float(state.losses[-1]), abs=1e-5)
        assert torch.allclose(one.tag_scores, state.tag_logits.sigmoid()[0], atol=1e-5)
        labels = combined(state.map_logits, state.tag_logits).argmax(1)[0]
        assert torch.equal(one.labels.long(), torch.kron(labels, torch.ones(8, 8, dtype=torch.long))[:50])
        with torch.no_grad():
            z3 = (model.reconstruct(state.map_logits)[0].permute(1, 2, 0) * 127.5 + 127.5).round().clamp(0, 255)
        assert torch.equal(one.reconstruction[::8, ::8], z3.byte())
    assert found[1].error < found[0].error


def test_the_closed_form_shows_the_predicted_map_and_colours_of_the_image(predictor):
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 40:] = 255
    one = explain(predictor, image)[1][-1]
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    predicted = predictor(batch).argmax(1)[0]
    middle = (slice(2, None, 4), slice(2, None, 4))
    assert (one.labels[middle] == predicted[middle]).float().mean() > 0.9  # enlarged bilinearly there
    assert one.reconstruction.shape == (64, 64, 3)
    # every mean is of these greys, so the reconstruction is grey too
    assert (one.reconstruction == one.reconstruction[..., :1]).all()
    assert 0 <= one.error < 4


def test_given_tags_hold_and_images_are_shrunk(predictor):
    image = np.random.default_rng(1).integers(0, 256, (150, 200, 3), np.uint8)
    shown, found = explain(predictor, image, torch.tensor([1.0, 0, 1, 0]))
    assert shown.shape == (48, 64, 3)
    for one in found:
        assert one.labels.shape == (48, 64)
        assert set(one.labels.unique().tolist()) <= {0, 2}
    small = F.interpolate(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, size=(48, 64), mode="bilinear",
                          antialias=True)  # fmt: skip
    assert (shown.permute(2, 0, 1) - 255 * small[0]).abs().max() <= 0.51
