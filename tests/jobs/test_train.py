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
    SPNOptions,
)


def recipe(synthetic, coarse, seed=0):
    return RefinerRecipe(
        task="refiner",
        data=DataOptions(root=synthetic, train="train"),
        coarse=CoarseOptions(train=coarse / "train", truth_share=0.5),
        ecn=ECNOptions(width="quarter"),
        augmentation=Augmentation(crop=32),
        optimisation=Optimisation(steps=2, batch=2, workers=0, precision="32", seed=seed),
    )


def weights(folder):
    return torch.cat([value.flatten() for value in load(folder).state_dict().values()])


def test_one_seed_gives_one_network_and_another_another(synthetic, coarse, tmp_path):
    torch.manual_seed(123)
    train(recipe(synthetic, coarse), tmp_path / "a", quiet=True)
    torch.manual_seed(456)
    train(recipe(synthetic, coarse), tmp_path / "b", quiet=True)
    train(recipe(synthetic, coarse, seed=1), tmp_path / "c", quiet=True)
    rounding = 1e-3 if torch.cuda.is_available() else 0.0  # a GPU adds in any order
    assert torch.allclose(weights(tmp_path / "a"), weights(tmp_path / "b"), rtol=0, atol=rounding)
    assert not torch.allclose(weights(tmp_path / "a"), weights(tmp_path / "c"), atol=1e-3)


def test_a_folder_is_not_overwritten_by_another_recipe(synthetic, coarse, tmp_path):
    train(recipe(synthetic, coarse), tmp_path / "a", quiet=True)
    before = weights(tmp_path / "a")
    with pytest.raises(InvalidInput, match="another recipe"):
        train(recipe(synthetic, coarse, seed=1), tmp_path / "a", quiet=True)
    assert torch.equal(weights(tmp_path / "a"), before)


@pytest.mark.parametrize("name", ["ecn", "spn"])
def test_votes_are_fitted_where_the_recipe_says_so(synthetic, coarse, tmp_path, monkeypatch, name):
    monkeypatch.setattr("segmend.jobs.train.fit_appearance", lambda dataset, quiet: 0.25)
    options = {"width": "quarter", "encoder": "tf_efficientnet_lite0"}
    changed = {"ecn": None, name: (ECNOptions if name == "ecn" else SPNOptions)(**options, appearance="fit")}
    asked = recipe(synthetic, coarse).model_copy(update=changed)
    train(asked, tmp_path / "a", quiet=True)
    assert load(tmp_path / "a").appearance == 0.25
    assert "appearance: fit" in (tmp_path / "a" / "recipe.yaml").read_text()
    train(asked, tmp_path / "a", quiet=True)  # it is finished
    given = asked.model_copy(update={name: changed[name].model_copy(update={"appearance": 0.5})})
    train(given, tmp_path / "b", quiet=True)
    assert load(tmp_path / "b").appearance == 0.5
