"""Training dual image segmentation: its stages, its data, and that it resumes."""

import dataclasses

import numpy as np
import pytest
import torch

from segmend.data.files import InvalidFile
from segmend.data.sampling import collate
from segmend.dual import DualSegmentation
from segmend.dual.model import image_loss, map_loss, tag_loss, target_image
from segmend.dual.targets import Targets
from segmend.jobs.progress import bar
from segmend.jobs.train import train
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import load_model
from segmend.models import load
from segmend.training.checkpoint import load_checkpoint
from segmend.training.options import DataOptions, Optimisation
from segmend.training.recipe import read_recipe
from segmend.training.tasks.dual import (
    DualRecipe,
    RoundOptions,
    stages,
)

CLASSES = Classes(("ground", "cat", "dog"))
ROUNDS = (RoundOptions(steps=2), RoundOptions())


def silent(title, total):
    return bar(title, total, quiet=True)


def recipe_of(root, *, steps=2, seed=0, batch=3, **options):
    given = {"tagged": ("weak",), "rounds": ROUNDS, "pretraining": (2, 2, 2), **options}
    return DualRecipe(
        data=DataOptions(root=root, train="train"),
        encoder="resnet18",
        width=8,
        side=32,
        optimisation=Optimisation(steps=steps, batch=batch, workers=0, lr=1e-3, precision="32", seed=seed),
        **given,
    )


def weights(folder):
    return load_model(DualSegmentation, folder).state_dict()


def test_stages_train_the_parts_of_the_paper_in_turn(root):
    made = stages(recipe_of(root), silent)
    assert [stage.optimisation.steps for stage in made] == [2] * 5
    assert len({stage.optimisation.seed for stage in made}) == 5
    first, second, third, *rounds = (set(stage.trained) for stage in made)
    assert second == {"subnet2."}
    assert first == {"encoder.", "projections.", "to_u1.", "to_v1.", "subnet1.", "subnet3."}
    assert third == first | second
    assert rounds == [third, third]
    names = {name.split(".")[0] + "." for name, _ in made[0].model.named_parameters()}
    assert names == third
    labelled = [[bool(stage.samples[i]["labelled"]) for i in range(6)] for stage in made]
    assert all(all(kinds) for kinds in labelled[:3])
    assert [sum(kinds) for kinds in labelled[3:]] == [2, 2]
    assert made[0].data == "pets, 6 images, 3 classes"
    assert "3 images with tags" in made[3].data


def test_losses_are_those_of_the_parts(root):
    made = stages(recipe_of(root), silent)
    model = made[0].model.eval()
    for number, stage in enumerate(made):
        batch = collate([stage.samples[i] for i in range(3)])
        labelled = batch["labelled"]
        with torch.no_grad():
            given = stage.loss(model, batch, 0.0).item()
            output = model(batch["image"], batch["valid"])
            valid = output.features.valid
            maps = map_loss(output.map_logits[labelled], batch["shares"][labelled], batch["weight"][labelled])
            tags = tag_loss(output.tag_logits, batch["tags"]).mean()
            cells = target_image(batch["image"])
            assert torch.equal(cells, batch["cells"])
            images = image_loss(output.reconstruction, cells, valid).mean()
            inferred = 0.0
            if number >= 3:
                targets = ROUNDS[number - 3].targets
                features = model.encode(batch["image"][~labelled], batch["valid"][~labelled])
                p = targets.infer(model, features, cells[~labelled], batch["tags"][~labelled])[0].exp()
                inferred = map_loss(output.map_logits[~labelled], p, (valid[~labelled] > 0.5).float())
        expected = (maps + tags, images, maps + tags + images)[min(number, 2)] + inferred
        assert given == pytest.approx(float(expected), rel=1e-4)


def test_inference_leaves_layers_in_the_mode_that_they_were_in(root):
    stage = stages(recipe_of(root), silent)[-1]
    stage.model.train()
    stage.model.encoder.bn1.training = False
    stage.loss(stage.model, collate([stage.samples[i] for i in range(3)]), 0.0).backward()
    assert not stage.model.encoder.bn1.training
    assert stage.model.to_u1.training
    gradients = [p.grad for p in stage.model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_training_gives_a_folder_that_predicts(root, tmp_path):
    assert train(recipe_of(root), tmp_path / "run", quiet=True) == []
    predictor = load(tmp_path / "run")
    assert predictor.classes.names == CLASSES.names
    assert predictor(torch.rand(1, 3, 20, 24)).shape == (1, 3, 20, 24)
    assert "# Dual image segmentation trained with segmend" in (tmp_path / "run" / "README.md").read_text()
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert len(log) == 5  # a line for each stage


def test_a_stopped_training_resumes_with_the_same_weights(root, tmp_path, monkeypatch):
    torch.manual_seed(1)
    train(recipe_of(root), tmp_path / "whole", quiet=True)
    torch.manual_seed(2)
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    calls = []
    infer = Targets.infer

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return infer(*arguments)

    monkeypatch.setattr(Targets, "infer", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(root), tmp_path / "halves", quiet=True)
    state = load_checkpoint(tmp_path / "halves")
    assert (state["stage"], state["step"]) == (3, 1)
    train(recipe_of(root), tmp_path / "halves", quiet=True)
    assert len(calls) == 5
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    rounding = 1e-3 if torch.cuda.is_available() else 0.0  # a GPU adds in any order
    assert all(torch.allclose(whole[name].float(), halves[name].float(), 0, rounding) for name in whole)


def test_the_seed_matters(root, tmp_path):
    one, other = ({}, {})
    for kept, seed in ((one, 0), (other, 1)):
        train(recipe_of(root, seed=seed, rounds=()), tmp_path / str(seed), quiet=True)
        kept.update(weights(tmp_path / str(seed)))
    assert not torch.allclose(one["subnet1.weight"], other["subnet1.weight"], atol=1e-3)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_the_same_bit_for_bit(root, tmp_path, frozen):
    recipe = recipe_of(root, frozen=frozen)
    before = {name: value.clone() for name, value in stages(recipe, silent)[0].model.state_dict().items()}
    train(recipe, tmp_path / "run", quiet=True)
    after = weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("encoder.") for name in changed) is not frozen
    assert {"subnet1.weight", "subnet2.0.weight", "subnet3.weight", "to_v1.2.weight"} <= changed


def test_broken_files_are_listed(root, tmp_path):
    (root / "labels" / "train" / "t3.png").write_bytes(b"broken")
    (root / "images" / "weak" / "w1.png").write_bytes(b"broken")
    broken = train(recipe_of(root, steps=4), tmp_path / "run", quiet=True)
    assert len(broken) == 2
    assert {name for name in ("t3.png", "w1.png") if any(name in message for message in broken)} == {
        "t3.png",
        "w1.png",
    }


def test_the_recipe_of_the_package():
    recipe = read_recipe("dual", ["data.root=pets", "labelled=list.txt"])
    assert isinstance(recipe, DualRecipe)
    assert recipe.tagged is None
    assert [round_.steps for round_ in recipe.rounds] == [30, 0]
    again = DualRecipe.model_validate(recipe.model_dump(mode="json"))
    assert again == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimisation.schedule=plateau", "the schedule `plateau` is for segmenters and correctors"),
        ("pretraining=[1, 0, 2]", "three numbers of steps of at least 1"),
        ("optimisation.batch=1", "`optimisation.batch` of at least 2"),
        ("tagged_share=1", "tagged_share"),
        ("rounds=[{stepz: 3}]", "rounds.*did you mean 'steps'"),
        ("output_stride=4", "output_stride"),
    ],
)
def test_recipes_that_cannot_be_are_refused(override, message):
    with pytest.raises(InvalidInput, match=message):
        read_recipe("dual", [override])


def test_options_of_targets_are_those_of_a_round():
    fields = {field.name: field.default for field in dataclasses.fields(Targets)}
    assert RoundOptions().model_dump(exclude={"teacher", "weight"}) == fields


def test_a_teacher_stays_as_it_was_when_the_round_began(root, tmp_path, monkeypatch):
    rounds = (RoundOptions(teacher=True), RoundOptions(teacher=True))
    seen = []
    infer = Targets.infer

    def watched(targets, model, *arguments):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return infer(targets, model, *arguments)

    monkeypatch.setattr(Targets, "infer", watched)
    train(recipe_of(root, rounds=rounds), tmp_path / "run", quiet=True)
    assert len(seen) == 4

    def same(one, other):
        return all(torch.equal(one[name], other[name]) for name in one)

    assert same(seen[0], seen[1])
    assert not same(seen[1], seen[2])
    assert same(seen[2], seen[3])


def test_a_stopped_round_keeps_its_teacher(root, tmp_path, monkeypatch):
    recipe = recipe_of(root, rounds=(RoundOptions(teacher=True, steps=1),), steps=4)
    train(recipe, tmp_path / "whole", quiet=True)
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    calls = []
    infer = Targets.infer

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return infer(*arguments)

    monkeypatch.setattr(Targets, "infer", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "halves", quiet=True)
    train(recipe, tmp_path / "halves", quiet=True)
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    rounding = 1e-3 if torch.cuda.is_available() else 0.0
    assert all(torch.allclose(whole[name].float(), halves[name].float(), 0, rounding) for name in whole)


def test_tags_alone_are_learned_where_the_weight_of_inferred_maps_is_0(root, monkeypatch):
    stage = stages(recipe_of(root, rounds=(RoundOptions(weight=0),)), silent)[-1]
    monkeypatch.setattr(Targets, "infer", None)
    batch = collate([stage.samples[i] for i in range(3)])
    model, labelled = stage.model.eval(), batch["labelled"]
    with torch.no_grad():
        output = model(batch["image"], batch["valid"])
        expected = map_loss(output.map_logits[labelled], batch["shares"][labelled], batch["weight"][labelled])
        expected += tag_loss(output.tag_logits, batch["tags"]).mean()
        expected += image_loss(output.reconstruction, batch["cells"], batch["valid"]).mean()
        assert stage.loss(model, batch, 0.0).item() == pytest.approx(float(expected), rel=1e-4)


def test_a_frozen_encoder_sees_each_image_and_its_mirror_image_once(root, tmp_path):
    (root / "images" / "weak" / "w2.png").write_bytes(b"no image")
    made = stages(recipe_of(root, frozen=True), silent)
    model, images = made[0].model.eval(), made[-1].samples.images
    plain = stages(recipe_of(root), silent)[-1].samples.images
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for number in (0, 5, 7):
            sample = images.draw(number, np.random.default_rng(1))
            view = plain.view(number, 1.0, np.random.default_rng(1).random() < 0.5)
            for found, expected in zip(sample["pyramid"], model.pyramid(view["image"][None]), strict=True):
                assert torch.allclose(found[None].float(), expected, atol=2e-3, rtol=2e-3)
    with pytest.raises(InvalidFile, match="w2"):
        images.draw(8, rng)
    messages = train(recipe_of(root, frozen=True), tmp_path / "run", quiet=True)
    assert [message for message in messages if "w2.png" in message]
