"""Moving the borders of a folder before it is refined."""

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.corruptions import grow
from segmend.data.files import InvalidFile
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_probabilities
from segmend.jobs.border_profiles import STEP, Move, find_move, sampled
from segmend.labels import InvalidInput
from segmend.report.results import read_results

COUNT = 6


@pytest.fixture
def small(tmp_path, write_scene, shrunk):
    """A folder of masks that are 5 px too small."""
    for seed in range(COUNT):
        write_scene(tmp_path, f"s{seed}", seed, shrunk)
    return tmp_path


def refine(root, out, *options):
    arguments = ["--images", str(root / "images"), "--coarse", str(root / "masks"), "--out", str(out)]
    return CliRunner().invoke(app, ["refine", *arguments, "--refiner", "guided", "--quiet", *options])


@pytest.fixture
def right(tmp_path, write_scene):
    """A function that gives the share of the pixels near objects that are labelled as in the exact masks."""
    return lambda out: _right(tmp_path / "exact", write_scene, out)


def _right(folder, write_scene, out):
    found = []
    for seed in range(COUNT):
        write_scene(folder, "x", seed)
        exact = read_labels(folder / "masks" / "x.png")[0]
        near = grow(torch.from_numpy(exact), 6).numpy() != 0
        found.append((read_labels(out / f"s{seed}.png")[0] == exact)[near].mean())
    return np.mean(found)


def test_masks_that_are_too_small_get_larger(small, tmp_path, right):
    run = refine(small, tmp_path / "out", "--move-borders")
    assert run.exit_code == 0, run.output
    assert "px too small" in run.output
    assert "borders with class 0 are moved" in run.output
    assert "% of pixels moved with the borders" in run.output
    assert right(tmp_path / "out" / "labels") > right(small / "masks") + 0.1
    assert read_results(tmp_path / "out" / "results.json").moved > 0.02
    again = refine(small, tmp_path / "out", "--move-borders")
    assert f"{COUNT} kept from an earlier run" in again.output
    without = refine(small, tmp_path / "out")
    assert isinstance(without.exception, InvalidFile)
    assert "--overwrite" in str(without.exception)


def test_exact_masks_stay(tmp_path, write_scene):
    for seed in range(COUNT):
        write_scene(tmp_path, f"s{seed}", seed)
    run = refine(tmp_path, tmp_path / "out", "--move-borders")
    assert "masks are not evidently too small or too large" in run.output
    assert "moved with" not in run.output
    assert read_results(tmp_path / "out" / "results.json").moved is None


def test_the_move_is_the_offset_over_the_largest_class(small, opened):
    found = find_move(opened(small), quiet=True)
    assert found.move == Move(STEP * round(found.offset.pixels / STEP), 0)
    assert found.move.pixels == pytest.approx(5, abs=1)
    assert found.measured == COUNT


def test_masks_of_other_images_are_not_moved_and_that_is_said(small, tmp_path):
    files = sorted((small / "masks").iterdir())
    rng = np.random.default_rng(0)
    for file in files:
        noise = cv2.GaussianBlur(rng.normal(size=(120, 150)), (0, 0), 8)
        write_labels(file, (noise > np.quantile(noise, 0.7)).astype(np.uint8))
    run = refine(small, tmp_path / "out", "--move-borders")
    assert "warning: the masks seem to belong to other images" in run.output
    assert read_results(tmp_path / "out" / "results.json").moved is None


def test_probabilities_are_not_moved(tmp_path, write_scene, opened):
    write_scene(tmp_path, "a", 0)
    (tmp_path / "masks" / "a.png").unlink()
    write_probabilities(tmp_path / "masks" / "a.npz", np.full((2, 120, 150), 0.5))
    with pytest.raises(InvalidInput, match="probabilities: leave --move-borders out"):
        find_move(opened(tmp_path), quiet=True)


def test_files_that_cannot_be_read_are_left_to_who_lists_them(small, tmp_path, opened):
    (small / "images" / "s3.png").write_bytes((small / "images" / "s3.png").read_bytes()[:3000])
    assert find_move(opened(small), quiet=True).measured == COUNT - 1


def test_a_sample_is_spread_over_the_folder(small, opened):
    records = list(opened(small))
    assert sampled(records) == records
    assert [len(sampled(records * many)) for many in (10, 100)] == [60, 100]
    assert sampled([]) == []
