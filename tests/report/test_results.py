"""The schema of results.json."""

import json
from pathlib import Path

import pytest

from segmend.data.files import InvalidFile
from segmend.report.results import SCHEMA, Evaluation, Run, read_results, write_results


def test_evaluation_comes_back_as_it_was_written(folder: Path) -> None:
    evaluation = read_results(folder / "results.json")
    assert isinstance(evaluation, Evaluation)
    write_results(folder / "again.json", evaluation)
    assert read_results(folder / "again.json") == evaluation


def test_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = Run(
        version="0.1.0",
        command="predict",
        model="deeplab",
        classes=["a", "b"],
        done=3,
        kept=1,
        seconds={"total": 1.0},
        images_per_second=3.0,
    )
    write_results(tmp_path / "results.json", run)
    assert read_results(tmp_path / "results.json") == run


def change(path: Path, **values: object) -> Path:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | values), encoding="utf-8")
    return path


def test_newer_schema_is_refused(folder: Path) -> None:
    path = change(folder / "results.json", schema_version=SCHEMA + 1)
    with pytest.raises(InvalidFile, match="newer version of segmend"):
        read_results(path)


def test_unknown_key_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(InvalidFile, match="colour_of_the_day"):
        read_results(change(folder / "results.json", colour_of_the_day="blue"))


def test_unknown_kind_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidFile, match="not a results file of segmend"):
        read_results(change(folder / "results.json", kind="horoscope"))


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '{"kind": "run"}'])
def test_other_content_is_refused_with_the_file_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidFile, match=r"results\.json"):
        read_results(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"nothing\.json"):
        read_results(tmp_path / "nothing.json")
