"""What the report shows, and what it does about files that are not there."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmend.data.images import write_image
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_arrays, write_probabilities
from segmend.report.cases import SIDE, Case, Change
from segmend.report.collect import Report, collect
from segmend.report.results import Evaluation, read_results, write_results


def collected(folder: Path, cases: int = 6, **changes: Any) -> Report:
    evaluation = read_results(folder / "results.json")
    assert isinstance(evaluation, Evaluation)
    return collect(evaluation.model_copy(update=changes), folder, cases)


def cases_of(report: Report) -> dict[str, Case]:
    return {case.id: case for group in report.groups for case in group.cases}


def without_coarse(folder: Path) -> dict[str, Any]:
    evaluation = read_results(folder / "results.json")
    assert isinstance(evaluation, Evaluation)
    alone = {"coarse_mean_iou": None, "coarse_pixel_accuracy": None}
    images = [image.model_copy(update=alone) for image in evaluation.per_image]
    return {"coarse": None, "coarse_scores": None, "per_image": images}


def test_the_most_improved_and_degraded_images_are_shown_and_similar_ones_left_out(folder: Path) -> None:
    improved, degraded = collected(folder).groups
    assert [case.id for case in improved.cases] == ["d", "a"]
    assert [case.id for case in degraded.cases] == ["b"]
    assert [case.id for case in collected(folder, cases=1).groups[0].cases] == ["d"]


def test_images_are_counted_as_improved_and_degraded(folder: Path) -> None:
    report = collected(folder)
    assert (report.improved, report.degraded) == (2, 1)
    assert report.gains == pytest.approx((0.3, 0.1, 0.004, -0.2))


def test_group_without_a_case_says_so(folder: Path) -> None:
    images = read_results(folder / "results.json").per_image[:1]  # type: ignore[union-attr]
    degraded = collected(folder, per_image=images).groups[1]
    assert degraded.cases == ()
    assert degraded.lead == "No image is degraded."


def test_measures_pair_before_with_after(folder: Path) -> None:
    measures = {measure.name: measure.score for measure in collected(folder).measures}
    assert (measures["mIoU"].before, measures["mIoU"].after) == (0.726, 0.794)
    assert measures["mIoU"].gain == pytest.approx(0.068)
    assert measures["Trimap, 3 px"].after == pytest.approx(0.794 - 0.1 / 3)


def test_short_trimap_leaves_its_row_out(folder: Path) -> None:
    scores = read_results(folder / "results.json").scores  # type: ignore[union-attr]
    report = collected(folder, scores=scores.model_copy(update={"trimap": [0.5]}))
    assert not any(measure.name.startswith("Trimap") for measure in report.measures)


def test_classes_are_sorted_by_gain_with_unknown_ones_last(folder: Path) -> None:
    scores = collected(folder).class_scores
    assert [score.name for score in scores] == ["cow", "sky", "grass & <b>$x$</b>", "animals"]
    assert scores[0].colour == (200, 30, 30)
    assert scores[-1].colour is None
    assert scores[-1].f_measure.gain == pytest.approx(0.068)


def test_folders_start_at_the_results_not_at_the_working_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    case = cases_of(collected(folder))["a"]
    assert case.image is not None
    assert case.image.shape == (48, 64, 3)
    for labels in (case.coarse, case.refined, case.truth, case.changes):
        assert labels is not None
        assert labels.shape == (48, 64)
    assert case.notes == ()


def test_absolute_folders_work(folder: Path) -> None:
    assert cases_of(collected(folder, truth=str(folder / "truth")))["a"].truth is not None


def test_shares_count_every_pixel_that_is_not_void(folder: Path) -> None:
    cases = cases_of(collected(folder))
    for case in cases.values():
        assert sum(case.shares.values()) == pytest.approx(1.0)
    assert cases["a"].shares[Change.CORRECTED] > 0
    assert cases["a"].shares[Change.DEGRADED] == 0
    assert cases["b"].shares[Change.DEGRADED] > cases["b"].shares[Change.CORRECTED]


def test_details_are_shown_where_there_are_any(folder: Path) -> None:
    cases = cases_of(collected(folder))
    a = cases["a"]
    assert a.displacement is not None
    assert np.unique(a.displacement).tolist() == [-4.0, 3.0]
    assert a.fusion_mask is not None
    assert a.confidence is not None
    assert cases["b"].displacement is None
    assert cases["b"].entropy is None
    assert cases["b"].notes == ()


def test_components_are_counted_as_in_the_truth(folder: Path) -> None:
    truth, _ = read_labels(folder / "truth" / "a.png")
    case = cases_of(collected(folder))["a"]
    assert case.blob_counts == (3, 3)
    assert case.blobs is not None
    assert np.array_equal(case.blobs == 0, truth == 255)
    torn = truth.copy()
    torn[40, 10] = torn[41, 11] = torn[40, 50] = 1  # two of them touch
    torn[5, 1] = 1  # the truth is void there
    write_labels(folder / "out" / "labels" / "a.png", torn)
    case = cases_of(collected(folder))["a"]
    assert case.blob_counts == (3, 5)
    assert case.blobs is not None
    assert case.blobs[40, 10] == case.blobs[41, 11] != case.blobs[40, 50]


def test_entropy_of_the_probabilities_beside_the_labels(folder: Path) -> None:
    entropy = cases_of(collected(folder))["a"].entropy
    assert entropy is not None
    assert entropy[:, :32].min() >= 254
    assert entropy[:, 32:].max() == 0
    write_probabilities(
        folder / "out" / "probs" / "a.npz", np.stack([np.full((48, 64), p) for p in (0.5, 0.5, 0)])
    )
    entropy = cases_of(collected(folder))["a"].entropy
    assert entropy is not None
    assert np.unique(entropy).tolist() == [round(255 * np.log(2) / np.log(3))]
    (folder / "out" / "probs" / "a.npz").write_bytes(b"PK not an archive")
    (note,) = cases_of(collected(folder))["a"].notes
    assert note.startswith("The probability map cannot be read")


def test_large_images_are_shrunk_but_displacements_stay_pixels_of_the_image(folder: Path) -> None:
    size = (600, 1200)
    labels = np.zeros(size, np.uint8)
    for name in ("truth", "coarse", "out/labels"):
        write_labels(folder / name / "a.png", labels)
    write_image(folder / "images" / "a.jpg", np.zeros((*size, 3), np.uint8))
    write_arrays(folder / "out/details/a.npz", displacement=np.full((2, *size), 7, np.float16))
    case = cases_of(collected(folder))["a"]
    assert case.size == (SIDE // 2, SIDE)
    assert case.image is not None
    assert case.image.shape == (*case.size, 3)
    assert case.displacement is not None
    assert case.displacement.shape == (2, *case.size)
    assert np.unique(case.displacement).tolist() == [7.0]


def test_probabilities_serve_as_coarse_maps(folder: Path) -> None:
    expected = cases_of(collected(folder))["a"].coarse
    assert expected is not None
    shutil.rmtree(folder / "coarse")
    for name in ("a", "b", "sub/c", "d"):
        write_probabilities(folder / "coarse" / f"{name}.npz", np.eye(3)[expected].transpose(2, 0, 1))
    found = cases_of(collected(folder))["a"].coarse
    assert found is not None
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("moved", "lost"),
    [("truth", "truth"), ("coarse", "coarse"), ("images", "image"), ("out", "refined")],
)
def test_moved_folder_leaves_a_note_and_the_rest(folder: Path, moved: str, lost: str) -> None:
    (folder / moved).rename(folder / "moved")
    report = collected(folder)
    assert len(report.missing) == 1
    assert moved in report.missing[0]
    assert str(folder) not in report.missing[0]
    assert report.measures[0].score.gain == pytest.approx(0.068)
    case = cases_of(report)["a"]
    names = {"image", "coarse", "refined", "truth"}
    assert {name for name in names if getattr(case, name) is None} == {lost}
    assert case.notes == ()


def test_nothing_left_but_the_results(folder: Path) -> None:
    for name in ("truth", "coarse", "images", "out"):
        shutil.rmtree(folder / name)
    report = collected(folder)
    assert len(report.missing) == 4
    assert cases_of(report)["a"].size is None


def test_missing_image_is_noted_in_its_case(folder: Path) -> None:
    (folder / "coarse" / "a.png").unlink()
    cases = cases_of(collected(folder))
    assert cases["a"].notes == ("The coarse map of this case is missing.",)
    assert cases["a"].coarse is None
    assert cases["a"].changes is not None
    assert cases["d"].notes == ()


def test_broken_and_foreign_files_are_noted_in_their_case(folder: Path) -> None:
    (folder / "images" / "a.jpg").write_bytes(b"not a photo")
    (folder / "out" / "details" / "a.npz").write_bytes(b"PK not an archive")
    write_labels(folder / "truth" / "a.png", np.full((48, 64), 9, np.uint8))
    write_labels(folder / "coarse" / "a.png", np.zeros((10, 20), np.uint8))
    case = cases_of(collected(folder))["a"]
    assert case.refined is not None
    assert len(case.notes) == 4
    assert any("20 x 10 pixels, other maps of this image have 64 x 48" in note for note in case.notes)
    assert not any(str(folder) in note for note in case.notes)


def test_details_of_another_shape_are_left_out(folder: Path) -> None:
    write_arrays(folder / "out/details/a.npz", displacement=np.zeros((48, 64)), fusion_mask=np.zeros((4, 4)))
    case = cases_of(collected(folder))["a"]
    assert case.displacement is None
    assert case.fusion_mask is None
    assert len(case.notes) == 1


def test_without_coarse_the_images_of_lowest_score_are_shown(folder: Path) -> None:
    report = collected(folder, cases=2, **without_coarse(folder))
    assert not report.compared
    (group,) = report.groups
    assert [case.id for case in group.cases] == ["b", "sub/c"]
    assert report.gains == ()
    assert report.measures[0].score.before is None
    case = group.cases[0]
    assert case.coarse is None
    assert case.changes is not None
    assert set(np.unique(case.changes)) == {Change.RIGHT, Change.MISSED, Change.VOID}


def test_void_of_the_data_set_is_void_in_the_report(folder: Path) -> None:
    """A data set may say that another id than 255 is void, in its ``dataset.yaml``."""
    (folder / "truth").rename(folder / "val")
    (folder / "data" / "labels").mkdir(parents=True)
    (folder / "data" / "images" / "val").mkdir(parents=True)
    (folder / "val").rename(folder / "data" / "labels" / "val")
    shutil.copytree(folder / "images", folder / "data" / "images" / "val", dirs_exist_ok=True)
    names = json.dumps(["sky", "cow", "grass & <b>$x$</b>"])
    (folder / "data" / "dataset.yaml").write_text(f"{{name: x, classes: {names}, void: 9}}", encoding="utf-8")
    labels = np.zeros((48, 64), np.uint8)
    labels[:24] = 9
    write_labels(folder / "data/labels/val/a.png", labels)
    case = cases_of(collected(folder, truth="data/labels/val"))["a"]
    assert case.truth is not None
    assert case.notes == ()
    assert np.unique(case.truth).tolist() == [0, 255]


def test_truth_of_other_classes_is_not_shown(folder: Path) -> None:
    report = collected(folder, classes=["one", "two", "three"])
    assert report.missing == ()
    for kind in ("images", "labels"):
        shutil.copytree(folder / "truth", folder / "data" / kind / "val")
    (folder / "data" / "dataset.yaml").write_text("{name: x, classes: [a, b]}", encoding="utf-8")
    report = collected(folder, truth="data/labels/val")
    assert "other classes" in report.missing[0]


def test_folder_of_a_run_stands_for_its_labels(folder: Path) -> None:
    evaluation = read_results(folder / "results.json")
    assert isinstance(evaluation, Evaluation)
    assert evaluation.run is not None
    write_results(folder / "out" / "results.json", evaluation.run)
    case = cases_of(collected(folder, pred="out"))["a"]
    assert case.refined is not None
    assert case.displacement is not None


def test_no_images_no_cases(folder: Path) -> None:
    report = collected(folder, per_image=[])
    assert report.groups == ()
    assert report.gains == ()
