"""Tidying folders: what is kept of the files, confirmed pixels, other runs, and refined maps."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.dataset import open_masks
from segmend.data.files import InvalidFile
from segmend.data.masks import note_in, read_labels, write_labels
from segmend.jobs.refine import RefineOptions, refine
from segmend.jobs.tidy import TidyOptions, masks_in, tidy_masks
from segmend.labels import InvalidInput
from segmend.refiners import Unchanged
from segmend.report.results import read_results
from segmend.tidy import Tidy, remove_islands, tidy

COLOURS = ((1, 2, 3), (200, 0, 0), (0, 200, 0))


@pytest.fixture
def noisy():
    """A map of three classes with an island of each, and void."""
    labels = np.zeros((20, 24), np.uint8)
    labels[:, 12:] = 1
    labels[5, 5], labels[9:11, 18], labels[15, 3:6] = 1, 2, 2
    labels[0] = 255
    return labels


def run(masks, out, sizes="islands=4", **options):
    return tidy_masks(open_masks(masks), out, TidyOptions(Tidy.parse(sizes), quiet=True, **options))


def test_ids_palettes_bit_depths_and_void_stay(tmp_path, noisy):
    masks = tmp_path / "masks"
    write_labels(masks / "palette.png", noisy, COLOURS)
    write_labels(masks / "deep.png", np.where(noisy == 255, 65535, noisy).astype(np.int32))
    result = run(masks, tmp_path / "out")
    assert (result.done, result.skipped) == (2, [])
    assert result.changed == pytest.approx(2 * 6 / (2 * noisy.size))
    ids, palette = read_labels(tmp_path / "out/labels/palette.png")
    np.testing.assert_array_equal(ids, remove_islands(noisy, 4))
    assert palette[:3] == COLOURS
    with Image.open(tmp_path / "out/labels/deep.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), np.where(ids == 255, 65535, ids))
    assert read_results(tmp_path / "out/results.json") == result


def test_masks_of_0_and_255_stay_so_and_a_class_is_named_by_its_id(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[2:4, 2:4] = 255
    mask[10:18, 10:18] = 255
    mask[14, 14] = 0
    write_labels(tmp_path / "masks/a.png", mask)
    run(tmp_path / "masks", tmp_path / "both")
    assert set(np.unique(read_labels(tmp_path / "both/labels/a.png")[0])) == {0, 255}
    assert read_labels(tmp_path / "both/labels/a.png")[0][14, 14] == 255
    run(tmp_path / "masks", tmp_path / "one", "islands=0,255:islands=5")
    found = read_labels(tmp_path / "one/labels/a.png")[0]
    assert found[14, 14] == 0
    assert not found[:5].any()


def test_masks_painted_in_colours_are_read_with_a_palette(tmp_path, noisy):
    (tmp_path / "masks").mkdir()
    painted = np.array(COLOURS, np.uint8)[np.where(noisy == 255, 0, noisy)]
    Image.fromarray(painted).save(tmp_path / "masks/a.png")
    (tmp_path / "colours.txt").write_text("sky: 1,2,3\ncar: 200,0,0\nbus: 0,200,0\n")
    command = [
        "tidy",
        "--masks",
        tmp_path / "masks",
        "--out",
        tmp_path / "out",
        "--tidy",
        "islands=4,bus:islands=0",
    ]
    result = CliRunner().invoke(app, [*map(str, command), "--palette", str(tmp_path / "colours.txt"), "--quiet"])
    assert result.exit_code == 0, result.output
    ids, palette = read_labels(tmp_path / "out/labels/a.png")
    assert palette[:3] == COLOURS
    assert (ids == 2).sum() == 5
    assert ids[5, 5] == 0


def test_confirmed_pixels_stay_and_others_are_listed(tmp_path, noisy):
    for name in ("a", "b", "c"):
        write_labels(tmp_path / f"masks/{name}.png", noisy)
    confirmed = np.zeros(noisy.shape, np.uint8)
    confirmed[15, 3] = 255
    write_labels(tmp_path / "confirmed/a.png", confirmed)
    write_labels(tmp_path / "confirmed/b.png", confirmed[:, :-1])
    write_labels(tmp_path / "confirmed/c.png", confirmed // 85)
    write_labels(tmp_path / "confirmed/d.png", confirmed)
    result = run(tmp_path / "masks", tmp_path / "out", "islands=4,smooth=1", confirmed=tmp_path / "confirmed")
    assert result.done == 1
    assert (read_labels(tmp_path / "out/labels/a.png")[0] == 2).any()
    assert [one.file.rpartition("/")[2] for one in result.skipped] == ["d.png", "b.png", "c.png"]
    assert "expected one size" in result.skipped[1].reason
    assert "255 where pixels are confirmed" in result.skipped[2].reason
    write_labels(tmp_path / "others/d.png", confirmed)
    with pytest.raises(InvalidFile, match="no mask has this ID; masks are called like 'a'"):
        run(tmp_path / "masks", tmp_path / "out", confirmed=tmp_path / "others")


def test_what_is_finished_is_kept_unless_masks_confirmed_pixels_or_sizes_change(tmp_path, noisy):
    masks, out = tmp_path / "masks", tmp_path / "out"
    write_labels(masks / "a.png", noisy)
    write_labels(masks / "b.png", noisy)
    assert run(masks, out).done == 2
    assert run(masks, out).kept == 2
    write_labels(masks / "b.png", np.flip(noisy, 0))
    again = run(masks, out)
    assert (again.done, again.kept, again.remade) == (1, 1, 1)
    write_labels(tmp_path / "confirmed/a.png", np.full(noisy.shape, 255, np.uint8))
    assert run(masks, out, confirmed=tmp_path / "confirmed").done == 1
    np.testing.assert_array_equal(read_labels(out / "labels/a.png")[0], noisy)
    with pytest.raises(InvalidFile, match="made with other weights or options"):
        run(masks, out, "islands=5")
    assert run(masks, out, "islands=5", overwrite=True).remade == 2


def test_files_of_others_and_the_masks_themselves_are_not_replaced(tmp_path, noisy):
    write_labels(tmp_path / "labels/a.png", noisy)
    with pytest.raises(InvalidFile, match="an input"):
        run(tmp_path / "labels", tmp_path)
    write_labels(tmp_path / "masks/a.png", noisy)
    with pytest.raises(InvalidFile, match="not written by this program"):
        run(tmp_path / "masks", tmp_path)
    with pytest.raises(InvalidFile, match="holds the masks"):
        run(tmp_path / "masks", tmp_path / "masks")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels/a.png")[0], noisy)


def test_broken_masks_are_listed_and_the_rest_is_tidied(tmp_path, noisy):
    write_labels(tmp_path / "masks/a.png", noisy)
    (tmp_path / "masks/b.png").write_bytes(b"no image")
    command = ["tidy", "--masks", tmp_path / "masks", "--out", tmp_path / "out", "--quiet"]
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exit_code == 1
    assert "b.png" in result.output
    assert (tmp_path / "out/labels/a.png").is_file()


def test_a_run_is_tidied_by_its_label_maps(tmp_path, noisy):
    write_labels(tmp_path / "masks/a.png", noisy)
    run(tmp_path / "masks", tmp_path / "one")
    assert masks_in(tmp_path / "one") == tmp_path / "one/labels"
    assert masks_in(tmp_path / "masks") == tmp_path / "masks"


def test_refined_maps_are_tidied_before_they_are_written(tmp_path, write_scene, opened):
    def spotted(labels):
        labels[3, 3] = 1
        return labels

    write_scene(tmp_path, "a", 0, spotted)
    write_scene(tmp_path, "b", 1, spotted)
    pairs, sizes = opened(tmp_path), Tidy.parse("islands=9,smooth=1,2:smooth=0")
    refine(Unchanged(), pairs, tmp_path / "plain", RefineOptions(quiet=True))
    options = RefineOptions(tidy=sizes, quiet=True)
    assert refine(Unchanged(), pairs, tmp_path / "tidied", options).done == 2
    for name in ("a", "b"):
        plain = read_labels(tmp_path / f"plain/labels/{name}.png")[0]
        found = read_labels(tmp_path / f"tidied/labels/{name}.png")[0]
        np.testing.assert_array_equal(found, tidy(plain, sizes.of_ids({"2": 2})))
        assert (found != plain).any()
    assert "tidied by islands=9,smooth=1,2:smooth=0" in note_in(tmp_path / "tidied/labels/a.png")
    assert refine(Unchanged(), pairs, tmp_path / "tidied", options).kept == 2
    with pytest.raises(InvalidFile, match="made with other weights or options"):
        refine(Unchanged(), pairs, tmp_path / "tidied", RefineOptions(quiet=True))


def test_tidying_with_probabilities_or_an_unknown_class_is_refused_before_any_work(tmp_path, write_scene, opened):
    write_scene(tmp_path, "a", 0)
    write_scene(tmp_path, "b", 1)
    pairs = opened(tmp_path)
    with pytest.raises(InvalidInput, match="leave out --tidy or --probs"):
        refine(Unchanged(), pairs, tmp_path / "out", RefineOptions(tidy=Tidy(5), probs=True, quiet=True))
    options = RefineOptions(tidy=Tidy.parse("car:islands=5"), quiet=True)
    with pytest.raises(InvalidInput, match="no class is called car"):
        refine(Unchanged(), pairs, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
