"""IoU of instances, against loops over instances and Cityscapes' own script where it is installed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segmend.labels import InvalidInput
from segmend.metrics import InstanceIoU, confusion_matrix, instance_iou, instance_iou_counts, iou, merge_classes

TYPICAL = {1: 50.0, 2: 20.0, 3: 8.0}
GROUPS = [[0], [1, 2], [3]]


def draw(seed, classes=4):
    """Prediction, truth, instances: rectangles of classes 1 to 3 over class 0, some void."""
    rng = np.random.default_rng(seed)
    truth, instances = np.zeros((40, 50), np.uint8), np.zeros((40, 50), int)
    for number in range(1, 12):
        y, x, h, w = rng.integers(0, (35, 45, 15, 15))
        truth[y : y + h, x : x + w] = 1 + number % (classes - 1)
        instances[y : y + h, x : x + w] = number
    truth[:3], instances[:3] = 255, 0
    prediction = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, classes, truth.shape))
    prediction[truth == 255] = rng.integers(0, classes)
    prediction[-1] = 255
    return prediction.astype(np.uint8), truth, instances


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_all_instances_have_the_same_weight(groups):
    prediction, truth, instances = draw(0)
    own = instance_iou(instance_iou_counts(prediction, truth, instances, 4, TYPICAL, groups), TYPICAL, groups)
    for number, group in enumerate(groups or [[c] for c in range(4)]):
        right = missed = 0.0
        for one in np.unique(instances[(instances > 0) & np.isin(truth, group)]):
            mask = instances == one
            weight = TYPICAL[truth[mask][0]] / mask.sum()
            right += weight * np.isin(prediction[mask], group).sum()
            missed += weight * (~np.isin(prediction[mask], group)).sum()
        wrong = (np.isin(prediction, group) & ~np.isin(truth, group) & (truth != 255)).sum()
        expected = right / (right + missed + wrong) if 0 not in group else np.nan
        assert own[number] == pytest.approx(expected, nan_ok=True)


def test_the_metric_adds_up_images():
    metric, counts = InstanceIoU(4, TYPICAL), 0
    for seed in range(3):
        metric.update(*draw(seed))
        counts = counts + instance_iou_counts(*draw(seed), 4, TYPICAL)
    assert np.array_equal(metric.compute().numpy(), instance_iou(counts, TYPICAL), equal_nan=True)


def test_instances_that_do_not_fit_are_refused():
    prediction, truth, instances = draw(0)
    with pytest.raises(InvalidInput, match="class 3 has instances, but no typical size"):
        instance_iou_counts(prediction, truth, instances, 4, {1: 50.0, 2: 20.0})
    with pytest.raises(InvalidInput, match="two classes"):
        instance_iou_counts(prediction, truth, np.ones_like(instances), 4, TYPICAL)
    with pytest.raises(InvalidInput, match="expected instances of shape"):
        instance_iou_counts(prediction, truth, instances[1:], 4, TYPICAL)


def test_merged_classes_are_those_of_merged_maps():
    prediction, truth, _ = draw(4)
    into = np.full(256, 255, np.uint8)
    into[[0, 1, 3]] = [0, 1, 1]  # class 2 is in no group
    expected = confusion_matrix(into[prediction], into[truth], 2)
    assert (merge_classes(confusion_matrix(prediction, truth, 4), [[0], [1, 3]]) == expected).all()


def test_scores_are_those_of_cityscapes(tmp_path, monkeypatch):
    pytest.importorskip("cityscapesscripts", reason="Cityscapes' own script is not installed")
    if not hasattr(np, "in1d"):  # the script is older than NumPy 2.4
        monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as script

    scored = [label for label in script.labels if not label.ignoreInEval]
    ids = np.array([label.id for label in scored])
    with_instances = [c for c, label in enumerate(scored) if label.hasInstances]
    typical = {c: script.args.avgClassSize[scored[c].name] for c in with_instances}
    categories = list(dict.fromkeys(label.category for label in scored))
    groups = [[c for c, label in enumerate(scored) if label.category == name] for name in categories]
    rng = np.random.default_rng(0)
    counts, by_category, confusion = 0, 0, 0
    files = {"truth": [], "pred": []}
    for number in range(2):
        truth, instances = rng.integers(0, 11, (64, 96)), np.zeros((64, 96), int)
        for one in range(1, 15):
            y, x, h, w = rng.integers(1, (50, 80, 20, 20))
            truth[y : y + h, x : x + w] = with_instances[one % len(with_instances)]
            instances[y : y + h, x : x + w] = one
        truth[:4], instances[:4] = 255, 0
        prediction = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 19, truth.shape))
        prediction[truth == 255] = 3
        truth, prediction = truth.astype(np.uint8), prediction.astype(np.uint8)
        source_ids = np.append(ids, np.zeros(237, int))  # void is id 0, unlabelled
        theirs = np.where(instances > 0, 1000 * source_ids[truth] + instances, source_ids[truth])
        names = [tmp_path / f"a_{number:06}_000000_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds")]
        Image.fromarray(source_ids[truth].astype(np.uint8)).save(names[0])
        Image.fromarray(theirs.astype(np.uint16)).save(names[1])
        Image.fromarray(source_ids[prediction].astype(np.uint8)).save(tmp_path / f"{number}.png")
        files["truth"].append(str(names[0]))
        files["pred"].append(str(tmp_path / f"{number}.png"))
        counts = counts + instance_iou_counts(prediction, truth, instances, 19, typical)
        by_category = by_category + instance_iou_counts(prediction, truth, instances, 19, typical, groups)
        confusion = confusion + confusion_matrix(prediction, truth, 19)
    options = {**vars(script.args), "quiet": True, "JSONOutput": False, "evalPixelAccuracy": False}
    found = script.evaluateImgLists(files["pred"], files["truth"], SimpleNamespace(**options))
    found = json.loads(json.dumps(found, default=float))
    class_scores = [found["classInstScores"].get(label.name, np.nan) for label in scored]
    assert np.allclose(instance_iou(counts, typical), class_scores, equal_nan=True)
    assert np.allclose(iou(confusion), [found["classScores"][label.name] for label in scored], equal_nan=True)
    merged = iou(merge_classes(confusion, groups))
    assert np.allclose(merged, [found["categoryScores"][name] for name in categories], equal_nan=True)
    shown = [found["categoryInstScores"].get(name, np.nan) for name in categories]
    # Vehicles hold labels that are not scored, which our classes do not know; people do not.
    humans = categories.index("human")
    assert instance_iou(by_category, typical, groups)[humans] == pytest.approx(shown[humans])
