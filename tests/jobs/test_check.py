"""Checking a folder of labels: what is found, written, kept and refused."""

import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from segmend.check import Suspect
from segmend.cli import app
from segmend.data.annotations.annotations import NewImage, NewObject
from segmend.data.annotations.coco import Coco
from segmend.data.annotations.polygons import Cropped, OutlineOptions, outlines_of
from segmend.data.files import InvalidFile
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_probabilities
from segmend.jobs import check as job
from segmend.jobs.pipeline import LOCAL
from segmend.labels import one_hot
from segmend.report.results import CheckRun, read_results

COUNT = 16


@pytest.fixture
def folder(tmp_path, write_scene):
    """Scenes with right masks, and probability maps that a blurred but right segmenter gives."""
    import torch
    import torch.nn.functional as F

    for seed in range(COUNT):
        write_scene(tmp_path, f"s{seed:02}", seed)
        exact = one_hot(torch.from_numpy(read_labels(tmp_path / "masks" / f"s{seed:02}.png")[0]), 3, 0.1)
        small = F.interpolate(exact[None], scale_factor=1 / 8, mode="area")
        blurred = F.interpolate(small, size=exact.shape[1:], mode="bilinear")[0]
        write_probabilities(tmp_path / "probs" / f"s{seed:02}.npz", blurred.numpy())
    return tmp_path


def change(folder, name, function):
    path = folder / "masks" / f"{name}.png"
    write_labels(path, function(read_labels(path)[0].copy()))


def run(folder, *options, probs=True):
    evidence = ["--probs", str(folder / "probs")] if probs else []
    arguments = ["--images", str(folder / "images"), "--coarse", str(folder / "masks"), *evidence]
    return CliRunner().invoke(app, ["check", *arguments, "--out", str(folder / "out"), "--quiet", *options])


def swapped(labels):
    labels[labels == 1] = 2
    return labels


def without_object(labels):
    labels[labels == 2] = 0
    return labels


def test_wrong_labels_come_first_with_their_kind_place_and_suggestion(folder):
    exact = read_labels(folder / "masks" / "s03.png")[0]
    change(folder, "s03", swapped)
    change(folder, "s07", without_object)
    found = run(folder)
    assert found.exit_code == 0, found.output
    results = read_results(folder / "out" / "results.json")
    assert isinstance(results, CheckRun)
    assert {one.id for one in results.checked[:2]} == {"s03", "s07"}
    assert results.checked[1].score > 2 * results.checked[2].score
    regions = {one.id: one for one in reversed(results.regions)}  # the likeliest of each
    assert (regions["s03"].kind, regions["s03"].given, regions["s03"].suggested) == ("class", "class 2", "class 1")
    assert (regions["s07"].kind, regions["s07"].given, regions["s07"].suggested) == (
        "missing",
        "class 0",
        "class 2",
    )
    rows, columns = np.nonzero(exact == 1)
    assert regions["s03"].box == pytest.approx((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    assert regions["s03"].pixels == len(rows)
    suggested = read_labels(folder / "out" / "labels" / "s03.png")[0]
    assert (suggested[exact == 1] == 1).all()
    assert "s03" in found.output
    assert "Labels that look wrong" in (folder / "out" / "check.html").read_text(encoding="utf-8")


def test_a_second_call_keeps_what_was_measured_and_says_the_same(folder):
    change(folder, "s03", swapped)
    run(folder)
    first = read_results(folder / "out" / "results.json")
    change(folder, "s05", swapped)
    run(folder)
    second = read_results(folder / "out" / "results.json")
    assert (first.done, first.kept) == (COUNT, 0)
    assert (second.done, second.kept) == (1, COUNT - 1)
    assert {one.id for one in second.checked[:2]} == {"s03", "s05"}


def test_what_cannot_be_checked_is_listed(folder):
    (folder / "probs" / "s00.npz").unlink()
    write_probabilities(folder / "probs" / "s01.npz", np.full((3, 4, 4), 1 / 3, np.float32))
    (folder / "probs" / "s02.npz").write_bytes(b"broken")
    change(folder, "s04", lambda labels: np.full_like(labels, 255))
    change(folder, "s05", lambda labels: labels[:50])
    found = run(folder)
    assert found.exit_code == 1
    results = read_results(folder / "out" / "results.json")
    assert len(results.checked) == COUNT - 5
    reasons = " ".join(one.reason for one in results.skipped)
    for part in ("no probability map of this ID", "probabilities 4 x 4", "every pixel is void", "150 x 50"):
        assert part in reasons, part


def test_probabilities_of_another_number_of_classes_are_refused(folder):
    for path in (folder / "probs").iterdir():
        write_probabilities(path, np.full((2, 120, 150), 0.5, np.float32))
    assert "probabilities of 2 classes, but the label maps have 3" in str(run(folder).exception)


def test_a_folder_without_probability_maps_is_refused(folder):
    for path in (folder / "probs").iterdir():
        path.unlink()
    found = run(folder)
    assert isinstance(found.exception, InvalidFile)
    assert "holds no probability maps" in str(found.exception)


def test_results_of_others_are_not_replaced(folder):
    (folder / "out").mkdir()
    (folder / "out" / "results.json").write_text("{}")
    assert isinstance(run(folder).exception, InvalidFile)
    assert (folder / "out" / "results.json").read_text() == "{}"


def test_without_predictions_islands_are_found_by_the_refiner(folder):
    def with_island(labels):
        labels[5:25, 60:85] = 2
        return labels

    change(folder, "s06", with_island)
    found = run(folder, probs=False)
    assert found.exit_code == 0, found.output
    results = read_results(folder / "out" / "results.json")
    assert results.checked[0].id == "s06"
    assert "without predictions" in " ".join(results.notes)


def test_borders_that_are_off_get_the_refiners_suggestion(folder, monkeypatch):
    def all_borders(measured, judged, usual, size):
        return [Suspect("border", (0, 0, size[1], size[0]), size[0] * size[1], None, None, 0.9)]

    monkeypatch.setattr(job, "suspects_of", all_borders)
    exact = read_labels(folder / "masks" / "s05.png")[0]
    change(folder, "s05", lambda labels: np.roll(labels, (5, 5), axis=(0, 1)))
    found = run(folder)
    assert found.exit_code == 0, found.output
    results = read_results(folder / "out" / "results.json")
    first = next(region for region in results.regions if region.id == "s05")
    given, suggested = (read_labels(folder / path)[0] for path in ("masks/s05.png", "out/labels/s05.png"))
    assert (suggested != exact).sum() < (given != exact).sum()
    assert first.pixels == (suggested != given).sum()


def test_suggestions_are_coded_like_the_label_maps(folder):
    for number in range(COUNT):
        change(folder, f"s{number:02}", lambda labels: np.array([10, 20, 30], np.uint8)[labels])
    change(folder, "s03", lambda labels: np.where(labels == 20, np.uint8(30), labels))
    assert run(folder).exit_code == 0
    assert set(np.unique(read_labels(folder / "out" / "labels" / "s03.png")[0])) <= {10, 20, 30}


def test_an_image_that_cannot_be_read_any_more_is_not_judged_by_what_was_measured(folder):
    run(folder)
    (folder / "images" / "s02.png").write_bytes(b"broken")
    found = run(folder)
    assert found.exit_code == 1
    results = read_results(folder / "out" / "results.json")
    assert "s02" not in {one.id for one in results.checked}
    assert len(results.skipped) == 1


def test_ids_of_16_bits_are_checked(folder):
    for number in range(COUNT):
        change(folder, f"s{number:02}", lambda labels: np.array([0, 1000, 2000], np.int32)[labels])
    change(folder, "s03", lambda labels: np.where(labels == 1000, 2000, labels))
    found = run(folder)
    assert found.exit_code == 0, found.output
    assert read_results(folder / "out" / "results.json").checked[0].id == "s03"
    assert read_labels(folder / "out" / "labels" / "s03.png")[0].max() == 2000


class Sending:
    """An engine whose worker travels, as to another process."""

    def run(self, worker, items, progress):
        return LOCAL.run(pickle.loads(pickle.dumps(worker)), items, progress)


def test_any_engine_measures_the_same(folder):
    pairs, evidence, _ = job.open_checked(folder / "images", folder / "masks", folder / "probs", max_pixels=10**8)
    runs = [
        job.check(pairs, folder / name, evidence, quiet=True, engine=engine)
        for name, engine in (("here", LOCAL), ("there", Sending()))
    ]
    assert runs[0].checked == runs[1].checked
    for name in ("measured/s03.npz", "measured/s11.npz"):
        assert (folder / "here" / name).read_bytes() == (folder / "there" / name).read_bytes()


def test_annotations_are_checked_as_they_are(folder):
    change(folder, "s03", swapped)
    classes = [
        NewImage(f"s{seed:02}.png", (height, width), objects_of(labels))
        for seed in range(COUNT)
        for labels in [read_labels(folder / "masks" / f"s{seed:02}.png")[0]]
        for height, width in [labels.shape]
    ]
    Coco.create(folder, {"all": classes}, ["class 1", "class 2"])
    annotations = folder / "annotations" / "instances_all.json"
    arguments = [
        "--images",
        str(folder / "images"),
        "--coarse",
        str(annotations),
        "--probs",
        str(folder / "probs"),
    ]
    found = CliRunner().invoke(app, ["check", *arguments, "--out", str(folder / "out"), "--quiet"])
    assert found.exit_code == 0, found.output
    run = read_results(folder / "out" / "results.json")
    assert run.classes == ["background", "class 1", "class 2"]
    assert run.checked[0].id == "s03"


def objects_of(labels):
    """The objects of a label map, an outline for each class."""
    crops = [Cropped.of(labels == i) for i in (1, 2)]
    outlines = outlines_of(crops, OutlineOptions(0))
    return tuple(
        NewObject(f"class {i}", one) for i, one in zip((1, 2), outlines, strict=True) if not one.geometry.is_empty
    )
