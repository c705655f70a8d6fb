"""The page of cleaned tags."""

import re

import numpy as np

from segmend.report.html import GENERATOR
from segmend.report.results import ClassTags, Skipped, TagCleaning, read_results, write_results
from segmend.report.tags import SIDE, changed_image, write_tags_page

RESULTS = TagCleaning(
    version="1",
    splits=["weak"],
    images=1200,
    labelled=100,
    drop=0.3,
    wrong=0.25,
    per_class={
        "cat": ClassTags(given=10, cleaned=9, removed=2, added=1, wrong=0.25, wrong_rate=0.01),
        "<dog>": ClassTags(given=0, cleaned=3, removed=0, added=3, wrong=None, wrong_rate=0.001),
    },
    skipped=[Skipped(file="a.jpg", reason="broken")],
    notes=["a note"],
)


def test_tags_of_an_image_are_kept_removed_or_added():
    photo = np.zeros((100, 480, 3), np.uint8)
    one = changed_image("a", photo, {"cat": 1.0, "cow": 0.9}, {"cat": 0.2, "cow": 0.8, "dog": 0.7, "pig": 0.4})
    assert [(tag.name, tag.kind) for tag in one.tags] == [("cat", "removed"), ("cow", "kept"), ("dog", "added")]
    assert (one.width, one.height) == (SIDE, SIDE * 100 // 480)


def test_the_page_shows_rates_classes_and_changes(tmp_path):
    one = changed_image("img/7", np.zeros((8, 8, 3), np.uint8), {"cat": 1.0}, {"cat": 0.01, "<dog>": 0.97})
    write_tags_page(tmp_path / "tags.html", RESULTS, [one], [])
    page = (tmp_path / "tags.html").read_text(encoding="utf-8")
    assert GENERATOR in page[:4096]
    text = re.sub(r"\s+", " ", page)
    for expected in (
        "1,200 images of weak; 100 labelled",
        "<dd>25.0 %</dd>",
        "<dd>30.0 %</dd>",
        '<del class="worse">cat</del> <small>0.01</small>,',
        '<ins class="better">+ &lt;dog&gt;</ins> <small>0.97</small>',
        "img/7",
        "a note.",
        "a.jpg",
    ):
        assert expected in text
    assert "<dog>" not in page
    assert "Tags added" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_results_are_read_back(tmp_path):
    write_results(tmp_path / "results.json", RESULTS)
    assert read_results(tmp_path / "results.json") == RESULTS
    assert (RESULTS.removed, RESULTS.added) == (2, 4)
