"""The detector: what it learns in one folder it finds there, and the folder's own errors do not teach it."""

import numpy as np
import pytest

from segmend.check import KINDS, Detector, Seen, Usual, samples_of, simulated_errors, suspects_of
from segmend.check.detector import Sample

COLOURS = np.array(((60, 70, 60), (200, 110, 90), (90, 150, 210)), np.uint8)
COUNT = 24


def labels_of(number):
    rng = np.random.default_rng(number)
    labels = np.zeros((80, 100), np.uint8)
    y, x = np.mgrid[:80, :100]
    for name, centre in ((1, 28), (2, 72)):
        radius, down = rng.integers(11, 17), rng.integers(28, 52)
        labels[(y - down) ** 2 + (x - centre) ** 2 < radius**2] = name
    return labels


def seen_of(number):
    """The image and a probability map that is right, blurred and a bit noisy."""
    import torch
    import torch.nn.functional as F

    rng, labels = np.random.default_rng(number), labels_of(number)
    image = (COLOURS[labels] + rng.normal(0, 12, (*labels.shape, 3))).clip(0, 255).astype(np.uint8)
    one_hot = F.one_hot(torch.from_numpy(labels.astype(np.int64)), 3).permute(2, 0, 1)[None].float()
    small = F.avg_pool2d(one_hot, 8) * 3 + torch.from_numpy(rng.normal(0, 0.4, (1, 3, 10, 12))).float()
    logits = F.interpolate(small, size=labels.shape, mode="bilinear")
    return Seen.of(image, logits[0].softmax(dim=0).numpy())


@pytest.fixture(scope="module")
def seen():
    return [seen_of(number) for number in range(COUNT)]


def fitted(seen, given):
    measured = [one.measure(labels, 255) for one, labels in zip(seen, given, strict=True)]
    usual = Usual.of(measured, 3)
    samples = [
        samples_of(lambda _, one=one: one, labels, given[index - 1], [0, 1, 2], 255, index)
        for index, (one, labels) in enumerate(zip(seen, given, strict=True))
    ]
    return measured, usual, Detector.fit(usual, samples)


def test_errors_of_each_kind_score_higher_than_right_labels(seen):
    right = [labels_of(number) for number in range(COUNT)]
    measured, _, detector = fitted(seen, right)
    of_right = [detector.judge(one).score for one in measured]
    found = {kind: [] for kind in KINDS}
    for number in range(COUNT):
        for kind, labels in simulated_errors(right[number], right[number - 3], [0, 1, 2], 255, 1000 + number):
            found[kind].append(detector.judge(seen[number].measure(labels, 255)).score)
    for kind, scores in found.items():
        # the probability that an error scores higher than right labels
        auc = np.mean(np.array(scores)[:, None] > np.array(of_right))
        assert auc > (0.75 if kind == "border" else 0.85), (kind, auc)
    assert np.mean(np.array(of_right) >= 0.5) < 0.1


def test_errors_in_the_folder_itself_are_found(seen):
    given = [labels_of(number) for number in range(COUNT)]
    given[5] = np.where(given[5] == 1, np.uint8(2), given[5])
    given[9] = np.where(given[9] == 2, np.uint8(0), given[9])
    measured, usual, detector = fitted(seen, given)
    judged = [detector.judge(one) for one in measured]
    assert set(np.argsort([-one.score for one in judged])[:2].tolist()) == {5, 9}
    first = suspects_of(measured[5], judged[5], usual, given[5].shape)[0]
    assert (first.kind, first.given, first.suggested) == ("class", 2, 1)
    assert (first.mask(seen[5], given[5], 255) == (labels_of(5) == 1)).all()
    first = suspects_of(measured[9], judged[9], usual, given[9].shape)[0]
    assert (first.kind, first.given, first.suggested) == ("missing", 0, 2)
    overlap = first.mask(seen[9], given[9], 255) & (labels_of(9) == 2)
    assert overlap.sum() > 0.6 * (labels_of(9) == 2).sum()


def test_shares_of_samples_are_those_of_the_pixels_that_changed(seen):
    labels = labels_of(0)
    changed = np.where(labels == 1, np.uint8(2), labels)
    sample = Sample.of(seen[0], changed, labels, 255, "class")
    which = sample.measured.areas.label.tolist()
    assert which.count(2) == 2
    assert sorted(sample.areas.tolist()) == [0, 0, 1]
    assert Sample.of(seen[0], labels, labels, 255).areas.max() == 0


def test_suspects_are_listed_from_the_likeliest_on(seen):
    given = [labels_of(number) for number in range(COUNT)]
    given[5] = np.where(given[5] == 1, np.uint8(2), given[5])
    measured, usual, detector = fitted(seen, given)
    for one, labels in zip(measured, given, strict=True):
        scores = [suspect.score for suspect in suspects_of(one, detector.judge(one), usual, labels.shape)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
