"""Rates of noise are found without being told, and tags are right more often after cleaning."""

import pytest
import torch

from segmend.dual.tag_noise import NoiseRates, clean, reliability


def made(drop, wrong, images=1200, classes=5, labelled=100, seed=0, sharpness=5.0):
    """Features, true and given tags, and which images are trusted, for known rates."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, 12, generator=generator, dtype=torch.float64)
    directions = torch.nn.functional.normalize(
        torch.randn(12, classes, generator=generator, dtype=torch.float64), dim=0
    )
    log_odds = sharpness * (features @ directions - 0.8)
    true = (torch.rand(images, classes, generator=generator) < log_odds.sigmoid()).double()
    dropped = torch.rand(images, classes, generator=generator) < drop
    added = torch.rand(images, classes, generator=generator) < torch.as_tensor(wrong)
    given = torch.where(true > 0, (~dropped).double(), added.double())
    trusted = torch.arange(images) < labelled
    return features, true, torch.where(trusted[:, None], true, given), trusted


def f1(tags, true):
    found, present = tags > 0.5, true > 0.5
    return 2 * int((found & present).sum()) / int(found.sum() + present.sum())


@pytest.mark.parametrize("labelled", [100, 0])
@pytest.mark.parametrize(("drop", "wrong"), [(0.3, 0.1), (0.1, 0.05), (0.3, 0.0), (0.0, 0.15), (0.5, 0.1)])
def test_rates_are_estimated_and_tags_improve(drop, wrong, labelled):
    features, true, given, trusted = made(drop, wrong, labelled=labelled)
    cleaned = clean(features, given, trusted)
    assert cleaned.rates.drop == pytest.approx(drop, abs=0.06)
    assert cleaned.rates.wrong.mean() == pytest.approx(wrong, abs=0.03)
    noisy = ~trusted
    assert f1(cleaned.scores[noisy], true[noisy]) > f1(given[noisy], true[noisy]) + 0.02


def test_clean_tags_hardly_change():
    features, true, given, trusted = made(0.0, 0.0)
    cleaned = clean(features, given, trusted)
    assert cleaned.rates.drop < 0.01
    assert cleaned.rates.wrong.max() < 0.01
    assert f1(cleaned.scores, true) > 0.99


def test_each_class_has_a_rate_of_its_own():
    wrong = torch.tensor([0.02, 0.02, 0.02, 0.02, 0.2])
    features, _, given, trusted = made(0.2, wrong, images=2000)
    found = clean(features, given, trusted).rates.wrong
    assert found.argmax() == 4
    assert found[4] == pytest.approx(0.2, abs=0.06)
    assert found[:4].max() < 0.07


def test_scores_are_probabilities():
    features, true, given, trusted = made(0.3, 0.1, images=3000)
    scores = clean(features, given, trusted).scores
    for one in reliability(scores[~trusted], true[~trusted]):
        assert one.score == pytest.approx(one.right, abs=0.08)


def test_trusted_images_keep_their_tags_and_the_result_is_always_the_same():
    features, _, given, trusted = made(0.3, 0.1, images=300)
    first, again = (clean(features, given, trusted) for _ in range(2))
    assert torch.equal(first.scores[trusted], given[trusted])
    assert torch.equal(first.scores, again.scores)
    assert first.rates.drop == again.rates.drop


def test_predictions_are_out_of_fold():
    """Random tags of images that look alike are not learned by heart: none is predicted by its own."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(100, 150, generator=generator)
    given = (torch.rand(100, 3, generator=generator) < 0.4).double()
    predicted = clean(features, given, torch.ones(100, dtype=torch.bool)).predicted
    correlation = torch.corrcoef(torch.stack([predicted.flatten(), given.flatten()]))[0, 1]
    assert abs(correlation) < 0.2


def test_a_given_score_counts_between_given_and_not_given():
    rates = NoiseRates(0.3, torch.tensor([0.1]))
    none, half, all_ = rates.evidence(torch.tensor([[0.0], [0.5], [1.0]])).flatten().tolist()
    assert none < half < all_
    assert half == pytest.approx((none + all_) / 2)
    assert torch.isfinite(NoiseRates(0.0, torch.tensor([0.0])).evidence(torch.tensor([[0.0], [1.0]]))).all()


@pytest.mark.parametrize("images", [1, 2, 4, 9])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("trusted", [False, True])
def test_few_images_and_one_class(images, classes, trusted):
    features = torch.randn(images, 3, generator=torch.Generator().manual_seed(0))
    given = torch.zeros(images, classes)
    given[0] = 1
    for features_ in (features, torch.zeros(images, 0)):
        cleaned = clean(features_, given, torch.full((images,), trusted))
        assert torch.isfinite(cleaned.scores).all()
        assert 0 < cleaned.rates.drop < 1
        assert ((cleaned.rates.wrong > 0) & (cleaned.rates.wrong < 1)).all()


def test_a_class_that_never_or_always_occurs():
    features, _, given, trusted = made(0.3, 0.1, images=300)
    given[:, 0], given[:, 1] = 0, 1
    cleaned = clean(features, given, trusted)
    assert cleaned.scores[:, 0].max() < 0.02
    assert cleaned.scores[:, 1].min() > 0.5
    assert cleaned.rates.wrong[0] < 0.01


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="expected features"):
        clean(torch.zeros(3, 2), torch.zeros(4, 2), torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        clean(torch.zeros(3, 2), torch.full((3, 2), 2.0), torch.zeros(3, dtype=torch.bool))


def test_reliability_counts_scores_by_range():
    scores, present = torch.tensor([0.05, 0.6, 0.65, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    found = reliability(scores, present)
    assert [one.images for one in found] == [1, 2, 1]
    assert [one.right for one in found] == [0, 0.5, 1]
    assert found[1].score == pytest.approx(0.625)
