"""Evaluation over folders: scores equal those of the functions, maps pair by ID, what is missing is listed."""

from dataclasses import replace

import numpy as np
import pytest

from segmend import metrics
from segmend.data.dataset import open_dataset
from segmend.data.masks import write_labels
from segmend.jobs.evaluate import evaluate
from segmend.jobs.refine import RefineOptions, refine
from segmend.labels import InvalidInput
from segmend.refiners import DenseCRF
from segmend.report.collect import collect
from segmend.report.results import read_results


def test_scores_are_those_of_the_functions_over_all_images(synthetic, coarse, tmp_path):
    truth = open_dataset(synthetic, "val")
    out = tmp_path / "results.json"
    found = evaluate(truth, coarse / "val", coarse / "val", out, quiet=True)
    total = 0
    for record in truth.with_coarse(coarse / "val"):
        labels = truth.with_coarse(coarse / "val").coarse(record).argmax(0).astype(np.uint8)
        total = total + metrics.confusion_matrix(labels, truth.labels(record), len(truth.classes))
    assert found.scores.mean_iou == metrics.mean_iou(total)
    assert found.scores.pixel_accuracy == metrics.pixel_accuracy(total)
    assert found.coarse_scores == found.scores
    assert (found.improved, found.degraded) == (0, 0)
    assert read_results(out) == found
    assert (out.parent / found.images).resolve() == (synthetic / "images" / "val").resolve()


def test_ground_truth_scores_100_and_improved_images_are_counted(synthetic, coarse):
    found = evaluate(open_dataset(synthetic, "val"), synthetic / "labels" / "val", coarse / "val", quiet=True)
    assert found.scores.mean_iou == found.scores.boundary_iou == found.scores.boundary_f == 1
    assert found.scores.trimap == [1.0] * 40
    assert found.improved == 1


def test_missing_and_broken_maps_are_listed(synthetic, tmp_path):
    truth = open_dataset(synthetic, "val")
    names = [r.id for r in truth]
    for record in list(truth)[:2]:
        write_labels(tmp_path / f"{record.id}.png", truth.labels(record))
    write_labels(tmp_path / f"{names[2]}.png", np.zeros((5, 5), np.uint8))
    found = evaluate(truth, tmp_path, quiet=True)
    assert len(found.per_image) == 2
    assert dict.fromkeys(names[2:], True) == {
        name: any(name in s.file for s in found.skipped) for name in names[2:]
    }


def test_nothing_to_score_is_an_error(synthetic, tmp_path):
    write_labels(tmp_path / "00000.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(InvalidInput, match=r"not one map could be scored\. .*00000\.png: expected one size"):
        evaluate(open_dataset(synthetic, "val"), tmp_path, quiet=True)


def test_groups_are_scored_as_one_class(synthetic, coarse):
    truth = open_dataset(synthetic, "val")
    pair = truth.classes.names[:2]
    found = evaluate(truth, coarse / "val", quiet=True, groups={"both": pair})
    joined = evaluate(truth.merged({"both": pair}), _merged_maps(truth, coarse, pair), quiet=True)
    assert found.scores.f_measure["both"] == joined.scores.f_measure["both"]
    assert set(found.scores.f_measure) - {"both"} == set(found.scores.iou)
    with pytest.raises(InvalidInput, match="no class is named moon"):
        evaluate(truth, coarse / "val", quiet=True, groups={"both": ("moon",)})
    with pytest.raises(InvalidInput, match="give the group another"):
        evaluate(truth, coarse / "val", quiet=True, groups={pair[0]: pair})


def test_true_classes_that_are_one_in_the_maps_are_merged(synthetic, coarse, tmp_path):
    truth = open_dataset(synthetic, "val")
    pair = truth.classes.names[:2]
    maps = _merged_maps(truth, coarse, pair)
    found = evaluate(truth, maps, out=tmp_path / "results.json", quiet=True, merge={"both": pair})
    assert found.scores == evaluate(truth.merged({"both": pair}), maps, quiet=True).scores
    shown = collect(read_results(tmp_path / "results.json"), tmp_path)
    assert not shown.missing  # the report reads the finer ground truth too
    assert not [note for group in shown.groups for case in group.cases for note in case.notes]


def test_means_are_over_the_scored_classes(synthetic, coarse):
    truth = open_dataset(synthetic, "val")
    everything = evaluate(truth, coarse / "val", quiet=True).scores
    some = truth.classes.names[1:4]
    found = evaluate(replace(truth, scored=some), coarse / "val", quiet=True)
    assert found.scored == list(some)
    assert found.scores.mean_iou == pytest.approx(np.mean([everything.iou[name] for name in some]))
    assert found.scores.iou == everything.iou


def _merged_maps(truth, coarse, pair):
    """Label maps: the most likely classes of the coarse maps, two of them joined."""
    folder = coarse.parent / "merged"
    coarse_maps = truth.with_coarse(coarse / "val")
    joined = np.array(truth.merged({"both": pair}).merge)
    for record in coarse_maps:
        write_labels(folder / f"{record.id}.png", joined[coarse_maps.coarse(record).argmax(0)].astype(np.uint8))
    return folder


def test_thresholds_are_scored_as_refine_would_keep(synthetic, coarse, tmp_path):
    truth = open_dataset(synthetic, "val")
    pairs = truth.with_coarse(coarse / "val")
    for below in (0.5, 0.7):
        options = RefineOptions(min_confidence=below, details=True, quiet=True)
        refine(DenseCRF(), pairs, tmp_path / str(below), options)
    labels = {below: tmp_path / str(below) / "labels" for below in (0.5, 0.7)}
    found = evaluate(truth, labels[0.5], coarse / "val", tmp_path / "results.json", quiet=True)
    kept = evaluate(truth, labels[0.7], coarse / "val", quiet=True)
    by_threshold = {round(one.min_confidence, 2): one for one in found.confidence.thresholds}
    assert by_threshold[0.5].mean_iou == pytest.approx(found.scores.mean_iou)
    assert by_threshold[0.5].degraded == found.degraded
    # Confidence is stored in 255 steps: a pixel or two may be on the other side of the threshold.
    assert by_threshold[0.7].mean_iou == pytest.approx(kept.scores.mean_iou, abs=2e-4)
    assert kept.scores.mean_iou != found.scores.mean_iou
    assert found.confidence.best.mean_iou == max(one.mean_iou for one in found.confidence.thresholds)
    assert read_results(tmp_path / "results.json") == found


def test_confidence_of_some_images_is_not_that_of_all(synthetic, coarse, tmp_path):
    truth = open_dataset(synthetic, "val")
    refine(DenseCRF(), truth.with_coarse(coarse / "val"), tmp_path, RefineOptions(details=True, quiet=True))
    assert evaluate(truth, tmp_path / "labels", coarse / "val", quiet=True).confidence is not None
    assert evaluate(truth, tmp_path / "labels", synthetic / "labels" / "val", quiet=True).confidence is None
    details = sorted((tmp_path / "details").rglob("*.npz"))
    details[0].unlink()
    assert evaluate(truth, tmp_path / "labels", coarse / "val", quiet=True).confidence is None
    details[1].write_bytes(b"")
    found = evaluate(truth, tmp_path / "labels", coarse / "val", quiet=True)
    assert [s.reason for s in found.skipped if "npz" in s.reason]
