"""The loop: it learns, it goes on where it was killed to the same weights, and its schedule is right."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segmend.data.files import InvalidFile
from segmend.training.checkpoint import NAME, load_checkpoint
from segmend.training.loop import Check, Plateau, fit, make_optimiser, schedule
from segmend.training.recipe import Optimisation


class Lines(torch.utils.data.Dataset):
    """Points of y = 2 x, each determined by its number."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        x = torch.rand(1, generator=torch.Generator().manual_seed(index))
        return {"image": x, "labels": 2 * x, "broken": ["a.png"] if index == 3 else []}


def options(**changed):
    settings = {"steps": 30, "batch": 4, "lr": 0.05, "optimiser": "adamw", "workers": 0, "precision": "32"}
    return Optimisation(**(settings | changed))


def loss(network, batch, progress):
    return F.mse_loss(network(batch["image"]), 2 * batch["image"])


def train(run, stop_after=None, make=lambda: nn.Linear(1, 1), check=None, **changed):
    torch.manual_seed(0)
    network = make()
    chosen = options(**changed)

    def on_step(step, value):
        if step == stop_after:
            raise KeyboardInterrupt

    kept, broken = fit(
        network, Lines(chosen.steps * chosen.batch), loss, chosen, run, on_step=on_step, check=check
    )
    return kept, broken


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_it_learns_and_names_broken_files(tmp_path, optimiser, average):
    kept, broken = train(tmp_path, optimiser=optimiser, average=average, steps=120)
    assert abs(kept.weight.item() - 2) < 0.5
    assert broken == ["a.png"]
    assert not kept.training


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, average, monkeypatch):
    whole, _ = train(tmp_path / "whole", average=average, schedule="cosine")
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "halves", stop_after=13, average=average, schedule="cosine")
    assert load_checkpoint(tmp_path / "halves")["step"] == 12
    rest, _ = train(tmp_path / "halves", average=average, schedule="cosine")
    for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("workers", [0, 1])
def test_chance_in_a_network_goes_on_too(tmp_path, workers, monkeypatch):
    def make():
        return nn.Sequential(nn.Linear(1, 16), nn.Dropout(0.5), nn.Linear(16, 1))

    whole, _ = train(tmp_path / "whole", make=make, workers=workers)
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "halves", stop_after=13, make=make, workers=workers)
    rest, _ = train(tmp_path / "halves", make=make, workers=workers)
    assert torch.equal(whole[0].weight, rest[0].weight)
    other, _ = train(tmp_path / "other", make=make, seed=1)  # the same first weights and samples
    assert not torch.equal(whole[0].weight, other[0].weight)


def test_a__corrupted_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(InvalidFile, match="delete it to start anew"):
        load_checkpoint(tmp_path)


def test_schedules():
    cosine = options(schedule="cosine", steps=100, warmup=10)
    assert [schedule(cosine, s) for s in (0, 9)] == [0.1, 1.0]
    assert schedule(cosine, 55) == pytest.approx(0.5)
    assert schedule(options(schedule="poly", steps=100), 50) == pytest.approx(0.5)
    assert schedule(options(schedule="poly", steps=100, power=0.9), 50) == pytest.approx(0.5**0.9)
    assert schedule(options(), 29) == 1.0


def test_a_plateau_is_found_where_pytorch_finds_it():
    weight = nn.Parameter(torch.zeros(1))
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        torch.optim.SGD([weight], lr=1.0), mode="max", factor=0.1, patience=1, threshold=0.0, min_lr=0.01
    )
    ours = Plateau(patience=2)
    factors = []
    for score in (0.1, 0.3, 0.3, 0.2, 0.4, 0.1, 0.5, 0.5, 0.4, 0.4, 0.1, 0.1):
        theirs.step(score)
        ours.update(score)
        factors.append(ours.factor)
        assert ours.factor == pytest.approx(theirs.get_last_lr()[0])
    assert set(factors) == {1.0, 0.1, 0.01}


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_scores_steer_the_learning_rate_and_a_stopped_run_goes_on_with_it(tmp_path, average, monkeypatch):
    seen = []

    def score(model, step):
        assert not model.training
        seen.append(step)
        return {3: 0.5, 6: 0.7, 9: 0.6}.get(step, 0.1)

    check, changed = Check(3, score), {"schedule": "plateau", "patience": 2, "average": average, "steps": 20}
    whole, _ = train(tmp_path / "whole", check=check, **changed)
    assert seen == [3, 6, 9, 12, 15, 18, 20]
    optimiser = load_checkpoint(tmp_path / "whole")["optimiser"]
    assert [group["lr"] for group in optimiser["param_groups"]] == [pytest.approx(0.05 * 0.01)]
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "halves", stop_after=11, check=check, **changed)
    rest, _ = train(tmp_path / "halves", check=check, **changed)
    assert torch.equal(whole.weight, rest.weight)
    steady, _ = train(tmp_path / "steady", check=check, **(changed | {"schedule": "constant"}))
    assert not torch.equal(whole.weight, steady.weight)


def test_pretrained_layers_get_their_own_rate_and_biases_no_decay():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimiser = make_optimiser(
        network, options(encoder_lr=0.01, weight_decay=0.1), lambda name: name.startswith("0")
    )
    found = {
        (group["lr"], group["weight_decay"], parameter.ndim)
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert found == {(0.01, 0.1, 2), (0.01, 0.0, 1), (0.05, 0.1, 2), (0.05, 0.0, 1)}
