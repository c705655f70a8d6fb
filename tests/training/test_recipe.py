"""Recipes: what is in the file is what is trained, and a slip of the pen is explained."""

import inspect
from pathlib import Path

import pytest
import torch

from segmend.data.files import InvalidFile
from segmend.labels import InvalidInput
from segmend.segmenters.base import import_network
from segmend.training.recipe import RefinerRecipe, SegmenterRecipe, read_recipe, write_recipe

RECIPES = sorted((Path(__file__).parents[2] / "src" / "segmend" / "recipes").glob("*.yaml"))

GOOD = """
task: refiner
data: {root: somewhere, train: train}
coarse: {train: maps}
ecn: {width: quarter}
"""


def written(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_defaults_are_the_papers(tmp_path):
    recipe = read_recipe(written(tmp_path, GOOD))
    assert isinstance(recipe, RefinerRecipe)
    options = recipe.optimisation
    assert (options.optimiser, options.lr, options.batch, options.steps) == ("adam", 1e-4, 8, 20_000)
    assert recipe.augmentation.scale == (0.5, 1.5)


def test_what_is_written_reads_back_the_same(tmp_path):
    recipe = read_recipe(written(tmp_path, GOOD), ["optimisation.steps=7", "augmentation.scale=[1, 2]"])
    assert read_recipe(written(tmp_path, write_recipe(recipe))) == recipe
    assert recipe.optimisation.steps == 7
    assert recipe.augmentation.scale == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "optimisation: {stepz: 3}", r"optimisation\.stepz: no such key; did you mean 'steps'"),
        (GOOD + "optimisation: {steps: many}", r"optimisation\.steps: .*integer"),
        (GOOD + "optimisation: {lr: -1}", r"optimisation\.lr: .*greater than 0"),
        (GOOD.replace("quarter", "eighth"), r"ecn\.width: .*'full', 'half' or 'quarter'"),
        ("task: refiner\ndata: {root: x}", "coarse: Field required"),
        ("task: segmenter\ndata: {root: x}\nrelaxation: {}\nconsensus: {}", r"consensus\.cross_entropy. is 0"),
        ("task: segmenter\ndata: {root: x}\nconsensus: {by_class: true}", r"consensus\.by_class: no such key$"),
        ("task: segmenter\ndata: {root: x}\nvalidation: {splits: v}", r"splits: .* did you mean 'split'"),
        ("task: universal\nsources: [{date: {root: x}}]", r"sources\.0\.date: .* did you mean 'data'"),
        (GOOD + "optimisation: {schedule: plateau}", "depends on the scores of `validation`"),
        ("data: {root: x}", "task"),
        ("task: sing\ndata: {root: x}", "sing"),
        ("- a list", "expected keys"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_a_slip_is_explained_with_file_and_key(tmp_path, text, words):
    with pytest.raises(InvalidFile, match=words) as caught:
        read_recipe(written(tmp_path, text))
    assert "recipe.yaml" in str(caught.value)


def test_overrides_must_be_assignments(tmp_path):
    with pytest.raises(InvalidInput, match="key=value"):
        read_recipe(written(tmp_path, GOOD), ["steps"])


def test_a_segmenter_is_another_task(tmp_path):
    recipe = read_recipe(written(tmp_path, "task: segmenter\ndata: {root: x}"))
    assert isinstance(recipe, SegmenterRecipe)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_repository_can_be_trained(path):
    recipe = read_recipe(path)
    if isinstance(recipe, SegmenterRecipe):
        names = inspect.signature(import_network(recipe.network)).parameters
        arguments = {"encoder_weights": None} if "encoder_weights" in names else {}
        with torch.device("meta"):  # no memory, no weights
            network = import_network(recipe.network)(classes=7, **arguments, **recipe.arguments).eval()
            side = max(64, 2 * recipe.stride)
            assert network(torch.zeros(1, 3, side, side)).shape[1] == 7
