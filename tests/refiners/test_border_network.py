"""The refiner of masks: what it decides, and what it never does."""

import cv2
import numpy as np
import pytest
import torch

from segmend.data.corruptions import grow
from segmend.labels import one_hot
from segmend.refiners import BorderNetwork


def scene(seed=0, size=(70, 90), classes=3):
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(size=(*size, classes)), (0, 0), 9)
    labels = field.argmax(axis=2).astype(np.uint8)
    image = rng.integers(0, 256, (classes, 3))[labels] + rng.normal(0, 15, (*size, 3))
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return BorderNetwork().eval()


def test_probabilities_are_of_a_pixels_class_and_its_rival(network):
    image, labels = scene()
    found = network.refine(image, labels)
    assert found.probabilities.shape == (3, *labels.shape)
    torch.testing.assert_close(found.probabilities.sum(dim=0), torch.ones(labels.shape))
    assert ((found.probabilities > 0).sum(dim=0) <= 3).all()
    near = found.probabilities.amax(dim=0) < 0.97
    assert near.any()
    assert ((found.probabilities[:, near] > 0).sum(dim=0) <= 2).all()


def test_the_profile_of_the_folder_makes_a_difference(network):
    image, labels = scene()
    known = network.of_folder(*zip(*(scene(seed) for seed in range(4)), strict=True))
    assert network.folder is None
    assert not known.folder.are_of_other_images
    assert not torch.equal(known.refine(image, labels).probabilities, network.refine(image, labels).probabilities)
    assert all(one is other for one, other in zip(known.parameters(), network.parameters(), strict=True))


def test_a_known_border_error_makes_a_difference(network):
    image, labels = scene()
    one, other = (network.refine(image, labels, border_error_px=px).probabilities for px in (2, 8))
    assert not torch.equal(one, other)


def test_results_do_not_depend_on_how_classes_are_numbered(network):
    image, labels = scene()
    order = np.array([2, 0, 1], np.uint8)
    one = network.refine(image, labels, 3).labels.numpy()
    other = network.refine(image, order[labels], 3).labels.numpy()
    assert (order[one] == other).all()


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_one_class_stays(network, value):
    image, _ = scene()
    found = network.refine(image, np.full((70, 90), value, np.uint8), 2)
    assert (found.labels == value).all()
    assert not found.changed.any()


def test_void_is_filled_or_kept(network):
    image, labels = scene()
    labels[:30, :40] = 255
    filled = network.refine(image, labels, 3)
    assert (filled.labels < 3).all()
    kept = network.refine(image, labels, 3, keep_void=True)
    assert (kept.labels[:30, :40] == 255).all()
    assert torch.equal(kept.labels[30:], filled.labels[30:])


def test_probabilities_count_as_their_mask(network):
    image, labels = scene()
    soft = one_hot(torch.from_numpy(labels), 3, smoothing=0.4)
    assert torch.equal(network.refine(image, soft).labels, network.refine(image, labels, 3).labels)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 5)])
def test_images_of_any_size(network, size):
    labels = np.zeros(size, np.uint8)
    labels[:, size[1] // 2 :] = 1
    found = network.refine(np.zeros((*size, 3), np.uint8), labels, 2)
    assert found.labels.shape == size


def test_large_images_are_cut_into_tiles(network):
    image, labels = scene(size=(80, 200))
    assert network.refine(image, labels, 3, tile=96).labels.shape == labels.shape


def grown(labels, pixels):
    return grow(torch.from_numpy(labels), pixels, over=0).numpy()


@pytest.fixture(scope="module")
def small():
    """Images and masks that are 5 px too small, and the exact masks."""
    scenes = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        labels = np.zeros((110, 130), np.uint8)
        cv2.ellipse(labels, (45 + seed, 55), (28, 22), 15.0 * seed, 0, 360, 1, -1)
        colours = np.array(((60, 70, 60), (190, 120, 90)))
        image = (colours[labels] + rng.normal(0, 12, (110, 130, 3))).clip(0, 255).astype(np.uint8)
        scenes.append((image, grown(labels, -5), labels))
    return [list(part) for part in zip(*scenes, strict=True)]


def test_masks_that_are_evidently_too_small_are_moved_first(network, small):
    images, masks, exact = small
    known = network.of_folder(images, masks)
    assert known.folder.move.pixels == pytest.approx(5, abs=1)
    known.folder = known.folder._replace(is_left=True)  # the network of random weights would change them
    for image, mask, right in zip(images, masks, exact, strict=True):
        assert (known.refine(image, mask).labels.numpy() == right).mean() > 0.985 > (mask == right).mean()
    assert network.of_folder(images, exact).folder.move is None


def test_masks_of_other_images_are_left(network):
    rng = np.random.default_rng(0)
    images = [cv2.GaussianBlur(rng.normal(128, 300, (90, 90, 3)), (0, 0), 2).clip(0, 255).astype(np.uint8)] * 6
    masks = [(cv2.GaussianBlur(rng.normal(size=(90, 90)), (0, 0), 9) > 0).astype(np.uint8) for _ in images]
    known = network.of_folder(images, masks)
    assert known.folder.are_of_other_images
    assert not known.refine(images[0], masks[0]).changed.any()


def test_where_it_would_change_little_it_changes_nothing(small):
    images, _, exact = small
    torch.manual_seed(3)
    careful = BorderNetwork(least_change=0.9).eval()
    assert careful.of_folder(images, exact).folder.is_left
    assert not careful.of_folder(images, exact).refine(images[0], exact[0]).changed.any()
    assert not careful.refine(images[0], exact[0]).changed.any()
    given = careful.of_folder(images, exact)
    assert given.refine(
        images[0], exact[0], min_confidence=0.5
    ).changed.any()  # the caller's rule replaces its own
    assert given.folder.is_left
    bold = BorderNetwork(least_change=0.0).eval()
    assert not bold.of_folder(images, exact).folder.is_left


def test_a_folder_without_labels_is_left(network):
    known = network.of_folder([np.zeros((9, 9, 3), np.uint8)] * 2, [np.full((9, 9), 255, np.uint8)] * 2)
    assert known.folder.is_left
    assert not known.refine(*scene()).changed.any()
