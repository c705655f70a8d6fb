"""What a recipe trains."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segmend.data.masks import read_labels, write_labels
from segmend.data.sampling import collate
from segmend.labels import Classes, InvalidInput
from segmend.losses import consensus_loss, relaxed_cross_entropy
from segmend.model_folder import load_model, save_model
from segmend.ops.blobs import find_blobs, numbered_blobs
from segmend.refiners import ECN, UniversalPropagation
from segmend.segmenters import Segmenter
from segmend.training.plan import plan
from segmend.training.recipe import (
    Augmentation,
    CoarseOptions,
    Consensus,
    DataOptions,
    ECNOptions,
    Optimisation,
    RefinerRecipe,
    Relaxation,
    SegmenterRecipe,
    Source,
    UniversalRecipe,
)

OPTIONS = {"augmentation": Augmentation(crop=32), "optimisation": Optimisation(steps=2, batch=3, workers=0)}


def corrector(synthetic, coarse, **options):
    whole = {
        "data": DataOptions(root=synthetic, train="train"),
        "coarse": CoarseOptions(train=coarse / "train", truth_share=0.5),
        "ecn": ECNOptions(width="quarter"),
    }
    return RefinerRecipe(task="refiner", **(whole | options), **OPTIONS)


def test_a_share_of_the_images_is_for_the_mask(synthetic, coarse):
    chosen = plan(corrector(synthetic, coarse, mask_share=0.25)).samples.held_out
    assert len(chosen) == 3
    assert chosen == plan(corrector(synthetic, coarse, mask_share=0.25)).samples.held_out
    alone = ECNOptions(width="quarter", branches="propagation")
    assert not plan(corrector(synthetic, coarse, mask_share=0.25, ecn=alone)).samples.held_out


def test_a_set_without_labels_is_refused(synthetic, coarse, tmp_path):
    (tmp_path / "images").mkdir()
    for path in list((synthetic / "images" / "val").iterdir())[:2]:
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InvalidInput, match="has a label map"):
        plan(corrector(synthetic, coarse, data=DataOptions(root=tmp_path / "images", classes=3)))


def test_a_refiner_of_any_classes_learns_from_several_sets(synthetic, coarse):
    sources = [
        Source(data=DataOptions(root=synthetic, train="train"), coarse=CoarseOptions(train=coarse / "train")),
        Source(data=DataOptions(root=synthetic, train="val"), share=3.0),
    ]
    planned = plan(UniversalRecipe(task="universal", sources=sources, slots=4, **OPTIONS))
    assert isinstance(planned.model, UniversalPropagation)
    assert planned.samples.shares == [0.25, 0.75]
    assert [source.dataset.records[0].coarse is None for source in planned.samples.sources] == [False, True]
    assert len(planned.samples) == 6
    batch = collate([planned.samples[i] for i in range(3)])
    assert batch["coarse"].shape == (3, 4, 32, 32)
    loss = planned.loss(planned.model, batch, 0.0)
    loss.backward()
    assert loss.isfinite()
    assert planned.model.pixel_head[0].weight.grad.abs().max() > 0


def test_the_first_weights_belong_to_the_seed(synthetic, coarse):
    torch.manual_seed(1)
    first = plan(corrector(synthetic, coarse)).model
    torch.manual_seed(2)
    again = plan(corrector(synthetic, coarse)).model
    assert isinstance(first, ECN)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def segmenter(synthetic, **options):
    return SegmenterRecipe(
        task="segmenter",
        data=DataOptions(root=synthetic, train="train"),
        network="segmend.segmenters.faces.FaceParser",
        **options,
        **OPTIONS,
    )


def test_a_segmenter_may_see_all_classes_alike(synthetic):
    planned = plan(segmenter(synthetic, class_uniform=32))
    assert len(planned.samples.centroids) > 2
    loss = planned.loss(planned.model, collate([planned.samples[i] for i in range(3)]), 0.0)
    assert loss.isfinite()


def test_a_segmenters_loss_is_the_one_asked_for(synthetic):
    relaxed = plan(segmenter(synthetic, relaxation=Relaxation(radius=2, until=0.5, strict=("sky",))))
    names = relaxed.samples.dataset.classes.names
    batch = collate([relaxed.samples[i] for i in range(3)])
    logits = relaxed.model(batch["image"])

    def loss(planned, progress):
        planned.model.load_state_dict(relaxed.model.state_dict())
        return planned.loss(lambda image: logits, batch, progress).item()

    labels = batch["labels"]
    plain = F.cross_entropy(logits, labels, ignore_index=255).item()
    forgiving = relaxed_cross_entropy(logits, labels, radius=2, strict_classes=(names.index("sky"),)).item()
    assert forgiving < plain
    assert loss(relaxed, 0.4) == pytest.approx(forgiving, rel=1e-5)
    assert loss(relaxed, 0.5) == pytest.approx(plain, rel=1e-5)
    assert loss(plan(segmenter(synthetic)), 0.0) == pytest.approx(plain, rel=1e-5)
    agreeing = plan(segmenter(synthetic, consensus=Consensus(alpha=3.0, beta=2.0)))
    expected = consensus_loss(logits, labels, alpha=3.0, beta=2.0).item()
    assert loss(agreeing, 0.0) == pytest.approx(expected, rel=1e-5)
    both = Consensus(alpha=3.0, beta=2.0, cross_entropy=0.5)
    assert loss(plan(segmenter(synthetic, consensus=both)), 0.0) == pytest.approx(expected + 0.5 * plain, rel=1e-5)
    thin = Relaxation(radius=2, strict=("sky",))
    mixed = plan(segmenter(synthetic, consensus=both, relaxation=thin))
    assert loss(mixed, 0.0) == pytest.approx(expected + 0.5 * forgiving, rel=1e-5)
    agreeing = plan(segmenter(synthetic, consensus=Consensus(blobs="classes")))
    expected = consensus_loss(logits, labels, blobs=find_blobs(labels, 255, by_class=True)).item()
    assert expected != pytest.approx(consensus_loss(logits, labels).item(), rel=1e-3)
    assert loss(agreeing, 0.0) == pytest.approx(expected, rel=1e-5)


def test_blobs_may_be_those_of_the_data_set(synthetic, tmp_path):
    root = tmp_path / "numbered"
    shutil.copytree(synthetic, root)
    for path in (root / "labels" / "train").glob("*.png"):
        labels, _ = read_labels(path)
        left = np.arange(labels.shape[1]) < labels.shape[1] // 2  # halves of a class apart
        write_labels(root / "blobs" / "train" / path.name, 300 * left + labels)
    planned = plan(segmenter(root, consensus=Consensus(blobs="files")))
    batch = collate([planned.samples[i] for i in range(3)])
    assert batch["broken"] == []
    labels, numbers = batch["labels"], batch["blobs"]
    known = labels != 255
    assert ((numbers % 300)[known] == labels[known]).all()
    planned.model.eval()
    found = planned.loss(planned.model, batch, 0.0)
    expected = consensus_loss(planned.model(batch["image"]), labels, blobs=numbered_blobs(numbers, labels, 255))
    assert found.item() == pytest.approx(expected.item())
    for path in (root / "blobs" / "train").glob("*.png"):
        write_labels(path, np.zeros_like(read_labels(path)[0]))
    with pytest.raises(InvalidInput, match=r"blobs/train/.*one label in each blob, found \d+ and \d+ in blob 0"):
        planned.samples[0]
    with pytest.raises(InvalidInput, match="no file in blobs/SPLIT numbers its blobs"):
        plan(segmenter(synthetic, consensus=Consensus(blobs="files"))).samples[0]


def test_unknown_strict_classes_are_named(synthetic):
    with pytest.raises(InvalidInput, match="no class is named moon; there are "):
        plan(segmenter(synthetic, relaxation=Relaxation(strict=("moon",))))


def test_a_segmenter_may_start_from_one_of_other_classes(synthetic, tmp_path):
    torch.manual_seed(5)
    save_model(Segmenter(Classes.numbered(3), "segmend.segmenters.faces.FaceParser", {"classes": 3}, 32), tmp_path)
    trained = load_model(Segmenter, tmp_path).state_dict()
    fresh = plan(segmenter(synthetic)).model.state_dict()
    started = plan(segmenter(synthetic, start=tmp_path)).model.state_dict()
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
        plan(segmenter(synthetic, start=tmp_path))
    with pytest.raises(InvalidInput, match="not a model folder"):
        plan(segmenter(synthetic, start=synthetic))
