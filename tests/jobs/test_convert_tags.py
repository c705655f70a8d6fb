"""`segmend tags convert` adds tags to those that are there, and replaces none without being asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmend.cli import app, main
from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile, read_json, write_json
from segmend.data.synthetic import generate_dataset
from segmend.jobs.convert_tags import convert_tags


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small data set."""
    root = tmp_path / "data"
    generate_dataset(root, train=3, val=1, height=32, width=32)
    return root


def test_tags_are_added_and_replaced_only_if_asked(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root, "train")
    ids = [record.id for record in dataset]
    one, other = dataset.classes.names[1:3]
    write_json(root / "tags.json", {"train": {ids[0]: {one: 0.25}}, "elsewhere": {"x": [one]}})
    source = tmp_path / "tags.csv"
    source.write_text(f"{ids[0]},{other}\n{ids[1]},{one};{other}\n")
    done = convert_tags(source, root, "train")
    assert (done.written, done.kept, done.empty, done.per_class) == (1, 1, 0, {one: 1, other: 1})
    kept = {"train": {ids[0]: {one: 0.25}, ids[1]: [one, other]}, "elsewhere": {"x": [one]}}
    assert read_json(root / "tags.json") == kept
    assert [record.tags for record in open_dataset(root, "train")][1] == {one: 1.0, other: 1.0}
    again = convert_tags(source, root, "train")
    assert (again.written, again.kept) == (0, 2)
    assert read_json(root / "tags.json") == kept
    convert_tags(source, root, "train", overwrite=True)
    assert read_json(root / "tags.json")["train"][ids[0]] == [other]
    assert read_json(root / "tags.json")["elsewhere"] == {"x": [one]}


def test_a_source_is_never_replaced(root: Path, tmp_path: Path) -> None:
    ids = [record.id for record in open_dataset(root, "train")]
    source = tmp_path / "captions.json"
    source.write_text(json.dumps({ids[0]: "nothing"}))
    with pytest.raises(InvalidFile, match=r"expected \{SPLIT"):
        convert_tags(source, root, "train", out=source)
    assert read_json(source) == {ids[0]: "nothing"}


def test_the_command(root: Path, tmp_path: Path) -> None:
    write_description(root, "data", open_dataset(root, "train").classes)
    ids = [record.id for record in open_dataset(root, "train")]
    name = open_dataset(root, "train").classes.names[1]
    words, source, out = tmp_path / "words.yaml", tmp_path / "captions.json", tmp_path / "out.json"
    words.write_text(f"{name}: thingamajig\n")
    source.write_text(json.dumps({ids[0]: "Two thingamajigs.", ids[1]: "no thingamajig", "x": "grass", "y": ""}))
    command = ["tags", "convert", str(source), "--data", str(root), "--split", "train", "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--synonyms", str(words)])
    assert result.exit_code == 0, result.output
    assert read_json(out) == {"train": {ids[0]: [name], ids[1]: []}}
    for line in (
        "captions.json: read as captions (--from reads it as another kind)",
        f"read as classes: thingamajigs (1) as {name}",
        "1 entry belongs to no image of the split: x",
        f"1 image of the split has no entry: {ids[2]}",
        f"images with each class: {name} 1; 1 image without a class",
        f"2 images tagged in {out}",
    ):
        assert line in result.output


def test_exit_codes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ids = [record.id for record in open_dataset(root, "train")]
    name = open_dataset(root, "train").classes.names[1]

    def run(text: str, *arguments: str) -> tuple[int | str | None, str]:
        Path("tags.csv").write_text(text)
        command = ["segmend", "tags", "convert", "tags.csv", "--data", str(root), *arguments]
        monkeypatch.setattr(sys, "argv", command)
        try:
            main()
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    code, message = run(f"p/{ids[0]},{name}\nq/{ids[0]},\n{ids[1]},{name}\n", "--split", "train")
    assert code == 1
    assert message == f"1 skipped:\n  {ids[0]}: several entries fit: p/{ids[0]}, q/{ids[0]}\n"
    before = (root / "tags.json").read_bytes()
    for arguments, expected in (
        (("--split", "train"), f"the tag '{name}x' is no class; did you mean '{name}'?"),
        (("--split", "nope"), "no split 'nope'"),
        (("--split", "train", "--from", "cvs"), "did you mean csv?"),
        (("--split", "train", "--synonyms", "nope.yaml"), "nope.yaml: no such file"),
        (("--split", "train", "--out", str(root)), "a folder, expected a file"),
    ):
        code, message = run(f"{ids[0]},{name}x\n", *arguments)
        assert (code, expected in message) == (2, True), message
    assert (root / "tags.json").read_bytes() == before
