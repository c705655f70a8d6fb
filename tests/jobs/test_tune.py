"""Choosing a refiner by a few good masks."""

import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.corruptions import low_resolution
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_probabilities
from segmend.jobs.trained_candidates import TRAINED, Trained, trained
from segmend.jobs.tune import SETTINGS, candidates, choose, cross_validated, decide, gains_of, open_labelled
from segmend.labels import InvalidInput
from segmend.metrics import confusion_matrix
from segmend.refiners import DenseCRF, GuidedFilter, SpatialPropagation, Unchanged, load
from segmend.report.results import read_results

COUNT = 5


def matrices(gains, noise=0.0, images=8, seed=0):
    """Confusion matrices of candidates that correct a share of 100 wrong pixels of 1000."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((images, len(gains), 2, 3), np.int64)
    for image in range(images):
        for index, gain in enumerate(gains):
            wrong = 100 - int(100 * (gain + (rng.normal(0, noise) if index else 0)))
            counts[image, index] = [[500 - wrong, wrong, 0], [0, 500, 0]]
    return counts


def test_the_best_candidate_is_chosen():
    assert choose(matrices([0, 0.1, 0.5, 0.3]), (0, 1)) == 2


def test_nothing_is_chosen_that_does_not_gain():
    assert choose(matrices([0, -0.2, -0.1]), (0, 1)) == 0
    assert choose(matrices([0, 0.0]), (0, 1)) == 0


def test_a_gain_that_is_luck_is_not_taken():
    luck = [decide(matrices([0, *[-0.02] * 20], noise=0.1, images=5, seed=seed), (0, 1))[0] for seed in range(20)]
    assert sum(chosen > 0 for chosen in luck) <= 6
    sure = [decide(matrices([0, 0.3, 0.1], noise=0.1, images=5, seed=seed), (0, 1))[0] for seed in range(20)]
    assert sure == [1] * 20


def test_the_default_is_taken_where_a_choice_would_be_luck():
    rng = np.random.default_rng(0)
    counts = matrices([0, 0.05, *[0.0] * 20], images=6)
    counts[:, 2:, 0, 0] += (noise := rng.integers(-15, 16, counts[:, 2:, 0, 0].shape))
    counts[:, 2:, 0, 1] -= noise
    chosen, expected = decide(counts, (0, 1))
    assert chosen in (0, 1)
    assert (expected[:, 1] == counts[:, chosen]).all()


def test_gains_are_those_of_images_drawn_anew():
    gains = gains_of(matrices([0, 0.5], noise=0.2), (0, 1))
    assert (gains[:, 0] == 0).all()
    assert gains[:, 1].std() > 0
    exact = gains_of(matrices([0, 0.5]), (0, 1))
    assert exact[:, 1].std() < 1e-12


def test_an_image_is_refined_as_the_other_folds_choose():
    counts = matrices([0, 0.2, 0.4])
    assert (cross_validated(counts, (0, 1)) == counts[:, 2]).all()
    worse = matrices([0, -0.2])
    assert (cross_validated(worse, (0, 1)) == worse[:, 0]).all()


def test_candidates():
    found = candidates(0)
    assert isinstance(found[0].refiner, Unchanged)
    assert {one.method for one in found} == {
        "as they are",
        "universal",
        "offset correction",
        "dense CRF",
        "guided filter",
    }
    assert DenseCRF() in [one.refiner for one in found]
    assert GuidedFilter() in [one.refiner for one in found]
    assert [str(one) for one in candidates(0)] == [str(one) for one in found]


@pytest.fixture
def folder(tmp_path, write_scene):
    """Coarse maps at 1/8 of the resolution, and good masks of all but one image."""
    for seed in range(COUNT + 1):
        write_scene(tmp_path, f"s{seed}", seed)
    truth = tmp_path / "truth"
    for file in sorted((tmp_path / "masks").iterdir()):
        labels = read_labels(file)[0]
        if file.stem != f"s{COUNT}":
            write_labels(truth / file.name, labels)
        write_probabilities(
            tmp_path / "coarse" / f"{file.stem}.npz", low_resolution(torch.from_numpy(labels), 3, 8).numpy()
        )
    return tmp_path


def tune(root, *options, coarse="coarse"):
    given = ["--images", root / "images", "--coarse", root / coarse, "--truth", root / "truth", *options]
    return CliRunner().invoke(app, ["tune", *map(str, given), "--out", str(root / "model"), "--quiet"])


def test_the_command_writes_a_refiner_that_gains(folder):
    run = tune(folder)
    assert run.exit_code == 0, run.output
    assert f"chosen by {COUNT} good masks" in run.output
    results = read_results(folder / "model" / "tuning.json")
    assert results.expected_gain > 0
    assert results.low <= results.expected_gain <= results.high
    refiner = load(folder / "model")
    given = ["--images", folder / "images", "--coarse", folder / "coarse", "--refiner", folder / "model"]
    refined = CliRunner().invoke(app, ["refine", *map(str, given), "--out", str(folder / "out"), "--quiet"])
    assert refined.exit_code == 0, refined.output
    counts = np.zeros((2, 3, 4), np.int64)
    for name in (f"s{number}" for number in range(COUNT)):
        truth = read_labels(folder / "truth" / f"{name}.png")[0]
        counts[1] += confusion_matrix(read_labels(folder / "out" / "labels" / f"{name}.png")[0], truth, 3)
    assert np.diagonal(counts[1]).sum() > 0.97 * counts[1].sum()
    assert refiner.min_confidence in (None, *np.arange(0.5, 0.95, 0.05).round(2))
    again = tune(folder)
    assert again.exit_code == 0, again.output


def test_exact_masks_are_left_as_they_are(folder):
    run = tune(folder, coarse="masks")
    assert run.exit_code == 0, run.output
    assert "no refiner is surely better" in run.output
    assert isinstance(load(folder / "model"), Unchanged)


def test_masks_that_are_too_small_are_refined(folder, shrunk):
    for file in (folder / "masks").iterdir():
        write_labels(file, shrunk(read_labels(file)[0]))
    run = tune(folder, coarse="masks")
    assert run.exit_code == 0, run.output
    results = read_results(folder / "model" / "tuning.json")
    assert results.chosen.startswith("universal")
    assert results.expected_gain > 0.02


def test_too_few_good_masks_are_refused(folder):
    for number in range(2, COUNT):
        (folder / "truth" / f"s{number}.png").unlink()
    run = tune(folder)
    assert isinstance(run.exception, InvalidInput)
    assert "expected at least 3 good masks that can be read, found 2" in str(run.exception)


def test_masks_that_do_not_fit_are_skipped(folder):
    write_labels(folder / "truth" / "s0.png", np.zeros((20, 30), np.uint8))
    write_labels(folder / "truth" / "other.png", np.zeros((20, 30), np.uint8))
    run = tune(folder)
    assert run.exit_code == 1, run.output
    skipped = {s.file.rpartition("/")[2]: s.reason for s in read_results(folder / "model" / "tuning.json").skipped}
    assert "30 x 20 px, the image 150 x 120" in skipped["s0.png"]
    assert "no image and coarse map" in skipped["other.png"]


def test_the_files_of_another_model_are_not_replaced(folder):
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    run = tune(folder)
    assert isinstance(run.exception, InvalidInput)
    assert "holds another model" in str(run.exception)
    assert (folder / "model" / "config.json").read_text() == "{}"


@pytest.fixture(autouse=True)
def few_settings(monkeypatch):
    """One random setting of each filter beside its default."""
    for method in SETTINGS:
        monkeypatch.setitem(SETTINGS, method, 2)


@pytest.fixture
def few_steps(monkeypatch):
    """Correctors are trained on five masks already, for two steps."""
    monkeypatch.setattr("segmend.jobs.tune.FEWEST_TO_TRAIN", COUNT)
    monkeypatch.setitem(TRAINED, "ECN", Trained("ecn_few_images", 2))
    monkeypatch.setitem(TRAINED, "SPN", Trained("spn_few_images", 2))


def test_correctors_are_tried_out_of_fold_and_the_chosen_one_is_trained_on_all(folder, few_steps, monkeypatch):
    monkeypatch.setattr(
        "segmend.jobs.tune.decide",
        lambda counts, scored: (counts.shape[1] - 1, counts[:, [0, counts.shape[1] - 1]]),
    )
    run = tune(folder)
    assert run.exit_code == 0, run.output
    assert "chosen by 5 good masks: SPN" in run.output
    names = [one.name for one in read_results(folder / "model" / "tuning.json").tried]
    assert names[-2:] == ["ECN", "SPN"]
    for recipe in ("ecn_few_images", "spn_few_images"):
        for fold in (0, 1):
            assert list((folder / "model" / "trained").glob(f"{recipe}-*-without-{fold}/model.safetensors"))
    moved = folder / "elsewhere"
    (folder / "model").rename(moved)
    assert isinstance(load(moved), SpatialPropagation)


def test_correctors_are_not_trained_where_that_is_not_wanted(folder, few_steps):
    assert "ECN" not in tune(folder, "--no-train").output


def test_without_the_packages_for_training_the_rest_is_tried(folder, few_steps, monkeypatch):
    monkeypatch.setitem(sys.modules, "segmend.training.folder", None)
    run = tune(folder)
    assert run.exit_code == 0, run.output
    assert "ECN was not tried" in run.output
    assert "segmend[train,offline]" in run.output


def test_correctors_of_other_masks_are_not_taken_again(folder, few_steps, opened_labelled):
    """A mask that changed, or one more, moves images between the folds."""
    first = trained(opened_labelled(), TRAINED["SPN"], folder / "trained", 0, quiet=True)
    assert trained(opened_labelled(), TRAINED["SPN"], folder / "trained", 0, quiet=True) == first
    (folder / "truth" / "s0.png").unlink()
    assert trained(opened_labelled(), TRAINED["SPN"], folder / "trained", 0, quiet=True) != first


@pytest.fixture
def opened_labelled(folder):
    return lambda: open_labelled(folder / "images", folder / "coarse", folder / "truth")[0]
