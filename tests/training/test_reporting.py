"""Scalars for TensorBoard: what its own reader finds of a training, also of one that was stopped."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segmend.jobs.train import train as job
from segmend.labels import InvalidInput
from segmend.training.loop import Scores, Scoring, Stage, train
from segmend.training.options import DataOptions, Optimisation
from segmend.training.reporting import Scalars, TrainingLog
from segmend.training.tasks.filter import CoarseMaps, FilterRecipe
from segmend.training.tasks.segmenter import SegmenterRecipe

pytest.importorskip("tensorboard")


class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return {"image": torch.full((1,), index / 1000), "broken": []}


def loss(network, batch, progress):
    return F.mse_loss(network(batch["image"]), 2 * batch["image"])


def stages(stop_at=None):
    """Two stages of 60 and 40 steps with a validation; the second stops at a step where one is given."""
    torch.manual_seed(0)
    network = nn.Linear(1, 1)
    calls = iter(range(1000))

    def score(model, fabric):
        return Scores({"mean_accuracy": model.weight.item(), "mean_iou": 0.25}, [])

    def stopped(network, batch, progress):
        if stop_at is not None and next(calls) == stop_at:
            raise KeyboardInterrupt
        return loss(network, batch, progress)

    options = {"batch": 2, "lr": 0.05, "workers": 0, "precision": "32", "schedule": "poly"}
    return [
        Stage(network, Points(), loss, Optimisation(steps=60, **options)),
        Stage(network, Points(), stopped, Optimisation(steps=40, **options), validation=Scoring(30, score)),
    ]


def run(folder, silent, stop_at=None):
    made = stages(stop_at)
    folder.mkdir(exist_ok=True)
    scalars = Scalars(folder)
    with (folder / "log.jsonl").open("a") as file:
        log = TrainingLog(file, silent, [stage.optimisation.steps for stage in made], scalars)
        try:
            train(made, folder, log.stage)
        finally:
            scalars.close()


def read(folder):
    """Steps and values by tag, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), purge_orphaned_data=True)
    found.Reload()
    return {tag: [(e.step, round(e.value, 6)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture
def silent():
    from segmend.jobs.progress import bar

    return lambda title, total: bar(title, total, True)


def test_losses_rates_and_scores_are_those_of_the_log_by_the_step_over_all_stages(tmp_path, silent):
    run(tmp_path / "run", silent)
    found = read(tmp_path / "run")
    assert set(found) == {"loss", "learning_rate", "validation/mean_accuracy", "validation/mean_iou"}
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    steps = [(60 * (line["stage"] - 1) + line["step"], line["loss"]) for line in lines if "loss" in line]
    assert [step for step, _ in steps] == [20, 40, 60, 80, 100]
    assert [(step, round(value, 4)) for step, value in found["loss"]] == steps
    expected = [0.05 * (1 - 19 / 60), 0.05 * (1 - 39 / 60), 0.05 / 60, 0.05 * (1 - 19 / 40), 0.05 / 40]
    assert [value for _, value in found["learning_rate"]] == pytest.approx(expected, abs=1e-5)
    assert [step for step, _ in found["validation/mean_accuracy"]] == [90, 100]


def test_a_resumed_training_goes_on_in_the_same_place_and_no_step_counts_twice(tmp_path, silent, monkeypatch):
    run(tmp_path / "whole", silent)
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 1e9)  # the checkpoint is that of stage 1
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "halves", silent, stop_at=35)
    assert [step for step, _ in read(tmp_path / "halves")["loss"]] == [20, 40, 60, 80]
    run(tmp_path / "halves", silent)
    assert len(list((tmp_path / "halves/tensorboard").iterdir())) == 2
    found, whole = read(tmp_path / "halves"), read(tmp_path / "whole")
    for tag in ("loss", "learning_rate", "validation/mean_accuracy"):
        assert [step for step, _ in found[tag]] == [step for step, _ in whole[tag]], tag
    assert found["learning_rate"] == whole["learning_rate"]
    assert found["validation/mean_accuracy"] == whole["validation/mean_accuracy"]


def test_a_recipe_is_trained_with_scalars_where_they_are_asked_for(synthetic, tmp_path):
    recipe = SegmenterRecipe(
        data={"root": synthetic, "train": "train"},
        network="segmend.segmenters.faces.FaceParser",
        augmentation={"crop": 32},
        optimisation={"steps": 2, "batch": 2, "workers": 0, "precision": "32"},
        validation={"split": "val", "every": 2},
    )
    job(recipe, tmp_path / "with", quiet=True, tensorboard=True)
    job(recipe, tmp_path / "without", quiet=True)
    assert {tag: [step for step, _ in values] for tag, values in read(tmp_path / "with").items()} == {
        "loss": [2],
        "learning_rate": [2],
        "validation/mean_accuracy": [2],
        "validation/mean_iou": [2],
    }
    assert not (tmp_path / "without/tensorboard").exists()
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without")]
    if not torch.cuda.is_available():
        assert weights[0] == weights[1]


def test_without_tensorboard_or_steps_it_is_refused_before_any_work(synthetic, coarse, tmp_path, monkeypatch):
    recipe = FilterRecipe(
        data=DataOptions(root=synthetic, train="train"), coarse=CoarseMaps(train=coarse / "train"), filter="guided"
    )
    with pytest.raises(InvalidInput, match="leave --tensorboard out"):
        job(recipe, tmp_path / "a", quiet=True, tensorboard=True)
    monkeypatch.setattr("segmend.training.reporting.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'segmend\[tensorboard\]'"):
        job(recipe, tmp_path / "a", quiet=True, tensorboard=True)
    assert not (tmp_path / "a").exists()
