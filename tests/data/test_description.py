"""What a data set says of itself is read as it was written, and what cannot be is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmend.data.description import describe, read_description, write_description
from segmend.data.files import InvalidFile, atomic_write
from segmend.labels import Classes


def test_what_is_written_is_read(tmp_path: Path) -> None:
    classes = Classes(("sky", "skin"), ((1, 2, 3), (4, 5, 6)))
    write_description(tmp_path, "faces", classes, evaluate_on=["skin"])
    assert describe(tmp_path) == ("faces", classes, 255, ("skin",))
    atomic_write(tmp_path / "dataset.yaml", b"{classes: [a, b], void: 1}")
    assert describe(tmp_path) == (tmp_path.name, Classes(("a", "b")), 1, ())


BAD_DESCRIPTIONS = {
    "no yaml": ("{a: [", "not readable as YAML"),
    "no text": (b"\xff\xfe\x00", "not readable as YAML"),
    "python object": ("classes: !!python/object/apply:os.system [ls]", "not readable as YAML"),
    "a list": ("- a\n- b", "expected keys `name` and `classes`"),
    "no classes": ("name: x", "expected keys"),
    "classes by number": ("classes: {0: a}", "expected keys"),
    "empty": ("classes: []", "at least one class"),
    "twice": ("classes: [a, b, a]", "must differ"),
    "void": ("classes: [a]\nvoid: none", "`void` to be an id 0..65535, found 'none'"),
    "large void": ("classes: [a]\nvoid: 70000", "found 70000"),
    "palette": ("classes: [a]\npalette: ['#ff0000']", "expected a colour as"),
    "palette of one number": ("classes: [a]\npalette: 7", "palette|iterable"),
}


@pytest.mark.parametrize("kind", BAD_DESCRIPTIONS)
def test_descriptions_that_cannot_be(tmp_path: Path, kind: str) -> None:
    text, message = BAD_DESCRIPTIONS[kind]
    atomic_write(tmp_path / "dataset.yaml", text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidFile, match=rf"dataset\.yaml: .*({message})"):
        describe(tmp_path)


def test_a_missing_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"dataset\.yaml: not readable"):
        read_description(tmp_path)
