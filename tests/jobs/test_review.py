"""Opening a review without opening its files, and writing what was decided."""

import builtins
import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from segmend.data.files import InvalidFile
from segmend.data.masks import read_mask, write_labels
from segmend.jobs.review import LOG, RESULTS, ClassNames, apply, open_review
from segmend.jobs.review_log import DecisionLog
from segmend.report.results import Review, read_results
from segmend.review import Decision


@pytest.fixture
def review(write_review, tmp_path):
    return open_review(*write_review(tmp_path), tmp_path / "out")


def _decide(review, tmp_path, **decisions):
    """Log decisions: by ID without its zero, the accepted and the kept regions."""
    log = DecisionLog(tmp_path / "out" / LOG)
    log.open(tmp_path / "images", tmp_path / "coarse", tmp_path / "refined")
    for name, (accepted, kept) in decisions.items():
        identity = name.removeprefix("i")
        count = len(review.differences(identity).found.regions)
        log.add(identity, review.inputs(identity), Decision(count, accepted, kept))
    log.close()


def _ids(path):
    return read_mask(path).ids


def test_what_was_decided_is_written_and_all_else_is_the_coarse_file(review, tmp_path):
    _decide(review, tmp_path, i00=((1,), ()), i01=((2,), (1,)), i02=((), (1, 2)))
    done = apply(review, quiet=True)
    labels, coarse, refined = tmp_path / "out/labels", tmp_path / "coarse", tmp_path / "refined"
    assert np.array_equal(_ids(labels / "00.png"), _ids(refined / "00.png"))
    second = _ids(coarse / "01.png")
    numbers = review.differences("01").found.numbers
    second[numbers == 2] = _ids(refined / "01.png")[numbers == 2]
    assert np.array_equal(_ids(labels / "01.png"), second)
    for kept in ("02.png", "03.png"):
        assert (labels / kept).read_bytes() == (coarse / kept).read_bytes()
    for name in ("00.png", "01.png"):
        assert read_mask(labels / name).palette == read_mask(coarse / name).palette
    seen = _ids(tmp_path / "out/confirmed/02.png")
    numbers = review.differences("02").found.numbers
    assert np.array_equal(seen, np.where((numbers == 1) | (numbers == 2), 255, 0))
    assert not (tmp_path / "out/confirmed/03.png").exists()
    pixels = sum(int((_ids(labels / n) != _ids(coarse / n)).sum()) for n in ("00.png", "01.png"))
    counts = (done.images, done.decided, done.partly, done.undecided, done.changed, done.changed_pixels)
    assert counts == (4, 2, 1, 1, 2, pixels)
    assert (done.accepted_regions, done.kept_regions) == (2, 3)
    assert done == read_results(tmp_path / "out" / RESULTS)


def test_a_rerun_follows_the_decisions_also_those_that_were_taken_back(review, tmp_path):
    _decide(review, tmp_path, i00=((1,), ()), i01=((1, 2), ()))
    apply(review, quiet=True)
    _decide(review, tmp_path, i00=((), ()), i01=((), (1,)))
    apply(review, quiet=True)
    for name in ("00.png", "01.png"):
        assert (tmp_path / "out/labels" / name).read_bytes() == (tmp_path / "coarse" / name).read_bytes()
    assert not (tmp_path / "out/confirmed/00.png").exists()
    assert (tmp_path / "out/confirmed/01.png").exists()


def test_decisions_on_other_files_are_listed_not_applied(review, tmp_path):
    _decide(review, tmp_path, i00=((1,), ()), i01=((1,), ()), i02=((1,), ()))
    changed = _ids(tmp_path / "refined/00.png")
    changed[0, 0] = 3
    write_labels(tmp_path / "refined/00.png", changed)
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "images/01.png")
    done = apply(review, quiet=True)
    assert [s.file for s in done.skipped] == [str(tmp_path / "coarse" / n) for n in ("00.png", "01.png")]
    assert all("another version" in s.reason for s in done.skipped)
    for name in ("00.png", "01.png"):
        assert (tmp_path / "out/labels" / name).read_bytes() == (tmp_path / "coarse" / name).read_bytes()
    assert done.decided == 0
    assert done.partly == 1


def test_decisions_on_images_that_are_gone_are_listed(review, tmp_path):
    _decide(review, tmp_path, i00=((1,), ()))
    (tmp_path / "refined/00.png").unlink()
    done = apply(
        open_review(*(tmp_path / n for n in ("images", "coarse", "refined")), tmp_path / "out"), quiet=True
    )
    assert [s.file for s in done.skipped] == ["00"]
    assert done.without_refined == 1
    assert (tmp_path / "out/labels/00.png").read_bytes() == (tmp_path / "coarse/00.png").read_bytes()


def test_in_place_the_first_versions_are_kept_and_can_be_had_back(review, tmp_path):
    before = {p.name: p.read_bytes() for p in (tmp_path / "coarse").iterdir()}
    _decide(review, tmp_path, i00=((1,), ()), i01=((1,), (2,)))
    for _ in range(2):  # a rerun changes nothing more
        done = apply(review, in_place=True, quiet=True)
        assert done.skipped == []
        assert np.array_equal(_ids(tmp_path / "coarse/00.png"), _ids(tmp_path / "refined/00.png"))
        assert {p.name for p in (tmp_path / "out/backup").iterdir()} == {"00.png", "01.png"}
        for name in ("00.png", "01.png"):
            assert (tmp_path / "out/backup" / name).read_bytes() == before[name]
        for name in ("02.png", "03.png"):
            assert (tmp_path / "coarse" / name).read_bytes() == before[name]
    _decide(review, tmp_path, i00=((), (1,)), i01=((), ()))
    apply(review, in_place=True, quiet=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "coarse").iterdir()} == before


def test_files_that_no_review_wrote_are_never_replaced(review, tmp_path):
    _decide(review, tmp_path, i00=((1,), ()))
    apply(review, quiet=True)
    labels = _ids(tmp_path / "out/labels/02.png")
    labels[5, 5] = 2  # by hand
    write_labels(tmp_path / "out/labels/02.png", labels)
    before = (tmp_path / "out/labels/02.png").read_bytes()
    with pytest.raises(InvalidFile, match="not written by segmend review"):
        apply(review, quiet=True)
    assert (tmp_path / "out/labels/02.png").read_bytes() == before


def test_broken_files_are_listed_and_the_others_written(review, tmp_path):
    _decide(review, tmp_path, i00=((1,), ()), i02=((1,), ()))
    for broken in ("coarse/01.png", "refined/00.png"):
        (tmp_path / broken).write_bytes(b"")
    done = apply(review, quiet=True)
    assert [s.file for s in done.skipped] == [str(tmp_path / "coarse/00.png")]
    assert (tmp_path / "out/labels/00.png").read_bytes() == (tmp_path / "coarse/00.png").read_bytes()
    assert not np.array_equal(_ids(tmp_path / "out/labels/02.png"), _ids(tmp_path / "coarse/02.png"))


def test_ten_thousand_images_are_listed_without_opening_one(tmp_path, monkeypatch):
    for folder in ("images", "coarse", "refined"):
        (tmp_path / folder).mkdir()
        for index in range(10_000):
            os.mknod(f"{tmp_path}/{folder}/{index:05}.png")
    opened, really = [], io.open
    for module in (builtins, io):
        monkeypatch.setattr(
            module, "open", lambda file, *a, **k: (opened.append(str(file)), really(file, *a, **k))[1]
        )
    review = open_review(tmp_path / "images", tmp_path / "coarse", tmp_path / "refined", tmp_path / "out")
    assert len(review.ids) == 10_000
    assert not [path for path in opened if path.endswith(".png")]
    (tmp_path / "images/00000.png").write_bytes(b"no image")
    with pytest.raises(InvalidFile):
        review.image("00000")
    assert str(tmp_path / "images/00000.png") in opened  # so that opening is seen


def test_names_pair_by_what_they_share_and_what_has_no_partner_is_said(write_review, tmp_path):
    images, coarse, refined = write_review(tmp_path, count=5)
    for path in list(coarse.iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    shutil.copy(coarse / "00_mask.png", coarse / "99_mask.png")
    (images / "01.png").unlink()
    (refined / "02.png").unlink()
    review = open_review(images, coarse, refined, tmp_path / "out")
    assert review.ids == ("00", "03", "04")
    assert review.others.ids == ("02",)
    assert [s.file for s in review.unpaired] == [str(coarse / n) for n in ("01_mask.png", "99_mask.png")]
    said = " ".join(review.findings)
    assert "names pair without '_mask'" in said
    assert "1 coarse maps without a refined one" in said
    assert "1 refined maps without a coarse one, left out (01)" in said


def test_a_run_and_its_details_are_read_and_names_are_those_of_its_classes(write_review, tmp_path):
    images, coarse, refined = write_review(tmp_path)
    run = tmp_path / "run"
    shutil.move(refined, run / "labels")
    (run / "details").mkdir()
    confidence = np.full((60, 80), 51, np.uint8)
    np.savez(run / "details/00.npz", change_confidence=confidence)
    np.savez(run / "details/01.npz", change_confidence=confidence[1:])
    (run / RESULTS).write_text(json.dumps({"kind": "run", "classes": ["sky", "road", "car", "tree"]}))
    review = open_review(images, coarse, run, tmp_path / "out")
    assert len(review.ids) == 4
    assert [review.classes.name(i) for i in (0, 3, 255, 9)] == ["sky", "tree", "class 255", "class 9"]
    assert review.classes.voids((0, 255)) == {255}
    assert np.array_equal(review.change_confidence("00", (60, 80)), confidence)
    assert review.change_confidence("01", (60, 80)) is None
    assert review.change_confidence("02", (60, 80)) is None


def test_what_check_found_gives_the_order_and_the_kinds(write_review, tmp_path):
    images, coarse, refined = write_review(tmp_path)
    checked = tmp_path / "checked"
    shutil.move(refined, checked / "labels")
    region = {
        "id": "01",
        "box": [5, 5, 12, 13],
        "pixels": 56,
        "kind": "missing",
        "given": 0,
        "suggested": 2,
        "score": 0.9,
    }
    content = {
        "images": "photos",
        "checked": [{"id": "02", "score": 0.9, "kinds": []}, {"id": "01", "score": 0.4, "kinds": []}],
        "regions": [region],
    }
    (checked / RESULTS).write_text(json.dumps(content))
    review = open_review(images, coarse, checked, tmp_path / "out")
    assert review.scores == {"01": 0.4, "02": 0.9}
    assert review.suspected["01"][0].kind == "missing"
    (checked / RESULTS).write_text(json.dumps({"checked": [{"id": "02"}]}))
    review = open_review(images, coarse, checked, tmp_path / "out")
    assert not review.scores
    assert "scores cannot be read" in review.findings[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f | {"refined": f["coarse"]}, "the folder of coarse maps itself"),
        (lambda f: f | {"images": f["coarse"]}, "is given as the image and as the map"),
        (lambda f: f | {"refined": f["refined"] / "none"}, "no such folder"),
        (lambda f: f | {"out": f["coarse"]}, "would mix what is written with the coarse maps"),
        (lambda f: f | {"out": f["images"] / "review"}, "would mix what is written with the images"),
        (lambda f: f | {"out": f["coarse"] / "00.png"}, "a file, expected a folder"),
    ],
)
def test_folders_that_cannot_be_meant_are_refused(write_review, tmp_path, change, message):
    images, coarse, refined = write_review(tmp_path)
    folders = change({"images": images, "coarse": coarse, "refined": refined, "out": tmp_path / "out"})
    with pytest.raises(InvalidFile, match=message):
        open_review(**folders)


def test_a_run_is_no_folder_to_review_into(write_review, tmp_path):
    images, coarse, refined = write_review(tmp_path)
    shutil.move(coarse, tmp_path / "run/labels")
    with pytest.raises(InvalidFile, match="would mix what is written with the coarse maps"):
        open_review(images, tmp_path / "run/labels", refined, tmp_path / "run")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RESULTS).write_text("{}")
    with pytest.raises(InvalidFile, match="does not hold the results of a review"):
        open_review(images, tmp_path / "run/labels", refined, tmp_path / "out")


def test_an_empty_review_has_counts_of_nothing(review, tmp_path):
    done = apply(review, quiet=True)
    assert isinstance(done, Review)
    assert (done.decided, done.partly, done.undecided, done.changed_pixels) == (0, 0, 4, 0)


def test_a_full_disk_ends_the_run_with_a_message(review, tmp_path, monkeypatch):
    _decide(review, tmp_path, i00=((1,), ()))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segmend.data.label_folder.atomic_copy", full)
    with pytest.raises(InvalidFile, match=r"labels/01\.png: cannot be written \(No space left on device\)"):
        apply(review, quiet=True)


def test_names_that_are_no_text_are_listed(write_review, tmp_path):
    folders = write_review(tmp_path)
    for folder in folders:
        (folder / "00.png").rename(folder / os.fsdecode(b"\xff.png"))
    review = open_review(*folders, tmp_path / "out")
    assert review.ids == ("01", "02", "03")
    assert [s.reason for s in review.unpaired] == ["its name is not valid Unicode: rename it"]
    assert json.dumps(review.unpaired[0].model_dump()).isascii()


def test_where_classes_are_not_known_0_and_255_are_two_of_them():
    unknown, known = ClassNames(), ClassNames(ids=(0, 1, 2))
    assert unknown.voids((0, 255)) == unknown.voids((255,)) == unknown.voids(()) == set()
    assert unknown.voids((0, 1, 255)) == {255}
    assert unknown.voids((1, 65535)) == {65535}
    assert known.voids((0, 255)) == {255}
    assert ClassNames(ids=(0, 255)).voids((0, 255)) == set()
