"""Refiners and segmenters are loaded by one function."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

import segmend
import segmend.models
from segmend.dual import DualPredictor, DualSegmentation
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.refiners import (
    ECN,
    REFINERS,
    DenseCRF,
    GuidedFilter,
    ObjectRefiner,
    RefinerNetwork,
    SpatialPropagation,
    UniversalRefiner,
    load,
    save_filter,
)
from segmend.segmenters import Segmenter, load_segmenter
from segmend.video import MotionNet

CLASSES = Classes.numbered(2)


@pytest.fixture
def segmenter(tmp_path):
    model = Segmenter(CLASSES, "torch.nn.Conv2d", {"in_channels": 3, "out_channels": 2, "kernel_size": 1})
    save_model(model, tmp_path / "segmenter")
    return tmp_path / "segmenter"


@pytest.mark.parametrize(
    ("name", "kind"), [("universal", UniversalRefiner), ("crf", DenseCRF), ("guided", GuidedFilter)]
)
def test_names_load_refiners(name, kind):
    assert type(segmend.models.load(name)) is type(load(name)) is kind


@pytest.mark.parametrize(
    "model",
    [
        ECN(CLASSES, "quarter"),
        SpatialPropagation(CLASSES, width="quarter"),
        UniversalRefiner(),
        GuidedFilter(radius=3),
    ],
)
def test_folders_load_every_refiner(tmp_path, model):
    save_model(model, tmp_path / "model") if isinstance(model, RefinerNetwork) else save_filter(
        model, tmp_path / "model"
    )
    assert type(segmend.models.load(tmp_path / "model")) is type(load(tmp_path / "model")) is type(model)


def test_a_folder_loads_a_segmenter(segmenter):
    assert isinstance(segmend.models.load(segmenter), Segmenter)


@pytest.fixture
def dual(tmp_path):
    save_model(DualSegmentation(CLASSES, width=8, common=CLASSES.names[:1]), tmp_path / "dual")
    return tmp_path / "dual"


def test_a_folder_loads_dual_segmentation_as_what_predicts(dual, segmenter):
    loaded = segmend.models.load(dual)
    assert isinstance(loaded, DualPredictor)
    assert (loaded.closed_form, loaded.steps) == (True, (0,))
    chosen = segmend.models.load_predictor(dual, False, 3)
    assert (chosen.closed_form, chosen.steps) == (False, (3,))
    assert isinstance(segmend.models.load_predictor(segmenter), Segmenter)
    with pytest.raises(InvalidInput, match=r"holds a DualSegmentation, .* not a segmenter: use segmend\.load"):
        load_segmenter(dual)
    with pytest.raises(
        InvalidInput, match="holds a DualSegmentation, which is not a refiner: use segmend predict"
    ):
        load(dual)


@pytest.mark.parametrize(
    ("options", "named"),
    [((False, None), "--closed-form"), ((True, None), "--closed-form"), ((None, 0), "--inference-steps")],
)
def test_options_of_dual_segmentation_are_refused_for_segmenters(segmenter, options, named):
    with pytest.raises(InvalidInput, match=f"{named} is for models of dual .* holds a Segmenter: leave it out"):
        segmend.models.load_predictor(segmenter, *options)


def test_a_model_of_the_other_kind_is_refused_with_the_command_to_use(segmenter, tmp_path):
    with pytest.raises(InvalidInput, match="holds a Segmenter, which is not a refiner: use segmend predict"):
        load(segmenter)
    save_model(ECN(CLASSES, "quarter"), tmp_path / "ecn")
    with pytest.raises(InvalidInput, match="holds a ECN, which is not a segmenter: use segmend refine"):
        load_segmenter(tmp_path / "ecn")


def test_a_model_of_another_package_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"type": "Whatever"}))
    for loaded in (load, segmend.models.load):
        with pytest.raises(InvalidInput, match="holds a Whatever, which is not a refiner"):
            loaded(tmp_path)


def test_a_filter_with_other_parameters_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"type": "GuidedFilter", "radios": 3}))
    with pytest.raises(InvalidInput, match=r"expected the parameters radius, eps .*found radios"):
        load(tmp_path)


def test_networks_are_modules_and_filters_are_not():
    networks = {name for name, kind in REFINERS.items() if issubclass(kind, RefinerNetwork)}
    assert networks == {"universal", "universal_maps", "universal_masks", "ecn", "spn"}


def test_a_network_of_motion_is_loaded_from_its_folder(tmp_path):
    save_model(MotionNet(widths=(4, 4, 4)), tmp_path)
    assert type(segmend.models.load(tmp_path)) is MotionNet
    with pytest.raises(InvalidInput, match="not a refiner"):
        load(tmp_path)


def test_classes_of_dual_segmentation_are_read_without_weights(dual, segmenter, tmp_path):
    (dual / "model.safetensors").unlink()
    assert segmend.models.check_dual(dual, "--tags") == (CLASSES, (CLASSES.names[0],))
    with pytest.raises(InvalidInput, match=r"--tags is for models of dual .* holds a Segmenter: leave it out"):
        segmend.models.check_dual(segmenter, "--tags")
    save_model(ECN(CLASSES, "quarter"), tmp_path / "ecn")
    with pytest.raises(InvalidInput, match="holds a ECN, which is not a segmenter: use segmend refine"):
        segmend.models.check_dual(tmp_path / "ecn", "--tags")


def scene():
    """An image of a disc, and a mask of it that is 2 px too small."""
    y, x = np.mgrid[:60, :80]
    image = np.where(np.hypot(y - 30, x - 40)[..., None] < 20, (200, 120, 90), (60, 80, 70)).astype(np.uint8)
    return image, (np.hypot(y - 30, x - 40) < 18).astype(np.uint8)


def expected(image, mask):
    return segmend.load("universal").refine(image, mask, min_confidence=0.5).labels.numpy()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_an_array_gives_an_array_of_its_type(dtype):
    image, mask = scene()
    refined = segmend.refine(image, mask.astype(dtype), min_confidence=0.5)
    assert refined.dtype == dtype
    assert (refined == expected(image, mask)).all()
    assert (refined != mask).any()


def test_a_tensor_gives_a_tensor():
    image, mask = scene()
    refined = segmend.refine(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask), min_confidence=0.5)
    assert refined.dtype == torch.uint8
    assert (refined.numpy() == expected(image, mask)).all()


def test_files_give_an_array_in_the_ids_of_the_file(tmp_path):
    image, mask = scene()
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask * 255).save(tmp_path / "mask.png")
    with pytest.warns(UserWarning, match="255 is read as foreground"):
        refined = segmend.refine(tmp_path / "image.png", str(tmp_path / "mask.png"), min_confidence=0.5)
    assert (refined == 255 * expected(image, mask)).all()


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_an_image_of_pillow_gives_one_of_its_mode(mode):
    image, mask = scene()
    given = Image.fromarray(mask * 255).convert("1") if mode == "1" else Image.fromarray(mask)
    if mode == "P":
        given.putpalette([0, 0, 0, 250, 10, 20])
    refined = segmend.refine(Image.fromarray(image), given, min_confidence=0.5)
    assert refined.mode == mode
    assert (np.asarray(refined).astype(np.uint8) == expected(image, mask)).all()
    if mode == "P":
        assert refined.getpalette()[3:6] == [250, 10, 20]


def test_probabilities_give_probabilities():
    image, mask = scene()
    coarse = np.stack((0.8 - 0.6 * mask, 0.2 + 0.6 * mask)).astype(np.float32)
    refined = segmend.refine(image, coarse)
    assert refined.shape == coarse.shape
    assert np.allclose(refined.sum(axis=0), 1, atol=1e-4)


def test_another_refiner_by_name_or_as_it_is():
    image, mask = scene()
    by_name = segmend.refine(image, mask, refiner="guided")
    assert (by_name == segmend.refine(image, mask, refiner=segmend.load("guided"))).all()


@pytest.fixture
def discs():
    """An image with two discs, and masks of them that are 2 px too small."""
    y, x = np.mgrid[:70, :100]
    distances = [np.hypot(y - 35, x - column) for column in (30, 70)]
    inside = np.stack([distance < 20 for distance in distances])
    image = np.where(inside.any(axis=0)[..., None], (200, 120, 90), (60, 80, 70)).astype(np.uint8)
    return image, np.stack([distance < 18 for distance in distances])


def test_masks_of_objects_are_refined_one_by_one_and_come_back_as_they_were_given(discs):
    image, masks = discs
    refiner = GuidedFilter()
    alone = [ObjectRefiner(refiner).refine(image, mask) for mask in masks]
    expected = np.stack([one.mask for one in alone])
    assert (expected != masks).any()
    for given in (
        masks,
        masks.astype(np.uint8) * 255,
        masks.astype(np.float32),
        torch.from_numpy(masks),
        torch.from_numpy(masks).float(),
    ):
        refined = segmend.refine_objects(image, given, refiner=refiner)
        assert type(refined.masks) is type(given)
        assert refined.masks.dtype == given.dtype
        np.testing.assert_array_equal(np.asarray(refined.masks), expected * np.asarray(given).max())
        assert refined.expected_iou == [one.expected_iou for one in alone]
    for kind in (np.asarray, torch.from_numpy):
        refined = segmend.refine_objects(Image.fromarray(image), [kind(mask) for mask in masks], refiner=refiner)
        assert isinstance(refined.masks, list)
        np.testing.assert_array_equal(np.stack([np.asarray(mask) for mask in refined.masks]), expected)


def test_empty_masks_stay_empty_and_no_masks_give_none(discs):
    image, masks = discs
    refined = segmend.refine_objects(image, np.stack([masks[0], masks[0] & False]), refiner="guided")
    assert not refined.masks[1].any()
    assert refined.expected_iou[1] == 0
    for none in (masks[:0], torch.from_numpy(masks[:0]), []):
        refined = segmend.refine_objects(image, none, refiner="guided")
        assert refined.masks is none or refined.masks == none
        assert refined.expected_iou == []


def test_scores_labels_and_other_sizes_are_no_masks_of_objects(discs):
    image, masks = discs
    with pytest.raises(InvalidInput, match="threshold scores"):
        segmend.refine_objects(image, masks * np.linspace(0.1, 1, 100, dtype=np.float32))
    with pytest.raises(InvalidInput, match=r"masks of objects \[H, W\], found shape \(70,\)|\(100,\)"):
        segmend.refine_objects(image, masks[0])
    with pytest.raises(InvalidInput, match="expected one size"):
        segmend.refine_objects(image, masks[:, 1:])


def test_a_mask_of_torchvision_stays_one_with_its_shape(discs):
    image, masks = discs
    image = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
    for mask in (torch.from_numpy(masks[0]).long(), torch.from_numpy(masks[:1]).byte()):
        refined = segmend.refine(image, tv_tensors.Mask(mask), refiner="guided")
        assert type(refined) is tv_tensors.Mask
        assert (refined.dtype, refined.shape) == (mask.dtype, mask.shape)
        assert (refined != mask).any()
        assert type(segmend.refine(image, mask, refiner="guided")) is torch.Tensor


def small_disc():
    """An image of a disc, and a mask of it that is 6 px too small."""
    y, x = np.mgrid[:120, :160]
    noise = np.random.default_rng(0).normal(0, 10, (120, 160, 3))
    image = np.where(np.hypot(y - 60, x - 80)[..., None] < 40, (200, 120, 90), (60, 80, 70)) + noise
    return image.clip(0, 255).astype(np.uint8), np.hypot(y - 60, x - 80) < 34


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_region_snaps_to_the_image():
    image, mask = small_disc()
    y, x = np.mgrid[:120, :160]
    truth = np.hypot(y - 60, x - 80) < 40
    refined = segmend.refine_region(image, mask)
    objects = ObjectRefiner(load("universal")).refine(image, mask)
    assert (refined.mask == objects.mask).all()
    assert refined.expected_iou == objects.expected_iou
    assert iou(refined.mask, truth) > iou(mask, truth) + 0.1


def test_nothing_changes_outside_the_region():
    image, mask = small_disc()
    refined = segmend.refine_region(image, mask, (80, 0, 200, 60)).mask
    changed = refined != mask
    assert changed[:60, 80:].sum() > 100
    assert not changed[60:].any()
    assert not changed[:, :80].any()


def test_a_region_inside_the_object_changes_nothing():
    image, mask = small_disc()
    assert (segmend.refine_region(image, mask, (70, 50, 90, 70)).mask == mask).all()


@pytest.mark.parametrize(
    "kind",
    [
        lambda mask: mask.astype(np.uint8) * 255,
        lambda mask: mask.astype(np.int64) * 7,
        lambda mask: torch.from_numpy(mask),
        lambda mask: Image.fromarray(mask),
        lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
    ],
    ids=["0/255", "0/7", "tensor", "1-bit image", "grey image"],
)
def test_a_mask_of_one_region_comes_back_as_it_was_given(kind):
    image, mask = small_disc()
    found = segmend.refine_region(image, kind(mask)).mask
    wanted = kind(segmend.refine_region(image, mask).mask)
    assert type(found) is type(wanted)
    assert (np.asarray(found) == np.asarray(wanted)).all()
    name = "mode" if isinstance(wanted, Image.Image) else "dtype"
    assert getattr(found, name) == getattr(wanted, name)


def test_an_image_of_any_kind_gives_the_same_region(tmp_path):
    image, mask = small_disc()
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    wanted = segmend.refine_region(image, mask).mask
    for given in (Image.fromarray(image), torch.from_numpy(image).permute(2, 0, 1), image / 255):
        assert (segmend.refine_region(given, mask).mask == wanted).all()
    of_files = segmend.refine_region(tmp_path / "image.png", str(tmp_path / "mask.png")).mask
    assert ((of_files > 0) == wanted).all()


@pytest.mark.parametrize(
    ("change", "region", "message"),
    [
        (lambda mask: mask & False, None, "found 0 alone"),
        (lambda mask: mask + np.eye(120, 160, dtype=np.uint8) * 2, None, r"found 0 and 1, 2.*mask == id"),
        (lambda mask: mask * 0.3, None, "threshold probabilities"),
        (lambda mask: mask[:, :-1], None, "expected one size"),
        (lambda mask: mask, (10, 10, 10, 20), "pixels of the image of 160 x 120, found 10, 10, 10, 20"),
        (lambda mask: mask, (200, 0, 300, 20), "pixels of the image"),
        (lambda mask: mask, (0, 0, 20), "left, top, right, bottom"),
        (lambda mask: mask, (0, 0, float("nan"), 20), "left, top, right, bottom"),
        (lambda mask: mask, (0, 0, 20, 20), "empty in the region"),
    ],
)
def test_unusable_regions_are_refused(change, region, message):
    image, mask = small_disc()
    with pytest.raises(InvalidInput, match=message):
        segmend.refine_region(image, change(mask), region)
