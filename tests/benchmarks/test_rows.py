"""Tables in which chosen rows are made anew."""

import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from comparison import merged, replace_table

OLD = "| refiner | mIoU |\n|---|---|\n| coarse | 1 |\n| ECN | 2 |\n\n| over | mIoU |\n|---|---|\n| ECN | 3 |"
NEW = (
    OLD.replace("coarse | 1", "coarse | 4")
    .replace("ECN | 2", "SPN, one-way | 5")
    .replace("ECN | 3", "SPN, one-way | 6")
)


def test_new_rows_take_their_place_and_the_others_stay(tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"before\n<!-- set -->\n{OLD}\n<!-- /set -->\nafter\n", encoding="utf-8")
    replace_table(page, "set", partial(merged, new=NEW, order=["coarse", "SPN, one-way", "ECN"]))
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line[-3:-2].isdigit()]
    assert rows == ["| coarse | 4 |", "| SPN, one-way | 5 |", "| ECN | 2 |", "| SPN, one-way | 6 |", "| ECN | 3 |"]
    assert page.read_text(encoding="utf-8").startswith("before\n<!-- set -->\n| refiner")
    assert page.read_text(encoding="utf-8").endswith("|\n<!-- /set -->\nafter\n")
    with pytest.raises(SystemExit, match="no place"):
        replace_table(page, "other", NEW)


def test_where_there_is_no_table_yet_the_new_one_stands():
    assert merged("Not measured yet.", NEW, ["coarse"]) == NEW
