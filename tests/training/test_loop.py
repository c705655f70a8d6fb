"""The loop: it learns, it resumes in any stage and ends with the same weights, and its schedule is right."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segmend.data.files import InvalidFile
from segmend.training.checkpoint import NAME, load_checkpoint
from segmend.training.loop import Scores, Scoring, Stage, make_optimiser, make_plateau, schedule
from segmend.training.loop import train as run_stages
from segmend.training.options import Optimisation


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


def stage(network, loss=loss, **changed):
    fields = {f.name: changed.pop(f.name) for f in dataclasses.fields(Stage) if f.name in changed}
    chosen = options(**changed)
    return Stage(network, Lines(chosen.samples), loss, chosen, **fields)


class Stopper:
    """The log of a training that is killed after a step of a stage (numbers from 0), or never."""

    def __init__(self, stop_after=None, stop_in=0):
        self.stop, self.steps = (stop_in, stop_after), []

    def stage(self, index):
        self.index = index
        return nullcontext(self)

    def stepped(self, step, value, learning_rate):
        self.steps.append((self.index, step))
        if (self.index, step) == self.stop:
            raise KeyboardInterrupt

    def scored(self, step, figures):
        self.figures = figures


def train(run, stop_after=None, make=lambda: nn.Linear(1, 1), **changed):
    torch.manual_seed(0)
    return run_stages([stage(make(), **changed)], run, Stopper(stop_after).stage)


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


def test_a_corrupted_checkpoint_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(InvalidFile, match="delete it to start anew"):
        load_checkpoint(tmp_path)
    torch.save({"weights": 1}, tmp_path / NAME)
    with pytest.raises(InvalidFile, match="delete it to start anew"):
        load_checkpoint(tmp_path)


class Parts(nn.Module):
    """A network of two parts: a body with batch norm and dropout, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.3))
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.body(x))


def two_stages(average=0.0):
    """First the head alone; then all parameters, with targets that an inner loop of gradient steps infers."""
    network = Parts()

    def inferred(wrapped, batch, progress):
        network.eval()
        target = batch["image"].clone().requires_grad_()
        for _ in range(2):
            (gradient,) = torch.autograd.grad((network(batch["image"]) - target).square().sum(), target)
            target = (target - 0.1 * gradient).detach().requires_grad_()
        network.train()
        return F.mse_loss(wrapped(batch["image"]), target.detach() + batch["image"])

    first = stage(network, steps=8, average=average, trained=("head.",))
    return network, [first, stage(network, inferred, steps=12, average=average, lr=0.02)]


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("place", [(0, 5), (0, 8), (1, 1), (1, 7)])
def test_a_run_that_was_stopped_in_any_stage_ends_with_the_same_weights(tmp_path, average, place, monkeypatch):
    whole, stages = two_stages(average)
    log = Stopper()
    run_stages(stages, tmp_path / "whole", log.stage)
    assert log.steps == [(0, s + 1) for s in range(8)] + [(1, s + 1) for s in range(12)]
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_stages(two_stages(average)[1], tmp_path / "halves", Stopper(place[1], place[0]).stage)
    resumed, stages = two_stages(average)
    log = Stopper()
    found, _ = run_stages(stages, tmp_path / "halves", log.stage)
    assert found is resumed
    assert log.steps[0] == place  # the step during which it was stopped comes again, and none before it
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_earlier_stages_may_have_models_of_their_own(tmp_path, monkeypatch):
    """A student that learns from a teacher: the checkpoint holds both."""

    def both():
        torch.manual_seed(0)
        teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)

        def distilled(network, batch, progress):
            return F.mse_loss(network(batch["image"]), teacher(batch["image"]).detach())

        return teacher, student, [stage(teacher, steps=60), stage(student, distilled, steps=60, lr=0.1)]

    teacher, whole, stages = both()
    points = torch.linspace(0, 1, 11)[:, None]
    assert run_stages(stages, tmp_path / "whole", Stopper().stage)[0] is whole
    assert (teacher(points) - whole(points)).abs().max() < 0.3
    assert (teacher(points) - 2 * points).abs().max() < 0.5
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_stages(both()[2], tmp_path / "halves", Stopper(30, 1).stage)
    _, resumed, stages = both()
    run_stages(stages, tmp_path / "halves", Stopper().stage)
    assert torch.equal(whole.weight, resumed.weight)


def test_a_stage_changes_its_own_parameters_alone(tmp_path):
    network, (first, _) = two_stages()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = []

    def watched(wrapped, batch, progress):
        modes.append((network.body[1].training, network.head.training))
        return loss(wrapped, batch, progress)

    run_stages([dataclasses.replace(first, loss=watched)], tmp_path, Stopper().stage)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}  # nor the statistics of batch norm
    assert set(modes) == {(False, True)}
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_samples_need_no_labels(tmp_path):
    class Unlabelled(Lines):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return {"image": sample["image"], "broken": []}

    one = stage(nn.Linear(1, 1))
    kept, _ = run_stages([dataclasses.replace(one, samples=Unlabelled(120))], tmp_path, Stopper().stage)
    assert not kept.training


def test_schedules():
    cosine = options(schedule="cosine", steps=100, warmup=10)
    assert [schedule(cosine, s) for s in (0, 9)] == [0.1, 1.0]
    assert schedule(cosine, 55) == pytest.approx(0.5)
    assert schedule(options(schedule="poly", steps=100), 50) == pytest.approx(0.5)
    assert schedule(options(schedule="poly", steps=100, power=0.9), 50) == pytest.approx(0.5**0.9)
    assert schedule(options(), 29) == 1.0


def test_a_plateau_divides_the_rate_twice():
    optimiser = make_optimiser(nn.Linear(1, 1), options(lr=1.0))
    plateau = make_plateau(optimiser, options(patience=2))
    rates, best, stalled, rate = [], -1.0, 0, 1.0
    for score in (0.1, 0.3, 0.3, 0.2, 0.4, 0.1, 0.5, 0.5, 0.4, 0.4, 0.1, 0.1):
        plateau.step(score)
        stalled = 0 if score > best else stalled + 1
        best = max(best, score)
        if stalled == 2:
            rate, stalled = max(rate / 10, 0.01), 0
        rates.append(optimiser.param_groups[0]["lr"])
        assert rates[-1] == pytest.approx(rate)
    assert sorted({round(r, 4) for r in rates}) == [0.01, 0.1, 1.0]


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("warmup", [0, 4])
def test_scores_steer_the_learning_rate_and_a_stopped_run_resumes_with_it(tmp_path, average, warmup, monkeypatch):
    seen = []

    def score(model, fabric):
        assert not model.training
        seen.append(len(seen))
        return Scores({"recall": {0: 0.5, 1: 0.7, 2: 0.6}.get(seen[-1], 0.1), "other": 1.0}, ["b.png"])

    def changed(already=0):
        seen[:] = range(already)
        steps = {"patience": 2, "average": average, "steps": 20, "warmup": warmup}
        return {"validation": Scoring(3, score), "schedule": "plateau"} | steps

    whole, broken = train(tmp_path / "whole", **changed())
    assert len(seen) == 7
    assert broken == ["a.png", "b.png"]
    optimiser = load_checkpoint(tmp_path / "whole")["optimiser"]
    assert [group["lr"] for group in optimiser["param_groups"]] == [pytest.approx(0.05 * 0.01)]
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "halves", stop_after=11, **changed())
    rest, _ = train(tmp_path / "halves", **changed(3))
    assert torch.equal(whole.weight, rest.weight)
    steady, _ = train(tmp_path / "steady", **(changed() | {"schedule": "constant"}))
    assert not torch.equal(whole.weight, steady.weight)


def test_pretrained_layers_get_their_own_rate_and_biases_no_decay():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimiser = make_optimiser(network, options(encoder_lr=0.01, weight_decay=0.1), ("0.",))
    found = {
        (group["lr"], group["weight_decay"], parameter.ndim)
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert found == {(0.01, 0.1, 2), (0.01, 0.0, 1), (0.05, 0.1, 2), (0.05, 0.0, 1)}
