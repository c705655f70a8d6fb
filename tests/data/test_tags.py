"""Tags are read as they were written, with scores or without, and what cannot be is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmend.data.files import InvalidFile, atomic_write, read_json
from segmend.data.tags import read_tags, read_tags_of, write_tags
from segmend.labels import Classes

CLASSES = Classes(("sky", "skin"))


def test_tags_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "tags.json"
    assert read_tags(path, CLASSES, missing_ok=True) == {}
    with pytest.raises(InvalidFile, match=r"tags\.json: no such file"):
        read_tags(path, CLASSES)
    tags = {"train": {"a": {"sky": 1.0, "skin": 1.0}, "b/c": {}}, "weak": {"d": {"sky": 0.25, "skin": 1.0}}}
    write_tags(path, tags)
    assert read_tags(path, CLASSES) == tags
    assert read_json(path) == {
        "train": {"a": ["sky", "skin"], "b/c": []},
        "weak": {"d": {"sky": 0.25, "skin": 1.0}},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", r"expected \{SPLIT"),
        ('{"train": ["a"]}', r"expected \{SPLIT"),
        ('{"train": {"a": "sky"}}', "a: expected a list of class names, found 'sky'"),
        ('{"train": {"a": ["skin", "sky "]}}', r"a: the tag 'sky ' is no class; did you mean 'sky'\?"),
        ('{"train": {}, "val": {"b": ["Skin"]}}', r"b: the tag 'Skin' is no class; did you mean 'skin'\?"),
        ('{"train": {"a": ["cloud"]}}', r"a: the tag 'cloud' is no class; classes are sky, skin"),
        ('{"train": {"a": [1]}}', r"a: expected a list of class names, found \[1\]"),
        ('{"train": {"a": [["sky"]]}}', "a: expected a list"),
        ('{"train": {"a": {"skyy": 1}}}', r"a: the tag 'skyy' is no class; did you mean 'sky'"),
        ('{"train": {"a": {"sky": 1.5}}}', r"a: expected a score of 'sky' in 0..1, found 1.5"),
        ('{"train": {"a": {"sky": true}}}', "a: expected a score of 'sky' in 0..1, found True"),
        ('{"train": {"a": {"sky": NaN}}}', "a: expected a score of 'sky' in 0..1, found nan"),
    ],
)
def test_tags_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    atomic_write(tmp_path / "tags.json", text.encode())
    with pytest.raises(InvalidFile, match=rf"tags\.json: {message}"):
        read_tags(tmp_path / "tags.json", CLASSES)


@pytest.mark.parametrize(
    "text",
    [
        '{"weak": {"a": ["sky"], "b": []}}',
        '{"other": {"a": ["sky"], "b": []}}',
        '{"train": {"a": ["skin"]}, "weak": {"a": ["sky"], "b": []}}',
        '{"a": ["sky"], "b": []}',
        '{"a": {"sky": 1}, "b": {}}',
    ],
)
def test_tags_of_a_folder_may_be_of_its_split_of_the_only_one_or_of_none(tmp_path: Path, text: str) -> None:
    atomic_write(tmp_path / "tags.json", text.encode())
    assert read_tags_of(tmp_path / "tags.json", "weak", CLASSES) == {"a": {"sky": 1.0}, "b": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("{}", "expected tags of the split 'weak', as the folder of images is named, found nothing"),
        (
            '{"train": {}, "val": {"a": ["sky"]}}',
            "expected tags of .* found the splits train, val",
        ),
        ('{"a": ["sky"], "b": "skin"}', r"expected \{SPLIT"),
        ('{"a": ["skyy"]}', r"a: the tag 'skyy' is no class; did you mean 'sky'"),
        ('{"a": {"sky": 2}}', "a: expected a score of 'sky' in 0..1, found 2"),
    ],
)
def test_tags_of_a_folder_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    atomic_write(tmp_path / "tags.json", text.encode())
    with pytest.raises(InvalidFile, match=rf"tags\.json: {message}"):
        read_tags_of(tmp_path / "tags.json", "weak", CLASSES)
    with pytest.raises(InvalidFile, match=r"missing\.json: no such file"):
        read_tags_of(tmp_path / "missing.json", "weak", CLASSES)
