"""Inspecting a folder: what is found in it, from Python and on the command line."""

import numpy as np
import pytest
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.jobs.inspection import inspect
from segmend.report.inspection import sentences_of
from segmend.report.results import read_results


def test_masks_that_are_too_small_are_reported_with_their_offset(tmp_path, write_scene, shrunk, opened):
    for seed in range(8):
        write_scene(tmp_path, f"s{seed}", seed, shrunk)
    found = inspect(opened(tmp_path), tmp_path / "out", quiet=True)
    assert found.borders.offset.is_evident
    assert found.borders.offset.pixels == pytest.approx(5, abs=1)
    assert found.borders.largest == "class 0"
    assert found.classes["class 1"].offset.is_evident
    assert found.classes["class 0"].offset is None
    assert found.classes["class 2"].images == found.images == found.borders.images == 8
    assert sum(one.share for one in found.classes.values()) == pytest.approx(1)
    (sentence,) = sentences_of(found)
    assert sentence.startswith(f"masks are about {found.borders.offset.pixels:.1f} px too small (95 % interval +")
    assert read_results(tmp_path / "out" / "results.json") == found
    page = (tmp_path / "out" / "inspection.html").read_text(encoding="utf-8")
    assert "Masks are about" in page
    assert "8 images, 3 classes" in page


def test_exact_masks_are_not_said_to_be_off(tmp_path, write_scene, opened):
    for seed in range(6):
        write_scene(tmp_path, f"s{seed}", seed)
    found = inspect(opened(tmp_path), quiet=True)
    assert [sentence.split(":")[0] for sentence in sentences_of(found)] == [
        "masks are not evidently too small or too large"
    ]
    assert found.borders.border_error_px < 1


def test_what_a_user_should_know_of_the_masks_is_listed(tmp_path, write_scene, opened):
    for seed in range(4):
        write_scene(tmp_path, f"s{seed}", seed)
    write_scene(tmp_path, "again", 0)
    write_scene(tmp_path, "void", 5, lambda labels: np.full_like(labels, 255))
    write_scene(tmp_path, "empty", 6, np.zeros_like)
    write_scene(tmp_path, "large", 7, size=(140, 200))
    found = inspect(opened(tmp_path), quiet=True)
    assert (found.unlabelled, found.one_class) == (["void"], ["empty"])
    assert found.same_images == found.same_masks == [["again", "s0"]]
    assert found.sizes == {"150 x 120": 7, "200 x 140": 1}
    assert found.files == {"images .png": 8, "masks .png": 8}
    assert (found.images, found.borders.images) == (8, 6)
    assert 0.1 < found.void < 0.15
    assert sentences_of(found)[-4:] == [
        "1 mask without any label: void",
        "1 mask with one class alone: empty",
        "2 images have the same pixels: again, s0",
        "2 masks have the same labels: again, s0",
    ]


def test_files_of_somebody_else_are_not_replaced(tmp_path, write_scene, opened):
    write_scene(tmp_path, "a", 0)
    for name, message in (
        ("results.json", "does not hold an inspection"),
        ("inspection.html", "a page of segmend"),
    ):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("{}")
        with pytest.raises(InvalidFile, match=message):
            inspect(opened(tmp_path), tmp_path / "out", quiet=True)
        (tmp_path / "out" / name).unlink()
    inspect(opened(tmp_path), tmp_path / "out", quiet=True)
    inspect(opened(tmp_path), tmp_path / "out", quiet=True)  # its own are


def test_the_command_lists_what_it_skips(tmp_path, write_scene):
    for seed in range(3):
        write_scene(tmp_path, f"s{seed}", seed)
    write_image(tmp_path / "images" / "alone.png", np.zeros((8, 8, 3), np.uint8))
    write_scene(tmp_path, "other", 1)
    write_image(tmp_path / "images" / "other.png", np.zeros((9, 8, 3), np.uint8))
    arguments = ["--images", str(tmp_path / "images"), "--coarse", str(tmp_path / "masks"), "--quiet"]
    run = CliRunner().invoke(app, ["inspect", *arguments, "--out", str(tmp_path / "out")])
    assert run.exit_code == 1
    assert "3 images inspected; page: " in run.output
    assert "no map of this ID" in run.output
    assert "other.png" in run.output
    assert "masks are not evidently" in run.output


def test_masks_of_one_class_have_no_borders_to_measure(tmp_path, write_scene, opened):
    for seed in range(2):
        write_scene(tmp_path, f"s{seed}", seed, np.zeros_like)
    found = inspect(opened(tmp_path), tmp_path / "out", quiet=True)
    assert found.borders.offset is None
    assert sentences_of(found)[0].startswith("no borders were measured")
    assert "Edges around" not in (tmp_path / "out" / "inspection.html").read_text(encoding="utf-8")
