"""The class-agnostic refiner has a network for masks and one for probability maps."""

import pytest
import torch
from tests.refiners.test_border_network import scene

from segmend.labels import one_hot
from segmend.model_folder import save_model
from segmend.refiners import UniversalRefiner, load
from segmend.refiners.universal.refiner import is_mask


@pytest.fixture(scope="module")
def refiner():
    torch.manual_seed(0)
    return UniversalRefiner(maps={"coarse_weight": 0.3}).eval()


def test_masks_and_probability_maps_go_to_their_networks(refiner):
    image, labels = scene()
    soft = one_hot(torch.from_numpy(labels), 3, smoothing=0.3)
    for coarse, network in ((labels, refiner.masks), (soft, refiner.maps)):
        found, expected = (one.refine(image, coarse, 3) for one in (refiner, network))
        assert torch.equal(found.probabilities, expected.probabilities)
    assert refiner.coarse_weight_for(soft) == refiner.maps.coarse_weight_for(soft)


def test_a_mask_is_certain_wherever_there_is_any_class():
    labels = torch.zeros(8, 8, dtype=torch.uint8)
    labels[2:4] = 1
    labels[6:] = 255
    for count in (2, 21):
        assert is_mask(one_hot(labels, count)[None])
    soft = one_hot(labels, 3)
    soft[:, 0, 0] = torch.tensor([0.6, 0.4, 0])
    assert not is_mask(soft[None])


def test_the_folder_is_known_to_the_copy_alone(refiner):
    images, masks = zip(*(scene(seed) for seed in range(4)), strict=True)
    known = refiner.of_folder(images, masks)
    image, labels = scene()
    assert known.folder is not None
    assert refiner.folder is refiner.masks.folder is None
    expected = refiner.masks.of_folder(images, masks).refine(image, labels).probabilities
    assert torch.equal(known.refine(image, labels).probabilities, expected)


def test_a_model_folder_holds_both(refiner, tmp_path):
    save_model(refiner, tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, UniversalRefiner)
    assert loaded.maps.coarse_weight == 0.3
    image, labels = scene()
    assert torch.equal(loaded.refine(image, labels).labels, refiner.refine(image, labels).labels)
