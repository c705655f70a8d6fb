"""Training from a recipe: the seed decides everything, and a folder belongs to one recipe."""

import pytest
import torch

from segmend.jobs.train import train
from segmend.labels import InvalidInput
from segmend.refiners import load
from segmend.training.recipe import (
    Augmentation,
    CoarseOptions,
    DataOptions,
    ECNOptions,
    Optimisation,
    RefinerRecipe,
)


def recipe(drawn, coarse, seed=0):
    return RefinerRecipe(
        task="refiner",
        data=DataOptions(root=drawn, train="train"),
        coarse=CoarseOptions(train=coarse / "train", truth_share=0.5),
        ecn=ECNOptions(width="quarter"),
        augmentation=Augmentation(crop=32),
        optimisation=Optimisation(steps=2, batch=2, workers=0, precision="32", seed=seed),
    )


def weights(folder):
    return torch.cat([value.flatten() for value in load(folder).state_dict().values()])


def test_one_seed_gives_one_network_and_another_another(drawn, coarse, tmp_path):
    torch.manual_seed(123)
    train(recipe(drawn, coarse), tmp_path / "a", quiet=True)
    torch.manual_seed(456)
    train(recipe(drawn, coarse), tmp_path / "b", quiet=True)
    train(recipe(drawn, coarse, seed=1), tmp_path / "c", quiet=True)
    assert torch.equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_folder_is_not_overwritten_by_another_recipe(drawn, coarse, tmp_path):
    train(recipe(drawn, coarse), tmp_path / "a", quiet=True)
    before = weights(tmp_path / "a")
    with pytest.raises(InvalidInput, match="another recipe"):
        train(recipe(drawn, coarse, seed=1), tmp_path / "a", quiet=True)
    assert torch.equal(weights(tmp_path / "a"), before)
