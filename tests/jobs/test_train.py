"""Training from a recipe: the seed decides everything, and a folder belongs to one recipe."""

import json

import pytest
import torch

from segmend.jobs.train import train
from segmend.labels import InvalidInput
from segmend.refiners import load
from segmend.training.options import Augmentation, CoarseOptions, DataOptions, Optimisation
from segmend.training.tasks.corrector import CorrectorRecipe, ECNOptions
from segmend.training.tasks.segmenter import SegmenterRecipe


def recipe(synthetic, coarse, seed=0):
    return CorrectorRecipe(
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


def test_only_segmenters_have_folds(synthetic, coarse, tmp_path):
    with pytest.raises(InvalidInput, match="folds are for segmenters"):
        train(recipe(synthetic, coarse), tmp_path, folds=3, quiet=True)


def test_out_of_fold_maps_cover_the_training_split(synthetic, tmp_path):
    options = {"augmentation": {"crop": 32}, "optimisation": {"steps": 1, "batch": 2, "workers": 0}}
    segmenter = SegmenterRecipe(
        data={"root": synthetic, "train": "train"}, network="segmend.segmenters.faces.FaceParser", **options
    )
    for _ in range(2):  # the second call finds all of it finished
        assert train(segmenter, tmp_path, folds=2, quiet=True) == []
        maps = sorted(path.stem for path in (tmp_path / "out_of_fold" / "probs").iterdir())
        assert maps == sorted(record.id for record in segmenter.data.training_set())
    folders = [tmp_path, tmp_path / "folds" / "0", tmp_path / "folds" / "1"]
    texts = [(folder / "recipe.yaml").read_text() for folder in folders]
    assert "leave_out: null" in texts[0]
    assert texts[1] != texts[2]


def test_a_card_says_what_was_trained_on_what(synthetic, coarse, tmp_path):
    train(recipe(synthetic, coarse), tmp_path, quiet=True)
    card = (tmp_path / "README.md").read_text()
    assert "# A corrector of coarse maps trained with segmend" in card
    assert "12 images" in card
    assert "task: corrector" in card
    first, *_ = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert list(first) == ["step", "loss", "seconds"]
