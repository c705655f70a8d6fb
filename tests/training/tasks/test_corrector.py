"""Training a corrector: its network, samples and loss, and the weight of its appearance term."""

import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.manifest import Entry, Source, append_entry
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_probabilities
from segmend.data.sampling import collate
from segmend.jobs.progress import bar
from segmend.jobs.train import train
from segmend.labels import Classes, InvalidInput
from segmend.refiners import ECN, SpatialPropagation, load
from segmend.refiners.ecn import correction_loss
from segmend.training.options import Augmentation, CoarseOptions, DataOptions, Optimisation, PropagatedOptions
from segmend.training.tasks import corrector
from segmend.training.tasks.corrector import (
    CorrectorRecipe,
    CorrectorValidation,
    ECNOptions,
    SPNOptions,
    fit_appearance,
    stages,
)


def silent(title, total):
    return bar(title, total, quiet=True)


OPTIONS = {"augmentation": Augmentation(crop=32), "optimisation": Optimisation(steps=2, batch=3, workers=0)}


def planned(synthetic, coarse, **options):
    """The stage of a corrector's recipe."""
    whole = {
        "data": DataOptions(root=synthetic, train="train"),
        "coarse": CoarseOptions(train=coarse / "train", truth_share=0.5),
        "ecn": ECNOptions(width="quarter"),
    }
    (stage,) = stages(CorrectorRecipe(**(whole | options), **OPTIONS), silent)
    return stage


def test_a_share_of_the_images_trains_the_fusion_mask_alone(synthetic, coarse):
    chosen = planned(synthetic, coarse, fusion_share=0.25).samples.held_out
    assert len(chosen) == 3
    assert chosen == planned(synthetic, coarse, fusion_share=0.25).samples.held_out
    alone = ECNOptions(width="quarter", branches="propagation")
    assert not planned(synthetic, coarse, fusion_share=0.25, ecn=alone).samples.held_out


def test_frames_of_a_propagated_set_are_chosen_by_their_distance(synthetic, coarse, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(synthetic, root)
    for number, record in enumerate(open_dataset(root, "train")):
        append_entry(root, Entry(record.id, "train", record.id, (Source("a", number % 3),) if number % 3 else ()))
    data = DataOptions(root=root, train="train")
    samples = planned(synthetic, coarse, data=data, propagated=PropagatedOptions(distance=2, share=0.25)).samples
    assert sorted(record.distance for record in samples.dataset) == [0] * 4 + [2] * 4
    assert samples.propagated_share == 0.25


def test_a_set_without_labels_is_refused(synthetic, coarse, tmp_path):
    (tmp_path / "images").mkdir()
    for path in list((synthetic / "images" / "val").iterdir())[:2]:
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InvalidInput, match="has a label map"):
        planned(synthetic, coarse, data=DataOptions(root=tmp_path / "images", classes=3))


def test_the_first_weights_belong_to_the_seed(synthetic, coarse):
    torch.manual_seed(1)
    first = planned(synthetic, coarse).model
    torch.manual_seed(2)
    again = planned(synthetic, coarse).model
    assert isinstance(first, ECN)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_the_loss_is_that_of_the_network(synthetic, coarse):
    ecn = planned(synthetic, coarse, fusion_share=0.5)
    batch = collate([ecn.samples[i] for i in range(3)])
    batch["held_out"] = torch.tensor([True, False, False])
    correction = ecn.model(batch["image"], batch["coarse"], True)
    expected = correction_loss(correction, batch["labels"], 255, batch["held_out"])
    assert torch.allclose(ecn.loss(ecn.model, batch, 0.0), expected)
    spn = planned(synthetic, coarse, ecn=None, spn=SPNOptions(width="quarter"))
    assert isinstance(spn.model, SpatialPropagation)
    expected = F.nll_loss(spn.model(batch["image"], batch["coarse"]), batch["labels"], ignore_index=255)
    assert torch.allclose(spn.loss(spn.model, batch, 0.0), expected, rtol=1e-4)


def test_validation_uses_the_coarse_maps_of_its_split(synthetic, coarse):
    shown = CorrectorValidation(split="val", coarse=coarse / "val", every=7)
    assert planned(synthetic, coarse, validation=shown).validation.every == 7
    assert planned(synthetic, coarse).validation is None


@pytest.mark.parametrize("name", ["ecn", "spn"])
def test_the_appearance_term_is_fitted_where_the_recipe_says_so(synthetic, coarse, tmp_path, monkeypatch, name):
    monkeypatch.setattr(corrector, "fit_appearance", lambda dataset, bar: 0.25)
    options = {"width": "quarter", "encoder": "tf_efficientnet_lite0"}
    fitted = (ECNOptions if name == "ecn" else SPNOptions)(**options, appearance="fit")
    recipe = CorrectorRecipe(
        data=DataOptions(root=synthetic, train="train"),
        coarse=CoarseOptions(train=coarse / "train"),
        **{name: fitted},
        **OPTIONS,
    )
    train(recipe, tmp_path / "a", quiet=True)
    assert load(tmp_path / "a").appearance == 0.25
    assert "appearance: fit" in (tmp_path / "a" / "recipe.yaml").read_text()
    assert train(recipe, tmp_path / "a", quiet=True) == []  # it is finished
    given = recipe.model_copy(update={name: fitted.model_copy(update={"appearance": 0.5})})
    train(given, tmp_path / "b", quiet=True)
    assert load(tmp_path / "b").appearance == 0.5


def scenes(root, wrong=False, puddle=False, scored=()):
    """Grey ground below a bright wall, and coarse maps of low confidence.

    Args:
        wrong: a part of the ground is wrong in them.
        puddle: a second class on the ground has the same colours.
    """
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        truth = np.zeros((64, 64), np.uint8)
        truth[32:] = 1
        image = np.where(truth[..., None] == 1, 128, 230) + rng.integers(-3, 4, (64, 64, 3))
        if puddle:
            truth[40:56, 20:40] = 2
        map_ = truth.copy()
        if wrong:
            map_[48:, :16] = 0
        write_image(root / "images" / "train" / f"{name}.png", image.astype(np.uint8))
        write_labels(root / "labels" / "train" / f"{name}.png", truth)
        write_probabilities(root / "coarse" / f"{name}.npz", 0.7 * np.eye(3)[map_].transpose(2, 0, 1) + 0.1)
    more = {"evaluate_on": list(scored)} if scored else {}
    write_description(root, "scenes", Classes(("wall", "ground", "puddle")), **more)
    return open_dataset(root, "train").with_coarse(root / "coarse")


def test_appearance_is_weighted_where_it_improves(tmp_path):
    assert fit_appearance(scenes(tmp_path, wrong=True), silent) > 0


def test_appearance_has_no_weight_where_it_degrades(tmp_path):
    assert fit_appearance(scenes(tmp_path, puddle=True), silent) == 0


def test_appearance_is_weighted_as_the_scored_classes_want(tmp_path):
    both = {"wrong": True, "puddle": True}
    assert fit_appearance(scenes(tmp_path / "all", **both), silent) == 0
    assert fit_appearance(scenes(tmp_path / "some", **both, scored=("wall", "ground")), silent) > 0


def test_without_coarse_maps_appearance_has_no_weight(synthetic):
    assert fit_appearance(open_dataset(synthetic, "train"), silent) == 0


def test_no_more_images_than_needed_are_used_and_broken_ones_are_skipped(tmp_path, monkeypatch):
    dataset = scenes(tmp_path, wrong=True)
    used = []
    monkeypatch.setattr(corrector, "appearance_at_pixels", lambda image, coarse: used.append(1) or 0 * coarse)
    monkeypatch.setattr(corrector, "MAX_IMAGES", 2)
    fit_appearance(dataset, silent)
    assert len(used) == 2
    (tmp_path / "labels" / "train" / "a.png").write_bytes(b"")
    fit_appearance(dataset, silent)
    assert len(used) == 3
