"""Training a segmenter: its samples, its losses, its first weights, and its folds."""

import logging
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segmend.data.dataset import open_dataset
from segmend.data.manifest import Entry, Source, append_entry
from segmend.data.masks import read_labels, write_labels
from segmend.data.sampling import collate
from segmend.jobs.progress import bar
from segmend.labels import Classes, InvalidInput
from segmend.losses import consensus_loss, relaxed_cross_entropy
from segmend.model_folder import load_model, save_model
from segmend.ops.blobs import find_blobs, numbered_blobs
from segmend.segmenters import Segmenter
from segmend.segmenters.prediction import TestTime
from segmend.training.options import Augmentation, DataOptions, Optimisation, PropagatedOptions
from segmend.training.tasks.segmenter import Consensus, Prediction, Relaxation, SegmenterRecipe, folds, stages

OPTIONS = {"augmentation": Augmentation(crop=32), "optimisation": Optimisation(steps=2, batch=3, workers=0)}


def silent(title, total):
    return bar(title, total, quiet=True)


def recipe_of(synthetic, **options):
    data = DataOptions(root=synthetic, train="train")
    network = "segmend.segmenters.faces.FaceParser"
    return SegmenterRecipe(data=data, network=network, **options, **OPTIONS)


def planned(synthetic, **options):
    """The stage of a segmenter's recipe."""
    (stage,) = stages(recipe_of(synthetic, **options), silent)
    return stage


def test_samples_are_class_uniform_where_asked(synthetic):
    stage = planned(synthetic, class_uniform=32)
    assert len(stage.samples.centroids) > 2
    loss = stage.loss(stage.model, collate([stage.samples[i] for i in range(3)]), 0.0)
    assert loss.isfinite()


def test_a_segmenters_loss_is_the_one_asked_for(synthetic):
    relaxed = planned(synthetic, relaxation=Relaxation(radius=2, until=0.5, strict=("sky",)))
    names = relaxed.samples.dataset.classes.names
    batch = collate([relaxed.samples[i] for i in range(3)])
    logits = relaxed.model(batch["image"])

    def loss(stage, progress):
        stage.model.load_state_dict(relaxed.model.state_dict())
        return stage.loss(lambda image: logits, batch, progress).item()

    labels = batch["labels"]
    plain = F.cross_entropy(logits, labels, ignore_index=255).item()
    relaxed_loss = relaxed_cross_entropy(logits, labels, radius=2, strict_classes=(names.index("sky"),)).item()
    assert relaxed_loss < plain
    assert loss(relaxed, 0.4) == pytest.approx(relaxed_loss, rel=1e-5)
    assert loss(relaxed, 0.5) == pytest.approx(plain, rel=1e-5)
    assert loss(planned(synthetic), 0.0) == pytest.approx(plain, rel=1e-5)
    agreeing = planned(synthetic, consensus=Consensus(alpha=3.0, beta=2.0))
    expected = consensus_loss(logits, labels, alpha=3.0, beta=2.0).item()
    assert loss(agreeing, 0.0) == pytest.approx(expected, rel=1e-5)
    both = Consensus(alpha=3.0, beta=2.0, cross_entropy=0.5)
    assert loss(planned(synthetic, consensus=both), 0.0) == pytest.approx(expected + 0.5 * plain, rel=1e-5)
    thin = Relaxation(radius=2, strict=("sky",))
    mixed = planned(synthetic, consensus=both, relaxation=thin)
    assert loss(mixed, 0.0) == pytest.approx(expected + 0.5 * relaxed_loss, rel=1e-5)
    agreeing = planned(synthetic, consensus=Consensus(blobs="classes"))
    expected = consensus_loss(logits, labels, blobs=find_blobs(labels, 255, by_class=True)).item()
    assert expected != pytest.approx(consensus_loss(logits, labels).item(), rel=1e-3)
    assert loss(agreeing, 0.0) == pytest.approx(expected, rel=1e-5)


def test_blobs_may_be_those_of_the_data_set(synthetic, tmp_path):
    root = tmp_path / "numbered"
    shutil.copytree(synthetic, root)
    for path in (root / "labels" / "train").glob("*.png"):
        labels, _ = read_labels(path)
        left = np.arange(labels.shape[1]) < labels.shape[1] // 2  # halves of a class have different numbers
        write_labels(root / "blobs" / "train" / path.name, 300 * left + labels)
    stage = planned(root, consensus=Consensus(blobs="files"))
    batch = collate([stage.samples[i] for i in range(3)])
    assert batch["broken"] == []
    labels, numbers = batch["labels"], batch["blobs"]
    valid = labels != 255
    assert ((numbers % 300)[valid] == labels[valid]).all()
    stage.model.eval()
    found = stage.loss(stage.model, batch, 0.0)
    expected = consensus_loss(stage.model(batch["image"]), labels, blobs=numbered_blobs(numbers, labels, 255))
    assert found.item() == pytest.approx(expected.item())
    for path in (root / "blobs" / "train").glob("*.png"):
        write_labels(path, np.zeros_like(read_labels(path)[0]))
    with pytest.raises(InvalidInput, match=r"blobs/train/.*one label in each blob, found \d+ and \d+ in blob 0"):
        stage.samples[0]
    with pytest.raises(InvalidInput, match="no file in blobs/SPLIT numbers its blobs"):
        planned(synthetic, consensus=Consensus(blobs="files")).samples[0]


@pytest.fixture(scope="module")
def propagated(synthetic, tmp_path_factory):
    """Images labelled by hand (4), propagated by one frame (4) and by three (3), and one that is not listed."""
    root = tmp_path_factory.mktemp("propagated") / "data"
    shutil.copytree(synthetic, root)
    for number, record in enumerate(open_dataset(root, "train")):
        steps = (0, 1, -3)[number % 3]
        sources = (Source("a", steps),) if steps else ()
        if number < 11:
            append_entry(root, Entry(record.id, "train", record.id, sources))
    return root


def distances(stage):
    return sorted(record.distance for record in stage.samples.dataset)


def test_frames_are_chosen_by_their_distance(propagated, caplog):
    with caplog.at_level(logging.INFO, "segmend.training.options"):
        whole = planned(propagated)
    assert len(whole.samples.dataset) == 12
    assert whole.samples.propagated_share is None
    found = "4 labelled by hand, 4 propagated at distance 1, 3 propagated at distance 3"
    found += ", 1 not listed in manifest.jsonl"
    assert f"{propagated}: 12 images for training: {found}" in caplog.messages
    assert f"12 images ({found})" in whole.data

    far = planned(propagated, propagated=PropagatedOptions(distance=3, share=0.25))
    assert distances(far) == [0] * 4 + [3] * 3
    assert far.samples.propagated_share == 0.25
    assert "7 images (4 labelled by hand, 3 propagated at distance 3)" in far.data
    for distance, expected in ((3, [0] * 4 + [1] * 4 + [3] * 3), (2, [0] * 4 + [1] * 4)):
        assert (
            distances(planned(propagated, propagated=PropagatedOptions(distance=distance, up_to=True))) == expected
        )
    batch = collate([far.samples[index] for index in range(4)])
    assert far.loss(far.model, batch, 0.0).isfinite()


@pytest.mark.parametrize("up_to", [False, True])
def test_distance_0_is_the_training_on_images_labelled_by_hand(propagated, up_to):
    alone = planned(propagated, propagated=PropagatedOptions(distance=0, up_to=up_to, share=0.5), class_uniform=32)
    assert distances(alone) == [0] * 4
    assert alone.samples[1]["image"].shape == (3, 32, 32)


def test_frames_that_are_not_there_are_refused(propagated, synthetic):
    with pytest.raises(InvalidInput, match=r"propagated\.distance` 2; there are 0, 1, 3 \(0: labelled by hand\)"):
        planned(propagated, propagated=PropagatedOptions(distance=2))
    with pytest.raises(InvalidInput, match=r"no manifest\.jsonl lists these images: leave `propagated` out"):
        planned(synthetic, propagated=PropagatedOptions(distance=1))


def test_folds_are_of_the_frames_that_are_chosen(propagated):
    recipe = recipe_of(propagated, propagated=PropagatedOptions(distance=3))
    left_out = [record for fold in folds(recipe, 2) for record in fold.held_out]
    assert sorted(record.distance for record in left_out) == [0] * 4 + [3] * 3
    for fold in folds(recipe, 2):
        (stage,) = stages(fold.recipe, silent)
        assert len(stage.samples.dataset) + len(fold.held_out) == 7


def test_unknown_strict_classes_are_named(synthetic):
    with pytest.raises(InvalidInput, match="no class is named moon; there are "):
        planned(synthetic, relaxation=Relaxation(strict=("moon",)))


def test_a_segmenter_may_start_from_one_of_other_classes(synthetic, tmp_path):
    torch.manual_seed(5)
    save_model(Segmenter(Classes.numbered(3), "segmend.segmenters.faces.FaceParser", {"classes": 3}, 32), tmp_path)
    trained = load_model(Segmenter, tmp_path).state_dict()
    fresh = planned(synthetic).model.state_dict()
    started = planned(synthetic, start=tmp_path).model.state_dict()
    same = {name for name, weight in started.items() if torch.equal(weight, fresh[name])}
    taken = {name for name, weight in started.items() if torch.equal(weight, trained[name])}
    other = {name for name, weight in started.items() if weight.shape != trained[name].shape}
    assert other
    assert taken | other == set(started)
    assert not taken & other
    assert other <= same


def test_a_segmenter_does_not_start_from_another_network(synthetic, tmp_path):
    arguments = {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3}
    save_model(Segmenter(Classes.numbered(3), "segmentation_models_pytorch.Unet", arguments, 32), tmp_path)
    with pytest.raises(InvalidInput, match="another network, none of its weights fits"):
        planned(synthetic, start=tmp_path)
    with pytest.raises(InvalidInput, match="not a model folder"):
        planned(synthetic, start=synthetic)


def test_folds_leave_out_every_record_once(synthetic):
    recipe = recipe_of(synthetic, prediction=Prediction(scales=(0.5, 1.0)))
    whole = {record.id for record in recipe.data.training_set()}
    left_out = []
    for fold in folds(recipe, 5):
        held_out = {record.id for record in fold.held_out}
        (stage,) = stages(fold.recipe, silent)
        assert {record.id for record in stage.samples.dataset} == whole - held_out
        assert fold.test_time == TestTime((0.5, 1.0), False)
        left_out += held_out
    assert sorted(left_out) == sorted(whole)
    with pytest.raises(InvalidInput, match="12 records cannot be split into 13 folds"):
        folds(recipe, 13)
