"""Samples of simulated folders: what a sample is, and that it depends on its number alone."""

import numpy as np
import pytest
import torch

from segmend.borders.evidence import PLANES
from segmend.data.dataset import open_dataset
from segmend.data.sampling import collate
from segmend.training.border_samples import OWN, PAIRS, RIVAL, TOGETHER, UNDECIDED, BorderSamples


@pytest.fixture(scope="module")
def samples(synthetic):
    sets = [open_dataset(synthetic, split) for split in ("train", "val")]
    return BorderSamples(sets, [0.5, 0.5], 4 * TOGETHER, seed=1, crop=64)


def test_a_batch(samples):
    batch = collate([samples[index] for index in range(4)])
    assert batch["image"].shape == (4, 3, 64, 64)
    assert batch["planes"].shape == (4, PLANES, 64, 64)
    assert batch["pair"].max() <= PAIRS
    assert set(batch["target"].unique().tolist()) <= {OWN, RIVAL, UNDECIDED}
    assert (batch["target"][batch["pair"] == 0] == UNDECIDED).all()
    assert 0 <= batch["image"].min() <= batch["image"].max() <= 1


def test_a_sample_depends_on_its_number_alone(samples, synthetic):
    sets = [open_dataset(synthetic, split) for split in ("train", "val")]
    other = BorderSamples(sets, [0.5, 0.5], 4 * TOGETHER, seed=1, crop=64)
    for index in (TOGETHER + 3, 3):
        before = torch.random.get_rng_state()
        one, two = samples[index], other[index]
        assert torch.equal(before, torch.random.get_rng_state())
        for name in ("image", "planes", "pair", "descriptions", "target", "border_error_px"):
            assert torch.equal(one[name], two[name])
    assert not torch.equal(samples[3]["image"], samples[TOGETHER + 3]["image"])


def test_some_pixels_belong_to_their_rival(samples):
    targets = torch.stack([samples[index]["target"] for index in range(12)])
    assert (targets == RIVAL).any()
    assert (targets == OWN).sum() > (targets == RIVAL).sum()


def test_folders_take_turns_and_are_kept(samples):
    samples[0]
    assert len(samples._folders) <= TOGETHER
    (images,) = {id(samples._folder(0)), id(samples._folder(0))}
    assert images


def test_the_mask_of_a_folder_is_off_in_its_way(samples):
    images = samples._folder(2)
    for one in images:
        assert one.coarse.shape == one.labels.shape == one.image.shape[:2]
        assert set(np.unique(one.coarse)) <= set(np.unique(one.labels))
        assert one.border_error_px >= 0
