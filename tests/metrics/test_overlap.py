"""Confusion matrices and what follows from them, against loops over pixels and `torchmetrics`' metrics."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

from segmend.labels import InvalidInput
from segmend.metrics import (
    ConfusionMatrix,
    FMeasure,
    IoU,
    MeanAccuracy,
    MeanIoU,
    PixelAccuracy,
    ShareChanged,
    changes,
    confusion_matrix,
    f_measure,
    image_scores,
    iou,
    mean_accuracy,
    mean_iou,
    pixel_accuracy,
    share_changed,
)

quick = settings(derandomize=True, deadline=None, max_examples=50)


@st.composite
def label_maps(draw, count=2):
    """`count` label maps ``[H, W]`` of one size and type, some pixels void, and the number of classes."""
    classes = draw(st.integers(1, 5))
    dtype, void = draw(st.sampled_from([(np.uint8, 255), (np.uint16, 65535), (np.int32, 65535)]))
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    void_share = draw(st.sampled_from([0.0, 0.2, 1.0]))
    maps = [np.where(rng.random(shape) < void_share, void, rng.integers(0, classes, shape)) for _ in range(count)]
    return *(m.astype(dtype) for m in maps), classes


def pixels(prediction, truth, classes):
    """(truth, prediction) of each pixel that is not void in the truth; void is `classes`."""
    void = 255 if truth.dtype == np.uint8 else 65535
    pairs = zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True)
    return [(t, classes if p == void else p) for t, p in pairs if t != void]


@quick
@given(label_maps())
def test_confusion_matrix_counts_each_pixel_once(case):
    prediction, truth, classes = case
    found = confusion_matrix(prediction, truth, classes)
    counts = Counter(pixels(*case))
    expected = [[counts[t, p] for p in range(classes + 1)] for t in range(classes)]
    assert found.dtype == np.int64
    assert found.tolist() == expected


@quick
@given(label_maps())
def test_accuracies_and_iou_are_those_of_sets_of_pixels(case):
    pairs = pixels(*case)
    confusion = confusion_matrix(*case)
    recalls, ious, dices = [], [], []
    for c in range(case[2]):
        true = {i for i, (t, _) in enumerate(pairs) if t == c}
        predicted = {i for i, (_, p) in enumerate(pairs) if p == c}
        recalls += [len(true & predicted) / len(true)] if true else []
        either = true | predicted
        ious.append(len(true & predicted) / len(either) if either else np.nan)
        dices.append(2 * len(true & predicted) / (len(true) + len(predicted)) if either else np.nan)
    right = [t == p for t, p in pairs]
    np.testing.assert_allclose(pixel_accuracy(confusion), np.mean(right) if right else np.nan)
    np.testing.assert_allclose(mean_accuracy(confusion), np.mean(recalls) if recalls else np.nan)
    np.testing.assert_allclose(iou(confusion), ious)
    np.testing.assert_allclose(mean_iou(confusion), np.nanmean(ious) if pairs else np.nan)
    np.testing.assert_allclose(mean_iou(confusion, [case[2] - 1]), ious[-1])
    np.testing.assert_allclose(f_measure(confusion), dices)


def test_agrees_with_torchmetrics():
    rng = np.random.default_rng(0)
    prediction = torch.from_numpy(rng.integers(0, 4, (3, 20, 30)).astype(np.uint8))
    truth = torch.from_numpy(rng.integers(0, 4, (3, 20, 30)).astype(np.uint8))
    truth[:, :5] = 255
    confusion = confusion_matrix(prediction, truth, 4)
    for ours, theirs in [
        (iou(confusion), MulticlassJaccardIndex(4, average="none", ignore_index=255)),
        (mean_iou(confusion), MulticlassJaccardIndex(4, ignore_index=255)),
        (pixel_accuracy(confusion), MulticlassAccuracy(4, average="micro", ignore_index=255)),
        (mean_accuracy(confusion), MulticlassAccuracy(4, average="macro", ignore_index=255)),
        (f_measure(confusion), MulticlassF1Score(4, average="none", ignore_index=255)),
    ]:
        np.testing.assert_allclose(ours, theirs(prediction.long(), truth.long()).numpy(), rtol=1e-6)


@quick
@given(label_maps())
def test_a_perfect_prediction_scores_1_whatever_lies_in_void(case):
    anything, truth, classes = case
    void = truth == (255 if truth.dtype == np.uint8 else 65535)
    confusion = confusion_matrix(np.where(void, anything, truth), truth, classes)
    expected = np.nan if void.all() else 1.0
    scores = [pixel_accuracy(confusion), mean_accuracy(confusion), mean_iou(confusion)]
    np.testing.assert_array_equal(scores, expected)
    present = np.isin(np.arange(classes), truth)
    np.testing.assert_array_equal(iou(confusion), np.where(present, 1.0, np.nan))
    np.testing.assert_array_equal(f_measure(confusion), np.where(present, 1.0, np.nan))


@quick
@given(label_maps(), st.randoms(use_true_random=False))
def test_renaming_the_classes_renames_the_scores(case, random):
    prediction, truth, classes = case
    new = random.sample(range(classes), classes)
    lookup = np.arange(65536).astype(truth.dtype)
    lookup[:classes] = new
    renamed = iou(confusion_matrix(lookup[prediction], lookup[truth], classes))
    np.testing.assert_array_equal(renamed[new], iou(confusion_matrix(prediction, truth, classes)))


def test_predicted_void_is_an_error_of_the_class_in_the_truth():
    confusion = confusion_matrix(np.uint8([[0, 255, 255, 1]]), np.uint8([[0, 0, 255, 1]]), 2)
    assert confusion.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert pixel_accuracy(confusion) == 2 / 3
    assert iou(confusion).tolist() == [0.5, 1.0]


def test_8_and_16_bit_maps_give_the_same_and_may_meet():
    narrow = np.uint8([[0, 1, 255, 2], [1, 1, 2, 255]])
    wide = narrow.astype(np.int32)
    wide[narrow == 255] = 65535
    other = np.uint8([[0, 255, 1, 2], [1, 0, 2, 0]])
    expected = confusion_matrix(other, narrow, 3)
    np.testing.assert_array_equal(confusion_matrix(other, wide, 3), expected)
    np.testing.assert_array_equal(confusion_matrix(other, torch.from_numpy(wide), 3), expected)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16])
def test_255_is_void_in_labels_of_any_type_unless_it_is_a_class(dtype):
    """As PyTorch has it: labels are int64, and pixels to ignore are 255."""
    truth, prediction = np.array([[0, 1, 255, 1]]), np.array([[0, 255, 1, 1]])
    expected = confusion_matrix(prediction.astype(np.uint8), truth.astype(np.uint8), 2)
    assert (confusion_matrix(prediction.astype(dtype), truth.astype(dtype), 2) == expected).all()
    assert (confusion_matrix(prediction.astype(np.uint8), truth.astype(dtype), 2) == expected).all()
    found = confusion_matrix(prediction.astype(dtype), truth.astype(dtype), 300)
    assert found[255].sum() == 1


def test_more_classes_than_8_bits():
    truth = np.int32([[299, 255, 65535, 0]])
    confusion = confusion_matrix(np.int32([[299, 65535, 0, 255]]), truth, 300)
    assert {tuple(i): confusion[tuple(i)] for i in np.argwhere(confusion).tolist()} == {
        (299, 299): 1,
        (255, 300): 1,
        (0, 255): 1,
    }
    assert confusion_matrix(np.uint8([[255, 3]]), np.uint8([[2, 3]]), 300)[2, 300] == 1


def test_merged_classes_are_one_in_the_f_measure():
    rng = np.random.default_rng(1)
    prediction, truth = (rng.integers(0, 5, (30, 30)).astype(np.uint8) for _ in range(2))
    groups = [[1, 2], [4, 3, 0], [2], [0, 1, 2, 3, 4]]
    found = f_measure(confusion_matrix(prediction, truth, 5), groups)
    for group, score in zip(groups, found, strict=True):
        merged = [np.isin(m, group).astype(np.uint8) for m in (prediction, truth)]
        assert score == f_measure(confusion_matrix(*merged, 2))[1]
    assert found[-1] == 1.0


def test_a_group_in_neither_map_has_no_f_measure():
    confusion = confusion_matrix(np.uint8([[0, 0]]), np.uint8([[0, 1]]), 4)
    np.testing.assert_array_equal(f_measure(confusion, [[2, 3], [0], []]), [np.nan, 2 / 3, np.nan])


def test_share_changed_counts_images_beyond_the_threshold():
    before = np.array([0.5, 0.5, 0.5, 0.5, 0.9, np.nan, 0.2])
    after = np.array([0.505, 0.5051, 0.495, 0.4949, 1.0, np.nan, 0.2])
    before, after = before[:, None], after[:, None]
    assert share_changed(before, after) == (2 / 6, 1 / 6)
    assert share_changed(before, after, points=5) == (1 / 6, 0.0)
    assert np.isnan(share_changed(np.zeros((0, 2)), np.zeros((0, 2)))).all()


def test_an_image_is_improved_or_degraded_only_where_all_its_scores_are():
    before = np.full((4, 2), 0.5)
    after = np.array([[0.6, 0.6], [0.4, 0.4], [0.4, 0.6], [0.6, 0.5]])
    assert changes(before, after).tolist() == [1, -1, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2), "one shape"),
        (lambda: confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8), 2), "one shape"),
        (lambda: confusion_matrix(np.uint8([[2]]), np.uint8([[0]]), 2), "found 2 on 1 pixels"),
        (lambda: confusion_matrix(np.uint8([[0]]), np.int32([[254]]), 2), "found 254 on 1 pixels"),
        (lambda: confusion_matrix(np.int32([[-1]]), np.int32([[0]]), 2), "found -1"),
        (lambda: confusion_matrix(np.zeros((1, 1)), np.uint8([[0]]), 2), "integers"),
        (lambda: confusion_matrix(np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8), 2), "with pixels"),
        (lambda: f_measure(np.zeros((2, 3), np.int64), [[0], [2]]), r"0\.\.1, found \[2\]"),
        (lambda: f_measure(np.zeros((2, 3), np.int64), [[-1]]), r"found \[-1\]"),
        (lambda: share_changed(np.zeros((2, 1)), np.zeros((3, 1))), "same images"),
        (lambda: ShareChanged(2).update(*(np.zeros((n, 2, 2), np.uint8) for n in (1, 1, 2))), "one shape"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def example(seed, count=6, classes=4):
    """`count` images: label maps before and after refining, and the ground truth, ``uint8 [count, 12, 17]``."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (count, 12, 17)).astype(np.uint8)
    noisy = [np.where(rng.random(truth.shape) < 0.3, rng.integers(0, classes, truth.shape), truth) for _ in "ba"]
    truth[rng.random(truth.shape) < 0.1] = 255
    return *(m.astype(np.uint8) for m in noisy), truth


GROUPS = ((0, 1), (2,), (3, 1))


@pytest.mark.parametrize(
    ("metric", "function"),
    [
        (ConfusionMatrix(4), lambda confusion: confusion),
        (PixelAccuracy(4), pixel_accuracy),
        (MeanAccuracy(4), mean_accuracy),
        (IoU(4), iou),
        (MeanIoU(4), mean_iou),
        (FMeasure(4), f_measure),
        (FMeasure(4, GROUPS), lambda confusion: f_measure(confusion, GROUPS)),
    ],
)
def test_metric_over_pieces_equals_the_function(metric, function):
    _, prediction, truth = example(2)
    metric.update(prediction[0], truth[0])
    metric.update(torch.from_numpy(prediction[1:2]), torch.from_numpy(truth[1:2]))
    metric(prediction[2:], truth[2:])
    expected = function(confusion_matrix(prediction, truth, 4))
    found = metric.compute()
    assert found.dtype == (
        torch.int64 if isinstance(expected, np.ndarray) and expected.ndim == 2 else torch.float64
    )
    np.testing.assert_array_equal(found.numpy(), expected)
    metric.reset()
    metric.update(prediction[0], truth[0])
    np.testing.assert_array_equal(metric.compute(), function(confusion_matrix(prediction[0], truth[0], 4)))


def test_share_changed_over_pieces_equals_the_function():
    coarse, prediction, truth = example(3)
    truth[5] = 255
    metric = ShareChanged(4, points=2.0)
    metric.update(prediction[0], truth[0], coarse[0])
    metric.update(prediction[1:], truth[1:], coarse[1:])
    before, after = (
        np.array([image_scores(confusion_matrix(m, t, 4)) for m, t in zip(maps, truth, strict=True)])
        for maps in (coarse, prediction)
    )
    expected = share_changed(before, after, points=2.0)
    assert metric.compute().tolist() == list(expected)
    assert 0 < expected[0] < 1
    assert 0 < expected[1] < 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_metrics_without_images_are_nan():
    assert torch.isnan(MeanIoU(3).compute())
    assert torch.isnan(ShareChanged(3).compute()).all()
