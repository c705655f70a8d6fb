"""Cleaning tags of a small data set: what is written, skipped and refused."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.corruptions import corrupt_tags
from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.data.tags import read_tags, write_tags
from segmend.jobs.clean_tags import CleanTagsOptions, clean_tags
from segmend.labels import Classes, InvalidInput
from segmend.report.page import write_report
from segmend.report.results import read_results

CLASSES = Classes(("ground", "stripes", "dots", "snow"))
OPTIONS = CleanTagsOptions(("weak",), quiet=True)


def draw(kind, rng):
    """An image of 32 x 40 that a network tells apart by its texture."""
    image = np.full((32, 40, 3), rng.integers(60, 200, 3), np.uint8)
    if kind == 1:
        image[:, :: int(rng.integers(4, 7))] = 255
    elif kind == 2:
        image[::6, ::6] = image[1::6, ::6] = image[::6, 1::6] = 0
    else:
        image[:] = rng.integers(0, 256, image.shape)
    return image


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """12 labelled images and 30 with noisy tags; the true tags are in true.json."""
    root = tmp_path_factory.mktemp("made")
    write_description(root, "textures", CLASSES)
    rng = np.random.default_rng(0)
    for i in range(12):
        labels = np.zeros((32, 40), np.uint8)
        labels[8:] = 1 + i % 3
        write_labels(root / "labels" / "train" / f"{i:02d}.png", labels)
        write_image(root / "images" / "train" / f"{i:02d}.png", draw(1 + i % 3, rng))
    true = {}
    for i in range(30):
        write_image(root / "images" / "weak" / f"{i:02d}.png", draw(1 + i % 3, rng))
        true[f"{i:02d}"] = {CLASSES.names[1 + i % 3]: 1.0}
    write_tags(root / "true.json", {"weak": true})
    write_tags(root / "tags.json", {"weak": corrupt_tags(true, 0.25, 0.25, seed=0)})
    return root


@pytest.fixture
def root(made, tmp_path):
    """The same, as links: its own tags.json and folders may be changed."""
    root = tmp_path / "data"
    root.mkdir()
    for path in sorted(made.rglob("*")):
        there = root / path.relative_to(made)
        if path.is_dir():
            there.mkdir()
        elif path.suffix == ".png":
            there.symlink_to(path)
        else:
            there.write_bytes(path.read_bytes())
    return root


def wrong(root, tags):
    true = read_tags(root / "true.json", CLASSES)["weak"]
    return sum({n for n, score in tags["weak"][i].items() if score > 0.5} != set(true[i]) for i in true)


def test_tags_are_cleaned_and_a_page_is_written(root, tmp_path):
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["tags", "clean", str(root), "--split", "weak", "--out", str(out), "--quiet"])
    assert result.exit_code == 0, result.output
    assert "of the given tags are wrong" in result.output
    assert "Tags of 30 images" in result.output
    assert sorted(path.name for path in out.iterdir()) == ["results.json", "tags.html", "tags.json"]
    given, cleaned = (read_tags(path / "tags.json", CLASSES) for path in (root, out))
    assert list(cleaned) == ["weak"]
    assert list(cleaned["weak"]) == list(given["weak"])
    assert wrong(root, cleaned) < wrong(root, given) / 2
    scores = [score for tags in cleaned["weak"].values() for score in tags.values()]
    assert all(0.001 <= score <= 1 and score == round(score, 3) for score in scores)
    assert not any("ground" in tags for tags in cleaned["weak"].values())
    found = read_results(out / "results.json")
    assert (found.images, found.labelled, list(found.per_class)) == (30, 12, ["stripes", "dots", "snow"])
    assert sum(one.given for one in found.per_class.values()) == sum(map(len, given["weak"].values()))
    for one in found.per_class.values():
        assert one.cleaned == one.given - one.removed + one.added
    assert found.notes == ["most label maps show ground, and tags do not name it: not cleaned"]
    with pytest.raises(InvalidFile, match=r"its page beside them: tags\.html"):
        write_report(out / "results.json")


def test_only_listed_images_are_labelled_and_the_others_have_the_tags_that_are_given(root, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{i:02d}\n" for i in range(9)))
    tags = read_tags(root / "tags.json", CLASSES)
    write_tags(root / "tags.json", {**tags, "train": {"00": {"dots": 1.0}, "09": {"dots": 1.0}}})
    options = CleanTagsOptions(("train", "weak"), labelled=tmp_path / "list.txt", quiet=True)
    found = clean_tags(root, tmp_path / "out", options)
    assert (found.images, found.labelled) == (31, 9)
    assert "train: 2 images have no tags, left out: 10, 11" in found.notes
    cleaned = json.loads((tmp_path / "out" / "tags.json").read_text())["train"]
    assert list(cleaned) == [f"{i:02d}" for i in range(10)]
    assert cleaned["00"] == ["stripes"]
    assert 0 < cleaned["09"]["stripes"] < 1
    assert "ground" not in found.per_class


def test_without_labelled_images_it_works_and_says_so(root, tmp_path):
    found = clean_tags(root, tmp_path / "out", CleanTagsOptions(("weak",), train_split="none", quiet=True))
    assert found.labelled == 0
    assert any("no labelled image" in note for note in found.notes)
    assert wrong(root, read_tags(tmp_path / "out" / "tags.json", CLASSES)) < 12


def test_an_image_that_cannot_be_read_is_skipped_and_listed(root, tmp_path):
    for path in (root / "images" / "weak" / "07.png", root / "labels" / "train" / "03.png"):
        path.unlink()
        path.write_bytes(b"no image")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["tags", "clean", str(root), "--split", "weak", "--out", str(out), "--quiet"])
    assert result.exit_code == 1
    assert "07.png" in result.output
    assert "03.png" in result.output
    assert "07" not in read_tags(out / "tags.json", CLASSES)["weak"]
    found = read_results(out / "results.json")
    assert (found.images, found.labelled, len(found.skipped)) == (29, 11, 2)


def test_images_without_tags_are_left_out(root, tmp_path):
    tags = dict(read_tags(root / "tags.json", CLASSES)["weak"])
    del tags["05"]
    write_tags(root / "tags.json", {"weak": tags})
    found = clean_tags(root, tmp_path / "out", OPTIONS)
    assert "weak: 1 image has no tags, left out: 05" in found.notes
    assert "05" not in read_tags(tmp_path / "out" / "tags.json", CLASSES)["weak"]


def test_a_few_images_of_one_class(root, tmp_path):
    write_tags(root / "tags.json", {"weak": {"00": {"stripes": 1.0}, "01": {}}})
    found = clean_tags(root, tmp_path / "out", CleanTagsOptions(("weak",), train_split="none", quiet=True))
    assert found.images == 2
    assert list(found.per_class) == ["stripes"]


def test_nothing_is_replaced(root, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tags.json").write_text("mine")
    with pytest.raises(InvalidFile, match="there already"):
        clean_tags(root, tmp_path / "out", OPTIONS)
    assert (tmp_path / "out" / "tags.json").read_text() == "mine"
    with pytest.raises(InvalidFile, match="there already"):
        clean_tags(root, root, OPTIONS)


def test_what_cannot_be_cleaned_is_refused(root, tmp_path):
    def message(**options):
        with pytest.raises(InvalidInput) as caught:
            clean_tags(
                root, tmp_path / "out", CleanTagsOptions(**({"splits": ("weak",), "quiet": True} | options))
            )
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "no split 'weka': there is train, weak" in message(splits=("weka",))
    assert "no split 'none'" in message(train_split="none", labelled=tmp_path / "list.txt")
    assert "all images of train count as labelled" in message(splits=("train",))
    write_tags(root / "tags.json", {"weak": {"00": {}}})
    assert "no image of weak has a tag" in message()
    (root / "dataset.yaml").unlink()
    assert "expected a data set" in message()


def test_label_maps_are_no_tags(root, tmp_path):
    for index in range(2):
        name = f"{index:02d}.png"
        write_image(root / "images" / "val" / name, np.zeros((8, 8, 3), np.uint8))
        write_labels(root / "labels" / "val" / name, np.ones((8, 8), np.uint8))
    with pytest.raises(InvalidInput, match="no image of val has a tag"):
        clean_tags(root, tmp_path / "out", CleanTagsOptions(("val",), quiet=True))


def test_an_interruption_leaves_nothing(root, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("segmend.jobs.clean_tags.clean", interrupt)
    with pytest.raises(KeyboardInterrupt):
        clean_tags(root, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()
    assert open_dataset(root, "weak").records
