"""Samples of DIS: whole images with label maps, whole images with tags, in the wanted proportion."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile, atomic_write
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.dual.model import target_image
from segmend.dual.samples import (
    SMALLEST,
    DualImages,
    DualSamples,
    StoredImages,
    scores_of_tags,
    tags_of_labels,
)
from segmend.labels import Classes, InvalidInput

CLASSES = Classes(("ground", "cat", "dog"))


@pytest.fixture
def root(tmp_path):
    """Three labelled images of one colour each, of 24 x 48 pixels, the right half of the class; two with tags."""
    write_description(tmp_path, "pets", CLASSES)
    for index in range(3):
        labels = np.zeros((24, 48), np.uint8)
        labels[:, 24:] = index
        write_labels(tmp_path / "labels" / "train" / f"{index}.png", labels)
        write_image(tmp_path / "images" / "train" / f"{index}.png", np.full((24, 48, 3), 40 * index, np.uint8))
    for index in range(2):
        write_image(tmp_path / "images" / "weak" / f"{index}.png", np.full((40, 20, 3), 200 + index, np.uint8))
    atomic_write(tmp_path / "tags.json", b'{"weak": {"0": ["dog", "cat"], "1": []}}')
    return tmp_path


def samples_of(root, share=0.5, length=24, seed=0, side=32):
    images = DualImages(open_dataset(root, "train"), [open_dataset(root, "weak")], side)
    return DualSamples(images, share, length, seed)


def test_images_are_whole_and_padded_at_the_right_and_below(root):
    for sample in (samples_of(root)[i] for i in range(24)):
        assert sample["image"].shape == (3, 32, 32)
        assert sample["valid"].shape == sample["weight"].shape == (1, 4, 4)
        assert sample["shares"].shape == sample["cells"].shape == (3, 4, 4)
        inside = sample["image"][0] > 0
        if not inside.any():
            continue  # the black one
        height, width = int(inside.any(1).sum()), int(inside.any(0).sum())
        assert sample["valid"].sum() * 64 == pytest.approx(height * width)
        assert inside[:height, :width].all()
        assert inside.sum() == height * width
        assert SMALLEST * 32 - 1 <= max(height, width) <= 32
        assert width / height == pytest.approx(2 if sample["labelled"] else 0.5, abs=0.2)
        assert torch.equal(sample["cells"], target_image(sample["image"][None])[0])
        colour = sample["image"][0, 0, 0].item() * 255
        assert torch.allclose(sample["image"][:, inside], torch.tensor(colour / 255), atol=1e-3)
        if sample["labelled"]:
            label = round(colour / 40)
            assert torch.equal(sample["weight"], sample["valid"])
            assert sample["shares"].sum((1, 2)).nonzero().flatten().tolist() == sorted({0, label})
            assert sample["tags"].tolist() == [1, float(label == 1), float(label == 2)]
        else:
            assert sample["weight"].sum() == sample["shares"].sum() == 0
            assert sample["tags"].tolist() == ([0, 1, 1] if round(colour) == 200 else [0, 0, 0])


@pytest.mark.parametrize(("share", "tagged"), [(0.5, 12), (2 / 3, 16), (0.25, 6)])
def test_the_share_of_tagged_images_is_kept_everywhere(root, share, tagged):
    samples = samples_of(root, share)
    kinds = [bool(samples[i]["labelled"]) for i in range(24)]
    assert kinds.count(False) == tagged
    assert abs(kinds[:12].count(False) - tagged / 2) <= 1


def test_every_epoch_shows_each_image_once_in_its_own_order(root):
    samples = samples_of(root, length=48)
    shown = [round(samples[i]["image"][0, 0, 0].item() * 255) for i in range(48) if samples[i]["labelled"]]
    epochs = [shown[i : i + 3] for i in range(0, 24, 3)]
    assert all(sorted(epoch) == [0, 40, 80] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_half_are_mirrored_with_their_labels(root):
    samples = samples_of(root, share=0.0, length=60)
    sides = [bool(s["shares"][0, 0, 0] > 0.9) for s in (samples[i] for i in range(60)) if s["tags"].sum() > 1]
    assert 8 < sum(sides) < 32
    assert len(sides) == 40


def test_a_sample_depends_on_seed_and_number_alone(root):
    one, other = samples_of(root)[7], samples_of(root)[7]
    assert all(
        torch.equal(one[key], other[key]) for key in ("image", "shares", "weight", "valid", "tags", "labelled")
    )
    sizes = {float(samples_of(root, seed=seed)[7]["valid"].sum()) for seed in range(5)}
    assert len(sizes) > 1


def test_without_tagged_images_all_are_labelled(root):
    samples = DualSamples(DualImages(open_dataset(root, "train"), [], 32), 0.5, 6, 0)
    assert all(samples[i]["labelled"] for i in range(6))


def test_broken_files_are_replaced_by_others_of_their_kind(root):
    (root / "images" / "weak" / "0.png").write_bytes(b"no image")
    weak = open_dataset(root, "weak")
    samples = DualSamples(DualImages(open_dataset(root, "train"), [weak], 32), 0.5, 8, 0)
    found = [samples[i] for i in range(8)]
    assert [bool(s["labelled"]) for s in found].count(False) == 4
    broken = [message for s in found for message in s["broken"]]
    assert len(broken) == 2
    assert all("weak/0.png" in message for message in broken)
    (root / "images" / "weak" / "1.png").write_bytes(b"no image")
    with pytest.raises(InvalidInput, match="no image of the training splits can be read"):
        [samples[i] for i in range(2)]


def test_void_of_sixteen_bits(root):
    classes = Classes.numbered(300)
    labelled = dataclasses.replace(open_dataset(root, "train"), classes=classes, coding=None)
    tagged = dataclasses.replace(open_dataset(root, "weak"), classes=classes)
    samples = DualSamples(DualImages(labelled, [tagged], 32), 0.5, 2, 0)
    shown = {bool(s["labelled"]): s for s in (samples[i] for i in range(2))}
    assert shown[True]["shares"].shape == (300, 4, 4)
    assert shown[True]["shares"].sum() > 0
    assert shown[False]["weight"].sum() == 0


def test_tags_as_scores_of_classes():
    assert scores_of_tags({"dog": 0.5}, CLASSES.names).tolist() == [0, 0, 0.5]
    assert tags_of_labels(torch.tensor([[1, 1]]), 3, 255).tolist() == [0, 1, 0]
    assert tags_of_labels(torch.full((2, 2), 255), 3, 255).tolist() == [0, 0, 0]


def test_stored_images_are_the_same_samples_with_what_the_encoder_gave(root):
    (root / "images" / "weak" / "0.png").write_bytes(b"no image")
    images = DualImages(open_dataset(root, "train"), [open_dataset(root, "weak")], 32)

    def views():
        for number in range(len(images.records)):
            for mirrored in (False, True):
                try:
                    sample = images.view(number, 1.0, mirrored)
                except InvalidFile as error:
                    yield error
                else:
                    yield {**sample, "pyramid": (sample["image"].half(), torch.full((2, 1, 1), float(number)))}

    stored = StoredImages(images, views())
    assert stored.kinds == images.kinds
    seen = set()
    for seed in range(8):
        for number in (0, 1, 2, 4):
            mirrored = np.random.default_rng(seed).random() < 0.5
            found, expected = stored.draw(number, np.random.default_rng(seed)), images.view(number, 1.0, mirrored)
            seen.add(mirrored)
            for name in ("cells", "valid", "shares", "weight", "tags", "labelled"):
                assert torch.allclose(found[name].float(), expected[name].float(), atol=1e-3)
            assert torch.equal(found["pyramid"][0], expected["image"].half())
            assert (found["pyramid"][1] == number).all()
    assert seen == {False, True}
    with pytest.raises(InvalidFile, match="weak/0"):
        stored.draw(3, np.random.default_rng(0))


def test_a_full_disk_is_said_before_any_work(root, monkeypatch):
    images = DualImages(open_dataset(root, "train"), [], 32)
    sample = {**images.view(0, 1.0, False), "pyramid": (torch.zeros(2, 4, 4),)}
    monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InvalidInput, match=r"need .* GB for 3 images, and .* has .* GB: set TMPDIR"):
        StoredImages(images, iter([sample]))
