"""Boundary metrics, against slow versions written from the papers' definitions."""

import os
from datetime import timedelta

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import disk

from segmend.labels import InvalidInput
from segmend.metrics import (
    BoundaryF,
    BoundaryIoU,
    ConfusionMatrix,
    FMeasure,
    IoU,
    MeanAccuracy,
    MeanIoU,
    PixelAccuracy,
    RegionJ,
    ShareChanged,
    TrimapIoU,
    boundary,
    boundary_f,
    boundary_iou,
    boundary_iou_counts,
    confusion_matrix,
    mean_iou,
    region_j,
    trimap_confusion,
    trimap_iou,
)

quick = settings(derandomize=True, deadline=None, max_examples=100)


@st.composite
def patchy_maps(draw):
    """Prediction, truth (of patches, some of them void) and the number of classes."""
    classes = draw(st.integers(1, 5))
    dtype, void = draw(st.sampled_from([(np.uint8, 255), (np.int32, 65535)]))
    height, width = (draw(st.sampled_from([1, 2, 5, 20, 41])) for _ in "hw")
    patch = draw(st.integers(1, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = rng.integers(0, classes, (-(-height // patch), -(-width // patch)))
    truth = coarse.repeat(patch, 0).repeat(patch, 1)[:height, :width]
    prediction = np.where(rng.random(truth.shape) < 0.03, rng.integers(0, classes, truth.shape), truth)
    prediction = np.roll(prediction, draw(st.integers(0, 3)), axis=1)
    for labels in (prediction, truth):
        labels[rng.random(truth.shape) < draw(st.sampled_from([0.0, 0.02]))] = void
    if draw(st.booleans()):
        truth[: height // 3] = void
    return prediction.astype(dtype), truth.astype(dtype), classes


def void_of(labels):
    return 255 if labels.dtype == np.uint8 else 65535


def masks(prediction, truth, c):
    """Masks of class `c` without what is void in the ground truth."""
    valid = truth != void_of(truth)
    return (prediction == c) & valid, (truth == c) & valid


def slow_trimap(prediction, truth, classes, widths):
    """One width after the other, one pixel after the other."""
    height, width = truth.shape
    border = np.zeros(truth.shape, bool)
    for y, x in np.ndindex(truth.shape):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        border[y, x] = any(0 <= v < height and 0 <= u < width and truth[v, u] != truth[y, x] for v, u in around)
    if not border.any():
        return np.zeros((widths, classes, classes + 1), np.int64)
    bands = [ndimage.distance_transform_edt(~border) < w for w in range(1, widths + 1)]
    return np.stack([confusion_matrix(prediction[band], truth[band], classes) for band in bands])


def slow_boundary_iou_counts(prediction, truth, classes, dilation):
    """As the authors' `mask_to_boundary`: erode a mask padded by zeros d times with a 3 x 3 square."""
    d = max(1, round(dilation * np.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
    counts = []
    for c in range(classes):
        regions = []
        for mask in masks(prediction, truth, c):
            eroded = ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3)), iterations=d)
            regions.append(mask & ~eroded[1:-1, 1:-1])
        counts.append([(regions[0] & regions[1]).sum(), (regions[0] | regions[1]).sum()])
    return np.array(counts).T


def slow_boundary_f(prediction, truth, classes, tolerance):
    """As DAVIS's `f_measure` and `seg2bmap`, but 0 for a class that is in one map only."""
    radius = int(np.ceil(tolerance * np.linalg.norm(truth.shape)))
    scores = []
    for c in range(classes):
        pair = masks(prediction, truth, c)
        borders = []
        for mask in pair:
            right, lower, diagonal = (np.zeros_like(mask) for _ in range(3))
            right[:, :-1], lower[:-1], diagonal[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
            border = (mask ^ right) | (mask ^ lower) | (mask ^ diagonal)
            border[-1] = mask[-1] ^ right[-1]
            border[:, -1] = mask[:, -1] ^ lower[:, -1]
            border[-1, -1] = False
            borders.append(border)
        grown = [ndimage.binary_dilation(border, disk(radius)) for border in borders]
        sizes = [border.sum() for border in borders]
        if not any(mask.any() for mask in pair):
            scores.append(np.nan)
        elif not all(mask.any() for mask in pair) or (0 in sizes and any(sizes)):
            scores.append(0.0)
        elif not any(sizes):
            scores.append(1.0)
        else:
            precision = (borders[0] & grown[1]).sum() / sizes[0]
            recall = (borders[1] & grown[0]).sum() / sizes[1]
            both = precision + recall
            scores.append(2 * precision * recall / both if both else 0.0)
    return np.array(scores)


@quick
@given(patchy_maps(), st.integers(1, 12))
def test_trimap_equals_one_width_after_the_other(case, widths):
    np.testing.assert_array_equal(trimap_confusion(*case, widths), slow_trimap(*case, widths))


@quick
@given(patchy_maps())
def test_the_widest_band_is_the_whole_image(case):
    prediction, truth, classes = case
    widest = trimap_confusion(*case, widths=60)[-1]
    if (truth == truth[0, 0]).all():
        assert not widest.any()
    else:
        np.testing.assert_array_equal(widest, confusion_matrix(prediction, truth, classes))


def test_trimap_does_not_depend_on_threads():
    rng = np.random.default_rng(0)
    truth = (rng.random((150, 150)) < 0.002).astype(np.uint8)
    prediction = 1 - truth
    threads = cv2.getNumThreads()
    try:
        found = []
        for count in (1, 2):
            cv2.setNumThreads(count)
            found.append(trimap_confusion(prediction, truth, 2, 100))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(*found)


def test_trimap_iou_is_the_mean_iou_of_each_band():
    prediction, truth = np.zeros((9, 30), np.uint8), np.zeros((9, 30), np.uint8)
    truth[:, 10:] = 1
    prediction[:, 13:] = 1
    confusions = trimap_confusion(prediction, truth, 3, widths=25)
    np.testing.assert_array_equal(trimap_iou(confusions), [mean_iou(c) for c in confusions])
    assert trimap_iou(confusions)[0] == 0.25  # two columns: one right, one wrong
    assert np.isnan(trimap_iou(trimap_confusion(truth, np.zeros_like(truth), 3))).all()


@quick
@given(patchy_maps(), st.sampled_from([0.001, 0.02, 0.08, 0.3]))
def test_boundary_iou_counts_are_those_of_cheng_et_al(case, dilation):
    found = boundary_iou_counts(*case, dilation)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, slow_boundary_iou_counts(*case, dilation))


@quick
@given(patchy_maps(), st.sampled_from([0.0075, 0.06, 0.2]))
def test_boundary_f_is_that_of_davis(case, tolerance):
    np.testing.assert_allclose(boundary_f(*case, tolerance), slow_boundary_f(*case, tolerance), rtol=1e-12, atol=0)


def test_boundary_f_is_the_same_beyond_the_largest_disk(monkeypatch):
    rng = np.random.default_rng(0)
    prediction, truth = (rng.integers(0, 3, (20, 30)).astype(np.uint8).repeat(9, 0) for _ in range(2))
    small = [boundary_f(prediction, truth, 3, tolerance) for tolerance in (0.005, 0.03, 0.06)]
    monkeypatch.setattr(boundary, "_LARGE_DISK", 0)
    large = [boundary_f(prediction, truth, 3, tolerance) for tolerance in (0.005, 0.03, 0.06)]
    np.testing.assert_array_equal(small, large)


def test_boundary_f_of_classes_that_fill_or_miss_the_image():
    full, half = np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint8)
    half[:, 4:] = 1
    np.testing.assert_array_equal(boundary_f(full, full, 3), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(boundary_f(full + 1, full, 3), [0.0, 0.0, np.nan])
    np.testing.assert_array_equal(boundary_f(half, full, 3), [0.0, 0.0, np.nan])


@quick
@given(patchy_maps())
def test_region_j_is_the_jaccard_index_of_masks(case):
    prediction, truth, classes = case
    expected = []
    for c in range(classes):
        predicted, true = masks(prediction, truth, c)
        either = (predicted | true).sum()
        expected.append((predicted & true).sum() / either if either else np.nan)
    np.testing.assert_allclose(region_j(*case), expected)


@quick
@given(patchy_maps())
def test_a_perfect_prediction_scores_1_whatever_lies_in_void(case):
    anything, truth, classes = case
    prediction = np.where(truth == void_of(truth), anything, truth)
    present = np.isin(np.arange(classes), truth)
    for scores in (
        boundary_iou(boundary_iou_counts(prediction, truth, classes)),
        boundary_f(prediction, truth, classes),
        region_j(prediction, truth, classes),
    ):
        np.testing.assert_array_equal(scores, np.where(present, 1.0, np.nan))
    bands = trimap_iou(trimap_confusion(prediction, truth, classes, 5))
    assert np.isin(bands[~np.isnan(bands)], 1.0).all()


@quick
@given(patchy_maps(), st.randoms(use_true_random=False))
def test_renaming_the_classes_renames_the_scores(case, random):
    prediction, truth, classes = case
    new = random.sample(range(classes), classes)
    lookup = np.arange(65536).astype(truth.dtype)
    lookup[:classes] = new
    renamed = lookup[prediction], lookup[truth], classes
    for function in (boundary_f, region_j, lambda *maps: boundary_iou_counts(*maps)[1]):
        np.testing.assert_array_equal(function(*renamed)[new], function(*case))
    columns = [*new, classes]
    bands = trimap_confusion(*renamed, 4)[:, new][:, :, columns]
    np.testing.assert_array_equal(bands, trimap_confusion(*case, 4))


@quick
@given(patchy_maps())
def test_8_and_16_bit_maps_and_tensors_give_the_same(case):
    prediction, truth, classes = case
    wide = [m.astype(np.int32) for m in (prediction, truth)]
    for narrow, labels in zip((prediction, truth), wide, strict=True):
        labels[narrow == void_of(narrow)] = 65535
    tensors = [torch.from_numpy(labels) for labels in wide]
    for function in (trimap_confusion, boundary_iou_counts, boundary_f, region_j):
        np.testing.assert_array_equal(function(*tensors, classes), function(*case))


def test_more_classes_than_8_bits():
    truth = np.zeros((20, 20), np.int32)
    truth[:, 7:] = 299
    truth[:, 15:] = 65535
    prediction = np.roll(truth, 1, axis=1)
    small = [np.select([m == 0, m == 299], [0, 1], 255).astype(np.uint8) for m in (prediction, truth)]
    for function in (boundary_f, region_j, lambda *maps: boundary_iou(boundary_iou_counts(*maps))):
        np.testing.assert_array_equal(function(prediction, truth, 300)[[0, 299]], function(*small, 2))
    bands = trimap_confusion(prediction, truth, 300, 6)[:, [0, 299]][:, :, [0, 299, 300]]
    np.testing.assert_array_equal(bands, trimap_confusion(*small, 2, 6))


@pytest.mark.parametrize("function", [trimap_confusion, boundary_iou_counts, boundary_f, region_j])
def test_unusable_input_is_named(function):
    labels = np.zeros((3, 4), np.uint8)
    with pytest.raises(InvalidInput, match="one shape"):
        function(labels, labels[:2], 2)
    with pytest.raises(InvalidInput, match="one image"):
        function(labels[None], labels[None], 2)
    with pytest.raises(InvalidInput, match="found 7"):
        function(labels + 7, labels, 2)


def test_a_trimap_needs_a_width():
    labels = np.zeros((3, 4), np.uint8)
    with pytest.raises(InvalidInput, match="at least 1 px, found 0"):
        trimap_confusion(labels, labels, 2, widths=0)


def images(count=5):
    """`count` coarse maps, predictions and truths of 4 classes, ``uint8 [count, 24, 31]``."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 4, (count, 6, 31)).astype(np.uint8).repeat(4, 1)
    prediction, coarse = (np.where(rng.random(truth.shape) < 0.1, 3, np.roll(truth, n, 2)) for n in (1, 2))
    truth[:, 5:7] = 255
    return coarse.astype(np.uint8), prediction.astype(np.uint8), truth


def test_metrics_over_pieces_equal_the_functions():
    _, prediction, truth = images()
    pairs = list(zip(prediction, truth, strict=True))
    metrics = TrimapIoU(4, 7), BoundaryIoU(4, 0.05), BoundaryF(4, 0.02), RegionJ(4)
    for metric in metrics:
        metric.update(prediction[0], truth[0])
        metric(torch.from_numpy(prediction[1:]), torch.from_numpy(truth[1:]))
    trimap, iou, f, j = (metric.compute() for metric in metrics)
    assert {value.dtype for value in (trimap, iou, f, j)} == {torch.float64}
    np.testing.assert_array_equal(trimap, trimap_iou(sum(trimap_confusion(p, t, 4, 7) for p, t in pairs)))
    np.testing.assert_array_equal(iou, boundary_iou(sum(boundary_iou_counts(p, t, 4, 0.05) for p, t in pairs)))
    np.testing.assert_allclose(f, np.nanmean([boundary_f(p, t, 4, 0.02) for p, t in pairs]), atol=1e-10)
    np.testing.assert_allclose(j, np.nanmean([region_j(p, t, 4) for p, t in pairs]), atol=1e-10)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_metrics_without_images_are_nan():
    assert all(torch.isnan(m.compute()).all() for m in (TrimapIoU(2), BoundaryIoU(2), BoundaryF(2), RegionJ(2)))


def measure(start, step):
    """Every metric class, over every `step`-th image from `start` on."""
    coarse, prediction, truth = (m[start::step] for m in images())
    found = {}
    for kind in (ConfusionMatrix, PixelAccuracy, MeanAccuracy, IoU, MeanIoU, FMeasure, TrimapIoU, BoundaryIoU,
                 BoundaryF, RegionJ):  # fmt: skip
        metric = kind(4)
        metric.update(prediction, truth)
        found[kind.__name__] = metric.compute()
    changed = ShareChanged(4)
    changed.update(prediction, truth, coarse)
    return found | {"ShareChanged": changed.compute()}


def measure_a_half(rank, folder):
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meet", timedelta(seconds=60), rank=rank, world_size=2
    )
    torch.save(measure(rank, 2), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_give_exactly_the_number_of_one(tmp_path, monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.config.rootpath))  # the other process imports this file by its name
    monkeypatch.setitem(os.environ, "GLOO_SOCKET_IFNAME", "lo")
    expected = measure(0, 1)
    other = torch.multiprocessing.spawn(measure_a_half, (str(tmp_path),), nprocs=1, join=False)
    measure_a_half(1, str(tmp_path))
    other.join()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
