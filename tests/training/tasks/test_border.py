"""Training the refiner of masks."""

import math

import pytest
import torch
from pydantic import ValidationError

from segmend.data.sampling import collate
from segmend.jobs.progress import bar
from segmend.refiners import BorderNetwork
from segmend.training.border_samples import OWN, RIVAL, UNDECIDED
from segmend.training.options import DataOptions, Optimisation
from segmend.training.tasks.border import COST_OFFSET, BorderRecipe, LabelledSet, border_loss, stages


def silent(title, total):
    return bar(title, total, quiet=True)


def test_it_learns_from_several_sets(synthetic):
    sets = [
        LabelledSet(data=DataOptions(root=synthetic, train="train")),
        LabelledSet(data=DataOptions(root=synthetic, train="val"), share=3.0),
    ]
    optimisation = Optimisation(steps=2, batch=3, workers=0)
    (stage,) = stages(BorderRecipe(training_sets=sets, crop=64, optimisation=optimisation), silent)
    assert isinstance(stage.model, BorderNetwork)
    assert stage.samples.shares == [0.25, 0.75]
    assert len(stage.samples) == 6
    loss = stage.loss(stage.model, collate([stage.samples[i] for i in range(3)]), 0.0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in stage.model.parameters())


def test_the_loss_is_the_mean_logarithm_of_costs():
    target = torch.full((3, 20, 20), UNDECIDED)
    target[0, :10], target[0, 10:] = OWN, RIVAL
    target[1] = RIVAL
    target[2, 0, 0] = OWN  # too few pixels to count
    logits = torch.full((3, 20, 20), 2.0)
    own, rival = math.log(1 + math.exp(2)), math.log(1 + math.exp(-2))
    expected = (math.log((own + rival) / 2 + COST_OFFSET) + math.log(rival + COST_OFFSET)) / 2
    assert border_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)
    assert border_loss(logits[2:], target[2:]).item() == 0


def test_options_of_other_tasks_are_refused(synthetic):
    with pytest.raises(ValidationError, match="plateau"):
        BorderRecipe(
            training_sets=[LabelledSet(data=DataOptions(root=synthetic))],
            optimisation=Optimisation(schedule="plateau"),
        )
