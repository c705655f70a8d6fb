"""Recipes: what is in the file is what is trained, and a slip of the pen is explained."""

import inspect

import pytest
import torch

from segmend.data.files import InvalidFile
from segmend.labels import InvalidInput
from segmend.segmenters.base import import_network
from segmend.training.recipe import find_recipe, read_recipe, shipped_recipes
from segmend.training.tasks.corrector import CorrectorRecipe
from segmend.training.tasks.segmenter import SegmenterRecipe

GOOD = """
task: corrector
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
    assert isinstance(recipe, CorrectorRecipe)
    options = recipe.optimisation
    assert (options.optimiser, options.lr, options.batch, options.steps) == ("adam", 1e-4, 8, 20_000)
    assert recipe.augmentation.scale == (0.5, 1.5)


def test_what_is_written_reads_back_the_same(tmp_path):
    recipe = read_recipe(written(tmp_path, GOOD), ["optimisation.steps=7", "augmentation.scale=[1, 2]"])
    assert read_recipe(written(tmp_path, recipe.to_yaml())) == recipe
    assert recipe.optimisation.steps == 7
    assert recipe.augmentation.scale == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "optimisation: {stepz: 3}", r"optimisation\.stepz: no such key; did you mean 'steps'"),
        (GOOD + "optimisation: {steps: many}", r"optimisation\.steps: .*integer"),
        (GOOD + "optimisation: {lr: -1}", r"optimisation\.lr: .*greater than 0"),
        (GOOD.replace("quarter", "eighth"), r"ecn\.width: .*'full', 'half' or 'quarter'"),
        ("task: corrector\ndata: {root: x}", "coarse: Field required"),
        ("task: segmenter\ndata: {root: x}\nrelaxation: {}\nconsensus: {}", r"consensus\.cross_entropy. is 0"),
        ("task: segmenter\ndata: {root: x}\nconsensus: {by_class: true}", r"consensus\.by_class: no such key$"),
        ("task: segmenter\ndata: {root: x}\nvalidation: {splits: v}", r"splits: .* did you mean 'split'"),
        ("task: segmenter\ndata: {root: x}\npropagated: {share: 0.5}", r"propagated\.distance: Field required"),
        (
            "task: segmenter\ndata: {root: x}\npropagated: {distance: 1, share: 50}",
            r"propagated\.share: .*less than or equal to 1",
        ),
        ("task: universal\ntraining_sets: [{date: {root: x}}]", r"training_sets\.0\.date: .* did you mean 'data'"),
        (GOOD + "optimisation: {schedule: plateau}", "depends on the scores of `validation`"),
        (
            "data: {root: x}",
            "task: expected segmenter, corrector, universal, border, filter, motion, dual; found none",
        ),
        (
            "task: sing\ndata: {root: x}",
            "task: expected segmenter, corrector, universal, border, filter, motion, dual; found 'sing'",
        ),
        ("task: [sing]", r"found \['sing'\]"),
        (
            "task: filter\nfilter: crf\ndata: {root: x}\ncoarse: {train: y, variation: 1}",
            r"coarse\.variation: no such",
        ),
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


def test_recipes_of_the_package_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("ecn_few_images") == read_recipe(find_recipe("ecn_few_images"))
    assert "vplr_voc" in shipped_recipes()
    (tmp_path / "crf").mkdir()  # a folder is no recipe
    assert find_recipe("crf").name == "crf.yaml"
    (tmp_path / "fpn").write_text(GOOD)
    assert isinstance(read_recipe("fpn"), CorrectorRecipe)  # files come first


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "ecn_few_image",
            "ecn_few_image: no such file.* did you mean ecn_few_images.* There are crf, deeplab, .*vplr_voc$",
        ),
        ("recipes/vplr_voc.yaml", r"did you mean vplr_voc\? There are crf"),
        ("qqqq", "comes with segmend; there are crf, deeplab"),
    ],
)
def test_a_wrong_name_lists_all_recipes_and_the_nearest(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=words):
        read_recipe(name)


def test_one_override_leaves_the_propagated_frames_out():
    recipe = read_recipe("propagated", ["propagated.distance=0"])
    assert isinstance(recipe, SegmenterRecipe)
    assert recipe.propagated.distance == 0
    assert recipe.relaxation.radius == 1


@pytest.mark.parametrize("name", shipped_recipes())
def test_recipes_of_the_package_can_be_trained(name):
    recipe = read_recipe(name)
    if isinstance(recipe, SegmenterRecipe):
        names = inspect.signature(import_network(recipe.network)).parameters
        arguments = {"encoder_weights": None} if "encoder_weights" in names else {}
        with torch.device("meta"):  # no memory, no weights
            network = import_network(recipe.network)(classes=7, **arguments, **recipe.arguments).eval()
            side = max(64, 2 * recipe.stride)
            assert network(torch.zeros(1, 3, side, side)).shape[1] == 7
