"""Entries belong to images by name, as long as only one image can be meant."""

from __future__ import annotations

import pytest

from segmend.data.tags_from.matching import match_images


@pytest.mark.parametrize(
    ("name", "ids", "found"),
    [
        ("a", ["a", "b"], "a"),
        ("a.jpg", ["a", "b"], "a"),
        ("a.JPG", ["a"], "a"),
        ("./a.png", ["a"], "a"),
        ("a.v2", ["a.v2", "a"], "a.v2"),
        ("a.v2", ["a"], None),
        ("train/a.jpg", ["a"], "a"),
        ("C:\\data\\a.jpg", ["a"], "a"),
        ("x/s/a.jpg", ["s/a", "t/a"], "s/a"),
        ("a.jpg", ["s/a", "t/b"], "s/a"),
        ("a.jpg", ["s/a", "t/a"], None),
        ("t/a.jpg", ["s/a"], None),
        ("IMG_1.JPG", ["img_1", "img_2"], "img_1"),
        ("IMG_1", ["img_1", "Img_1"], None),
        ("Img_1", ["img_1", "Img_1"], "Img_1"),
        ("139", ["000000000139", "000000000140"], "000000000139"),
        ("139", ["0139", "00139"], None),
        ("u\u0308ber", ["\u00fcber"], "\u00fcber"),
        ("c", ["a"], None),
    ],
)
def test_which_image_a_name_belongs_to(name: str, ids: list[str], found: str | None) -> None:
    match = match_images({name: {"dog": 1.0}}, ids)
    assert match.tags == ({found: {"dog": 1.0}} if found else {})


def test_entries_of_one_name_are_joined_and_others_are_not() -> None:
    tags = {
        "a": {"dog": 0.4},
        "A.png": {"dog": 0.6, "cat": 1.0},
        "x/b": {"dog": 1.0},
        "y/b": {"cat": 1.0},
        "c": {},
        "z/c": {"dog": 1.0},
        "e": {"dog": 1.0},
    }
    match = match_images(tags, ["a", "b", "c", "d"])
    assert match.tags == {"a": {"dog": 0.6, "cat": 1.0}, "c": {}}
    assert match.skipped == [("b", "several entries fit: x/b, y/b")]
    assert match.findings == [
        "several entries of 1 image are joined: a",
        "2 entries belong to no image of the split: e, z/c",
        "1 image of the split has no entry: d",
    ]


def test_what_was_left_out_of_names_is_said() -> None:
    match = match_images({"train/a.jpg": {}, "B": {}, "7": {}}, ["a", "b", "007"])
    assert set(match.findings) == {
        "1 image found without the folders in names",
        "1 image found by names in another case",
        "1 image found by their number",
    }
