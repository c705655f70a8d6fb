"""Raw figures: rows that are made anew, and where each comes from."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import tables
from raw import RawFile, write_raw


def test_new_rows_take_the_place_of_old_ones_and_the_others_stay(tmp_path):
    path = tmp_path / "rows.json"
    write_raw(path, {"dense CRF": {"mIoU": [1.0]}, "ECN": {"mIoU": [2.0]}}, seeds=(0, 1))
    write_raw(path, {"dense CRF": {"mIoU": [3.0]}, "SPN": {"mIoU": [4.0]}}, order=["dense CRF", "SPN", "ECN"])
    file = RawFile.read(path)
    assert file.rows() == {"dense CRF": {"mIoU": [3.0]}, "SPN": {"mIoU": [4.0]}, "ECN": {"mIoU": [2.0]}}
    assert file.order == ["dense CRF", "SPN", "ECN"]
    old = file.run_of("ECN")
    assert old.figures["dense CRF"] == {"mIoU": [1.0]}, "a row is compared with the baseline of its own run"
    assert old.provenance.seeds == [0, 1]


def test_a_run_without_a_row_in_the_table_is_dropped(tmp_path):
    path = tmp_path / "rows.json"
    write_raw(path, {"ECN": {"mIoU": [2.0]}})
    write_raw(path, {"ECN": {"mIoU": [5.0]}})
    assert len(RawFile.read(path).runs) == 1


def test_a_run_says_what_made_it(tmp_path, monkeypatch):
    script = Path(__file__).parents[2] / "benchmarks" / "consensus" / "run.py"
    monkeypatch.setattr(
        sys, "argv", [str(script), "--data", "/somewhere", "--table", "two words", "--runs", "there"]
    )
    made = write_raw(tmp_path / "rows.json", {"a": {}}).runs[0].provenance
    assert made.command == "python benchmarks/consensus/run.py --table 'two words'"
    assert made.commit
    assert "core" in made.machine
    assert {"python", "torch", "numpy"} <= made.versions.keys()


def test_rows_of_several_machines_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "HERE", tmp_path)
    path = tmp_path / "machines.json"
    write_raw(path, {"a": {"mIoU": [1.0]}})
    file = RawFile.read(path)
    file.runs[0].provenance.machine = "another machine"
    path.write_text(file.model_dump_json(), encoding="utf-8")
    write_raw(path, {"b": {"mIoU": [1.0]}})
    text = tables.origin("machines")
    assert text.startswith("The rows come from different machines:")
    assert "* a: " in text
    assert "Another machine" in text
    assert "* b: " in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [([1.26], "1.3"), ([1.0, 2.0, 4.0], "2.3 ± 1.5"), ({"mean": 1.26, "spread": 0.4}, "1.3 ± 0.4"), ([], "")],
)
def test_values_show_mean_and_half_of_the_range(value, expected):
    assert tables.shown(value) == expected


def test_long_tables_are_folded():
    rows = [[str(number)] for number in range(tables.FOLDED + 1)]
    assert tables.markdown(["number"], rows).startswith("<details>")
    assert not tables.markdown(["number"], rows[1:]).startswith("<details>")
