"""Training a class-agnostic refiner."""

import pytest
import torch
from pydantic import ValidationError

from segmend.data.sampling import collate
from segmend.jobs.progress import bar
from segmend.refiners import UniversalPropagation
from segmend.training.options import Augmentation, CoarseOptions, DataOptions, Optimisation
from segmend.training.tasks.universal import TrainingSet, UniversalRecipe, stages

OPTIONS = {"augmentation": Augmentation(crop=32), "optimisation": Optimisation(steps=2, batch=3, workers=0)}


def silent(title, total):
    return bar(title, total, quiet=True)


def test_it_learns_from_several_sets(synthetic, coarse):
    sets = [
        TrainingSet(data=DataOptions(root=synthetic, train="train"), coarse=CoarseOptions(train=coarse / "train")),
        TrainingSet(data=DataOptions(root=synthetic, train="val"), share=3.0),
    ]
    (stage,) = stages(UniversalRecipe(training_sets=sets, slots=4, **OPTIONS), silent)
    assert isinstance(stage.model, UniversalPropagation)
    assert stage.samples.shares == [0.25, 0.75]
    assert [samples.dataset.records[0].coarse is None for samples in stage.samples.sets] == [False, True]
    assert len(stage.samples) == 6
    batch = collate([stage.samples[i] for i in range(3)])
    assert batch["coarse"].shape == (3, 4, 32, 32)
    loss = stage.loss(stage.model, batch, 0.0)
    loss.backward()
    assert loss.isfinite()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in stage.model.parameters())


def test_the_network_sees_the_border_error_of_some_samples(synthetic, coarse):
    data = DataOptions(root=synthetic, train="train")
    sets = [TrainingSet(data=data, coarse=CoarseOptions(train=coarse / "train"))]
    (stage,) = stages(UniversalRecipe(training_sets=sets, **OPTIONS), silent)
    batch = collate([stage.samples[i] for i in range(3)])
    batch["error_given"] = torch.tensor([True, False, True])
    seen = []

    def network(image, map_, border_error_px):
        seen.append(border_error_px)
        return stage.model(image, map_, border_error_px)

    stage.loss(network, batch, 0.0)
    assert torch.equal(seen[0], batch["border_error_px"] * torch.tensor([1.0, 0.0, 1.0]))


def test_options_of_other_tasks_are_refused(synthetic):
    data = DataOptions(root=synthetic)
    with pytest.raises(ValidationError, match="truth_steps"):
        TrainingSet(data=data, coarse=CoarseOptions(truth_steps=3))
    with pytest.raises(ValidationError, match="plateau"):
        UniversalRecipe(training_sets=[TrainingSet(data=data)], optimisation=Optimisation(schedule="plateau"))
