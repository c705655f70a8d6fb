"""Borders are moved where the folder evidently asks for it, and nothing else is changed."""

import cv2
import numpy as np
import pytest
import torch

from segmend.data.corruptions import grow
from segmend.refiners import OffsetCorrection, load, save_filter


def folder(change=lambda labels: labels, images=6):
    """Images of a blob each, and masks that are off."""
    found = []
    for seed in range(images):
        rng = np.random.default_rng(seed)
        field = cv2.GaussianBlur(rng.normal(size=(120, 150)), (0, 0), 14)
        labels = (field > np.quantile(field, 0.7)).astype(np.uint8)
        image = np.where(labels[..., None] == 1, (200, 120, 90), (60, 80, 70)) + rng.normal(0, 8, (120, 150, 3))
        mask = change(torch.from_numpy(labels)).numpy()
        found.append((image.clip(0, 255).astype(np.uint8), labels, mask))
    return [list(part) for part in zip(*found, strict=True)]


@pytest.mark.parametrize("pixels", [-5, 5])
def test_masks_that_are_all_off_are_moved_back(pixels):
    images, truth, masks = folder(lambda labels: grow(labels, pixels, 0))
    refiner = OffsetCorrection().of_folder(images, masks)
    for image, labels, mask in zip(images, truth, masks, strict=True):
        refined = refiner.refine(image, mask).labels.numpy()
        assert (refined == refiner.folder.move(mask, 255)).all()
        assert (refined != labels).sum() < 0.35 * (mask != labels).sum()


def test_exact_masks_and_masks_alone_stay():
    images, _, masks = folder()
    for refiner in (OffsetCorrection(), OffsetCorrection().of_folder(images, masks)):
        assert (refiner.refine(images[0], masks[0]).labels.numpy() == masks[0]).all()


def test_void_is_filled_or_stays():
    images, _, masks = folder(lambda labels: grow(labels, -5, 0))
    refiner = OffsetCorrection().of_folder(images, masks)
    mask = masks[0].copy()
    mask[:10] = 255
    assert refiner.refine(images[0], mask).labels.max() == 1
    kept = refiner.refine(images[0], mask, keep_void=True).labels.numpy()
    assert ((kept == 255) == (mask == 255)).all()


def test_it_is_saved_and_loaded(tmp_path):
    save_filter(OffsetCorrection(), tmp_path)
    assert isinstance(load(tmp_path), OffsetCorrection)
    assert isinstance(load("offset"), OffsetCorrection)
