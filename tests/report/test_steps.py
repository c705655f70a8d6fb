"""Rows of the page of steps: photos that are shrunk, and small maps that stay as they are."""

import base64
import io
import re

import numpy as np
from PIL import Image

from segmend.labels import Classes
from segmend.report.html import is_page
from segmend.report.results import Skipped
from segmend.report.steps import Stage, row, stages, write_steps

CLASSES = Classes(("sky", "skin", "sea"))


def decoded(address):
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA").convert("RGB")
    )


def test_maps_and_images_of_a_stage_keep_each_pixel():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (5, 7)).astype(np.uint8) * 2
    image = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    made = stages("a", [Stage("Image", "given", image), Stage("5 steps", "sea", image, labels)], CLASSES)
    assert (made.width, made.height) == (7, 5)
    assert made.legend == [("sky", CLASSES.palette[0]), ("sea", CLASSES.palette[2])]
    (_, _, photo), (title, caption, panels) = made.stages
    assert (title, caption, len(photo)) == ("5 steps", "sea", 1)
    np.testing.assert_array_equal(decoded(panels[0].image), np.array(CLASSES.palette, np.uint8)[labels])
    np.testing.assert_array_equal(decoded(panels[1].image), image)
    assert all(panel.kind == "labels" for panel in panels)  # sharp in the style sheet


def test_the_page_has_all_rows_and_says_how_to_read_them(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    ones = np.ones((8, 8), np.uint8)
    rows = [
        row("first", {"Image": ("a caption", image)}),
        stages("second", [Stage("Image", "", image), Stage("Map", "<b>", image, ones)], CLASSES),
    ]
    write_steps(
        tmp_path / "page.html", "Title", "two images", rows, [Skipped(file="c.png", reason="broken")], "Lead."
    )
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 4
    assert re.search(r'<p class="lead">Lead\.</p>', page)
    assert all(text in page for text in ("first", "second", "a caption", "skin", "c.png", "&lt;b&gt;"))
    assert page.count('class="legend"') == 1
    assert is_page(tmp_path / "page.html")
