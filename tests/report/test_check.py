"""What check found: the sentences, and the page."""

import numpy as np
import pytest

from segmend.data.files import InvalidFile
from segmend.report.check import lines_of, sentences_of, with_boxes, write_check_page
from segmend.report.html import GENERATOR
from segmend.report.page import write_report
from segmend.report.results import CheckedImage, CheckRun, Skipped, SuspectRegion, write_results


def found():
    return CheckRun(
        version="1",
        images="images",
        coarse="labels",
        evidence="probability maps",
        probs="/home/somebody/probs",
        classes=["sky", "<cat>"],
        palette=[(0, 0, 0), (255, 0, 0)],
        threshold=0.5,
        wrong=1,
        checked=[
            CheckedImage(id="a", file="labels/a.png", score=0.9, kinds=["class", "islands"]),
            CheckedImage(id="b", file="labels/b.png", score=0.1),
        ],
        regions=[
            SuspectRegion(
                id="a", kind="class", box=(10, 5, 30, 25), pixels=1300, given="sky", suggested="<cat>", score=0.8
            )
        ],
        done=2,
        seconds={"total": 1.0},
        notes=["2 images are few"],
        skipped=[Skipped(file="c.png", reason="broken")],
    )


def test_the_sentences_say_how_many_look_wrong_and_by_which_threshold():
    first, second = sentences_of(found())
    assert first == "1 of 2 images look wrong: their score is 0.5 or higher (first kind: class 1)"
    assert second == "2 images are few"
    assert lines_of(found()) == ["0.90  a  class, islands", "0.10  b  no single region"]
    assert len(lines_of(found(), most=1)) == 1


def test_the_page_shows_images_regions_and_what_was_skipped(tmp_path):
    given = np.zeros((40, 60), np.uint8)
    suggested = given.copy()
    suggested[5:25, 10:30] = 1
    shown = [("a", np.full((40, 60, 3), 90, np.uint8), given, suggested)]
    write_check_page(tmp_path / "check.html", found(), shown)
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert GENERATOR in page
    assert "1 of 2 images" in page
    assert "1,300" in page
    assert "&lt;cat&gt;" in page
    assert "broken" in page
    assert page.count("data:image/") == 3
    assert "somebody" not in page  # a page may be published


def test_boxes_are_drawn_around_what_they_hold():
    image = np.zeros((50, 60, 3), np.uint8)
    boxed = with_boxes(image, [(10, 20, 30, 40)])
    assert (image == 0).all()
    rows, columns = np.nonzero(boxed.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 10, 29)


def test_report_names_the_page_that_is_there_already(tmp_path):
    write_results(tmp_path / "results.json", found())
    with pytest.raises(InvalidFile, match=r"`segmend check`, which wrote its page beside them: check\.html"):
        write_report([tmp_path / "results.json"])
