"""`segmend evaluate` on inputs that could mislead: the right score, and a line that says what is odd."""

import json
import os
import sys
import time

import numpy as np
import pytest
from PIL import Image

from segmend.cli import main
from segmend.data.images import write_image
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_probabilities
from segmend.report.page import write_report
from segmend.report.results import Run, read_results, write_results

SIZE = (48, 64)


@pytest.fixture
def evaluate(segmend_, tmp_path):
    """Evaluates; gives the exit code, the results (None where none were written) and what was printed."""

    def run(*arguments, out=tmp_path / "results.json"):
        out.unlink(missing_ok=True)
        code, *printed = segmend_("evaluate", *arguments, "--out", out, "--quiet")
        return code, read_results(out) if out.is_file() else None, "".join(printed)

    return run


def two_regions(first=0, second=1, shift=0):
    """A label map of two regions; `shift` moves their border."""
    labels = np.full(SIZE, first, np.uint8)
    labels[10:40, 20 + shift : 50 + shift] = second
    return labels


def three_regions(ids=(0, 1, 2), shift=0):
    labels = two_regions(shift=shift)
    labels[20:30, 30:40] = 2
    return np.asarray(ids)[labels]


def write(folder, **maps):
    for name, labels in maps.items():
        wide = labels.max() > 255
        write_labels(folder / f"{name}.png", labels.astype(np.int32 if wide else np.uint8))
    return folder


@pytest.fixture
def truth(tmp_path):
    """Ground truth of two images in which class 2 happens not to occur."""
    return write(tmp_path / "truth", a=two_regions(), b=two_regions())


def wrong_maps():
    """Labels of both images; those of b wrongly hold class 2."""
    wrong = two_regions(shift=2)
    wrong[15:30, 25:40] = 2
    return {"a": two_regions(shift=2), "b": wrong}


@pytest.mark.parametrize("kind", ["labels", "probs"])
@pytest.mark.parametrize("role", ["pred", "coarse"])
def test_classes_that_the_ground_truth_lacks_count_as_wrong(evaluate, truth, tmp_path, kind, role):
    maps = tmp_path / "maps"
    for name, labels in wrong_maps().items():
        if kind == "labels":
            write(maps, **{name: labels})
        else:
            write_probabilities(maps / f"{name}.npz", np.eye(3)[labels].transpose(2, 0, 1))
    others = write(tmp_path / "others", a=two_regions(), b=two_regions())
    folders = {"pred": others, "coarse": others} | {role: maps}
    given = ["--truth", truth, "--pred", folders["pred"], "--coarse", folders["coarse"]]
    code, found, printed = evaluate(*given)
    _, expected, _ = evaluate(*given, "--classes", 3)
    assert code == 0
    assert "the ground truth lacks class 2" in printed
    assert any("class 2" in note for note in found.notes)
    assert len(found.per_image) == 2
    assert (found.scores, found.coarse_scores) == (expected.scores, expected.coarse_scores)
    scores = found.scores if role == "pred" else found.coarse_scores
    assert scores.iou["class 2"] == 0
    assert scores.mean_iou == pytest.approx(sum(scores.iou.values()) / 3)


def test_ids_that_are_no_given_class_count_as_wrong_in_every_score(evaluate, truth, tmp_path):
    """With the classes given, other ids score as void does: no other image or class gains by them."""
    maps = wrong_maps()
    pred = write(tmp_path / "pred", **maps)
    void = write(tmp_path / "void", **{name: np.where(m == 2, 255, m) for name, m in maps.items()})
    code, found, printed = evaluate("--truth", truth, "--pred", pred, "--classes", 2)
    _, expected, _ = evaluate("--truth", truth, "--pred", void, "--classes", 2)
    assert code == 0
    assert "ids that are no class, in the maps: 2" in printed
    assert found.scores == expected.scores
    without = write(tmp_path / "without", **{name: np.where(m == 2, 1, m) for name, m in maps.items()})
    _, better, _ = evaluate("--truth", truth, "--pred", without, "--classes", 2)
    for score in ("pixel_accuracy", "mean_iou", "boundary_iou", "region_j"):
        assert getattr(found.scores, score) < getattr(better.scores, score)
    assert found.scores.trimap[-1] < better.scores.trimap[-1]


def test_report_shows_maps_with_ids_that_are_no_class(evaluate, truth, tmp_path):
    pred = write(tmp_path / "pred", **wrong_maps())
    evaluate("--truth", truth, "--pred", pred, "--classes", 2)
    page = write_report(tmp_path / "results.json").read_text(encoding="utf-8")
    assert "ids that are no class" in page
    assert "cannot be read" not in page


def test_ids_of_another_numbering_are_reported(evaluate, tmp_path):
    truth = write(tmp_path / "truth", a=three_regions((7, 11, 26)))
    pred = write(tmp_path / "pred", a=three_regions((0, 2, 13)))
    code, found, printed = evaluate("--truth", truth, "--pred", pred)
    assert (code, found.scores.pixel_accuracy) == (0, 0)
    assert "the ground truth has the ids 7, 11, 26, the maps have 0, 2, 13" in printed
    assert any("7, 11, 26" in note for note in found.notes)


@pytest.mark.parametrize(("ids", "word"), [((0, 1, 2), "lower"), ((2, 3, 4), "higher")])
def test_ids_that_are_one_off_are_reported(evaluate, tmp_path, ids, word):
    truth = write(tmp_path / "truth", a=three_regions((1, 2, 3)))
    pred = write(tmp_path / "pred", a=three_regions(ids, shift=1))
    code, _, printed = evaluate("--truth", truth, "--pred", pred)
    assert code == 0
    assert f"one {word} than those of the ground truth" in printed


@pytest.mark.parametrize("ids", [(7, 11, 26), (7, 26001, 33003), (1, 2, 3)])
def test_a_score_does_not_depend_on_the_numbers_of_ids(evaluate, tmp_path, ids):
    """Three ids are three classes, however large; memory is that of three."""

    def folders(name, ids):
        return [
            "--truth", write(tmp_path / name / "truth", a=three_regions(ids)),
            "--pred", write(tmp_path / name / "pred", a=three_regions(ids, shift=1)),
            "--coarse", write(tmp_path / name / "coarse", a=three_regions(ids, shift=3)),
        ]  # fmt: skip

    _, expected, _ = evaluate(*folders("plain", (0, 1, 2)))
    code, found, _ = evaluate(*folders("other", ids))
    assert (code, found.notes) == (0, [])
    assert found.classes == [f"class {i}" for i in ids]
    for one, other in ((found.scores, expected.scores), (found.coarse_scores, expected.coarse_scores)):
        assert (one.mean_iou, one.trimap, one.boundary_f) == (other.mean_iou, other.trimap, other.boundary_f)
        assert list(one.iou.values()) == list(other.iou.values())
    page = write_report(tmp_path / "results.json").read_text(encoding="utf-8")
    assert "cannot" not in page
    assert "Ground truth: " + ", ".join(found.classes) in page


@pytest.mark.parametrize("true", [(0, 1), (0, 255)])
@pytest.mark.parametrize("white", [(0, 1), (0, 255)])
def test_foreground_may_be_1_or_255_on_either_side(evaluate, tmp_path, true, white):
    truth = write(tmp_path / "truth", a=two_regions(*true))
    pred = write(tmp_path / "pred", a=two_regions(*white, shift=2))
    code, found, _ = evaluate("--truth", truth, "--pred", pred)
    _, given, _ = evaluate("--truth", truth, "--pred", pred, "--classes", "ground,thing")
    assert code == 0
    assert (
        found.notes
        == given.notes
        == ["the maps: 255 is read as foreground, class 1"] * (white != true and white[1] == 255)
    )
    right = two_regions() == two_regions(shift=2)
    assert found.scores.pixel_accuracy == given.scores.pixel_accuracy == right.mean()
    page = write_report(tmp_path / "results.json").read_text(encoding="utf-8")
    assert "Ground truth: ground, thing" in page
    assert "cannot" not in page


def test_maps_pair_without_what_their_names_share(evaluate, truth, tmp_path):
    pred = write(tmp_path / "pred", a_mask=two_regions(shift=1), b_mask=two_regions(shift=1))
    code, found, printed = evaluate("--truth", truth, "--pred", pred)
    assert (code, len(found.per_image)) == (0, 2)
    assert "the maps: names pair without '_mask'" in printed
    page = write_report(tmp_path / "results.json").read_text(encoding="utf-8")
    assert "is missing" not in page


def test_ground_truth_in_colours_or_with_given_ids(evaluate, tmp_path):
    colours = np.array([(0, 0, 0), (200, 30, 30), (30, 200, 30)], np.uint8)
    write_image(tmp_path / "truth" / "a.png", colours[three_regions()])
    (tmp_path / "palette.txt").write_text("sky: 0,0,0\ncow: 200,30,30\ncar: 30,200,30\n")
    pred = write(tmp_path / "pred", a=three_regions())
    given = ["--truth", tmp_path / "truth", "--pred", pred]
    code, _, printed = evaluate(*given)
    assert (code, "colours" in printed) == (2, True)
    _, found, _ = evaluate(*given, "--palette", tmp_path / "palette.txt")
    assert (found.classes, found.scores.mean_iou) == (["sky", "cow", "car"], 1)
    scaled = write(tmp_path / "scaled", a=three_regions((0, 127, 255)))
    given = ["--truth", scaled, "--pred", write(tmp_path / "maps", a=three_regions((0, 127, 255)))]
    assert evaluate(*given)[0] == 2
    _, found, _ = evaluate(*given, "--ids", "0,127,255", "--classes", "sky,cow,car")
    assert (found.classes, found.scores.mean_iou) == (["sky", "cow", "car"], 1)


def test_right_maps_get_no_note(evaluate, truth, tmp_path):
    pred = write(tmp_path / "pred", a=two_regions(shift=1), b=two_regions(shift=2))
    code, found, printed = evaluate("--truth", truth, "--pred", pred)
    assert (code, found.notes) == (0, [])
    assert "note:" not in printed


def test_ground_truth_scored_with_itself_is_said(evaluate, truth):
    _, found, _ = evaluate("--truth", truth, "--pred", truth)
    assert found.notes == ["the maps are the files of the ground truth"]


def run_folder(folder, names=("class 0", "class 1"), **maps):
    """What a run with --probs writes."""
    for name, labels in maps.items():
        write_probabilities(folder / "probs" / f"{name}.npz", np.eye(len(names))[labels].transpose(2, 0, 1))
        write_labels(folder / "labels" / f"{name}.png", labels, note="predict universal")
    run = Run(
        version="0", command="predict", model="m", classes=list(names), done=2, seconds={}, images_per_second=1
    )
    write_results(folder / "results.json", run)
    return folder


def test_label_maps_corrected_after_a_run_are_scored_in_place_of_its_probabilities(evaluate, truth, tmp_path):
    out = run_folder(tmp_path / "out", a=two_regions(shift=4), b=two_regions(shift=4))
    _, before, printed = evaluate("--truth", truth, "--pred", out)
    assert "the maps are read from probs, not from labels" in printed
    write_labels(out / "labels" / "a.png", two_regions())  # an editor drops the note
    _, found, printed = evaluate("--truth", truth, "--pred", out)
    assert (
        "are read from labels where these were edited after the run: 1 of 2 (a); the others from probs" in printed
    )
    assert [image.mean_iou for image in found.per_image] == [1, before.per_image[1].mean_iou]
    # one that keeps the note leaves a newer file
    write_labels(out / "labels" / "b.png", two_regions(), note="predict universal")
    os.utime(out / "labels" / "b.png", (time.time() + 60,) * 2)
    _, found, printed = evaluate("--truth", truth, "--pred", out)
    assert "edited after the run: 2 of 2 (a, ...)" in printed
    assert found.scores == evaluate("--truth", truth, "--pred", out / "labels")[1].scores
    assert found.scores.mean_iou == 1
    page = write_report(tmp_path / "results.json").read_text(encoding="utf-8")
    assert "Entropy" not in page  # it is that of the probabilities, which are not scored


def test_classes_are_named_as_the_run_names_them(evaluate, truth, tmp_path):
    out = run_folder(tmp_path / "out", ("sky", "cow", "car"), a=two_regions(), b=two_regions())
    for pred in (out, out / "labels"):
        _, found, _ = evaluate("--truth", truth, "--pred", pred)
        assert found.classes == ["sky", "cow", "car"]
        assert found.scores.iou == {"sky": 1, "cow": 1, "car": None}
    more = write(tmp_path / "more", a=three_regions())
    few = run_folder(tmp_path / "few", ("sky", "cow"), a=two_regions())
    assert evaluate("--truth", more, "--pred", few)[1].classes == ["class 0", "class 1", "class 2"]


def test_classes_are_given_by_number_or_by_names(evaluate, truth, tmp_path):
    pred = write(tmp_path / "pred", a=two_regions(), b=two_regions())
    names = evaluate("--truth", truth, "--pred", pred, "--classes", "background, cat,dog")[1]
    assert names.classes == ["background", "cat", "dog"]
    grouped = evaluate("--truth", truth, "--pred", pred, "--classes", "a,b", "--group", "both=a,b")[1]
    assert grouped.scores.f_measure["both"] == 1
    for wrong in ("0", "-2", "a,a", ","):
        code, found, printed = evaluate("--truth", truth, "--pred", pred, "--classes", wrong)
        assert (code, found) == (2, None)
        assert "class" in printed


def test_data_set_and_split(evaluate, synthetic):
    labels = synthetic / "labels" / "val"
    code, found, _ = evaluate("--truth", synthetic, "--split", "val", "--pred", labels)
    assert (code, len(found.per_image), found.truth.endswith("labels/val")) == (0, 4, True)
    assert found.images is not None
    for options, words in (
        (["--truth", synthetic], "say which split (--split): there is train, val"),
        (["--truth", synthetic, "--split", "test"], "no labels of a split 'test'"),
        (["--truth", labels, "--split", "val"], "holds no dataset.yaml"),
    ):
        code, found, printed = evaluate(*options, "--pred", labels)
        assert (code, found) == (2, None)
        assert words in printed


def test_many_classes_are_taken_for_instances(evaluate, tmp_path):
    instances = np.arange(32 * 40).reshape(32, 40).repeat(3, axis=0).repeat(3, axis=1)
    truth = write(tmp_path / "truth", a=instances)
    code, found, printed = evaluate("--truth", truth, "--pred", truth)
    assert (code, found) == (2, None)
    assert "are these instances" in printed


def test_nothing_to_score_is_an_error_with_an_example_of_each_side(evaluate, truth, tmp_path):
    pred = write(tmp_path / "pred", other=two_regions())
    code, found, printed = evaluate("--truth", truth, "--pred", pred)
    assert (code, found) == (2, None)
    assert "'other'" in printed
    assert "'a'" in printed
    void = write(tmp_path / "void", other=np.full(SIZE, 255, np.uint8))
    code, found, printed = evaluate("--truth", void, "--pred", pred, "--classes", 2)
    assert (code, found) == (2, None)
    assert "all void" in printed


def test_maps_without_ground_truth_are_counted_and_missing_maps_listed(evaluate, truth, tmp_path):
    pred = write(tmp_path / "pred", a=two_regions(), c=two_regions(), d=two_regions())
    code, found, printed = evaluate("--truth", truth, "--pred", pred)
    assert code == 1
    assert [skipped.file for skipped in found.skipped] == [str(truth / "b.png")]
    assert "2 maps have no ground truth and no score (c)" in printed


@pytest.mark.parametrize("kind", ["a run's results", "a mask", "a folder", "below a file"])
def test_output_that_cannot_be_written_or_is_not_ours_is_refused_first(monkeypatch, capsys, truth, tmp_path, kind):
    run_folder(tmp_path / "out", a=two_regions(), b=two_regions())
    out = {
        "a run's results": tmp_path / "out" / "results.json",
        "a mask": truth / "a.png",
        "a folder": tmp_path,
        "below a file": truth / "a.png" / "results.json",
    }[kind]
    before = out.read_bytes() if out.is_file() else b""
    command = ["segmend", "evaluate", "--truth", str(truth), "--pred", str(tmp_path / "out"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert str(out if kind != "below a file" else out.parent) in capsys.readouterr().err
    assert not before or out.read_bytes() == before


def test_report_does_not_replace_a_page_of_somebody_else(evaluate, truth, tmp_path):
    evaluate("--truth", truth, "--pred", truth)
    page = write_report(tmp_path / "results.json")
    assert write_report(tmp_path / "results.json") == page  # its own it does
    page.write_text("<html>mine</html>")
    with pytest.raises(ValueError, match="does not hold a page of segmend"):
        write_report(tmp_path / "results.json")
    assert page.read_text() == "<html>mine</html>"


def test_improved_and_degraded_images_follow_pixel_accuracy_and_own_classes(evaluate, tmp_path):
    truth = write(tmp_path / "truth", better=two_regions(), worse=two_regions(), mixed=two_regions())
    far, near = two_regions(shift=6), two_regions(shift=2)
    # One pixel of a class that the image lacks: mIoU over all predicted classes falls, the image is better.
    mixed = near.copy()
    mixed[0, 0] = 2
    write(tmp_path / "coarse", better=far, worse=near, mixed=far)
    write(tmp_path / "pred", better=near, worse=far, mixed=mixed)
    code, found, printed = evaluate("--truth", truth, "--pred", tmp_path / "pred", "--coarse", tmp_path / "coarse")
    assert code == 0
    assert {image.id: image.change for image in found.per_image} == {
        "better": "improved",
        "mixed": "improved",
        "worse": "degraded",
    }
    assert (found.improved, found.degraded) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    before, after = (
        np.stack([read_labels(tmp_path / folder / f"{name}.png")[0] for name in ("better", "worse", "mixed")])
        for folder in ("coarse", "pred")
    )
    assert found.corrected_pixels == np.sum((before != two_regions()) & (after == two_regions()))
    assert found.degraded_pixels == np.sum((before == two_regions()) & (after != two_regions()))
    assert "improved 67%, degraded 33% of images" in printed
    assert f"{found.corrected_to_degraded:.1f} pixels corrected for each degraded one" in printed
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["per_image"][0].keys() == {
        "id", "mean_iou", "pixel_accuracy", "coarse_mean_iou", "coarse_pixel_accuracy"
    }  # fmt: skip


def test_a_palette_in_another_order_than_that_of_the_ground_truth_is_noted(evaluate, tmp_path):
    for folder, order in (("truth", (0, 1)), ("pred", (1, 0))):
        image = Image.fromarray(np.asarray(order, np.uint8)[two_regions()])
        colours = [(0, 0, 0), (200, 0, 0)]
        image.putpalette([value for i in order for value in colours[i]])
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "a.png")
    code, _, printed = evaluate("--truth", tmp_path / "truth", "--pred", tmp_path / "pred")
    assert code == 0
    assert "the colours of the ground truth for other ids" in printed
    code, _, printed = evaluate("--truth", tmp_path / "truth", "--pred", tmp_path / "truth")
    assert "for other ids" not in printed
