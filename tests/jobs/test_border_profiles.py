"""The border profile of a folder, and what `refine` makes of it."""

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from segmend.borders import BorderProfile
from segmend.cli import app
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_probabilities
from segmend.jobs.border_profiles import MEASURED, WINDOW, borders_of, measured_borders, of_folder, sampled
from segmend.refiners import BorderNetwork, UniversalRefiner
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
    return CliRunner().invoke(app, ["refine", *arguments, "--quiet", *options])


def test_a_refiner_knows_the_folder(small, opened):
    known = of_folder(BorderNetwork(), opened(small), quiet=True)
    borders = measured_borders(known.folder.profile, ("background", "one", "two"))
    assert borders.images == COUNT
    assert borders.largest == "background"
    assert borders.offset.is_evident
    assert borders.offset.pixels == pytest.approx(5, abs=1)
    assert len(borders.distances) == len(borders.offset.curve)
    assert known.folder.move.pixels == pytest.approx(5, abs=1)


def test_files_that_cannot_be_read_are_left_to_who_lists_them(small, opened):
    (small / "images" / "s3.png").write_bytes((small / "images" / "s3.png").read_bytes()[:3000])
    assert len(of_folder(BorderNetwork(), opened(small), quiet=True).folder.profile.images) == COUNT - 1


def test_probabilities_are_not_looked_at(tmp_path, write_scene, opened):
    write_scene(tmp_path, "a", 0)
    (tmp_path / "masks" / "a.png").unlink()
    write_probabilities(tmp_path / "masks" / "a.npz", np.full((2, 120, 150), 0.5))
    network = BorderNetwork()
    assert of_folder(network, opened(tmp_path), quiet=True) is network


def test_a_sample_is_spread_over_the_folder(small, opened):
    records = list(opened(small))
    assert sampled(records) == records
    assert [len(sampled(records * many)) for many in (10, 100)] == [MEASURED, MEASURED]
    assert sampled([]) == []


def test_of_a_large_image_the_part_with_most_borders_is_measured():
    labels = np.zeros((100, WINDOW + 500), np.uint8)
    labels[:, 10] = 1
    labels[40:60, WINDOW + 100 : WINDOW + 300] = 2
    image = np.zeros((*labels.shape, 3), np.uint8)
    measured = borders_of(image, labels, 255)
    assert measured.areas == {0: 100 * WINDOW - 4000, 2: 4000}
    assert borders_of(image[:, :WINDOW], labels[:, :WINDOW], 255).areas == {0: 100 * (WINDOW - 1), 1: 100}


def test_refine_says_how_the_masks_fit(small, tmp_path):
    run = refine(small, tmp_path / "out")
    assert run.exit_code == 0, run.output
    assert "px too small (95 % interval" in run.output
    assert "borders with class 0 are moved by +" in run.output
    assert read_results(tmp_path / "out" / "results.json").look.borders.offset.is_evident
    assert f"{COUNT} kept from an earlier run" in refine(small, tmp_path / "out").output
    guided = refine(small, tmp_path / "guided", "--refiner", "guided")
    assert "too small" not in guided.output
    assert read_results(tmp_path / "guided" / "results.json").look is None


def test_masks_of_other_images_stay_and_that_is_said(small, tmp_path):
    rng = np.random.default_rng(0)
    for file in sorted((small / "masks").iterdir()):
        noise = cv2.GaussianBlur(rng.normal(size=(120, 150)), (0, 0), 8)
        write_labels(file, (noise > np.quantile(noise, 0.7)).astype(np.uint8))
    run = refine(small, tmp_path / "out")
    assert "warning: the masks seem to belong to other images" in run.output
    assert "the masks are left as they are" in run.output
    assert read_results(tmp_path / "out" / "results.json").changed == 0


def test_an_empty_profile_changes_nothing():
    borders = measured_borders(BorderProfile.of([]), ("background",))
    assert borders.offset is None
    assert not borders.are_of_other_images


def test_of_probability_maps_the_uncertainty_is_known(tmp_path, write_scene, opened):
    for seed in range(3):
        write_scene(tmp_path, f"s{seed}", seed)
    for file in sorted((tmp_path / "masks").iterdir()):
        labels = torch.from_numpy(read_labels(file)[0].astype(np.int64))
        sure = torch.eye(3)[labels].movedim(-1, 0)
        write_probabilities(file.with_suffix(".npz"), (0.7 * sure + 0.1).numpy())
        file.unlink()
    given = opened(tmp_path)
    known = of_folder(UniversalRefiner(), given, quiet=True)
    assert known.folder is None
    assert known.maps.folder_uncertainty.far_from_borders == pytest.approx(0.2, abs=0.01)
    as_logits = of_folder(UniversalRefiner(), given, logits=True, quiet=True)
    assert as_logits.maps.folder_uncertainty.far_from_borders > 0.4


def test_the_command_says_how_uncertain_maps_are(tmp_path, write_scene):
    write_scene(tmp_path, "a", 0)
    labels = torch.from_numpy(read_labels(tmp_path / "masks" / "a.png")[0].astype(np.int64))
    sure = torch.eye(3)[labels].movedim(-1, 0)
    (tmp_path / "masks" / "a.png").unlink()
    for share, words in ((0.7, "as those of segmenters are"), (0.985, "labels change near borders")):
        write_probabilities(tmp_path / "masks" / "a.npz", (share * sure + (1 - share) / 3).numpy())
        out = tmp_path / str(share)
        done = refine(tmp_path, out)
        assert done.exit_code == 0, done.output
        assert words in done.output
        assert read_results(out / "results.json").far_uncertainty == pytest.approx(2 * (1 - share) / 3, abs=0.01)
