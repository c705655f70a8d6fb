"""All steps of the demonstration, on few small images."""

from functools import partial

import pytest

from segmend.jobs import demo


@pytest.fixture
def small(monkeypatch):
    generate, recipe = demo.generate_dataset, demo.recipe
    monkeypatch.setattr(
        demo,
        "generate_dataset",
        lambda root, train, val, seed: generate(root, train=6, val=4, seed=seed, height=64, width=96),
    )
    monkeypatch.setattr(demo, "recipe", partial(recipe, steps=2))


def test_images_are_refined_without_and_with_training(small, tmp_path):
    untrained, trained = demo.demo(tmp_path, quiet=True)
    for shown in (untrained, trained):
        assert shown.scores.coarse_scores == untrained.scores.coarse_scores
        assert 0 < shown.scores.scores.mean_iou < 1
        assert len(shown.scores.per_image) == 4
        assert shown.report.is_file()
    assert untrained.report != trained.report
    assert untrained.scores.scores != trained.scores.scores
    assert (tmp_path / "before_after.png").is_file()
