"""Training dual image segmentation: its stages, its data, and that it resumes."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile, write_json
from segmend.data.images import write_image
from segmend.data.masks import write_labels
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
    contradictions,
    shown_classes,
    split_by_labels,
    stages,
    with_tags_of_labels,
)

CLASSES = Classes(("ground", "cat", "dog"))
ROUNDS = (RoundOptions(steps=2), RoundOptions())


def silent(title, total):
    return bar(title, total, quiet=True)


def write_one(root, split, name, label=None, seed=0):
    """An image of noise, with a square of class `label`."""
    image = np.random.default_rng(seed).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    write_image(root / "images" / split / f"{name}.png", image)
    if label is not None:
        labels = np.zeros((32, 40), np.uint8)
        labels[8:24, 8:24] = label
        write_labels(root / "labels" / split / f"{name}.png", labels)


@pytest.fixture
def root(tmp_path):
    """Six labelled images and three with tags; the first has the tags of its label map."""
    root = tmp_path / "pets"
    write_description(root, "pets", CLASSES)
    for index in range(6):
        write_one(root, "train", f"t{index}", 1 + index % 2, index)
    for index in range(3):
        write_one(root, "weak", f"w{index}", None, 10 + index)
    write_json(root / "tags.json", {"train": {"t0": ["cat"]}, "weak": {"w0": ["cat"], "w1": ["dog"], "w2": []}})
    return root


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


@pytest.fixture
def found(caplog):
    """A function that gives what was reported."""
    caplog.set_level(logging.INFO, logger="segmend.training.options")
    return lambda: [record.getMessage() for record in caplog.records]


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
            maps = map_loss(output.map_logits[labelled], batch["shares"][labelled], batch["known"][labelled])
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


def test_a_list_chooses_the_labelled_images_and_the_others_have_tags(root, tmp_path, found):
    (tmp_path / "list").write_text("# labelled by hand\n\nt1\nt4 \n")
    labelled, tagged, _ = split_by_labels(recipe_of(root, labelled=tmp_path / "list"))
    assert [record.id for record in labelled] == ["t1", "t4"]
    assert [[record.id for record in one] for one in tagged] == [["t0", "t2", "t3", "t5"], ["w0", "w1", "w2"]]
    assert [list(record.tags) for record in tagged[0]] == [
        ["ground", "cat"],
        *[["ground", name] for name in ("cat", "dog", "dog")],
    ]
    assert tagged[1].records[2].tags == {"ground": 1}
    assert "pets: every tagged image is taken to hold ground, which tags do not name" in found()


def test_tags_of_another_file_replace_those_of_the_data_set(root, tmp_path):
    write_json(tmp_path / "cleaned.json", {"weak": {"w1": {"cat": 0.75, "dog": 0.125}}})
    tagged = split_by_labels(recipe_of(root, tags=tmp_path / "cleaned.json")).tagged
    assert [record.tags for record in tagged[0]] == [
        {"ground": 1, "cat": 1},
        {"ground": 1, "cat": 0.75, "dog": 0.125},
        {"ground": 1},
    ]
    write_json(tmp_path / "cleaned.json", {"weak": {"w1": ["cta"]}})
    with pytest.raises(InvalidFile, match=r"cleaned\.json: w1: the tag 'cta' is no class; did you mean 'cat'"):
        split_by_labels(recipe_of(root, tags=tmp_path / "cleaned.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t1\nt7\n", "no image of the training split has the ID t7; one that there is: 't0'"),
        ("t1\nvideo/t11\n", r"has the ID video/t11; did you mean 'video/t1'\?"),
        ("\n# none\n", "expected the ID of a labelled image in each line, found none"),
        ("t1\nx\n", "no label map belongs to x"),
    ],
)
def test_lists_that_cannot_be_are_refused_with_their_name(root, tmp_path, text, message):
    write_one(root, "train", "x")
    write_one(root, "train", "video/t1", 1)
    (tmp_path / "chosen.txt").write_text(text)
    with pytest.raises(InvalidFile, match=rf"chosen\.txt: .*{message}"):
        split_by_labels(recipe_of(root, labelled=tmp_path / "chosen.txt"))
    with pytest.raises(InvalidFile, match=r"gone\.txt: not readable"):
        split_by_labels(recipe_of(root, labelled=tmp_path / "gone.txt"))


def test_rounds_need_images_with_tags(root):
    with pytest.raises(InvalidInput, match=r"pets: `rounds` are for images with tags, and there are none: write"):
        split_by_labels(recipe_of(root, tagged=()))
    assert split_by_labels(recipe_of(root, tagged=(), rounds=()))[1] == []


def test_images_of_the_training_split_without_label_map_have_tags_or_are_left_out(root, found):
    for index in range(4):
        write_one(root, "train", f"u{index}")
    write_json(root / "tags.json", {"train": {"u1": ["dog"], "gone": []}})
    labelled, tagged, _ = split_by_labels(recipe_of(root, tagged=()))
    assert len(labelled) == 6
    assert [(record.id, record.tags) for one in tagged for record in one] == [("u1", {"ground": 1, "dog": 1})]
    assert "pets: 3 images have neither tags nor a label map, left out: u0, u2, u3" in found()
    assert "warning: tags.json has tags of an image that is not in images/train: gone" in found()


def test_tags_of_labels_come_from_the_map_where_none_are_given(root, found):
    dataset = open_dataset(root, "train")
    (root / "labels" / "train" / "t3.png").write_bytes(b"broken")
    kept = with_tags_of_labels(dataset, ["ground"])
    assert [record.id for record in kept] == ["t0", "t1", "t2", "t4", "t5"]
    assert [list(record.tags) for record in kept][:2] == [["ground", "cat"], ["ground", "dog"]]
    (message,) = found()
    assert message.startswith("warning: left out, as there are no tags beside it: ")
    assert "t3.png" in message


def test_label_maps_win_against_tags_that_contradict_them(root, found):
    tags = {"t0": ["cat"], "t1": ["cat", "dog"], "t2": [], "t3": ["dog"]}
    write_json(root / "tags.json", {"train": tags, "weak": {"w0": ["cat"]}})
    labelled = split_by_labels(recipe_of(root)).labelled
    shown = shown_classes(labelled)
    expected = (
        "warning: 2 labelled images have other tags than classes in the label map, which is used: "
        "t1 (tags: cat, dog; label map: dog), t2 (tags: none; label map: cat)"
    )
    assert expected in found()
    assert contradictions(labelled.subset({"t0", "t3", "t5"}), shown, ["ground"]) == []
    samples = stages(recipe_of(root), silent)[0].samples
    for sample in (samples[i] for i in range(6)):
        assert sample["tags"].tolist() == [float((share > 0).any()) for share in sample["shares"]]
    (root / "labels" / "train" / "t1.png").write_bytes(b"broken")
    (message,) = contradictions(labelled, shown_classes(labelled), ["ground"])
    assert "1 labelled image has" in message  # training lists the broken one


def test_broken_files_are_listed(root, tmp_path):
    (root / "labels" / "train" / "t3.png").write_bytes(b"broken")
    (root / "images" / "weak" / "w1.png").write_bytes(b"broken")
    broken = train(recipe_of(root, steps=4), tmp_path / "run", quiet=True)
    assert len(broken) == 2
    assert {name for name in ("t3.png", "w1.png") if any(name in message for message in broken)} == {
        "t3.png",
        "w1.png",
    }


def test_data_that_cannot_be_is_refused(root, tmp_path):
    for index in range(6):
        (root / "labels" / "train" / f"t{index}.png").unlink()
    with pytest.raises(InvalidInput, match="pets: no image of train that is trained on has a label map"):
        split_by_labels(recipe_of(root))
    write_one(tmp_path / "plain", "train", "a", 1)
    data = DataOptions(root=tmp_path / "plain" / "images", labels=tmp_path / "plain" / "labels")
    recipe = recipe_of(root).model_copy(update={"data": data})
    with pytest.raises(InvalidFile, match="images: it has no splits for `tagged`"):
        split_by_labels(recipe)


def test_a_part_can_be_left_out(root):
    recipe = recipe_of(root)
    data = recipe.data.model_copy(update={"leave_out": (0, 3)})
    labelled = split_by_labels(recipe.model_copy(update={"data": data})).labelled
    assert [record.id for record in labelled] == ["t1", "t2", "t4", "t5"]


def test_the_recipe_of_the_package():
    recipe = read_recipe("dual", ["data.root=pets", "labelled=list.txt"])
    assert isinstance(recipe, DualRecipe)
    assert recipe.tagged == ("weak",)
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
        expected = map_loss(output.map_logits[labelled], batch["shares"][labelled], batch["known"][labelled])
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
