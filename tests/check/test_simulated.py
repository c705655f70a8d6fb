"""Simulated errors: each changes what its kind says, and void stays."""

import numpy as np
import torch

from segmend.check import KINDS, simulated_errors
from segmend.ops.blobs import label_components

LABELS = np.zeros((60, 80), np.uint8)
LABELS[10:40, 10:40] = 1
LABELS[30:50, 50:75] = 2
LABELS[:5] = 255
OTHER = np.roll(LABELS[:, ::-1], 7, axis=0)


def errors(labels=LABELS, other=OTHER, seed=3):
    return dict(simulated_errors(labels, other, [0, 1, 2], 255, seed))


def test_there_is_one_of_each_kind_and_void_stays():
    found = errors()
    assert set(found) == set(KINDS)
    for changed in found.values():
        assert ((changed == 255) == (LABELS == 255)).all()
        assert (changed != LABELS).sum() >= 5e-4 * (LABELS != 255).sum()


def test_kinds_are_what_they_say():
    for seed in range(8):
        found = errors(seed=seed)
        areas = label_components(LABELS, 255)
        swapped = [
            number for number in range(1, areas.max() + 1) if (found["class"] != LABELS)[areas == number].all()
        ]
        assert len(swapped) == 1
        assert ((found["class"] != LABELS) == (areas == swapped[0])).all()
        removed = LABELS[found["missing"] != LABELS]
        assert len(set(removed.tolist())) == 1
        holes = found.get("holes", LABELS)  # discs may be too small to count
        assert (holes[holes != LABELS] == 0).all()
        assert label_components(found.get("islands", LABELS), 255).max() >= areas.max()


def test_a_seed_gives_the_same_errors_and_leaves_the_generator_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, other = errors(), errors()
    assert all((one[kind] == other[kind]).all() for kind in KINDS)
    assert (torch.random.get_rng_state() == before).all()


def test_a_map_of_one_class_has_only_the_errors_that_it_can_have():
    found = errors(np.zeros((40, 40), np.uint8), None)
    assert set(found) <= {"class", "islands"}
