"""Label maps that are inferred from tags: they respect the tags, and explain the image."""

import kornia
import pytest
import torch

from segmend.dual import DualSegmentation, Guide, combined, infer, reconstruct_by_colours
from segmend.dual.model import target_image
from segmend.dual.targets import Targets
from segmend.labels import Classes

TAGS = torch.tensor([[1.0, 0, 1, 0], [1, 1, 0, 0]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DualSegmentation(Classes.numbered(4), width=16, common=("class 0",)).eval()


@pytest.fixture(scope="module")
def given(model):
    torch.manual_seed(1)
    image = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        return model.encode(image), target_image(image)


@pytest.mark.parametrize("targets", [Targets(), Targets(steps=3), Targets(colours=0), Targets(features=0)])
def test_a_mask_excludes_other_classes_for_good(model, given, targets):
    found, tags = targets.infer(model, *given, TAGS)
    assert found.shape == (2, 4, 8, 6)
    assert torch.equal(tags, TAGS)
    p = found.exp()
    assert torch.allclose(p.sum(1), torch.ones(2, 8, 6), atol=1e-4)
    assert (p[TAGS == 0] < 1e-6).all()
    assert not found.requires_grad


def test_no_classes_are_excluded_without_a_mask_or_without_tags(model, given):
    plain = {"steps": 0, "features": 0.0, "colours": 0.0}
    for targets, tags in ((Targets(evidence="network", **plain), TAGS), (Targets(**plain), None)):
        found, predicted = targets.infer(model, *given, tags)
        with torch.no_grad():
            tag_logits = model.tag_logits(given[0])
            expected = combined(model.map_logits(given[0]), tag_logits).log_softmax(1)
        assert torch.allclose(predicted, tag_logits.sigmoid(), atol=1e-4)
        assert torch.allclose(found, expected, atol=1e-4)


def test_scores_and_biases_are_added_to_the_map(model, given):
    plain = {"features": 0.0, "colours": 0.0}
    scores = torch.tensor([[1.0, 0.5, 0.1, 0.25], [1, 0.01, 1, 0.5]])
    with torch.no_grad():
        logits = model.map_logits(given[0])
    found, tags = Targets(**plain).infer(model, *given, scores)
    assert torch.equal(tags, scores)
    assert torch.allclose(found, (logits + scores.log()[:, :, None, None]).log_softmax(1), atol=1e-4)
    found, tags = Targets(evidence="bias", **plain).infer(model, *given, TAGS)
    bias = torch.tensor([[3.0, 0, 5, 0], [3, 5, 0, 0]])  # class 0 is common
    assert torch.allclose(found, (logits + bias[:, :, None, None]).log_softmax(1), atol=1e-4)


def test_steps_follow_the_tags_and_the_image_where_asked(model, given):
    features, image = given
    for options, expected in (
        ({"image": True, "tags": "sigmoid"}, infer(model, features, image, TAGS, 4)),
        ({"image": True, "tags": "none"}, infer(model, features, image, None, 4)),
        ({"tags": "softmax"}, infer(model, features, None, TAGS, 4, kind="softmax")),
        ({"tags": "none"}, infer(model, features, steps=0)),
    ):
        targets = Targets(steps=4, evidence="network", features=0.0, colours=0.0, **options)
        found, predicted = targets.infer(model, features, image, TAGS)
        assert torch.allclose(predicted, expected.tag_logits.sigmoid(), atol=1e-4)
        assert torch.allclose(found, combined(expected.map_logits, expected.tag_logits).log_softmax(1), atol=1e-4)


def test_the_closed_form_sees_features_and_colours_together(model, given):
    features, image = given
    logits = torch.randn(2, 4, 8, 6)
    colours = kornia.color.rgb_to_lab((image + 1) / 2)
    expected = reconstruct_by_colours(logits, [Guide(features.u1, 2.0), Guide(colours, 0.7)], 3)
    assert torch.allclose(Targets().sharpened(logits, features, image), expected, atol=1e-4)
    none = Targets(features=0.0, colours=0.0).sharpened(logits, features, image)
    assert torch.allclose(none, logits.log_softmax(1), atol=1e-5)


def test_a_map_comes_to_follow_the_colours_of_the_image(model, given):
    """Half of an image is red, half green; the map is nearly undecided, and wrong in a corner."""
    image = torch.full((1, 3, 8, 8), -0.8)
    image[:, 0, :, :4] = image[:, 1, :, 4:] = 0.8
    logits = torch.zeros(1, 4, 8, 8)
    logits[:, 1, :, :4] = logits[:, 2, :, 4:] = 1.0
    logits[:, 1, :3, :3], logits[:, 2, :3, :3] = 0.0, 0.8
    features = given[0]._replace(u1=torch.zeros(1, 16, 8, 8), valid=torch.ones(1, 1, 8, 8))
    found = Targets(features=0.0).sharpened(logits, features, image).argmax(1)[0]
    assert (found[:, :4] == 1).all()
    assert (found[:, 4:] == 2).all()
